"""The doctor's look at one target of MySQL or MariaDB: reached, read, its policy, and what its account may do."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator

from gateway.cli.doctor_observed import loaded, softened, unprotected
from gateway.cli.finding import FAIL, OK, WARN, Finding, failed
from gateway.config import Config
from gateway.engines.mysql_catalog import read_catalog
from gateway.engines.mysql_upstream import MysqlUpstream, Rows
from gateway.errors import GatewayError, Refusal
from gateway.policy.schema import Policy
from gateway.sql.catalog import Catalog
from gateway.sql.fit import check_against
from gateway.target_settings import MysqlTarget

_READS = frozenset({"USAGE", "SELECT", "SHOW VIEW"})
_GRANT = re.compile(r"GRANT (.+?) ON (.+?) TO ", re.IGNORECASE)


def examine(name: str, target: MysqlTarget, config: Config) -> Iterator[Finding]:
    """All findings about that target."""
    check = f"target {name}"
    try:
        upstream = MysqlUpstream(name, target)
        catalog, grants = asyncio.run(_look(upstream))
    except GatewayError as error:
        yield failed(check, error, f"correct `targets.{name}`, or mend the account on the server")
        return
    how = "TLS, certificate verified" if target.tls == "verify-full" else "plain text"
    yield Finding(check, OK, f"reached over {how}; {upstream.version}")
    if target.tls == "off":
        yield Finding(check, WARN, "the connection to the target is plain text on loopback", "set `tls: verify-full`")
    policy = loaded(name, config)
    warning = policy.warning if isinstance(policy, Policy) else ""
    yield from unprotected(check, warning, target, config.mysql, config)
    yield from softened(warning, _account(check, target, grants))
    if isinstance(policy, Refusal):
        for line in policy.message.splitlines():
            yield Finding(check, FAIL, line, policy.hint or "`gateway policy check` reads it again")
        return
    problems = check_against(policy, catalog)
    for problem in problems:
        level = FAIL if problem.severity == "error" else WARN
        yield Finding(check, level, problem.message, "correct the policy, or give the account SELECT on it")
    if not problems:
        yield Finding(check, OK, "the policy fits the database")


def _account(check: str, target: MysqlTarget, grants: Rows) -> Iterator[Finding]:
    excess = sorted(_excess(grants))
    if excess:
        yield Finding(
            check, FAIL, f"the account `{target.user}` may more than read: {', '.join(excess)[:300]}",
            f"REVOKE it, and GRANT SELECT ON `{target.database}`.* alone",
        )  # fmt: skip
    else:
        yield Finding(check, OK, f"the account `{target.user}` can read and do no harm")


async def _look(upstream: MysqlUpstream) -> tuple[Catalog, Rows]:
    catalog = await read_catalog(upstream)
    backend = await upstream.open()
    try:
        return catalog, await backend.run("SHOW GRANTS")
    finally:
        with contextlib.suppress(OSError):
            backend.goodbye()


def _excess(grants: Rows) -> Iterator[str]:
    """What the account may do beyond reading, as its grants say it."""
    for row in grants:
        match = _GRANT.match(row[0] or "")
        if match is None:
            # a role, or a proxy: what it brings is not looked into
            yield (row[0] or "").partition(" TO ")[0].removeprefix("GRANT ")
            continue
        rights = re.sub(r"\([^)]*\)", "", match[1])
        for right in rights.split(","):
            if right.strip().upper() not in _READS:
                yield f"{right.strip()} ON {match[2]}"
