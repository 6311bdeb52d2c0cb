"""Routes that take GraphQL: what loads, what is refused and where, and what a change of one is told as."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.policy.diff import differences
from gateway.policy.graphql_load import typed, typed_steps
from gateway.policy.http_rules import Argument, CustomerOf, GraphqlOperation, GraphqlRules, OwnedRule, Value
from gateway.policy.load import parse_policy
from gateway.policy.shapes import DocumentInvalid

TEXT = (Path(__file__).parents[2] / "corpus" / "graphql" / "policy.yaml").read_text(encoding="utf-8")
ID = "{$.id: {type: id, required: true}}"
STATUS = "$.status: {type: enum, choices: [ACTIVE, LEFT]}}"
LISTS = "            arrays: {$: {customer: $.id}}\n"
IN = "              "
TYPED = "$[*]<Employee>.id: clear\n"
REVEALED = "$.company.employees[*].iban"


def rules(text: str = TEXT) -> GraphqlRules:
    http = parse_policy(text).http
    assert http is not None
    assert http.routes[0].graphql is not None
    return http.routes[0].graphql


def operation(name: str) -> GraphqlOperation:
    return next(one for one in rules().operations if one.field == name)


def changed(old: str, new: str) -> str:
    assert old in TEXT, old
    return TEXT.replace(old, new, 1)


def test_an_operation_says_what_it_takes_what_it_is_about_and_what_it_shows() -> None:
    found = operation("employees")

    assert found.customers == (CustomerOf("argument", path=("companyId",)),)
    assert found.arguments[0].arguments[0] == Argument(("after",), Value(max_length=40), nullable=True)
    assert Argument(("filter", "status"), Value(choices=("ACTIVE",)), "enum") in found.arguments[0].arguments
    assert Argument(("companyId",), Value(), "id", required=True) in found.arguments[0].arguments
    assert OwnedRule(("edges",), (("node", "companyId"),), ("totalCount",)) in found.arrays
    assert {rule.label for rule in found.fields} >= {"$.employees.totalCount", "$.employees.edges[*].node.iban"}
    assert operation("search").arrays[0].customers == (
        ("<Employee>", "companyId"), ("<Contractor>", "companyId"), ("<Company>", "id"),
    )  # fmt: skip
    assert operation("employee").owners == (("companyId",),)
    assert operation("setStatus").approval == "statement"


def test_what_may_be_revealed_is_named_by_the_root_field() -> None:
    assert parse_policy(TEXT).reveal == {"graphql": {REVEALED, "$.employee.iban"}}


def test_writing_is_approved_as_the_mutations_say() -> None:
    assert parse_policy(TEXT).approvals == {"statement", "request"}


def test_a_digest_depends_on_every_operation_and_not_on_the_order_of_fields() -> None:
    first, second = "              $.id: clear\n", "              $.name: clear\n"

    assert parse_policy(changed(first + second, second + first)).digest == parse_policy(TEXT).digest
    assert parse_policy(changed("$.firstName: redact", "$.firstName: clear")).digest != parse_policy(TEXT).digest


@pytest.mark.parametrize("text", ["$", "$.a", "$[*]", "$.a[*]<T>.b", "$<T>.a", "$.a[*][*].b_1"])
def test_a_path_is_written_as_it_was_read(text: str) -> None:
    assert typed(typed_steps(text)) == text


@pytest.mark.parametrize(
    "text", ["", "a", "$.", "$<>", "$.a<T", "$.a-b", "$.__type", '$["a"]', "$.a[0]", "$.é", "$<__T>"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="wanted a path such as"):
        typed_steps(text)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("post: /graphql", "put: /graphql", "GraphQL is asked with `post`"),
        ("post: /graphql", "get: /graphql", "a GET only reads"),
        ("post: /graphql\n", "post: /graphql\n      answers: {200: {media: empty}}\n", "whose operations say it"),
        ("post: /graphql\n", "post: /graphql\n      write: statement\n", "whose operations say it"),
        ("post: /graphql\n", "post: /graphql\n      query: {a: string}\n", "whose operations say it"),
        ("post: /graphql\n", "post: /graphql\n      customer: answer\n", "it is `path.NAME` or `header.NAME`"),
        ("http:\n", "http:\n  direction: outbound\n  recipient: X\n", "does not leave for a sub-processor"),
        ("        types: [Employee,", "        types: [Employee, Employee,", "is in the list already"),
        ("        types: [Employee,", "        types: [__Type,", "wanted the name of a type"),
        ("        depth: 6", "        depth: 21", "from 1 to 20"),
        ("          company:\n", "          __schema:\n", "wanted the name of a root field"),
        ("          addNote:\n", "          company:\n", "a query has the same name"),
        ("            write: request\n", "", "`write` is missing"),
        ("customer: argument.$.id\n", "customer: argument.$.nope\n", "there is no such argument"),
        ("customer: argument.$.id\n", "customer: path.id\n", "wanted where the customer is"),
        ("customer: argument.$.id\n", "customer: [none, argument.$.id]\n", "stand alone"),
        ("customer: argument.$.id\n", "customer: answer.$.employees[*].id\n", "the path of one value"),
        ("customer: argument.$.id\n", "customer: argument\n", "wanted where the customer is"),
        (ID, "{$.id: id}", "it must be `required: true`"),
        (ID, "{$.id: {type: id, required: true, nullable: true}}", "never be null"),
        (ID, "{$.id: {type: number, required: true}}", "is an id, a string"),
        (ID, "{$.id: {type: enum, choices: [A], required: true}}", "is an id, a string"),
        (ID, '{$.id: {type: id, required: true}, "$[*]": id}', "path of an argument"),
        (ID, "{$.id: {type: id, required: true}, $.id.x: id}", "lies below `$.id`"),
        (ID, '{$.id: {type: id, required: true}, $.a-b: id}', "of names of GraphQL"),
        (STATUS, "$.status: enum}", "an `enum` has"),
        (STATUS, "$.status: {type: enum}}", "an `enum` has `choices`"),
        (STATUS, "$.status: {type: enum, choices: ['a b']}}", "which are names"),
        (STATUS, "$.status: {type: enum, choices: ['true']}}", "which are names"),
        ("            customer: answer\n", "            customer: answer.$.id\n", "is no single object"),
        (LISTS, "            arrays: {$.id: {customer: $.id}}\n", "it is no array"),
        (LISTS, '            arrays: {"$": {customer: "$"}}\n', "the path of one"),
        ("$.employees: {customer: $.companyId}", '"$.employees[*].tags": {customer: $.companyId}', "are no objects"),
        ("$.employees: {customer: $.companyId}", '"$.employees[*].grid": {customer: $.companyId}', "are no objects"),
        ("count: $.totalCount", "count: $.pageInfo", "no value of `fields` beside"),
        ("count: $.totalCount", "count: '$.edges[*].cursor'", "no value of `fields` beside"),
        ("{customer: $.companyId}\n            fields:\n              $.totalCount",
         "{customer: $.companyId, count: $.totalCount}\n            fields:\n              $.totalCount",
         "counts another"),
        ("              $.ceo: {customer", "              $.employees: {customer", "is no single object"),
        ("              $.ceo: {customer", "              $.name: {customer", "is no single object"),
        ("              $.employees: {$.first", "              $.nobody: {$.first", "is no field of `fields`"),
        ("              $.employees: {$.first", "              $: {$.first", "the root field's are `arguments`"),
        ("$<Employee>.companyId, ", "$.companyId, ", "each begins with a type"),
        ("$<Employee>.companyId, ", "$<Company>.companyId, ", "are of different types"),
        ("$<Employee>.companyId, ", "$<Employee>.a.b, ", "equally many names"),
        ("              $.name: clear\n", f"{IN}$.name: clear\n{IN}$.name.x: clear\n", "lies below `$.name`"),
        (TYPED, f"{TYPED}{IN}$[*].id: clear\n", "named for all types too"),
        (TYPED, "$[*]<Employee>: clear\n", "stands the name of a field"),
        (TYPED, "$[*]<Employee><Person>.id: clear\n", "stands the name of a field"),
        ("$.employees[*].id: clear\n", f"$.employees[*].id: clear\n{IN}$.employees.x: clear\n", "its array has fields"),
        ("$.firstName: redact", "$.firstName: {mask: bucket, size: 1, type: text}", "bucket"),
        ("$.input.email: {type", "$.input.lastName: {type", "could look pseudonyms up"),
        ("  approvers: {teams: [security]}\n", "", "`access.approvers` is missing"),
    ],
)  # fmt: skip
def test_a_fault_is_said_with_its_place(old: str, new: str, wanted: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        parse_policy(changed(old, new), "api.yaml")

    faults = str(caught.value).splitlines()
    assert any(wanted in fault for fault in faults), faults
    assert all(fault.startswith("api.yaml:") and not fault.startswith("api.yaml:1:1:") for fault in faults), faults


def test_a_mutation_is_about_somebody_before_it_is_done() -> None:
    text = changed(
        "            customer: argument.$.input.companyId\n", "            customer: answer.$.employee.companyId\n"
    )

    with pytest.raises(DocumentInvalid, match="whose data a mutation changes must be known before"):
        parse_policy(text)


@pytest.mark.parametrize(
    ("old", "new", "effect", "what"),
    [
        ("              $.id: clear\n", "              $.id: clear\n              $.vat: clear\n", "wider",
         "http.graphql.query.company.$.company.vat"),
        ("$.firstName: redact", "$.firstName: clear", "wider", "http.graphql.query.employee.$.employee.firstName"),
        ("              $.firstName: redact\n", "", "narrower", "http.graphql.query.employee.$.employee.firstName"),
        ("        depth: 6", "        depth: 7", "wider", "http.graphql.depth"),
        ("        selections: 60", "        selections: 50", "narrower", "http.graphql.selections"),
        ("types: [Employee,", "types: [Account, Employee,", "wider", "http.graphql.types"),
        ("            write: request\n", "            write: statement\n", "narrower",
         "http.graphql.mutation.addNote.write"),
        ("[argument.$.companyId, answer.$.companyId]", "argument.$.companyId", "wider",
         "http.graphql.mutation.setStatus.customer"),
        ("              $.employees: {customer: $.companyId}\n", "", "wider",
         "http.graphql.query.company.arrays.$.employees"),
        ("              $.ids[*]: id\n", "", "narrower", "http.graphql.query.employees.$($.ids[*])"),
        ("maximum: 100}\n", "maximum: 200}\n", "changed", "http.graphql.query.employees.$($.first)"),
        ("          countries:\n", "          lands:\n", "wider", "http.graphql.query.lands"),
        ("          countries:\n", "          lands:\n", "narrower", "http.graphql.query.countries"),
        (", reveal: true}\n              $.manager", "}\n              $.manager", "narrower", "reveal"),
    ],
)  # fmt: skip
def test_a_change_says_which_way_it_goes(old: str, new: str, effect: str, what: str) -> None:
    found = [tuple(one) for one in differences(parse_policy(TEXT), parse_policy(changed(old, new)))]

    assert any(one[:2] == (effect, what) for one in found), found


def test_a_route_that_begins_to_take_graphql_is_wider() -> None:
    plain = (
        TEXT[: TEXT.index("      graphql:\n")]
        + "      customer: none\n      reads: true\n      answers: {200: {media: empty}}\n"
    )

    found = [tuple(one)[:2] for one in differences(parse_policy(plain), parse_policy(TEXT))]

    assert ("wider", "http.graphql") in found
    assert ("wider", "http.graphql.query.company") in found
