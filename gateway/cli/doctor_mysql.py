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
_WRITES = ("INSERT", "UPDATE", "DELETE")
_GRANT = re.compile(r"GRANT (.+?) ON (.+?) TO ", re.IGNORECASE)
_RIGHT = re.compile(r"([A-Z ]+?)\s*(?:\(([^)]*)\))?(?:,|$)", re.IGNORECASE)


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
    yield from softened(warning, _account(check, target, policy, grants))
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


async def _look(upstream: MysqlUpstream) -> tuple[Catalog, Rows]:
    catalog = await read_catalog(upstream)
    backend = await upstream.open()
    try:
        return catalog, await backend.run("SHOW GRANTS")
    finally:
        with contextlib.suppress(OSError):
            backend.goodbye()


def _account(check: str, target: MysqlTarget, policy: Policy | Refusal, grants: Rows) -> Iterator[Finding]:
    """What the account lacks for what the policy lets be written, and what it has beyond."""
    wanted = _wanted(policy) if isinstance(policy, Policy) else set[tuple[str, str, str]]()
    given = _given(grants)
    excess = sorted(_excess(grants)) if not wanted else sorted(_beyond(given, wanted, grants))
    if excess:
        yield Finding(
            check, FAIL, f"the account `{target.user}` may more than the policy says: {', '.join(excess)[:300]}",
            f"REVOKE it; GRANT SELECT ON `{target.database}`.* is enough to read",
        )  # fmt: skip
    lacks = sorted(one for one in wanted - given if (*one[:2], "") not in given)
    for right, table, column in lacks:
        on = f"`{table.replace('.', '`.`', 1)}`"
        what = f"{right} (`{column}`)" if column else right
        yield Finding(check, FAIL, f"the account `{target.user}` lacks {what} ON {on}", f"GRANT {what} ON {on} TO it")
    if not excess and not lacks:
        what = "write what the policy says" if wanted else "read"
        yield Finding(check, OK, f"the account `{target.user}` can {what} and do no harm")


def _wanted(policy: Policy) -> set[tuple[str, str, str]]:
    """The rights that writing needs: the right, the table, and the column for those that are of columns."""
    found = set()
    for name, rule in policy.write.items():
        scope = policy.tables[name].scope.column
        columns = {
            "UPDATE": set(rule.update),
            "INSERT": rule.insert | ({scope} if rule.insert and scope else set()),
        }
        found |= {(right, name, column) for right, some in columns.items() for column in some}
        found |= {("DELETE", name, "")} if rule.delete else set()
    return found


def _given(grants: Rows) -> set[tuple[str, str, str]]:
    """The rights to write that the account has on single tables."""
    found = set()
    for row in grants:
        match = _GRANT.match(row[0] or "")
        table = match[2].replace("`", "") if match is not None else "*"
        if match is None or "*" in table:
            continue
        for right, columns in _RIGHT.findall(match[1]):
            names = [one.strip().strip("`") for one in columns.split(",")] if columns else [""]
            found |= {(right.strip().upper(), table, name) for name in names}
    return {one for one in found if one[0] in _WRITES}


def _beyond(given: set[tuple[str, str, str]], wanted: set[tuple[str, str, str]], grants: Rows) -> Iterator[str]:
    """What the account may do beyond reading and what is wanted."""
    for right, table, column in given - wanted:
        yield f"{right} ({column}) ON {table}" if column else f"{right} ON {table}"
    for said in _excess(grants):
        right, _, on = said.partition(" ON ")
        if right not in _WRITES or "*" in on:
            yield said


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
