"""What the `policy` commands work out; imported when one of them runs, for it brings the SQL room along.

The same functions as the gateway's own are asked; nothing is executed and no row is read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.access.directory.opening import open_directory
from gateway.access.tickets.sources import open_sources
from gateway.cli.judging_http import came_of
from gateway.config import Config
from gateway.console.schemas import columns
from gateway.engines.targets import catalog_of, load_policies, policy_files
from gateway.errors import GatewayError, Refusal
from gateway.model import Principal, Write
from gateway.policy.cases import Case, judge_statement, load_cases, run_case
from gateway.policy.decide import Decision, decide_access
from gateway.policy.diff import differences
from gateway.policy.load import Document, load_document
from gateway.policy.schema import Policy
from gateway.sql.catalog import Catalog
from gateway.sql.fit import check_against
from gateway.sql.rooms import analyse
from gateway.sql.statement import Plan, View


def checked(paths: list[Path], config: Config | None) -> list[dict[str, Any]]:
    """One finding for each policy and each fault; with a configuration the targets' catalogs are compared as well."""
    documents, faults = _read(paths)
    found: list[dict[str, Any]] = [{"ok": False, "message": text} for text in faults]
    for document in documents:
        policy = document.policy
        found.append(
            {
                "ok": True,
                "target": policy.target,
                "source": policy.source,
                "digest": policy.digest,
                "mode": policy.mode,
                "warning": policy.warning,
            }
        )
        found += _misfits(config, policy) if config is not None else []
    return found


def tested(paths: list[Path], config: Config | None) -> list[dict[str, Any]]:
    """One result for each case beside the policies; `wrong` says what came out otherwise.

    Statements are judged where a configuration says how to reach the target's catalog; `judged` says whether.

    Raises `GatewayError("policy-invalid")` when a policy or its cases cannot be read.
    """
    documents, faults = _read(paths)
    if faults:
        raise GatewayError("policy-invalid", "\n".join(faults), "correct the file")
    results = []
    for document in documents:
        if document.tests is None:
            continue
        catalog = None
        cases = load_cases(document.tests)
        if config is not None and any(case.sql for case in cases):
            catalog = catalog_of(config, document.policy.target)
        for case in cases:
            wrong = run_case(document.policy, case, datetime.now(UTC))
            if case.sql and catalog is not None and not wrong:
                wrong = judge_statement(case, _came(document.policy, case, catalog))
            if case.request and not wrong:
                wrong = judge_statement(case, came_of(document.policy, case))
            results.append(
                {
                    "source": str(document.tests),
                    "line": case.line,
                    "name": case.name,
                    "statement": bool(case.sql),
                    "judged": bool(case.sql) and catalog is not None,
                    "wrong": wrong,
                }
            )
    return results


def compared(old: Path, new: Path) -> list[dict[str, str]]:
    """What the newer of two policy files lets be seen or done otherwise than the older. Raises `policy-invalid`."""
    documents, faults = _read([old, new])
    if faults:
        raise GatewayError("policy-invalid", "\n".join(faults), "correct the file")
    if len(documents) != 2:
        raise GatewayError("policy-invalid", "two files are compared, not directories", "name one file and another one")
    return [one._asdict() for one in differences(documents[0].policy, documents[1].policy)]


def _came(policy: Policy, case: Case, catalog: Catalog) -> dict[str, Any]:
    customers = case.ticket.customers if case.ticket is not None else ()
    judged = analyse(case.sql, View(policy, catalog, customers, case.reveal, policy.schemas))
    return _judged(judged)


