"""Policy files: YAML read into a `Policy`, every fault with file, line and column.

INVARIANT: a file with a fault gives no policy at all, and a policy says for every relation which rows exist (`scope`).
The digest is of the content: comments, order of keys and layout do not change it, anything else does.

The table `POLICY` is the format: it reads, it suggests, and `policies/policy.schema.json` is written from it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.policy import consistency, dialects, http_load, kinds, shapes, types
from gateway.policy.http_values import written_mask
from gateway.policy.schema import (
    AccessRule,
    AggregateRule,
    BreakGlassRule,
    ColumnRule,
    LimitRule,
    Policy,
    Scope,
    TableRule,
    TicketRule,
    WriteRule,
)
from gateway.policy.shapes import (
    AnyValue,
    Choice,
    DocumentInvalid,
    Duration,
    Field,
    Flag,
    ListOf,
    MapOf,
    Problem,
    Reading,
    Record,
    Text,
    Whole,
)

DAY = 86_400
# Of two people, each knows the other's value from their sum.
SMALLEST_GROUP, LARGEST_GROUP = 3, 10_000
_PLAIN = r"""[^\s."']{1,63}"""
# A name may have spaces inside; where it stands among other words, in a scope, it is in double quotes then.
_NAME = r"""[^\s."'](?:[^."'\x00-\x1f]{0,61}[^\s."'])?"""
_WRITTEN = rf'(?:{_PLAIN}|"{_NAME}")'
_SCOPE = re.compile(
    rf"(?P<none>none)|(?P<column>{_WRITTEN}) += +ticket\.customer"
    rf"|(?P<follows>{_WRITTEN}) +in +(?P<other>{_WRITTEN}\.{_WRITTEN})\.(?P<other_column>{_WRITTEN})"
)
_SCOPE_SCHEMA = "^(?:" + re.sub(r"[?]P<[a-z_]+>", "", _SCOPE.pattern) + ")$"
_SCOPE_WANTED = (
    "`none`, `<column> = ticket.customer` or `<column> in <schema>.<table>.<column>`, with names in double quotes"
    " that have spaces"
)


@dataclass(frozen=True, slots=True)
class Document:
    """A policy file: the policy, and the file of cases that it names (None for none)."""

    policy: Policy
    tests: Path | None


def load_document(path: Path) -> Document:
    """The policy file at `path` and where its cases are.

    Raises: DocumentInvalid (a GatewayError `policy-invalid`) with every fault of the file; also when it cannot be read.
    """
    text = read_text(path)
    policy, tests = _parse(text, str(path))
    return Document(policy, path.parent / tests if tests else None)


def load_policy(path: Path) -> Policy:
    """The policy of the file at `path`. Raises: as `load_document`."""
    return load_document(path).policy


def parse_policy(text: str, source: str = "policy.yaml") -> Policy:
    """The policy that `text` states; `source` is the file name in messages. Raises: as `load_document`."""
    return _parse(text, source)[0]


def read_text(path: Path) -> str:
    """A file as UTF-8 text. Raises: DocumentInvalid when it cannot be read or is something else."""
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise DocumentInvalid(str(path), [Problem(1, 1, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DocumentInvalid(str(path), [Problem(line, 1, "is not UTF-8 text")]) from None


def digest(policy: Policy) -> str:
    """32 hexadecimal digits that identify a policy's content."""
    content: dict[str, Any] = {
        "target": policy.target,
        "schemas": policy.schemas,
        "purpose": policy.purpose,
        "functions": sorted(policy.functions),
        "reveal": {name: sorted(columns) for name, columns in policy.reveal.items()},
        "limits": _members(policy.limits),
        # what protects keeps the digest that records from before there were modes name
        **({} if policy.mode == "protect" else {"mode": policy.mode}),
        **({} if policy.literals == "sealed" else {"literals": policy.literals}),
        "access": _members(policy.access)
        | {
            "teams": sorted(policy.access.teams),
            "approver_teams": sorted(policy.access.approver_teams),
            "ticket": {
                name: sorted(v) if isinstance(v, tuple) else v for name, v in _members(policy.access.ticket).items()
            },
        }
        | {"break_glass": _members(policy.access.break_glass) if policy.access.break_glass else None},
        "tables": {
            name: {"scope": _members(table.scope), "columns": {c: _column(rule) for c, rule in table.columns.items()}}
            for name, table in policy.tables.items()
        },
    }
    if policy.dialect != "postgres":
        content["dialect"] = policy.dialect
    if policy.http is not None:
        content["http"] = http_load.content(policy.http)
    if policy.categories:
        content["categories"] = {name: sorted(columns) for name, columns in policy.categories.items()}
    if policy.access.break_glass is None:
        # a policy without it keeps the digest that it had before there was such a thing
        del content["access"]["break_glass"]
    if policy.write:
        content["write"] = {
            name: {member: sorted(v) if isinstance(v, frozenset) else v for member, v in _members(rule).items()}
            for name, rule in policy.write.items()
        }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_members)
    return hashlib.sha256(b"gateway policy 1\n" + text.encode()).hexdigest()[:32]


def _column(rule: ColumnRule) -> dict[str, Any]:
    # what has no type keeps the digest that it had before there was such a thing
    return {name: value for name, value in _members(rule).items() if name != "type" or value}


def nameable(relation: str, column: str = "") -> bool:
    """Whether a policy can write the qualified name of a relation, and that of its column."""
    schema = relation.partition(".")[0]
    if schema.startswith("pg_") or schema == "information_schema":
        return False
    return re.fullmatch(rf"{_NAME}\.{_NAME}", relation) is not None and (
        not column or re.fullmatch(_NAME, column) is not None
    )


def json_schema() -> dict[str, Any]:
    """The format of policy files in JSON Schema, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy of one target of the gateway",
        **POLICY.schema(),
        "anyOf": [{"required": ["tables"]}, {"required": ["http"]}],
    }


def _parse(text: str, source: str) -> tuple[Policy, str]:
    reading = Reading()
    read = shapes.read_document(POLICY, text, source, reading)
    if not reading.problems:
        consistency.judge(read, reading)
    if reading.problems:
        raise DocumentInvalid(source, reading.problems)
    policy = _policy(read, source)
    return replace(policy, digest=digest(policy)), read.get("tests", "")


def _break_glass(read: dict[str, Any] | None) -> BreakGlassRule | None:
    if read is None:
        return None
    return BreakGlassRule(frozenset(read["teams"]), read.get("duration", 1800), read.get("write", False))


def _policy(read: dict[str, Any], source: str) -> Policy:
    access, limits = read["access"], read.get("limits", {})
    duration, approvers = access["duration"], access.get("approvers", {})
    http = http_load.rules(read["http"]) if "http" in read else None
    return Policy(
        target=read["target"],
        digest="",
        access=AccessRule(
            teams=frozenset(access["teams"]),
            ticket=TicketRule(**access["ticket"]),
            second_factor=access.get("second_factor", "totp"),
            direct_login=access.get("direct_login", False),
            default_duration_s=duration["default"],
            max_duration_s=duration["max"],
            auto_approve=access.get("auto_approve", "never"),
            approver_teams=frozenset(approvers.get("teams", ())),
            approver_count=approvers.get("count", 1),
            break_glass=_break_glass(access.get("break_glass")),
        ),
        tables={
            name: TableRule(
                name,
                table["scope"],
                {column: replace(rule, name=column) for column, rule in table["columns"].items()},
            )
            for name, table in read.get("tables", {}).items()
        },
        limits=LimitRule(
            limits.get("rows_per_statement", 0),
            limits.get("rows_per_day", 0),
            limits.get("bytes_per_statement", 0),
            limits.get("bytes_per_day", 0),
            limits.get("exact_searches_per_hour", 0),
            limits.get("aggregates_per_hour", 0),
            limits.get("statement_timeout", 30) * 1000,
            limits.get("idle_in_transaction_timeout", 600) * 1000,
        ),
        reveal={name: frozenset(columns) for name, columns in read.get("reveal", {}).items()}
        | (http_load.revealed(http) if http is not None else {}),
        functions=frozenset(read.get("functions", ())),
        schemas=read.get("schemas", ("public",)),
        purpose=read.get("purpose", "target"),
        source=source,
        write={
            name: WriteRule(
                frozenset(rule.get("update", ())), frozenset(rule.get("insert", ())), rule.get("delete", False),
                rule.get("rows", 1), rule.get("approval", "statement"),
            )
            for name, rule in read.get("write", {}).items()
        },
        categories={name: frozenset(columns) for name, columns in read.get("categories", {}).items()}
        | (http_load.categories(http) if http is not None else {}),
        mode=read.get("mode", "protect"),
        literals=read.get("literals", "sealed"),
        dialect=http_load.dialect(http) if http is not None else read.get("dialect", "postgres"),
        http=http,
    )  # fmt: skip


def _scope(text: str) -> Scope:
    match = _SCOPE.fullmatch(text)
    if match is None:
        raise ValueError(f"wanted a scope: {_SCOPE_WANTED}, not `{text}`")
    if match["none"]:
        return Scope("none")
    if match["column"]:
        return Scope("customer", match["column"].strip('"'))
    # A name has no double quote inside.
    follows, other, other_column = (match[part].replace('"', "") for part in ("follows", "other", "other_column"))
    return Scope("follows", follows, other, other_column)


def _column_rule(value: Any) -> ColumnRule:
    kind, given = written_mask(value, "a column")
    search, identifier = given.pop("search", ""), given.pop("identifier", False)
    declared = given.pop("type", "")
    if not isinstance(declared, str) or (declared and types.column_type(declared).group == types.OTHER):
        raise ValueError(f"`type` is a type as PostgreSQL spells it, not `{declared}`")
    aggregate = _aggregate(given.pop("aggregate")) if "aggregate" in given else None
    if search not in {"", "exact"} or not isinstance(identifier, bool):
        raise ValueError("`search` can only be `exact`, and `identifier` is true or false")
    if search and kind == "clear":
        raise ValueError("`search: exact` is for masked columns; a clear one can be searched anyway")
    if aggregate and kind == "clear":
        raise ValueError("`aggregate` is for masked columns; a clear one can be aggregated anyway")
    return ColumnRule("", kinds.checked(kind, given), search, identifier, aggregate, declared)


def _aggregate(value: Any) -> AggregateRule:
    given = value if isinstance(value, dict) and value.keys() <= {"min_group", "subject", "extremes"} else {}
    least, subject, extremes = given.get("min_group"), given.get("subject"), given.get("extremes", False)
    whole = isinstance(least, int) and not isinstance(least, bool) and SMALLEST_GROUP <= least <= LARGEST_GROUP
    if not whole or not isinstance(subject, str) or not isinstance(extremes, bool):
        wanted = f"min_group: {SMALLEST_GROUP} to {LARGEST_GROUP}, subject: a column of this relation"
        raise ValueError(f"`aggregate` must be {{{wanted}}}, and may have `extremes: true`")
    return AggregateRule(int(given["min_group"]), subject, extremes)


def _column_schema() -> dict[str, Any]:
    def beside(name: str) -> dict[str, Any]:
        own: dict[str, Any] = {
            "search": {"const": "exact"}, "identifier": {"type": "boolean"}, "type": {"type": "string"},
        }  # fmt: skip
        return own if name == "clear" else own | {"aggregate": _AGGREGATE_SCHEMA}

    return kinds.mask_schema(beside)


def _relation(text: str) -> str:
    schema, _, _ = text.partition(".")
    if schema.startswith("pg_") or schema == "information_schema":
        raise ValueError(f"`{text}` belongs to the system; the catalogs have a built-in policy")
    return text


def _members(value: Any) -> dict[str, Any]:
    return {
        name: sorted(member) if isinstance(member, frozenset) else member
        for name, member in ((name, getattr(value, name)) for name in value.__dataclass_fields__)
    }


_AGGREGATE_SCHEMA = {
    "type": "object",
    "description": "sums, averages and deviations of the real values, of groups with so many different subjects",
    "properties": {
        "min_group": {"type": "integer", "minimum": SMALLEST_GROUP, "maximum": LARGEST_GROUP},
        "subject": {"type": "string"},
        "extremes": {"type": "boolean"},
    },
    "required": ["min_group", "subject"],
    "additionalProperties": False,
}
_NAMED = Text("a name", _NAME)
_QUALIFIED = Text("a qualified name such as `public.employees`", rf"{_NAME}\.{_NAME}", _relation)
_COLUMN = Text("a column such as `public.employees.email`", rf"{_NAME}\.{_NAME}\.{_NAME}")
_TEAMS = ListOf(Text("the name of a team"))

POLICY = Record({
    "target": Field(Text("a name of letters, digits, hyphens", r"[a-z][a-z0-9_-]{0,62}"), "the target", True),
    "mode": Field(
        Choice(("protect", "observe")), "`observe` forwards all as it is and only records what this says (protect)"
    ),
    "dialect": Field(
        Choice(dialects.DATABASE_DIALECTS), "the SQL of a database: that of the target's `engine` (postgres)"
    ),
    "literals": Field(
        Choice(("sealed", "none")), "the values in statements: kept where two people can open them, or not (sealed)"
    ),
    "access": Field(Record({
        "teams": Field(_TEAMS, "the teams whose members may ask", True),
        "ticket": Field(Record({
            "projects": Field(ListOf(Text("a project's key")), "projects whose tickets justify access", True),
            "states": Field(ListOf(Text("a state")), "states in which a ticket justifies access", True),
            "assigned_to": Field(Choice(("requester", "team")), "who the ticket must be assigned to (requester)"),
        }), "which tickets justify access", True),
        "second_factor": Field(Choice(("totp", "webauthn", "any")), "the second factor that counts (totp)"),
        "direct_login": Field(Flag(), "whether a password followed by a code opens a database session (false)"),
        "duration": Field(Record({
            "default": Field(Duration(60, 30 * DAY), "how long a grant lasts unless asked otherwise", True),
            "max": Field(Duration(60, 30 * DAY), "the longest that a grant may last", True),
        }), "how long grants last", True),
        "auto_approve": Field(Choice(("never", "masked_reads")), "what is approved at once (never)"),
        "approvers": Field(Record({
            "teams": Field(_TEAMS, "the teams whose members may approve", True),
            "count": Field(Whole(1, 5), "how many approvers a request needs (1)"),
        }), "who approves what is not approved at once"),
        "break_glass": Field(Record({
            "teams": Field(_TEAMS, "the teams, of those that may ask, whose members may do without approval", True),
            "duration": Field(Duration(60, 4 * 3600), "the longest that it lasts (30m)"),
            "write": Field(Flag(), "whether it may write in general, where approval is by request (false)"),
        }), "access in an emergency: at once, reviewed by an approver within one business day (never)"),
    }), "who may ask, with what, for how long", True),
    "limits": Field(Record({
        "rows_per_statement": Field(Whole(1, 10**12), "rows that one statement may return (unlimited)"),
        "rows_per_day": Field(Whole(1, 10**12), "rows that one person may read in a day (unlimited)"),
        "bytes_per_statement": Field(Whole(1, 10**15), "bytes of rows that one statement may return (unlimited)"),
        "bytes_per_day": Field(Whole(1, 10**15), "bytes of rows that one person may read in a day (unlimited)"),
        "exact_searches_per_hour": Field(Whole(1, 10**9), "exact searches of one person in an hour (unlimited)"),
        "aggregates_per_hour": Field(
            Whole(1, 10**9), "SELECTs of one person in an hour that sum a masked column's real values (unlimited)"
        ),
        "statement_timeout": Field(Duration(1, 3600), "how long a statement may run (30s)"),
        "idle_in_transaction_timeout": Field(
            Duration(1, 86400), "how long a transaction may wait for its next statement (10m)"
        ),
    }), "budgets"),
    "tables": Field(MapOf(_QUALIFIED, Record({
        "scope": Field(Text(_SCOPE_WANTED, check=_scope, described=_SCOPE_SCHEMA), "which rows exist", True),
        "columns": Field(MapOf(_NAMED, AnyValue(_column_rule, _column_schema)), "the columns that exist", True),
    })), "the relations that exist, of a database or of routes with a `dialect`; whatever is not named does not"),
    "http": Field(http_load.HTTP, "the requests that exist, of an HTTP target; whatever is not named does not"),
    "reveal": Field(MapOf(_QUALIFIED, ListOf(_NAMED)), "columns that an approved request may see in clear"),
    "write": Field(MapOf(_QUALIFIED, Record({
        "update": Field(ListOf(_NAMED), "columns that UPDATE may set (none)"),
        "insert": Field(ListOf(_NAMED), "columns that INSERT may set (none)"),
        "delete": Field(Flag(), "whether rows may be deleted (false)"),
        "rows": Field(Whole(1, 1000), "how many rows one statement may write (1)"),
        "approval": Field(Choice(("statement", "request")), "what somebody else approves: each statement as it is, or"
            " the request for a grant that may write (statement)"),
    })), "what may be written with an approved request; whatever is not named is only read"),
    "categories": Field(
        MapOf(Text("the name of a category"), ListOf(_COLUMN)),
        "categories of personal data and their columns, as customers are told of accesses",
    ),
    "functions": Field(ListOf(_QUALIFIED), "extra functions that the owner vouches for"),
    "schemas": Field(ListOf(_NAMED), "where names without a schema are looked up (public)"),
    "purpose": Field(Choice(("global", "target", "ticket")), "what pseudonyms are bound to (target)"),
    "tests": Field(Text("a file name", r"[A-Za-z0-9_.-]+\.ya?ml"), "the file of cases beside this one"),
})  # fmt: skip
