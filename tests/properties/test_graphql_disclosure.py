"""Properties of GraphQL behind the gateway, whatever a client asks.

| property | held by |
|---|---|
| judging never raises | `test_nothing_that_a_client_sends_raises` |
| nothing leaves that the policy does not show | `test_no_operation_discloses_what_the_policy_does_not_show` |
| what leaves has the shape that was asked for | `test_what_leaves_has_the_names_that_were_asked_for` |
| what goes on is valid, and has one form | `test_what_goes_on_is_valid_and_judged_to_itself` |
| whatever an API answers, no name leaves but those | `test_whatever_an_api_answers_nothing_else_leaves` |
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from graphql import get_named_type, parse, validate
from graphql.type import GraphQLObjectType
from graphql_world import LEAKS, OURS, answered, asked, came, rules, schema
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan

ARGUMENTS = {
    "company": '(id: "42")', "employee": "(id: 1)", "employees": '(companyId: "42")', "companies": '(ids: ["42"])',
    "search": '(text: "a")', "headcount": "(companyId: 42)",
    "setStatus": "(companyId: 42, employeeId: 1, status: LEFT)",
    "updateEmployee": "(input: {companyId: 42, employeeId: 1})", "addNote": '(companyId: 42, text: "a")',
}  # fmt: skip
ALIASES = ("id", "iban", "name", "x", "y", "lastName")
UNDECLARED = ("secret", "token", "vat", "boom", "email", "parent { name }", "__schema { types { name } }", "nope")

Tree = dict[str, "Tree"]


@cache
def policy(kind: str) -> Tree:
    """What the policy names, as a tree of names, with types such as `<Employee>` between them."""
    graphql = rules().routes[0].graphql
    assert graphql is not None
    root: Tree = {}
    for operation in graphql.operations:
        if operation.kind == kind:
            for rule in operation.fields:
                at = root.setdefault(operation.field, {})
                for step in rule.path:
                    at = at if step == "*" else at.setdefault(step, {})
    return root


@st.composite
def selections(draw: st.DrawFn, tree: Tree, of: Any, *, strict: bool, depth: int = 0) -> str:
    """Some of the fields of a tree, in some spelling; with `strict`, only what may be asked for and is valid."""
    names = [name for name in tree if name[:1] != "<"]
    types = [name for name in tree if name[:1] == "<"]
    parts = []
    for name in draw(st.lists(st.sampled_from([*names, *types, "__typename"]), min_size=1, max_size=2 if depth else 3)):
        if name[:1] == "<":
            inner = draw(selections(tree[name], schema().type_map[name[1:-1]], strict=strict, depth=depth + 1))
            parts.append(f"... on {name[1:-1]} {{ {inner} }}")
            continue
        alias = f"{draw(st.sampled_from(ALIASES))}: " if draw(st.integers(0, 3)) == 0 else ""
        field = f"{alias}{name}{ARGUMENTS.get(name, '') if depth == 0 else ''}"
        if draw(st.integers(0, 5)) == 0:
            field += draw(st.sampled_from([" @include(if: true)", " @skip(if: false)", " @skip(if: true)"]))
        below = tree.get(name)
        if below:
            inner = draw(selections(below, get_named_type(of.fields[name].type), strict=strict, depth=depth + 1))
            field += f" {{ {inner} }}"
        if draw(st.integers(0, 5)) == 0:
            own = [of.name] if isinstance(of, GraphQLObjectType) else []
            condition = draw(st.sampled_from(["", *(f" on {one}" for one in own)]))
            field = f"...{condition} {{ {field} }}"
        parts.append(field)
    if not strict and draw(st.integers(0, 6)) == 0:
        parts.append(draw(st.sampled_from([*UNDECLARED, *(f"id: {one}" for one in UNDECLARED)])))
    return " ".join(parts)


@st.composite
def operations(draw: st.DrawFn, *, strict: bool = False) -> str:
    kind = draw(st.sampled_from(["query", "query", "query", "mutation"]))
    root = schema().query_type if kind == "query" else schema().mutation_type
    return f"{kind} {{ {draw(selections(policy(kind), root, strict=strict))} }}"


@given(operations())
@example("{ employee(id: 1) { id id: iban } }")
@example("{ employee(id: 1) { id: iban } }")
def test_no_operation_discloses_what_the_policy_does_not_show(query: str) -> None:
    found = came(asked(query))

    assert not [leak for leak in LEAKS if leak in found.text], found.text


@given(operations(strict=True))
@example(
    'mutation { setStatus(companyId: 42, employeeId: 1, status: LEFT) { id } addNote(companyId: 42, text: "a")'
    " setStatus(companyId: 42, employeeId: 1, status: LEFT) { status } }"
)
@example("{ company(id: 42) { ceo { id } ... on Company { ceo { x: id } } name ceo { y: id } } }")
def test_what_goes_on_is_valid_and_judged_to_itself(query: str) -> None:
    plan = judge(asked(query), rules(), (OURS,))
    assume(isinstance(plan, HttpPlan))
    assert isinstance(plan, HttpPlan)

    sent = json.loads(plan.body)["query"]

    assert not validate(schema(), parse(sent)), sent
    assert judge(asked(plan.text.partition("\n\n")[2]), rules(), (OURS,)) == plan


def names(value: Any) -> Any:
    """The names of a value's objects, whatever the values."""
    if isinstance(value, dict):
        return {name: names(one) for name, one in value.items()}
    return [names(one) for one in value] if isinstance(value, list) else ()


