"""A GraphQL API as the tests ask it: graphql-core's own executor over data in which everything that may not leave is
marked, and resolvers that filter nothing.

`ask` judges a request by the corpus's policy, has what goes on executed, and gives what leaves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from graphql import GraphQLSchema, build_schema, execute, parse, validate
from graphql.language import DocumentNode

from gateway.errors import Refusal
from gateway.http.answer import Answer, Withheld
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.http.problem import problem
from gateway.policy.http_rules import HttpRules
from gateway.policy.load import load_policy

CORPUS = Path(__file__).parents[2] / "corpus" / "graphql"
SECRET, FOREIGN = "CANARY-of-nobody", "CANARY-of-others"
"""In every value that may not leave as it is; in every value of another customer's."""
OURS = "42"
KEY = bytes(range(32))


@cache
def rules() -> HttpRules:
    found = load_policy(CORPUS / "policy.yaml").http
    assert found is not None
    return found


@cache
def schema() -> GraphQLSchema:
    return build_schema((CORPUS / "schema.graphql").read_text(encoding="utf-8"))


def mark(company: str) -> str:
    return "ours" if company == OURS else FOREIGN


def employee(company: str, number: int) -> dict[str, Any]:
    def boom(_info: Any) -> str:
        raise ValueError(f"{SECRET} iban FR76{SECRET}{number}")

    key = f"{number}" if company == OURS else f"{FOREIGN}-{number}"
    return {
        "__typename": "Employee", "id": key, "companyId": company, "lastName": f"{SECRET}-{mark(company)}-{number}",
        "firstName": f"{SECRET}-first", "email": f"{SECRET}@example.com", "iban": f"FR76{SECRET}{number:020d}",
        "salary": 40_123 + number if company == OURS else 999_000 + number,
        "status": "ACTIVE" if number % 2 else "LEFT",
        "tags": [f"tag-{mark(company)}"], "grid": [[1, number], [2]], "secret": SECRET, "boom": boom,
        "payslips": lambda _info, **_: [payslip(one, year) for one in COMPANIES for year in (2023, 2024)],
        "manager": lambda _info: employee(company, number + 1),
    }  # fmt: skip


def payslip(company: str, year: int) -> dict[str, Any]:
    return {
        "id": f"{mark(company)}-{year}", "companyId": company, "secret": SECRET,
        "year": year if company == OURS else 7_777, "net": 3_141_592 if company == OURS else 2_718_281,
        "employee": lambda _info: employee(company, 1),
    }  # fmt: skip


COMPANIES = ("41", OURS, "43")
LEAKS = (
    SECRET,
    FOREIGN,
    "7777",
    "3141592",
    "2718281",
    "401",
    "9990",
    "an API's own words",
    "gatewayCustomer",
    "gatewayType",
)
"""What nothing that leaves may have in it."""


def everybody() -> list[dict[str, Any]]:
    # a careless API: it lists everybody's
    return [employee(company, number) for company in COMPANIES for number in range(3)]


def company(key: str) -> dict[str, Any]:
    return {
        "__typename": "Company", "id": key, "name": "Acme" if key == OURS else FOREIGN, "vat": SECRET, "token": SECRET,
        "employees": lambda _info, **_: everybody(), "parent": lambda _info: company("43"),
        "ceo": lambda _info: employee(key, 0) if key == OURS else employee("43", 0),
    }  # fmt: skip


def connection() -> dict[str, Any]:
    nodes = everybody()
    return {
        "totalCount": len(nodes),
        "nodes": nodes,
        "edges": [{"cursor": f"c{number}", "node": one} for number, one in enumerate(nodes)],
        "pageInfo": {"hasNextPage": False, "endCursor": None},
    }


def found_employee(key: str) -> dict[str, Any] | None:
    return next((one for one in everybody() if one["id"] == key), None)


def contractor(key: str) -> dict[str, Any]:
    return {
        "__typename": "Contractor", "id": f"c-{mark(key)}", "companyId": key, "lastName": SECRET, "rate": 3_141_592,
        "iban": SECRET, "secret": SECRET,
    }  # fmt: skip