def explained(
    config: Config,
    target: str,
    who: tuple[str | None, list[str]],
    ticket: str | None,
    reveal: list[str],
    query: str | None,
) -> tuple[dict[str, Any], Refusal | None]:
    """What a person (login, or somebody of the teams) may do with a ticket, and what a statement becomes."""
    policies = load_policies(config)
    if target not in policies:
        raise GatewayError("target-not-available", f"the configuration has no target `{target}`")
    policy = policies[target]
    person = _person(config, *who)
    justification = open_sources(config.tickets).find(ticket) if ticket else None
    if ticket and justification is None:
        raise GatewayError("ticket-not-found", f"there is no ticket `{ticket}`")
    wanted = columns(reveal)
    decision = decide_access(policy, person, justification, datetime.now(UTC), reveal=wanted)
    answer: dict[str, Any] = {"target": target, "policy": policy.digest, "person": person.login, **_decided(decision)}
    answer["mode"] = policy.mode
    if isinstance(decision, Refusal) or justification is None:
        return answer, decision if isinstance(decision, Refusal) else None
    if query is None:
        return answer, None
    if policy.http is not None:
        raise GatewayError(
            "request-invalid", f"`{target}` is no database", hint="ask with --request and --customer instead"
        )
    catalog = catalog_of(config, target)
    view = View(policy, catalog, justification.customers, wanted, policy.schemas, write=bool(policy.write))
    judged = analyse(query, view)
    return answer | _judged(judged), judged if isinstance(judged, Refusal) else None


def _read(paths: list[Path]) -> tuple[list[Document], list[str]]:
    """The policies that are valid, and what is wrong with the others."""
    files = [file for path in paths for file in (policy_files(path) if path.is_dir() else [path])]
    if not files:
        raise GatewayError("policy-invalid", "there is no policy", "`gateway init` writes one to start from")
    documents: list[Document] = []
    faults: list[str] = []
    for file in files:
        try:
            documents.append(load_document(file))
        except GatewayError as error:
            faults += error.refusal.message.splitlines()
    return documents, faults


def _misfits(config: Config, policy: Policy) -> list[dict[str, Any]]:
    if policy.http is not None and policy.target in config.targets:
        return []
    if policy.target not in config.targets:
        return [{"ok": False, "message": f"{policy.source}: the configuration has no target `{policy.target}`"}]
    return [
        {"ok": one.severity != "error", "message": f"{policy.source}: {one.message}"}
        for one in check_against(policy, catalog_of(config, policy.target))
    ]


def _person(config: Config, login: str | None, teams: list[str]) -> Principal:
    if login is None:
        return Principal("somebody", "somebody", "somebody", frozenset(teams))
    directory = open_directory(config.directory)
    try:
        found = directory.find(login)
    finally:
        directory.close()
    if found is None:
        raise GatewayError("not-found", f"the directory has no `{login}`")
    return found


def _decided(decision: Decision | Refusal) -> dict[str, Any]:
    if isinstance(decision, Refusal):
        return {"access": "refused", "code": decision.code, "reason": decision.message, "hint": decision.hint}
    return {
        "access": "approved" if decision.approve else "waits",
        "reasons": list(decision.reasons),
        "approvers": sorted(decision.approvers),
        "approvals_needed": decision.count,
        "expires_at": decision.expires_at.isoformat(),
    }


def _judged(judged: Plan | Refusal) -> dict[str, Any]:
    if isinstance(judged, Refusal):
        return {
            "statement": "refused",
            "code": judged.code,
            "reason": judged.message,
            "hint": judged.hint,
            "position": judged.position,
        }
    return {
        "statement": _NEEDS[judged.write.approval] if judged.write else "allowed",
        "rewritten": judged.rewritten,
        "relations": list(judged.relations),
        "columns_clear": list(judged.columns_clear),
        "columns_masked": list(judged.columns_masked),
        "columns_revealed": list(judged.columns_revealed),
        "scope": list(judged.scope),
        "columns_aggregated": list(judged.columns_aggregated),
        "searches": [f"{search.relation}.{search.column}" for search in judged.exact_searches],
        "notices": [notice.message for notice in judged.notices],
    } | (_written(judged.write) if judged.write else {})


_NEEDS = {"statement": "allowed once it is approved", "request": "allowed under an approved grant for writing"}


def _written(write: Write) -> dict[str, Any]:
    return {
        "columns_written": [f"{write.relation}.{column}" for column in write.columns],
        "rows_at_most": write.rows,
        "preview": write.preview,
    }
