"""What is known of each target: its policy, its catalog, and the connections to it, kept current.

INVARIANT: a session gets a view only of a target whose policy was loaded and whose catalog was read and fits it.
Policies change together or not at all; a catalog is read again every half minute, sooner while a target is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from gateway.config import Config
from gateway.engines import mysql_catalog
from gateway.engines.http_support import unsupported
from gateway.engines.mysql_upstream import MysqlUpstream
from gateway.engines.upstream import Upstream
from gateway.errors import GatewayError, Refusal
from gateway.http_settings import HttpTarget
from gateway.model import Session
from gateway.policy.diff import differences
from gateway.policy.load import load_policy
from gateway.policy.masks import derive_key
from gateway.policy.schema import Policy
from gateway.ports import Trail
from gateway.record import event
from gateway.sql.catalog import Catalog
from gateway.sql.declared import declared
from gateway.sql.fit import check_against, unknown_to
from gateway.sql.postgres import load_catalog
from gateway.sql.render import mask_settings
from gateway.sql.statement import Limits, View
from gateway.target_settings import AnyTarget, MysqlTarget, Target

_REFRESH_S = 30.0
_RETRY_S = 3.0
_MOST_NEWS = 100
MYSQL_DIALECTS = ("mysql", "mariadb")

Drift = Mapping[str, tuple[str, ...]]
Report = Callable[[str, BaseException], None]
Cut = Callable[[str, Refusal], None]


@dataclass(slots=True)
class _State:
    """`upstream` is of databases only; the catalog of an API is empty, and there while APIs can be served."""

    config: AnyTarget
    policy: Policy
    upstream: Upstream | MysqlUpstream | None
    catalog: Catalog | None = None
    problem: str = "the target's catalog was not read yet"
    announced: Drift = field(default_factory=dict)


class Targets:
    """All targets of one gateway. `cut` ends the sessions of one; `report` is for the technical log."""

    def __init__(self, config: Config, master_key: bytes, trail: Trail, report: Report) -> None:
        self._config, self._master_key, self._trail, self._report = config, master_key, trail, report
        self.renewed: Callable[[str], None] = lambda _target: None
        self._limits = Limits(text=config.limits.statement)
        policies = load_policies(config)
        self._states = {name: self._state(name, target, policies[name]) for name, target in config.targets.items()}

    @property
    def upstreams(self) -> dict[str, Upstream]:
        """The connections to each target of PostgreSQL, by its name."""
        return {name: one.upstream for name, one in self._states.items() if isinstance(one.upstream, Upstream)}

    @property
    def mysql_upstreams(self) -> dict[str, MysqlUpstream]:
        """The same for each target of MySQL or MariaDB."""
        return {name: one.upstream for name, one in self._states.items() if isinstance(one.upstream, MysqlUpstream)}

    def policy(self, target: str) -> Policy | None:
        """The policy in force, or None when there is no such target."""
        state = self._states.get(target)
        return state.policy if state is not None else None

    def view(self, session: Session) -> View:
        """Through which eyes the session's statements are read. Raises `GatewayError("target-unavailable")`."""
        grant = session.grant
        return self.view_for(grant.target, grant.customers, grant.reveal, grant.write, fixed=bool(grant.statement))

    def view_for(
        self,
        target: str,
        customers: tuple[str, ...],
        reveal: frozenset[tuple[str, str]],
        write: bool,
        *,
        fixed: bool = False,
    ) -> View:
        """The same for a grant that is only thought of. Raises `GatewayError("target-unavailable")`."""
        state = self._states[target]
        # read once: a refresh may take it away meanwhile, on another thread
        catalog, policy = state.catalog, state.policy
        if catalog is None:
            raise GatewayError(
                "target-unavailable",
                f"the target `{target}` is not ready",
                hint="operators: `gateway doctor` says what is wrong",
                detail=state.problem,
            )
        write = write and bool(policy.write)
        catalog = catalog if policy.http is None else declared(policy)
        return View(policy, catalog, customers, reveal, policy.schemas, write, self._limits, fixed)

    def session_pins(self, session: Session) -> dict[str, str]:
        """What this session's connection needs beyond the target's pins: its ticket's mask key, if masks use one, and
        leave to write, if its grant gives that.
        """
        grant, policy = session.grant, self._states[session.grant.target].policy
        pins = {"default_transaction_read_only": "off"} if grant.write and policy.write else {}
        if policy.purpose == "ticket":
            pins |= self._mask_pins("ticket", f"{grant.target}\0{grant.ticket_system}\0{grant.ticket_id}")
        return pins

    def mask_key(self, session: Session) -> bytes:
        """The key of what masks make up for that session; another target's, where the session's says so."""
        grant, state = session.grant, self._states[session.grant.target]
        name = grant.target
        if not isinstance(state.config, Target) and state.config.pseudonyms_of:
            name = state.config.pseudonyms_of
        purpose = state.policy.purpose
        if purpose == "ticket":
            name = f"{name}\0{grant.ticket_system}\0{grant.ticket_id}"
        return derive_key(self._master_key, purpose, name)

    def refusal(self, target: str) -> Refusal | None:
        """Why nobody can have access to a target that this process cannot serve at all."""
        state = self._states.get(target)
        if state is None or not isinstance(state.config, HttpTarget) or state.catalog is not None:
            return None
        return Refusal("target-unavailable", state.problem, "tell an operator: gateway doctor")

    def missing(self) -> dict[str, str]:
        """The targets that cannot be used now, each with the reason; empty when all can."""
        return {name: state.problem for name, state in self._states.items() if state.catalog is None}

    async def refresh(self) -> None:
        """Read every target's catalog once; a target that fails stays (or becomes) unusable for new sessions."""
        await asyncio.gather(*(self._refresh(name, state) for name, state in self._states.items()))

    async def keep_fresh(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(_RETRY_S if self.missing() else _REFRESH_S)
            await self.refresh()

    async def reload(self, by: str, cut: Cut) -> list[str]:
        """Load all policies again and put the changed ones in force; their sessions are cut. Returns their targets.

        Raises `GatewayError("policy-invalid")` and changes nothing when any file is invalid or misses its target.
        """
        policies = load_policies(self._config)
        changed = [name for name, state in self._states.items() if policies[name].digest != state.policy.digest]
        for name in changed:
            catalog = self._states[name].catalog
            if catalog is not None and self._states[name].upstream is not None:
                _fit(policies[name], catalog)
        for name in changed:
            state, policy = self._states[name], policies[name]
            found = differences(state.policy, policy)
            self._trail.append(
                event(
                    "policy.change", target=name, policy=policy.digest, previous=state.policy.digest, by=by,
                    effect=found[0].effect if found else "", differences=[f"{one.effect} {one.what}" for one in found],
                )
            )  # fmt: skip
            state.policy = policy
            if isinstance(state.upstream, Upstream):
                state.upstream.repin(self._pins(name, policy))
            cut(name, Refusal("policy-changed", "the policy changed; connect again", fatal=True))
        return changed

    def close(self) -> None:
        """Close the spare connections."""
        for upstream in self.upstreams.values():
            upstream.close()

    def _state(self, name: str, target: AnyTarget, policy: Policy) -> _State:
        if isinstance(target, Target):
            return _State(target, policy, Upstream(name, target, self._pins(name, policy)))
        if isinstance(target, MysqlTarget):
            return _State(target, policy, MysqlUpstream(name, target))
        problem = unsupported()
        return _State(target, policy, None, None if problem else Catalog(), problem)

    async def _refresh(self, name: str, state: _State) -> None:
        upstream = state.upstream
        if upstream is None:
            return
        try:
            if isinstance(upstream, MysqlUpstream):
                catalog = await mysql_catalog.read_catalog(upstream)
            else:
                assert isinstance(state.config, Target)
                catalog = await asyncio.to_thread(read_catalog, state.config)
            drift = _fit(state.policy, catalog)
        except GatewayError as error:
            if state.problem != error.refusal.message:
                self._report(f"target {name}", error)
            state.catalog, state.problem = None, error.refusal.message
            return
        self._announce(name, state, drift)
        changed = state.catalog is not None and state.catalog.digest != catalog.digest
        state.catalog, state.problem = catalog, ""
        if changed:
            self.renewed(name)

    def _announce(self, name: str, state: _State, drift: Drift) -> None:
        """Record what is new and hidden, once: at most a hundred relations, and then how many more."""
        news = []
        for relation, columns in drift.items():
            known = state.announced.get(relation)
            fresh = [column for column in columns if column not in (known or ())]
            if fresh or known is None:
                news.append((relation, fresh))
        for relation, fresh in news[:_MOST_NEWS]:
            whole = relation not in state.policy.tables
            reason = "relation not in the policy" if whole else "not in the policy"
            if len(fresh) > _MOST_NEWS:
                reason += f"; {len(fresh) - _MOST_NEWS} more columns are not listed here"
            listed = fresh[:_MOST_NEWS]
            self._trail.append(
                event("catalog.drift", target=name, relation=relation, columns=listed, reason=reason), urgent=False
            )
        if len(news) > _MOST_NEWS:
            more = f"{len(news) - _MOST_NEWS} more relations are not in the policy, or have columns that are not"
            self._trail.append(event("catalog.drift", target=name, reason=more), urgent=False)
        state.announced = drift

    def _pins(self, name: str, policy: Policy) -> dict[str, str]:
        """What every connection to the target is started with; nothing a session does can undo it for good."""
        pins = {
            "application_name": "gateway",
            "client_encoding": "UTF8",
            "standard_conforming_strings": "on",
            "escape_string_warning": "off",
            "transform_null_equals": "off",
            "default_transaction_read_only": "on",
            "row_security": "on",
            "search_path": ", ".join('"' + schema.replace('"', '""') + '"' for schema in policy.schemas),
            "statement_timeout": str(policy.limits.statement_timeout_ms),
            # a transaction that was forgotten would keep the target from clearing away what is dead
            "idle_in_transaction_session_timeout": str(policy.limits.idle_in_transaction_timeout_ms),
            "lock_timeout": str(policy.limits.statement_timeout_ms),
            "client_min_messages": "warning",
            "jit": "off",
        }
        return pins if policy.purpose == "ticket" else pins | self._mask_pins(policy.purpose, name)

    def _mask_pins(self, purpose: str, name: str) -> dict[str, str]:
        return mask_settings(derive_key(self._master_key, purpose, name))


def load_policies(config: Config) -> dict[str, Policy]:
    """One policy for each configured target, from the policy directory.

    Raises `GatewayError("policy-invalid")` for a faulty file, two policies of one target, or a target without one.
    """
    found: dict[str, Policy] = {}
    for path in policy_files(config.policies):
        policy = load_policy(path)
        if policy.target in found:
            raise GatewayError("policy-invalid", f"`{path}` and `{found[policy.target].source}` are of the same target")
        found[policy.target] = policy
    for name, target in config.targets.items():
        if name in found and isinstance(target, HttpTarget) != (found[name].http is not None):
            wanted = "`http`, as the target is an API" if isinstance(target, HttpTarget) else "`tables`"
            raise GatewayError("policy-invalid", f"`{found[name].source}` needs the section {wanted}")
        if name in found and isinstance(target, MysqlTarget) != (found[name].dialect in MYSQL_DIALECTS):
            wanted = f"`dialect: {' | '.join(MYSQL_DIALECTS)}`" if isinstance(target, MysqlTarget) else "no `dialect`"
            raise GatewayError("policy-invalid", f"`{found[name].source}` needs {wanted}, as its target's engine is")
        if name not in found:
            raise GatewayError(
                "policy-invalid",
                f"there is no policy for the target `{name}` in `{config.policies}`",
                hint="without a policy nothing is visible; `gateway init` writes one to start from",
            )
    return found


def policy_files(directory: Path) -> list[Path]:
    """The policy files of a directory: `*.yaml` but for the cases, `*_test.yaml`."""
    if not directory.is_dir():
        raise GatewayError("policy-invalid", f"the policy directory `{directory}` does not exist")
    return sorted(path for path in directory.glob("*.yaml") if not path.name.endswith("_test.yaml"))


def read_catalog(target: Target) -> Catalog:
    """The target's catalog as the backend role sees it. Blocks. Raises `GatewayError("target-unavailable")`."""
    try:
        with psycopg.connect(**connection_settings(target)) as connection:
            connection.read_only = True
            return load_catalog(lambda text: list(connection.execute(text.encode()).fetchall()))
    except psycopg.Error as error:
        raise GatewayError(
            "target-unavailable", "the target's catalog cannot be read", detail=str(error).strip()
        ) from error


def catalog_of(config: Config, target: str) -> Catalog:
    """The catalog of the database of that name. Blocks. Raises `GatewayError`."""
    settings = config.targets.get(target)
    if isinstance(settings, MysqlTarget):
        return mysql_catalog.catalog_of(target, settings)
    if not isinstance(settings, Target):
        raise GatewayError("target-not-available", f"the configuration has no database `{target}`")
    return read_catalog(settings)


def connection_settings(target: Target) -> dict[str, Any]:
    """How libpq reaches a target, with the same demands as `Upstream` makes."""
    settings: dict[str, Any] = {
        "host": target.host,
        "port": target.port,
        "dbname": target.database,
        "user": target.user,
        "password": target.password.read().decode(),
        "connect_timeout": max(2, int(target.connect_timeout)),
        "application_name": "gateway catalog",
        "require_auth": "scram-sha-256",
        "sslmode": "disable" if target.tls == "off" else "verify-full",
        "options": "-c statement_timeout=30000 -c default_transaction_read_only=on",
    }
    if target.tls != "off":
        settings["sslrootcert"] = str(target.ca) if target.ca is not None else "system"
        # What lies in a home directory (`~/.postgresql/postgresql.crt`) is neither sent nor in the way.
        settings["sslcertmode"] = "disable"
    return settings


def _fit(policy: Policy, catalog: Catalog) -> Drift:
    """What the catalog has beyond the policy. Raises `GatewayError("policy-invalid")` when the policy does not fit."""
    problems = check_against(policy, catalog)
    faults = [problem.message for problem in problems if problem.severity == "error"]
    if faults:
        raise GatewayError("policy-invalid", f"the policy of `{policy.target}` does not fit: {'; '.join(faults)}")
    return unknown_to(policy, catalog)
