"""What a change of an HTTP target's policy widens, narrows or merely changes; and that no change goes unsaid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.diff import differences
from gateway.policy.http_rules import (
    AnswerRule,
    Argument,
    ArrayRule,
    BodyField,
    BodyRule,
    CustomerOf,
    FieldArguments,
    FieldRule,
    GraphqlOperation,
    GraphqlRules,
    HttpRules,
    OwnedRule,
    Parameter,
    Route,
    TypedRule,
    Value,
)
from gateway.policy.load import parse_policy
from gateway.policy.schema import Mask, Policy

TEXT = (Path(__file__).parents[2] / "corpus" / "http" / "backoffice.yaml").read_text(encoding="utf-8")
OLD = parse_policy(TEXT)
FULL = Route(
    "full", "POST", ("a", "{b}"), {"b": Value("integer")}, (Parameter("q", Value()),), (Parameter("x-h", Value()),),
    BodyRule("json", (BodyField(("f",), Value(), False, Mask("redact"), "contact"),)),
    CustomerOf("path", "b"),
    (
        AnswerRule(
            frozenset({200}), "json", ("c",), (FieldRule(("f",), Mask("redact")),),
            (ArrayRule(("l",), ("c",), ("n",)),), (), ("x-a",),
        ),
    ),
    "statement",
    graphql=GraphqlRules((
        GraphqlOperation(
            "mutation", "f", "statement", (CustomerOf("argument", path=("c",)),), (("c",),),
            (FieldArguments((), (Argument(("c",), Value()),)),),
            (FieldRule(("f",), Mask("redact"), label="$.f.f"),),
            (OwnedRule(("l",), (("c",),), ("n",)),), (OwnedRule(("o",), (("c",),), ("n",)),),
        ),
    )),
)  # fmt: skip
OTHER: dict[str, Any] = {
    "name": "other", "method": "PUT", "template": ("z", "{b}"), "path": {"b": Value("uuid")}, "query": (),
    "headers": (),
    "body": None, "customer": None, "answers": (), "approval": "request", "websocket": True,
    "subprotocols": ("chat",),
    "also": (CustomerOf("body", path=("f",)),), "type": "date", "minimum": 1, "maximum": 2, "max_length": 9,
    "pattern": "a",
    "choices": ("a",), "value": Value("date"), "required": True, "repeated": True, "media": "form", "fields": (),
    "max_bytes": 7, "content_types": ("a/b",), "mask": Mask("clear"), "category": "identity", "place": "query",
    "graphql": None, "operations": (), "types": ("A",), "root_fields": 3, "selections": 3, "depth": 3, "kind": "query",
    "field": "other", "customers": (), "owners": (), "arguments": (), "objects": (ArrayRule((), ()),),
    "typed": (TypedRule((), "k", "T"),),
    "label": "$.other",
    "statuses": frozenset({201}), "arrays": (), "count": None, "reveal": True, "identifier": True, "nullable": True,
    "dialect": "clickhouse", "catalog": "hive",
}  # fmt: skip


def of(old: str, new: str) -> list[tuple[str, ...]]:
    assert old in TEXT, old
    return [tuple(one) for one in differences(OLD, parse_policy(TEXT.replace(old, new, 1)))]


def mutants(value: Any) -> Iterator[Any]:
    """The value with one thing in it otherwise."""
    if isinstance(value, tuple):
        for index, one in enumerate(value):
            for other in mutants(one):
                yield (*value[:index], other, *value[index + 1 :])
    if not hasattr(value, "__dataclass_fields__") or isinstance(value, Mask):
        return
    for field in fields(value):
        member = getattr(value, field.name)
        for other in mutants(member):
            yield replace(value, **{field.name: other})
        if field.name == "path":
            yield replace(value, path=OTHER["path"] if isinstance(member, dict) else ("other",))
        elif field.name == "customer" and isinstance(member, tuple):
            yield replace(value, customer=("other",))
        elif isinstance(value, GraphqlOperation) and field.name == "objects":
            yield replace(value, objects=())
        elif isinstance(value, GraphqlOperation) and field.name == "kind":
            yield replace(value, kind="query", approval="")
        else:
            yield replace(value, **{field.name: OTHER[field.name]})


def with_route(route: Route) -> Policy:
    return replace(OLD, http=HttpRules((route,)))


@pytest.mark.parametrize("mutant", list(mutants(FULL)), ids=itertools.count())
def test_no_change_of_a_route_goes_unsaid(mutant: Route) -> None:
    assert mutant != FULL
    assert differences(with_route(FULL), with_route(mutant))
    assert differences(with_route(mutant), with_route(FULL))


def test_a_policy_does_not_differ_from_itself() -> None:
    assert differences(OLD, parse_policy(f"# more\n{TEXT}")) == []


@pytest.mark.parametrize(
    ("old", "new", "effect", "what"),
    [
        ("$.id: clear\n", "$.id: clear\n            $.salary: clear\n", "wider", "http.employee.200.$.salary"),
        ("            $.id: clear\n", "", "narrower", "http.employee.200.$.id"),
        ("$.last_name: {mask: pseudonym, domain: last_name, identifier: true}", "$.last_name: clear", "wider",
         "http.employee.200.$.last_name"),
        (", reveal: true", "", "narrower", "reveal"),
        ("write: statement", "write: request", "wider", "http.set_status.write"),
        ("        page: {type: integer, minimum: 1, maximum: 1000}\n", "", "narrower", "http.employees.query.page"),
        ("since: date", "since: date\n        until: date", "wider", "http.employees.query.until"),
        ("maximum: 1000", "maximum: 2000", "changed", "http.employees.query.page"),
        ("max_bytes: 200", "max_bytes: 300", "wider", "http.login_note.body.max_bytes"),
        ("[path.company_id, 'body.$.lines[*].company_id']", "path.company_id", "wider", "http.pay.customer"),
        ("          arrays:\n            $.employees: {customer: $.company_id, count: $.total}\n", "", "wider",
         "http.employees.200.arrays.$.employees"),
        ("customer: $.owner.company_id", "customer: $.company_id", "changed", "http.document.200.customer"),
        ("content_types: [image/png]", "content_types: [image/png, image/gif]", "wider",
         "http.upload.body.content_types"),
        ("get: /reference/countries/", "get: /countries/", "changed", "http.countries"),
        ("    countries:\n", "    lands:\n", "wider", "http.lands"),
        ("    countries:\n", "    lands:\n", "narrower", "http.countries"),
        ("2xx: {media: json", "200: {media: json", "narrower", "http.countries.201-299"),
    ],
)  # fmt: skip
def test_a_change_says_which_way_it_goes(old: str, new: str, effect: str, what: str) -> None:
    assert any(one[:2] == (effect, what) for one in of(old, new)), of(old, new)


def test_another_direction_is_a_change() -> None:
    assert OLD.http is not None
    new = replace(OLD, http=replace(OLD.http, direction="outbound", recipient="Mailer Inc."))

    assert [one[:2] for one in differences(OLD, new)] == [("changed", "http.direction"), ("changed", "http.recipient")]
