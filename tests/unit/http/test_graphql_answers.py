"""What leaves of the answers of a GraphQL API that fails, lies, or tells more than it was asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql_world import LEAKS, SECRET, Came, answered, asked, came, rules

from gateway.http.answer import Answer, Withheld
from gateway.http.judge import judge
from gateway.http.message import HttpPlan

ROOT = "{ company(id: 42) { name employees { id iban payslips { year } } ceo { id } } }"
OURS = {"id": "1", "iban": "FR761234567890", "gatewayCustomer": "42", "payslips": []}
THEIRS = {"id": "CANARY-of-others", "iban": "CANARY-of-others", "gatewayCustomer": "43", "payslips": []}
FAILED = {"message": "the target failed", "extensions": {"code": "target-error"}}


def plan_of(query: str) -> HttpPlan:
    plan = judge(asked(query), rules(), ("42",))
    assert isinstance(plan, HttpPlan), plan
    return plan


def left(answer: Any, query: str = ROOT) -> Came:
    found = answered(plan_of(query), answer)
    assert not [leak for leak in LEAKS if leak in found.text]
    return found


def company(**more: Any) -> dict[str, Any]:
    return {"company": {"name": "Acme", "employees": [], "ceo": None} | more}


def test_messages_extensions_and_positions_of_errors_stay() -> None:
    error = {"message": SECRET, "path": ["company", "name"], "locations": [{"line": 1}], "extensions": {"x": SECRET}}

    found = left({"data": company(name=None), "errors": [error], "extensions": {"y": SECRET}, "debug": SECRET})

    assert found.answer == {
        "data": {"company": {"name": None, "employees": [], "ceo": None}},
        "errors": [FAILED | {"path": ["company", "name"]}],
    }


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (["company"], ["company"]),
        (["company", "employees", 1, "id"], ["company", "employees", 0, "id"]),
        (["company", "employees", 3, "payslips"], ["company", "employees", 1, "payslips"]),
        (["company", "employees", 1, "iban"], ["company", "employees", 0]),
        (["company", "secret", SECRET], ["company"]),
        ([SECRET], None),
        (None, None),
        ("company", None),
        ([], None),
        ([True], "nothing"),
        ([["company"]], "nothing"),
        (["company", 0], "nothing"),
        (["company", "employees", -1], "nothing"),
        (["company", "employees", 1.5], "nothing"),
        (["company", "employees", 99], "nothing"),
        (["company", "employees", 0, "id"], "nothing"),
        (["company", "employees", 2, "id"], "nothing"),
        (["company", "employees", 1, "payslips", 0, "year"], "nothing"),
        (["company", "ceo", "id"], "nothing"),
    ],
    ids=str,
)
def test_of_an_errors_path_as_much_leaves_as_leads_to_what_is_shown(path: Any, shown: Any) -> None:
    people = [THEIRS, OURS, THEIRS, OURS]

    found = left({"data": company(employees=people, ceo=THEIRS), "errors": [{"message": SECRET, "path": path}]})

    errors = [] if shown == "nothing" else [FAILED | ({"path": shown} if shown else {})]
    assert found.answer.get("errors", []) == errors
    assert len(found.answer["data"]["company"]["employees"]) == 2


def test_an_error_below_another_customers_object_is_as_if_that_were_missing() -> None:
    error = {"message": SECRET, "path": ["company", "employees", 1, "id"]}

    with_them = left({"data": company(employees=[OURS, THEIRS]), "errors": [error]})
    without = left({"data": company(employees=[OURS])})

    assert with_them.text == without.text


def test_the_same_error_is_told_once_and_of_many_some() -> None:
    same = [{"message": SECRET, "path": ["company", "name"]}] * 5
    many = [{"message": SECRET, "path": ["company", "employees", number]} for number in range(50)]

    found = left({"data": company(employees=[OURS] * 50), "errors": same + many})

    assert [error["path"] for error in found.answer["errors"]] == [
        ["company", "name"], *(["company", "employees", number] for number in range(15))
    ]  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [{"data": None, "errors": [{"message": SECRET}]}, {"errors": [{"message": SECRET, "path": ["x"]}]},
     {"errors": [SECRET]}, {"errors": [None]}, {"data": None, "errors": [{"path": ["company", "employees", 0]}]}],
    ids=json.dumps,
)  # fmt: skip
def test_an_answer_without_data_says_only_that_it_failed(answer: Any) -> None:
    assert left(answer).answer == {"data": None, "errors": [FAILED]}


@pytest.mark.parametrize(
    "answer",
    [{}, [], None, 1, {"data": None}, {"data": []}, {"data": SECRET}, {"errors": SECRET}, {"errors": []},
     {"data": {}, "errors": {}}, [{"data": {}}], b"", b"{", b'{"data":{},"data":{}}', b"\xef\xbb\xbf{}", b"\xff"],
    ids=str,
)  # fmt: skip
def test_what_is_no_answer_of_graphql_is_withheld(answer: Any) -> None:
    assert left(answer).code == "answer-unreadable"


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"employee": {"id": "1", "gatewayCustomer": "43"}}},
        {"data": {"employee": {"id": "1", "gatewayCustomer": ["42"]}}},
        {"data": {"employee": {"id": "1", "gatewayCustomer": None}}},
        {"data": {"employee": {"id": "1"}}},
        {"data": {"employee": [{"id": "1", "gatewayCustomer": "42"}]}},
        {"data": {"employee": None}},
        {"data": {"employee": None}, "errors": [{"message": "not allowed", "path": ["employee"]}]},
        {"data": {}},
        {"data": None, "errors": [{"message": SECRET}]},
        {"errors": [{"message": SECRET}]},
        {"errors": SECRET},
        [],
        b"{",
    ],
    ids=str,
)
def test_what_is_not_known_to_be_the_customers_answers_like_a_missing_object(answer: Any) -> None:
    found = left(answer, "{ employee(id: 1) { id } }")

    assert found.withheld is not None
    assert found.text == left({"data": {"employee": None}}, "{ employee(id: 1) { id } }").text
    assert found.withheld.status == 404


def test_fields_that_were_not_asked_for_do_not_leave() -> None:
    found = left({"data": company(secret=SECRET, id="42") | {"secrets": SECRET}})

    assert found.answer == {"data": {"company": {"name": "Acme", "employees": [], "ceo": None}}}


@pytest.mark.parametrize("value", [{"x": SECRET}, [SECRET], [[SECRET]]], ids=str)
def test_a_value_of_another_shape_is_null(value: Any) -> None:
    found = left({"data": company(name=value, employees=value, ceo=value)})

    shown = found.answer["data"]["company"]
    assert (shown["name"], shown["ceo"]) == (None, None)
    assert shown["employees"] in (None, [])


def test_a_redacted_field_says_nothing_of_whether_it_is_null() -> None:
    query = "{ employee(id: 1) { firstName } }"

    texts = {
        left({"data": {"employee": {"gatewayCustomer": "42", "firstName": value}}}, query).text
        for value in ("Anna", None, 7, {"x": 1})
    }

    assert len(texts) == 1


def test_a_redacted_field_is_only_there_for_objects_of_its_type() -> None:
    query = '{ search(text: "a") { __typename ... on Contractor { rate } } }'
    people = [
        {"__typename": "Contractor", "rate": 1, "gatewayCustomer": "42", "gatewayType": "Contractor"},
        {"__typename": "Employee", "gatewayCustomer": "42", "gatewayType": "Employee"},
    ]

    found = left({"data": {"search": people}}, query)

    assert found.answer["data"]["search"] == [{"__typename": "Contractor", "rate": "***"}, {"__typename": "Employee"}]


@pytest.mark.parametrize("named", ["Contractor", "Person", None, ["Employee"], 1])
def test_the_rule_of_a_type_is_for_objects_of_that_type_alone(named: Any) -> None:
    query = '{ search(text: "a") { ... on Employee { id } } }'
    found = {"id": "CANARY-of-others", "gatewayCustomer": "42", "gatewayType": named}

    assert left({"data": {"search": [found]}}, query).answer == {"data": {"search": [{}]}}


def test_a_count_is_of_what_is_left() -> None:
    edges = [{"cursor": "a", "gatewayCustomer": {"gatewayCustomer": number}} for number in ("42", "43", "41", "42")]

    found = left(
        {"data": {"e": {"n": 99, "edges": edges}}}, "{ e: employees(companyId: 42) { n: totalCount edges { cursor } } }"
    )

    assert found.answer == {"data": {"e": {"n": 2, "edges": [{"cursor": "a"}, {"cursor": "a"}]}}}


def test_an_approved_field_is_shown_in_clear_under_whatever_name() -> None:
    query = "{ company(id: 42) { employees { x: iban } } }"
    data = {"data": {"company": {"employees": [{"x": "FR761234567890", "gatewayCustomer": "42"}]}}}

    hidden = answered(plan_of(query), data)
    shown = answered(plan_of(query), data, reveal=frozenset({"$.company.employees[*].iban"}))
    other = answered(plan_of(query), data, reveal=frozenset({"$.company.employees[*].x", "$.employee.iban"}))

    assert shown.answer["data"]["company"]["employees"] == [{"x": "FR761234567890"}]
    assert hidden.text == other.text != shown.text


@pytest.mark.parametrize(
    ("media", "code"),
    [("application/json", ""), ("application/graphql-response+json; charset=utf-8", ""),
     ("text/html", "answer-not-allowed"),
     ("multipart/mixed; boundary=a", "answer-not-allowed"), ("text/event-stream", "answer-not-allowed"),
     ("application/json; charset=utf-16", "answer-not-allowed"), ("", "answer-not-allowed")],
    ids=["json", "graphql", "html", "multipart", "events", "charset", "none"],
)  # fmt: skip
def test_an_answer_is_of_the_media_that_were_asked_for(media: str, code: str) -> None:
    plan, came_of = plan_of("{ countries { code } }"), ""
    headers = [(b"content-type", media.encode())] if media else []
    try:
        out = Answer(plan.route, "POST", 200, headers, customers=("42",), key=None)
        out.feed(b'{"data":{"countries":[]}}')
        assert out.finish() == b'{"data":{"countries":[]}}'
        assert dict(out.head()[1])["content-type"] == media.partition(";")[0]
    except Withheld as withheld:
        came_of = withheld.refusal.code

    assert came_of == code


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("{ countries { code } }", 400, "target-refused"), ("{ countries { code } }", 500, "target-error"),
     ("{ countries { code } }", 404, "not-found"), ("{ countries { code } }", 201, "answer-not-allowed"),
     ("{ employee(id: 1) { id } }", 403, "not-found"), ("{ employee(id: 1) { id } }", 400, "target-refused")],
)  # fmt: skip
def test_another_status_than_200_says_nothing_of_the_targets(query: str, status: int, code: str) -> None:
    with pytest.raises(Withheld) as withheld:
        Answer(
            plan_of(query).route, "POST", status, [(b"content-type", b"application/json")], customers=("42",), key=None
        )

    assert withheld.value.refusal.code == code


def test_what_is_asked_for_in_the_policys_name_is_never_the_clients() -> None:
    plan = plan_of("{ employees(companyId: 42) { edges { node { id } } } }")

    assert "gatewayCustomer: node { gatewayCustomer: companyId }" in json.loads(plan.body)["query"]
    assert "gatewayCustomer" not in plan.text + plan.shape
    assert "gatewayCustomer" not in came(asked("{ employees(companyId: 42) { edges { node { id } } } }")).text
