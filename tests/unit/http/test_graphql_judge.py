"""Operations of GraphQL judged: by GET, below a path of the customer's, and as an approver reads them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from graphql_world import asked, request, rules
from judging import written

from gateway.engines.http_statements import study
from gateway.errors import Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan
from gateway.model import Write
from gateway.policy.http_rules import HttpRules

GET = written(
    """\
  routes:
    asked:
      get: /companies/{company_id}/graphql
      path: {company_id: integer}
      customer: path.company_id
      headers: {x-tenant: integer}
      graphql:
        queries:
          countries: {customer: none, arguments: {$.like: {type: string, nullable: true}}, fields: {"$[*].code": clear}}
          company:
            customer: argument.$.id
            arguments: {$.id: {type: integer, required: true}}
            fields: {$.name: clear}
"""
)


def by_get(
    query: str, company: str = "42", found: HttpRules = GET, customers: tuple[str, ...] = ("42",), **members: Any
) -> HttpPlan | Refusal:
    members = {"query": query} | members
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in members.items())
    return judge(request(b"", (), f"/companies/{company}/graphql?{text}", "GET"), found, customers)


def plan_of(plan: HttpPlan | Refusal) -> HttpPlan:
    assert isinstance(plan, HttpPlan), plan
    return plan


def test_a_query_by_get_goes_on_as_one_parameter() -> None:
    plan = plan_of(by_get("query Q($a: String) { countries(like: $a) { code } }", variables='{"a": "é&b"}'))

    text = 'query Q {\n  countries(like: "é&b") {\n    code\n  }\n}'
    assert (plan.method, plan.body, plan.path) == ("GET", b"", "/companies/42/graphql")
    assert plan.query == f"query={quote(text, safe='-._~')}"
    assert plan.text == f"GET /companies/42/graphql\n\n{text}"
    assert plan.shape == "GET /companies/{company_id}/graphql?query query Q { countries(like) { code } }"
    assert plan.about == ("42",)
    assert ("accept", "application/graphql-response+json, application/json") in plan.headers
    assert not [name for name, _ in plan.headers if name == "content-type"]


@pytest.mark.parametrize(
    ("query", "more", "code"),
    [
        ("{ countries { code } }", {"company": "43"}, "not-found"),
        ("{ company(id: 43) { name } }", {}, "not-found"),
        ("{ company(id: 42) { name } }", {"customers": ("43",)}, "not-found"),
        ("mutation { countries { code } }", {}, "request-not-allowed"),
        ("{ countries { code } }", {"variables": "[]"}, "request-not-allowed"),
        ("{ countries { code } }", {"variables": "{"}, "protocol-violation"),
        ("{ countries { code } }", {"variables": '"x"'}, "protocol-violation"),
        ("{ countries { code } }", {"extensions": '{"persistedQuery": {}}'}, "request-not-allowed"),
        ("{ countries { code } }", {"operationName": "X"}, "protocol-violation"),
        ("{ countries { code } }", {"id": "7"}, "request-not-allowed"),
        ("{ countries { code } }", {"debug": "1"}, "request-not-allowed"),
        ("", {}, "protocol-violation"),
    ],
    ids=range(12),
)
def test_a_get_is_held_to_the_same(query: str, more: dict[str, Any], code: str) -> None:
    plan = by_get(query, **more)

    assert isinstance(plan, Refusal)
    assert plan.code == code


def test_a_get_says_each_thing_once_and_in_its_address() -> None:
    twice = judge(request(b"", (), "/companies/42/graphql?query=%7Ba%7D&query=%7Bb%7D", "GET"), GET, ("42",))
    body = judge(
        request(b'{"query":"{ countries { code } }"}', target="/companies/42/graphql", method="GET"), GET, ("42",)
    )

    assert isinstance(twice, Refusal)
    assert isinstance(body, Refusal)
    assert (twice.code, body.code) == ("protocol-violation", "request-not-allowed")


def test_headers_go_on_beside_an_operation_only_by_name() -> None:
    headers = (("x-tenant", "7"), ("x-other", "1"), ("cookie", "a=b"))
    target = "/companies/42/graphql?query=%7Bcountries%7Bcode%7D%7D"

    plan = plan_of(judge(request(b"", headers, target, "GET"), GET, ("42",)))

    assert [one for one in plan.headers if one[0] not in {"accept", "accept-encoding"}] == [("x-tenant", "7")]
    assert "x-tenant: 7" in plan.text


SPELLINGS = [
    asked('mutation { setStatus(companyId: 42, employeeId: 1, status: LEFT) { id } }'),
    asked('mutation { setStatus(status: LEFT, employeeId: "1", companyId: "42") { id, } } # said'),
    asked("mutation($s: Status!) { setStatus(companyId: 42, employeeId: 1, status: $s) { id } }", {"s": "LEFT"}),
    asked("mutation($s: Status = LEFT) { setStatus(companyId: 42, employeeId: 1, status: $s) { ...F } }"
          " fragment F on Employee { id }"),
    asked("mutation { ... { setStatus(companyId: 42, employeeId: 1, status: LEFT) { id status @skip(if: true) } } }"),
]  # fmt: skip


def test_an_approval_is_of_what_is_asked_and_not_of_how_it_is_written() -> None:
    plans = [plan_of(judge(one, rules(), ("42",))) for one in SPELLINGS]

    # a fragment's type says which objects are meant: it stays
    assert len({plan.digest for plan in (*plans[:3], plans[4])}) == 1
    assert "... on Employee {" in plans[3].text


@pytest.mark.parametrize(
    "query",
    [
        "mutation { setStatus(companyId: 42, employeeId: 2, status: LEFT) { id } }",
        "mutation { setStatus(companyId: 42, employeeId: 1, status: ACTIVE) { id } }",
        "mutation { setStatus(companyId: 42, employeeId: 1, status: LEFT) { status } }",
        "mutation { x: setStatus(companyId: 42, employeeId: 1, status: LEFT) { id } }",
        "mutation X { setStatus(companyId: 42, employeeId: 1, status: LEFT) { id } }",
        'mutation { setStatus(companyId: 42, employeeId: 1, status: LEFT) { id } addNote(companyId: 42, text: "a") }',
    ],
    ids=range(6),
)
def test_another_operation_is_another_approval(query: str) -> None:
    first, other = (plan_of(judge(one, rules(), ("42",))) for one in (SPELLINGS[0], asked(query)))

    assert first.digest != other.digest


def test_an_approver_is_shown_the_operation_and_what_it_writes() -> None:
    body = json.dumps({
        "query": "mutation($i: UpdateEmployee!) { updateEmployee(input: $i) { employee { id } } }",
        "variables": {"i": {"companyId": "42", "employeeId": "1", "email": "a\u202eb@example.com", "tags": ["x", "y"]}},
    })  # fmt: skip

    found = study(rules(), ("42",), f"POST /graphql\n{body}")

    assert isinstance(found, Write)
    assert found.canonical.partition("\n\n")[2] == (
        "mutation {\n"
        '  updateEmployee(input: {companyId: "42", email: "a\\u202Eb@example.com", employeeId: "1",'
        ' tags: ["x", "y"]}) {\n'
        "    employee {\n      id\n    }\n  }\n}"
    )
    assert (found.relation, found.approval) == ("graphql", "statement")
    assert "$.updateEmployee.input.email" in found.columns


def test_the_stricter_of_two_approvals_holds() -> None:
    both = 'mutation { addNote(companyId: 42, text: "a") setStatus(companyId: 42, employeeId: 1, status: LEFT) { id } }'

    assert plan_of(judge(asked(both), rules(), ("42",))).route.approval == "statement"
    assert plan_of(judge(asked('mutation { addNote(companyId: 42, text: "a") }'), rules(), ("42",))).route.approval == (
        "request"
    )
    assert not plan_of(judge(asked("{ countries { code } }"), rules(), ("42",))).route.writes


def test_what_reads_is_nothing_to_approve() -> None:
    found = study(rules(), ("42",), 'POST /graphql\n{"query": "{ countries { code } }"}')

    assert isinstance(found, Refusal)
    assert found.code == "request-invalid"


def test_the_customers_that_are_named_are_those_of_the_ticket() -> None:
    query = '{ a: companies(ids: ["42", "41"]) { name } b: company(id: 41) { name } }'

    plan = plan_of(judge(asked(query), rules(), ("41", "42", "44")))

    assert plan.about == ("41", "42")
    assert isinstance(judge(asked(query), rules(), ("42",)), Refusal)


@pytest.mark.parametrize("name", ["Peter4711", "a" * 65, "x999"])
def test_a_name_that_could_be_a_value_is_not_told(name: str) -> None:
    plan = plan_of(judge(asked(f"query {name} {{ countries {{ code }} }}"), rules(), ("42",)))

    assert plan.shape == "POST /graphql query { countries { code } }"
    assert name in plan.text