def merged(value: Any, other: Any) -> Any:
    if isinstance(value, dict) and isinstance(other, dict):
        return {name: merged(value.get(name), other.get(name)) for name in {**value, **other}}
    return value or other


def wanted(plan: HttpPlan) -> Any:
    """The names that a plan's rule has, as a tree; lists are what is in them."""
    root: dict[str, Any] = {}
    for rule in plan.route.answers[0].fields:
        at = root
        for step in rule.path:
            at = at if step == "*" else at.setdefault(step, {})
    return root


def is_within(value: Any, tree: Any) -> bool:
    if isinstance(value, dict):
        return all(name in tree and is_within(one, tree[name]) for name, one in value.items())
    return all(is_within(one, tree) for one in value) if isinstance(value, list) else True


@given(operations(strict=True))
def test_what_leaves_has_the_names_that_were_asked_for(query: str) -> None:
    found = came(asked(query))
    assume(found.answer is not None)
    assert isinstance(found.plan, HttpPlan)

    assert "errors" not in found.answer
    assert is_within(found.answer["data"], wanted(found.plan))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.sampled_from(["42", "43", "a", "CANARY-of-nobody"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["company", "employee", "employees", "id", "iban", "name", "gatewayCustomer", "ceo", "secret"]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(
    query=st.sampled_from(
        [
            "{ company(id: 42) { employees { iban } ceo { lastName } } }",
            "{ employee(id: 1) { iban firstName } }",
            "{ company(id: 42) { name: id employees { id: iban payslips { net } } } employee(id: 1) { id: iban } }",
        ]
    ),
    data=values,
    errors=st.none() | st.lists(st.fixed_dictionaries({"path": values, "message": values}), max_size=3) | values,
)
def test_whatever_an_api_answers_nothing_else_leaves(query: str, data: Any, errors: Any) -> None:
    plan = judge(asked(query), rules(), (OURS,))
    assert isinstance(plan, HttpPlan)

    found = answered(plan, {"data": data, "errors": errors})

    assert "CANARY" not in found.text.replace('"name":"CANARY-of-nobody"', "")
    if found.answer is not None:
        assert found.answer.keys() <= {"data", "errors"}
        assert is_within(found.answer["data"], wanted(plan))


tokens = st.sampled_from(
    ["{", "}", "(", ")", "[", "]", ":", "$", "@", "!", "...", "on", "query", "mutation", "fragment", "F", "id",
     "company", "employee", "$id", "42", '"42"', '"""', "@include(if: true)", "__typename", "null", "true", "#", "\n",
     ",", "1.5e3"]
)  # fmt: skip


@given(
    query=st.lists(tokens, max_size=30).map(" ".join) | st.text(max_size=40) | operations(),
    variables=values,
    name=st.none() | st.text(max_size=5),
    customers=st.lists(st.sampled_from(["42", "43", "", "x"]), max_size=2),
)
def test_nothing_that_a_client_sends_raises(query: str, variables: Any, name: str | None, customers: list[str]) -> None:
    request = asked(query, variables, operationName=name)

    assert isinstance(judge(request, rules(), tuple(customers)), HttpPlan | Refusal)
