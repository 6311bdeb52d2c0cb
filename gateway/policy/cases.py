"""Cases of a policy as data: who, with which ticket, asking what, and what must come of it.

INVARIANT: a case says what it expects; one that expects nothing is a fault of the file.

The file beside a policy (`tests:` names it) is a list under `cases`. `expect` is `approved` (at once), `approval`
(somebody must agree) or a code of `errors.CODES`; `columns` are the masks that such a grant gets, `hidden` for none. A
case with `sql` goes on: the statement is judged under that grant, by the target's catalog, and held to what is under
`then`: a `code`, or what it reads and shows. Nothing is executed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.errors import CODES, Refusal
from gateway.model import Principal, Ticket
from gateway.policy import shapes
from gateway.policy.decide import decide_access, effective_columns
from gateway.policy.load import read_text
from gateway.policy.schema import Policy
from gateway.policy.shapes import DocumentInvalid, Field, Flag, ListOf, Reading, Record, Text, Whole

APPROVED = "approved"
APPROVAL = "approval"
HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `line` is where it stands in its file; `then` is what its statement must come to."""

    name: str
    line: int
    person: Principal
    ticket: Ticket | None
    expect: str
    reveal: frozenset[tuple[str, str]] = frozenset()
    write: bool = False
    duration_s: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    sql: str = ""
    then: Mapping[str, Any] = field(default_factory=dict)


def load_cases(path: Path) -> tuple[Case, ...]:
    """The cases of the file at `path`. Raises: DocumentInvalid with every fault of it."""
    return parse_cases(read_text(path), str(path))


def parse_cases(text: str, source: str = "cases.yaml") -> tuple[Case, ...]:
    """The cases that `text` states. Raises: as `load_cases`."""
    reading = Reading()
    read = shapes.read_document(CASES, text, source, reading)
    if not reading.problems:
        for index, case in enumerate(read["cases"]):
            if ("then" in case) != ("sql" in case):
                reading.fault(("cases", index), "`sql` and `then` come together")
    if reading.problems:
        raise DocumentInvalid(source, reading.problems)
    return tuple(_case(one, reading.marks["cases", index][0]) for index, one in enumerate(read["cases"]))


def run_case(policy: Policy, case: Case, now: datetime) -> list[str]:
    """What came out otherwise than the case expects, in sentences; empty when all is as it should be."""
    answer = decide_access(
        policy,
        case.person,
        case.ticket,
        now,
        write=case.write,
        reveal=case.reveal,
        duration_s=case.duration_s,
    )
    if isinstance(answer, Refusal):
        came, why = answer.code, answer.message
    else:
        came, why = (APPROVED if answer.approve else APPROVAL), "; ".join(answer.reasons)
    wrong = [] if came == case.expect else [f"expected `{case.expect}`, came `{came}`: {why}"]
    for name, wanted in case.columns.items():
        relation, _, column = name.rpartition(".")
        rule = effective_columns(policy, relation, case.reveal).get(column)
        shown = rule.mask.kind if rule else HIDDEN
        if shown != wanted:
            wrong.append(f"expected `{name}` to be `{wanted}`, it is `{shown}`")
    return wrong


def judge_statement(case: Case, came: Mapping[str, Any]) -> list[str]:
    """What came of the case's statement otherwise than it expects, in sentences.

    `came` has `code` and `reason` of a refusal, or lists under the names that `then` has.
    """
    wanted_code, code = case.then.get("code", ""), came.get("code", "")
    if wanted_code != code:
        why = f": {came['reason']}" if code else ""
        return [f"expected the statement to be {_outcome(wanted_code)}, it is {_outcome(code)}{why}"]
    wrong = []
    for name, wanted in case.then.items():
        if name != "code" and set(wanted) != set(came.get(name, ())):
            wrong.append(f"expected `{name}` to be {_names(wanted)}, it is {_names(came.get(name, ()))}")
    return wrong


def _outcome(code: str) -> str:
    return f"refused with `{code}`" if code else "allowed"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "nothing"


def _case(read: dict[str, Any], line: int) -> Case:
    person, ticket = read["person"], read.get("ticket")
    login = person["login"]
    return Case(
        name=read["name"],
        line=line,
        person=Principal(login, login, login, frozenset(person.get("teams", ())), active=person.get("active", True)),
        ticket=ticket
        and Ticket(
            ticket["id"],
            "case",
            "",
            ticket.get("status", "open"),
            ticket.get("assignee", ""),
            ticket.get("customers", ()),
            team=ticket.get("team", ""),
        ),
        expect=read["expect"],
        reveal=frozenset(read.get("reveal", ())),
        write=read.get("write", False),
        duration_s=read.get("duration_s"),
        columns=read.get("columns", {}),
        sql=read.get("sql", ""),
        then=read.get("then", {}),
    )


def _expected(text: str) -> str:
    if text not in {APPROVED, APPROVAL} and text not in CODES:
        near = shapes.nearest(text, (APPROVED, APPROVAL, *CODES))
        raise ValueError(f"`expect` is {APPROVED}, {APPROVAL} or a code, not `{text}`{near}")
    return text


def _column_name(text: str) -> tuple[str, str]:
    relation, _, column = text.rpartition(".")
    return relation, column


def _code(text: str) -> str:
    if text not in CODES:
        raise ValueError(f"`{text}` is not a code{shapes.nearest(text, tuple(CODES))}")
    return text


_FULL_NAME = r"[^\s.]+\.[^\s.]+\.[^\s.]+"
_COLUMN = Text("`schema.table.column`", _FULL_NAME)
_WORD = Text("a word")

CASES = Record({
    "cases": Field(ListOf(Record({
        "name": Field(Text("a sentence"), "what the case shows", required=True),
        "person": Field(Record({
            "login": Field(_WORD, "the login", required=True),
            "teams": Field(ListOf(_WORD, least=0), "the teams"),
            "active": Field(Flag(), "whether the directory says active (true)"),
        }), "who asks", required=True),
        "ticket": Field(Record({
            "id": Field(_WORD, "the id", required=True),
            "status": Field(_WORD, "the state (open)"),
            "assignee": Field(_WORD, "a login"),
            "team": Field(_WORD, "a team"),
            "customers": Field(ListOf(_WORD, least=0), "the customers, as text"),
        }), "the justification; absent for none"),
        "reveal": Field(ListOf(Text("`schema.table.column`", _FULL_NAME, _column_name)), "columns wanted in clear"),
        "write": Field(Flag(), "whether to write (false)"),
        "duration_s": Field(Whole(1, 10**9), "for how many seconds"),
        "expect": Field(Text("an outcome", check=_expected), "the outcome", required=True),
        "columns": Field(shapes.MapOf(_COLUMN, _WORD), "the mask of each column, `hidden` for none"),
        "sql": Field(Text("a statement"), "a statement to judge under the grant"),
        "then": Field(Record({
            "code": Field(Text("a code", check=_code), "the code that it is refused with (it is allowed)"),
            "relations": Field(ListOf(_WORD, least=0), "all relations that it reads"),
            "columns_clear": Field(ListOf(_COLUMN, least=0), "all columns that it shows in clear"),
            "columns_masked": Field(ListOf(_COLUMN, least=0), "all columns that it shows masked"),
            "columns_revealed": Field(ListOf(_COLUMN, least=0), "all columns whose mask the grant turned off"),
            "columns_aggregated": Field(ListOf(_COLUMN, least=0), "all columns whose real values it sums up"),
            "searches": Field(ListOf(_COLUMN, least=0), "all columns that it searches exactly"),
        }), "what the statement must come to"),
    })), "the cases", required=True),
})  # fmt: skip
