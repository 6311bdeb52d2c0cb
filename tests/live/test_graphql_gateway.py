"""A GraphQL API behind the gateway, asked by real clients over HTTP/1.1 and 2: what leaves, what is on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_fixture import awaited
from graphql_cases import ATTACKS, CLIENTS, request_of
from graphql_house import API, GraphqlHouse, open_graphql_house
from graphql_world import LEAKS, SECRET

from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported
from gateway.errors import CODES, GatewayError

# mitmproxy cannot be installed on Python 3.11, nor a version of it that is safe
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

COMPANY = "query Q($id: ID!) { company(id: $id) { name employees { id iban lastName } } }"


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphqlHouse]:
    with open_graphql_house(tmp_path_factory.mktemp("graphql"), postgres) as place:
        yield place


@pytest.fixture(scope="module")
def opened(place: GraphqlHouse) -> dict[str, Any]:
    return place.opened(target=API)


def records(place: GraphqlHouse, kind: str, **fields: Any) -> list[dict[str, Any]]:
    return [
        record
        for record in place.house.records()
        if record["kind"] == kind and all(record.get(name) == value for name, value in fields.items())
    ]


def everything(answer: Any) -> str:
    return f"{dict(answer.headers)} {answer.text}"


def reads() -> list[dict[str, Any]]:
    return [case for case in CLIENTS if "mutation" not in case["query"]]


def test_what_clients_send_is_answered(place: GraphqlHouse, opened: dict[str, Any]) -> None:
    with place.client(opened) as client:
        for case in reads():
            answer = client.post(
                "/graphql", content=request_of(case).body, headers={"content-type": "application/json"}
            )
            assert (answer.status_code, answer.json()) == (200, case["shows"]), case["id"]
            assert answer.headers["content-type"] in {"application/json", "application/graphql-response+json"}
            assert answer.headers["cache-control"] == "no-store"
            assert "x-trace" not in answer.headers


@pytest.mark.parametrize(("version", "spoken"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl_is_answered_in_both_versions(
    place: GraphqlHouse, opened: dict[str, Any], version: str, spoken: str, tmp_path: Path
) -> None:
    for case in reads()[:12]:
        body = tmp_path / "body"
        body.write_bytes(request_of(case).body)
        done = place.curl(
            version, "-w", "\n%{http_version}", "-H", "content-type: application/json", "--data-binary", f"@{body}",
            place.url("/graphql", API), opened=opened,
        )  # fmt: skip
        text, _, used = done.stdout.decode().rpartition("\n")
        assert (json.loads(text), used) == (case["shows"], spoken), case["id"]


def test_no_attack_of_the_corpus_leaves_anything_or_reaches_the_api_as_it_was(
    place: GraphqlHouse, opened: dict[str, Any]
) -> None:
    with place.client(opened) as client:
        for case in ATTACKS:
            request = request_of(case)
            if case.get("method", "POST") != "POST" or b"mutation" in request.body:
                continue
            del place.api.seen[:]
            headers = [(name.decode(), value.decode("latin-1")) for name, value in request.headers]
            kept = [(name, value) for name, value in headers if name not in {"host", "content-length"}]
            answer = client.post(request.target, content=request.body, headers=kept)
            assert not [leak for leak in LEAKS if leak in everything(answer)], case["id"]
            if case["expect"] != "accepted":
                assert answer.json()["code"] == case["expect"], case["id"]
                assert answer.status_code == CODES[case["expect"]].http
            elif "shows" in case:
                assert answer.json() == case["shows"], case["id"]
            for seen in place.api.seen:
                assert seen.keys() == {"query", "accept"}
                assert seen["accept"] == "application/graphql-response+json, application/json"


def test_another_customers_object_and_a_missing_one_are_told_in_the_same_bytes(
    place: GraphqlHouse, opened: dict[str, Any]
) -> None:
    with place.client(opened) as client:
        answers = [
            place.asked(client, query)
            for query in (
                "{ company(id: 43) { name } }",
                '{ employee(id: "nobody") { id } }',
                '{ employee(id: "CANARY-of-others-1") { id } }',
            )
        ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({(str(sorted(answer.headers.items())), answer.content) for answer in answers}) == 1


def test_what_an_api_says_of_its_failures_stays_inside(place: GraphqlHouse, opened: dict[str, Any]) -> None:
    error = {"message": SECRET, "path": ["company", "employees", 4, "iban"], "extensions": {"stack": SECRET}}
    place.api.change = lambda answer: answer | {"errors": [error]}
    try:
        with place.client(opened) as client:
            partly = place.asked(client, COMPANY, {"id": "42"})
            place.api.change = lambda _: {"errors": [{"message": SECRET}]}
            whole = place.asked(client, COMPANY, {"id": "42"})
            place.api.change = lambda _: [SECRET]
            none = place.asked(client, COMPANY, {"id": "42"})
    finally:
        place.api.change = lambda answer: answer

    failed = {"message": "the target failed", "extensions": {"code": "target-error"}}
    # the fourth of all is the second of the customer's
    assert partly.json()["errors"] == [failed | {"path": ["company", "employees", 1]}]
    assert whole.json() == {"data": None, "errors": [failed]}
    assert (none.status_code, none.json()["code"]) == (502, "answer-unreadable")
    assert SECRET not in everything(partly) + everything(whole) + everything(none)


def test_the_record_of_an_operation_has_its_form_its_fields_and_no_value(
    place: GraphqlHouse, opened: dict[str, Any]
) -> None:
    follower = place.house.follow()
    query = "query FindThem($t: String!) { search(text: $t) { ... on Employee { secretName: lastName } } }"
    with place.client(opened) as client:
        assert place.asked(client, query, {"t": "Zanzibar 4711"}).status_code == 200
    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    end = awaited(follower, lambda record: record["kind"] == "statement.end")

    assert begin["sql"] == "POST /graphql query FindThem { search(text) { ... on Employee { lastName } } }"
    assert (begin["relations"], begin["verb"]) == (["graphql"], "POST")
    assert begin["columns_masked"] == ["graphql.$.search[*]<Employee>.lastName"]
    assert "columns_clear" not in begin
    assert begin["sealed"]
    assert "Zanzibar" not in json.dumps(begin)
    assert "secretName" not in json.dumps(begin)
    assert (end["status"], end["tag"], end["rows"]) == ("ok", "HTTP 200", 5)


def test_a_mutation_runs_once_as_it_was_approved(place: GraphqlHouse, opened: dict[str, Any]) -> None:
    query = "mutation Set($s: Status!) { setStatus(companyId: 42, employeeId: 1, status: $s) { id status } }"
    body = json.dumps({"query": query, "variables": {"s": "LEFT"}})
    statement = f"POST /graphql\n{body}"
    with pytest.raises(GatewayError) as waits:
        place.opened(target=API, statement=statement)
    assert waits.value.code == "approval-required"
    request = records(place, "request", state="pending")[-1]["request"]
    bob = place.house.actor("bob")
    shown = bob.preview(request)
    bob.approve(request, "seen")
    mine = place.opened(target=API, statement=statement)
    del place.api.seen[:]
    follower = place.house.follow()
    with place.client(mine) as client:
        other = place.asked(client, query, {"s": "ACTIVE"})
        # the same operation, however it is written, is the one that was approved
        first = place.asked(
            client, 'mutation Set { setStatus(status: LEFT, employeeId: "1", companyId: "42") { id, status } }'
        )
        second = place.asked(client, query, {"s": "LEFT"})

    assert "status: LEFT" in json.dumps(shown)
    assert (first.status_code, first.json()) == (200, {"data": {"setStatus": {"id": "1", "status": "ACTIVE"}}})
    assert (other.status_code, second.status_code) == (403, 403)
    assert len(place.api.seen) == 1
    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    assert begin["columns_written"] == [
        "graphql.$.setStatus.companyId", "graphql.$.setStatus.employeeId", "graphql.$.setStatus.status",
    ]  # fmt: skip


def test_a_grant_to_read_changes_nothing(place: GraphqlHouse, opened: dict[str, Any]) -> None:
    del place.api.seen[:]
    with place.client(opened) as client:
        answer = place.asked(client, 'mutation { addNote(companyId: 42, text: "a") }')

    assert (answer.status_code, answer.json()["code"]) == (403, "read-only")
    assert place.api.seen == []


def test_a_request_that_is_no_operation_tells_only_that(place: GraphqlHouse, opened: dict[str, Any]) -> None:
    with place.client(opened) as client:
        answer = place.asked(client, "{ __schema { types { name } } }")

    assert (answer.status_code, answer.json()["code"]) == (403, "request-not-allowed")
    assert answer.headers["content-type"] == "application/problem+json"