ROOT: dict[str, Any] = {
    "company": lambda _info, id: company(id),
    "employee": lambda _info, id: found_employee(id),
    "employees": lambda _info, **_: connection(),
    "companies": lambda _info, ids: [company(one) for one in COMPANIES],
    "search": lambda _info, **_: [*everybody(), *map(contractor, COMPANIES), *map(company, COMPANIES)],
    "person": lambda _info, id: employee("43", 0),
    "countries": lambda _info: [{"code": "FR", "name": "France"}],
    "headcount": lambda _info, companyId: 3,
    "payslip": lambda _info, **_: payslip(OURS, 2024),
    "me": {"id": "1", "token": SECRET},
    "allEmployees": lambda _info: everybody(),
    "secrets": SECRET,
    "setStatus": lambda _info, employeeId, **_: found_employee(employeeId),
    "updateEmployee": lambda _info, input: {"employee": found_employee(input["employeeId"])},
    "addNote": lambda _info, **_: True,
    "deleteCompany": lambda _info, **_: True,
}


@cache
def _parsed(query: str) -> DocumentNode:
    return parse(query)


def executed(query: str, variables: Mapping[str, Any] | None = None, name: str | None = None) -> dict[str, Any]:
    """What the API answers. Its errors tell all that they know."""
    document = _parsed(query)
    problems = validate(schema(), document)
    if problems:
        return {"errors": [{"message": f"an API's own words: {one.message}"} for one in problems]}
    result = execute(schema(), document, ROOT, variable_values=dict(variables or {}), operation_name=name)
    made: dict[str, Any] = {"data": result.data, "extensions": {"trace": SECRET}}
    if result.errors:
        made["errors"] = [
            {"message": f"an API's own words: {one.message}", "path": one.path, "extensions": {"stack": SECRET}}
            for one in result.errors
        ]
    return made


@dataclass(frozen=True)
class Came:
    """What became of a request: a plan and what left of its answer, or a refusal."""

    plan: HttpPlan | Refusal
    answer: Any = None
    text: str = ""
    withheld: Withheld | None = None

    @property
    def code(self) -> str:
        """The code of the refusal; empty for what was answered."""
        if isinstance(self.plan, Refusal):
            return self.plan.code
        return self.withheld.refusal.code if self.withheld is not None else ""


def request(
    body: bytes, headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),),
    target: str = "/graphql", method: str = "POST",
) -> HttpRequest:  # fmt: skip
    given = [("host", "api"), *headers, *((("content-length", str(len(body))),) if body else ())]
    pairs = tuple((name.encode(), value.encode("latin-1")) for name, value in given)
    return HttpRequest(method, target, "api", pairs, body)


def asked(query: str, variables: Any = None, **members: Any) -> HttpRequest:
    given = {"query": query} | ({"variables": variables} if variables is not None else {}) | members
    return request(json.dumps(given).encode())


def came(of: HttpRequest, customers: tuple[str, ...] = (OURS,), reveal: frozenset[str] = frozenset()) -> Came:
    """What becomes of a request, executed."""
    plan = judge(of, rules(), customers)
    if isinstance(plan, Refusal):
        return Came(plan)
    sent = json.loads(plan.body)
    assert list(sent) == ["query"]
    return answered(plan, executed(sent["query"]), customers, reveal)


def answered(
    plan: HttpPlan, answer: Any, customers: tuple[str, ...] = (OURS,), reveal: frozenset[str] = frozenset()
) -> Came:
    """What leaves of an answer to a plan."""
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    try:
        out = Answer(
            plan.route, plan.method, 200, [(b"content-type", b"application/json")], customers=customers, key=KEY,
            reveal=reveal,
        )  # fmt: skip
        left = out.feed(content) + out.finish()
    except Withheld as withheld:
        return Came(plan, text=problem(withheld.refusal, withheld.status)[2].decode(), withheld=withheld)
    return Came(plan, json.loads(left), left.decode())
