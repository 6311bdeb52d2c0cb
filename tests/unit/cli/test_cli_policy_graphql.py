"""The `policy` commands on an HTTP target that takes GraphQL, and policies proposed from its schema."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.graphql_schema import MOST_LEAVES, read
from gateway.cli.scaffold_graphql import drafted
from gateway.cli.scaffold_http import HttpDraft
from gateway.errors import GatewayError
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.policy.http_rules import GraphqlOperation, HttpRules
from gateway.policy.load import parse_policy

CORPUS = Path(__file__).parents[2] / "corpus" / "graphql"
POLICY, SCHEMA = str(CORPUS / "policy.yaml"), CORPUS / "schema.graphql"
TODAY = date(2026, 1, 1)


def draft(text: str, tmp_path: Path, customer: str = "") -> HttpDraft:
    path = tmp_path / "schema.graphql"
    path.write_text(text, encoding="utf-8")
    return drafted("api", read(path), customer, TODAY)


def rules(found: HttpDraft) -> HttpRules:
    http = parse_policy(found.text).http
    assert http is not None
    return http


def operations(found: HttpDraft) -> dict[str, GraphqlOperation]:
    graphql = rules(found).routes[0].graphql
    assert graphql is not None
    return {one.field: one for one in graphql.operations}


def test_a_policy_of_operations_is_checked_and_its_cases_run(terminal: Any) -> None:
    checked = terminal.run("policy", "check", POLICY)
    tried = terminal.run("policy", "test", POLICY)

    assert checked.code == 0
    assert (tried.code, tried.out) == (0, "5 of 5 cases are as they should be\n")


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("then: {code: not-found}", "then: {route: graphql}", "to be allowed, it is refused with `not-found`"),
        ('"iban": "FR76********************189"}]', '"iban": "FR7*"}]', "expected `shows` to be"),
        ("staff: employees {\\n", "employees {\\n", "expected `sends` to be"),
    ],
)
def test_a_case_that_does_not_hold_says_what_came(terminal: Any, old: str, new: str, wrong: str) -> None:
    text = (CORPUS / "policy_test.yaml").read_text(encoding="utf-8")
    assert old in text
    (terminal.home / "policy.yaml").write_text(Path(POLICY).read_text(encoding="utf-8"))
    (terminal.home / "policy_test.yaml").write_text(text.replace(old, new, 1))

    said = terminal.run("policy", "test", str(terminal.home / "policy.yaml"))

    assert said.code == 1
    assert wrong in said.out


def test_what_becomes_wider_is_told(terminal: Any) -> None:
    other = terminal.home / "other.yaml"
    other.write_text(Path(POLICY).read_text(encoding="utf-8").replace("$.firstName: redact", "$.firstName: clear", 1))

    said = terminal.run("policy", "diff", POLICY, str(other), "--wider")

    assert (said.code, said.out) == (1, "wider     http.graphql.query.employee.$.employee.firstName: redact -> clear\n")


def test_an_operation_is_explained_by_its_own_fields(terminal: Any) -> None:
    body = {"query": "query Q($id: ID!) { company(id: $id) { name employees { iban } } }", "variables": {"id": "42"}}

    said = terminal.run(
        "policy", "explain", POLICY, "--request", "POST /graphql", "--customer", "42", "--body", json.dumps(body)
    )

    assert said.code == 0
    text = " ".join(said.out.split())
    for wanted in (
        "request allowed", "route graphql", "customer argument.company$.id",
        "recorded POST /graphql query Q { company(id) { name employees { iban } } }",
        "scope $.company.employees[*].gatewayCustomer is the ticket's customer",
        "clear $.company.name", "masked $.company.employees[*].iban", "revealable $.company.employees[*].iban",
        'query Q { company(id: "42") { name employees { iban } } }',
    ):  # fmt: skip
        assert wanted in text, said.out


def test_a_mutation_is_explained_with_what_an_approver_reads(terminal: Any) -> None:
    body = '{"query": "mutation { addNote(companyId: 42, text: \\"a\\") }"}'

    said = terminal.run(
        "policy",
        "explain",
        POLICY,
        "--request",
        "POST /graphql",
        "--customer",
        "42",
        "--body",
        body,
        "--output",
        "json",
    )

    assert said.json["request"] == "allowed under an approved grant for writing"
    assert said.json["rewritten"].endswith('\n\nmutation {\n  addNote(companyId: "42", text: "a")\n}')


def test_a_schema_gives_a_policy_that_loads(terminal: Any) -> None:
    out = terminal.home / "draft.yaml"

    said = terminal.run("policy", "scaffold", "api", "--graphql", str(SCHEMA), "--out", str(out))

    assert said.code == 0
    assert "10 operations proposed" in said.err
    assert terminal.run("policy", "check", str(out)).code == 0
    assert terminal.run("policy", "scaffold", "api", "--graphql", str(SCHEMA), "--out", str(out)).code != 0


def test_a_policy_comes_from_one_document(terminal: Any) -> None:
    said = terminal.run("policy", "scaffold", "api", "--graphql", str(SCHEMA), "--openapi", str(SCHEMA))

    assert said.code == 2


def test_what_is_proposed_says_whose_data_it_is_and_masks_it() -> None:
    found = operations(drafted("api", read(SCHEMA), "", TODAY))

    masks = {rule.label: rule.mask.kind for one in found.values() for rule in one.fields}
    assert masks["$.employee.iban"] == "partial"
    assert masks["$.employee.lastName"] == "pseudonym"
    assert masks["$.search[*]<Contractor>.iban"] == "partial"
    assert not [label for label in masks if "secret" in label or "token" in label or "parent" in label]
    assert next((one.path, one.customers, one.count) for one in found["employees"].arrays) == (
        ("edges",), (("node", "companyId"),), ("totalCount",),
    )  # fmt: skip
    assert found["search"].arrays[0].customers == (
        ("<Employee>", "companyId"), ("<Contractor>", "companyId"), ("<Company>", "id"),
    )  # fmt: skip
    assert found["company"].customers[0].path == ("id",)
    assert found["updateEmployee"].customers[0].path == ("input", "companyId")
    assert {one.approval for one in found.values() if one.kind == "mutation"} == {"statement"}


def test_what_is_proposed_answers_what_clients_ask() -> None:
    http = rules(drafted("api", read(SCHEMA), "", TODAY))
    body = json.dumps(
        {"query": "{ company(id: 42) { name employees { __typename ...F } } } fragment F on Employee { iban }"}
    )
    headers = ((b"host", b"api"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))

    plan = judge(HttpRequest("POST", "/graphql", "api", headers, body.encode()), http, ("42",))

    assert isinstance(plan, HttpPlan)


def test_what_is_left_out_says_why() -> None:
    found = drafted("api", read(SCHEMA), "", TODAY)

    nobody = "nothing says whose data it is about; `customer: none` is for data about nobody"
    assert dict(found.left_out) == {
        "queries.person": nobody, "queries.countries": nobody, "queries.me": nobody, "queries.secrets": nobody,
        "queries.headcount": "nothing of its answer can be proposed", "mutations.deleteCompany": nobody,
    }  # fmt: skip
    for line in (
        "# $.filter.ibanLike: left out; a text to search for could tell what a mask hides",
        "# $.filter.companyId: left out; another argument says whose data it is about",
        '# "$.employees[*].manager": left out; unknown: it leads back to Employee, or too deep',
        "# $.input.email: left out; masked with a key in an answer: who may write it could look pseudonyms up",
    ):
        assert line in found.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("type Query { a: ", "is no schema"), ("query { a }", "is no schema"),
        ("type Query { a: Nope }", "is no schema"),
        ("{" * 5_000, "is no schema"), ("", "is no schema"),
    ],
    ids=["cut", "document", "unknown-type", "braces", "empty"],
)  # fmt: skip
def test_what_is_no_schema_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match=says):
        draft(text, tmp_path)


def test_a_schema_in_which_nothing_names_a_customer_needs_its_name(tmp_path: Path) -> None:
    text = "type Query { invoice(tenant: ID!): Invoice } type Invoice { tenant: ID! total: Int iban: String }"

    with pytest.raises(GatewayError, match="nothing in the schema says whose data"):
        draft(text, tmp_path)
    found = operations(draft(text, tmp_path, "tenant"))
    assert found["invoice"].customers[0].path == ("tenant",)
    with pytest.raises(GatewayError, match="no operation can be proposed"):
        draft(text, tmp_path, "nobody")


def test_a_schema_made_to_be_large_is_bounded(tmp_path: Path) -> None:
    fields = " ".join(f"f{number}: T{number}" for number in range(40))
    types = "".join(f"type T{number} {{ companyId: ID! {fields} }}" for number in range(40))

    found = draft(f"type Query {{ t(companyId: ID!): T0 }} {types}", tmp_path)

    assert len(operations(found)["t"].fields) <= MOST_LEAVES
    assert "more than 400 fields are not looked at" in found.text


def test_a_field_that_needs_arguments_is_left_out(tmp_path: Path) -> None:
    text = "type Query { t(companyId: ID!): T } type T { companyId: ID! a(b: Int!): String c(d: Int = 1): Boolean }"

    found = draft(text, tmp_path)

    assert [rule.label for rule in operations(found)["t"].fields] == ["$.t.companyId", "$.t.c"]
    assert '# "$.a": left out; unknown: it needs arguments' in found.text
