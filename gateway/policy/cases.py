"""Cases of a policy as data: who, with which ticket, asking what, and what must come of it.

INVARIANT: a case says what it expects; one that expects nothing is a fault of the file.

The file beside a policy (`tests:` names it) is a list under `cases`. `expect` is `approved` (at once), `approval`
(somebody must agree) or a code of `errors.CODES`; `columns` are the masks that such a grant gets, `hidden` for none. A
case with `sql` goes on: the statement is judged under that grant, by the target's catalog, and held to what is under
`then`: a `code`, or what it reads and shows. Nothing is executed. One with `request` goes on in the same way for an
HTTP target; `answer` is what that would answer, and `shows` what must leave of it. Nothing is sent, and the key of
keyed masks is nought.
"""

from __future__ import annotations

import json
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
from gateway.policy.schema import Policy, named
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
    request: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
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
            _judge_parts(case, ("cases", index), reading)
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
    """What came of the case's statement or request otherwise than it expects, in sentences.

    `came` has `code` and `reason` of a refusal, or lists (of a request texts) under the names that `then` has.
    """
    wanted_code, code = case.then.get("code", ""), came.get("code", "")
    if wanted_code != code:
        why = f": {came['reason']}" if code else ""
        what = "request" if case.request else "statement"
        return [f"expected the {what} to be {_outcome(wanted_code)}, it is {_outcome(code)}{why}"]
    wrong = []
    for name, wanted in case.then.items():
        if name in _OF_REQUESTS:
            if not _same(wanted, str(came.get(name, ""))):
                wrong.append(f"expected `{name}` to be `{wanted}`, it is `{came.get(name, '')}`")
        elif name != "code" and set(wanted) != set(came.get(name, ())):
            wrong.append(f"expected `{name}` to be {_names(wanted)}, it is {_names(came.get(name, ()))}")
    return wrong


def _judge_parts(case: dict[str, Any], at: shapes.Path, reading: Reading) -> None:
    asks = [name for name in ("sql", "request") if name in case]
    if len(asks) != (1 if "then" in case else 0):
        reading.fault(at, "`sql` or `request`, and `then`, come together")
    for name in ("headers", "body", "answer"):
        if name in case and "request" not in case:
            reading.fault((*at, name), f"`{name}` is for a `request`")
    for name in case.get("then", {}):
        if name != "code" and (name in _OF_REQUESTS) != ("request" in case):
            reading.fault((*at, "then", name), f"`{name}` is for a `{'request' if name in _OF_REQUESTS else 'sql'}`")
    if "shows" in case.get("then", {}) and "answer" not in case:
        reading.fault((*at, "then", "shows"), "`answer` is missing: nothing could be shown")


def _outcome(code: str) -> str:
    return f"refused with `{code}`" if code else "allowed"


def _same(wanted: str, came: str) -> bool:
    """Whether two texts are the same; JSON texts whatever their layout."""
    if wanted == came:
        return True
    try:
        return bool(json.loads(wanted) == json.loads(came))
    except ValueError:
        return False


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
        request=read.get("request", ""),
        headers=read.get("headers", {}),
        body=read.get("body", ""),
        answer=read.get("answer", {}),
        then=read.get("then", {}),
    )


def _expected(text: str) -> str:
    if text not in {APPROVED, APPROVAL} and text not in CODES:
        near = shapes.nearest(text, (APPROVED, APPROVAL, *CODES))
        raise ValueError(f"`expect` is {APPROVED}, {APPROVAL} or a code, not `{text}`{near}")
    return text


def _code(text: str) -> str:
    if text not in CODES:
        raise ValueError(f"`{text}` is not a code{shapes.nearest(text, tuple(CODES))}")
    return text


_FULL_NAME = r"[^\s.]+\.[^\s.]+\.[^\s.]+"
_COLUMN = Text("`schema.table.column`", _FULL_NAME)
_WORD = Text("a word")
_REVEALED = Text("`schema.table.column` or `route.$.path`", rf"{_FULL_NAME}|[^\s.]+\.\$[.\[].+", named)
_OF_REQUESTS = frozenset({"route", "goes", "sends", "shows"})

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
        "reveal": Field(ListOf(_REVEALED), "columns, or fields of a route's answers, wanted in clear"),
        "write": Field(Flag(), "whether to write (false)"),
        "duration_s": Field(Whole(1, 10**9), "for how many seconds"),
        "expect": Field(Text("an outcome", check=_expected), "the outcome", required=True),
        "columns": Field(shapes.MapOf(_COLUMN, _WORD), "the mask of each column, `hidden` for none"),
        "sql": Field(Text("a statement"), "a statement to judge under the grant"),
        "request": Field(Text("a request such as `GET /companies/42`"), "a request to judge under the grant"),
        "headers": Field(shapes.MapOf(_WORD, Text("a header's value")), "the request's headers"),
        "body": Field(Text("a body"), "the request's body; JSON unless a header says otherwise"),
        "answer": Field(Record({
            "status": Field(Whole(100, 599), "the status (200)"),
            "body": Field(Text("a body"), "the body, as the target sends it", required=True),
        }), "what the target would answer"),
        "then": Field(Record({
            "route": Field(_WORD, "the route that the request meets"),
            "goes": Field(Text("a request"), "the method and the target that go on"),
            "sends": Field(Text("a body"), "the body that goes on"),
            "shows": Field(Text("a body"), "what leaves of the answer"),
            "code": Field(Text("a code", check=_code), "the code that it is refused with (it is allowed)"),
            "relations": Field(ListOf(_WORD, least=0), "all relations that it reads"),
            "columns_clear": Field(ListOf(_COLUMN, least=0), "all columns that it shows in clear"),
            "columns_masked": Field(ListOf(_COLUMN, least=0), "all columns that it shows masked"),
            "columns_revealed": Field(ListOf(_COLUMN, least=0), "all columns whose mask the grant turned off"),
            "columns_aggregated": Field(ListOf(_COLUMN, least=0), "all columns whose real values it sums up"),
            "searches": Field(ListOf(_COLUMN, least=0), "all columns that it searches exactly"),
        }), "what the statement or the request must come to"),
    })), "the cases", required=True),
})  # fmt: skip
