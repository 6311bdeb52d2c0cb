"""Every kind of record becomes an event that the published schema takes, and says all that its record says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from ocsf_check import SCHEMA, ocsf_problems
from syslog_check import parse

from gateway.audit.schema import record_schema
from gateway.exports.collector import request_of
from gateway.exports.ocsf import KINDS_AS, VERSION, Sessions, event_of
from gateway.exports.sink import Message
from gateway.exports.syslog import message_of
from gateway.record import ENVELOPE, KINDS

ENVELOPE_VALUES = {
    "v": 1,
    "origin": "gateway.example/test",
    "index": 7,
    "id": "0192f0c4-1c2a-7000-8000-000000000001",
    "time": "2026-11-23T08:00:00.123456Z",
}
SCHEMAS = {one["title"]: one["properties"] for one in record_schema()["oneOf"]}
VALUES: dict[str, Any] = {
    "address": "192.0.2.7:50123",
    "expires_at": "2026-11-23T08:00:00Z",
    "factor": "totp",
    "verb": "SELECT",
    "tag": "SELECT 3",
    "state": "active",
}


def sample(name: str, rule: dict[str, Any]) -> Any:
    if name in VALUES:
        return VALUES[name]
    if "enum" in rule:
        return rule["enum"][-1]
    return {"integer": 3, "boolean": True, "array": [f"{name} 1", f"{name} 2"], "string": f"a {name}"}[rule["type"]]


def full(kind: str) -> dict[str, Any]:
    """A record of that kind with every field that it may have."""
    fields = {name: sample(name, SCHEMAS[kind][name]) for name in KINDS[kind]}
    return {**fields, **ENVELOPE_VALUES, "kind": kind}


def bare(kind: str) -> dict[str, Any]:
    return {**ENVELOPE_VALUES, "kind": kind}


def event(record: dict[str, Any]) -> dict[str, Any]:
    return event_of(record, Sessions().whose(record))


def test_every_kind_of_record_has_a_class() -> None:
    assert KINDS_AS.keys() == KINDS.keys()


def test_the_tables_are_of_the_version_that_events_name() -> None:
    assert SCHEMA["version"] == VERSION


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [full, bare])
def test_the_event_is_what_the_schema_asks_for(kind: str, make: Any) -> None:
    assert ocsf_problems(event(make(kind))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_event_says_all_that_the_record_says(kind: str) -> None:
    record = full(kind)
    told = event(record)
    said = str(told)
    for name, value in record.items():
        # an address is two attributes, whether writing is granted is a privilege, a factor has a number
        if name in (*ENVELOPE, "kind", "address", "write", "factor") or name in told.get("unmapped", {}):
            continue
        assert all(repr(one) in said for one in (value if isinstance(value, list) else [value])), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_event_can_be_recognised_when_it_comes_twice(kind: str) -> None:
    assert event(full(kind))["metadata"]["uid"] == ENVELOPE_VALUES["id"]
    assert event(full(kind))["metadata"]["sequence"] == 7


def test_a_kind_that_nobody_has_mapped_is_sent_all_the_same() -> None:
    record = {**bare("something.new"), "person": "u-1", "words": ["a"]}
    assert ocsf_problems(event(record)) == []
    assert event(record)["unmapped"] == {"person": "u-1", "words": ["a"]}


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("192.0.2.7:50123", {"ip": "192.0.2.7", "port": 50123}),
        ("2001:db8::7:50123", {"ip": "2001:db8::7", "port": 50123}),
        ("[2001:db8::7]:50123", {"ip": "2001:db8::7", "port": 50123}),
        ("host.example:1", {"name": "host.example", "port": 1}),
        ("a socket", {"name": "a socket"}),
        ("", {"name": "unknown"}),
    ],
)
def test_an_address_becomes_an_endpoint(address: str, endpoint: dict[str, Any]) -> None:
    found = event({**bare("statement.begin"), "address": address})
    assert found["src_endpoint"] == endpoint
    assert ocsf_problems(found) == []


def test_the_end_of_a_statement_names_who_is_behind_its_session() -> None:
    sessions = Sessions()
    begin = {**bare("session.begin"), "session": "S1", "login": "alice", "person": "u-1", "address": "192.0.2.7:1"}
    sessions.whose(begin)
    end = {**bare("statement.end"), "session": "S1", "rows": 3, "status": "ok"}
    found = event_of(end, sessions.whose(end))
    assert found["actor"]["user"]["name"] == "alice"
    assert found["src_endpoint"] == {"ip": "192.0.2.7", "port": 1}
    assert found["unmapped"] == {"rows": 3, "status": "ok"}


def test_sessions_that_are_remembered_are_bounded() -> None:
    sessions = Sessions(kept=2)
    for name in ("S1", "S2", "S3"):
        sessions.whose({**bare("session.begin"), "session": name, "login": name})
    assert "login" not in sessions.whose({**bare("statement.end"), "session": "S1"})
    assert sessions.whose({**bare("statement.end"), "session": "S3"})["login"] == "S3"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"kind": "statement.end", "status": "ok"}, (1, "Success")),
        ({"kind": "statement.end", "status": "error"}, (2, "Failure")),
        ({"kind": "statement.end", "status": "cut"}, (99, "cut")),
        ({"kind": "statement.begin", "decision": "permit"}, (99, "Permitted")),
        ({"kind": "statement.unknown"}, (0, "Unknown")),
        ({"kind": "login", "decision": "deny", "code": "authentication-failed"}, (2, "Failure")),
        ({"kind": "login", "decision": "permit"}, (1, "Success")),
    ],
)
def test_the_status_says_how_it_ended(fields: dict[str, Any], status: tuple[int, str]) -> None:
    found = event({**bare(fields["kind"]), **fields})
    assert (found["status_id"], found["status"]) == status
    assert ocsf_problems(found) == []


@pytest.mark.parametrize(
    "change",
    [
        {"class_uid": 6004},
        {"activity_id": 55},
        {"severity": "High"},
        {"time": "now"},
        {"metadata": {}},
        {"surprise": 1},
        {"actor": {}},
        {"src_endpoint": {"ip": "nowhere"}},
        {"status_id": 99, "status": ""},
    ],
)
def test_the_check_finds_what_is_wrong(change: dict[str, Any]) -> None:
    assert ocsf_problems({**event(full("statement.begin")), **change}) != []


@pytest.mark.parametrize("kind", [*KINDS, "new", ""])
@pytest.mark.parametrize("value", [5, True, "x", ["a", 5], [], {"a": 1}, None], ids=repr)
def test_no_record_stops_the_exports_whatever_its_fields_hold(kind: str, value: Any) -> None:
    names = {*KINDS.get(kind, ()), "decision", "trace", "truncated", "session", "login", "teams", "address"}
    for record in (
        {**ENVELOPE_VALUES, **dict.fromkeys(names, value), "kind": kind},
        {**dict.fromkeys([*names, *ENVELOPE], value), "kind": kind},
    ):
        sessions = Sessions()
        sessions.whose({**record, "kind": "session.begin"})
        body = msgspec.json.encode(event_of(record, sessions.whose(record)))
        message = Message(7, record, body)
        assert json.loads(body)["metadata"]["event_code"] == kind
        assert request_of([message]).ByteSize()
        sent = message_of(message, 13, 32473, "here", "1")
        if record["time"] == ENVELOPE_VALUES["time"]:
            assert parse(sent).data["kind"] == kind


@pytest.mark.parametrize(("word", "number"), [("low", 2), ("medium", 3), ("high", 4), ("critical", 5)])
def test_a_security_event_is_as_severe_as_its_rule_says(word: str, number: int) -> None:
    found = event({**bare("security.alert"), "severity": word, "rule": "rows-at-night"})
    assert found["severity_id"] == number
    assert found["finding_info"]["title"] == "security event: rows-at-night"
    assert ocsf_problems(found) == []


@pytest.mark.parametrize(
    ("verb", "activity"), [("GET", "Read"), ("POST", "Create"), ("PATCH", "Update"), ("DELETE", "Delete")]
)
def test_a_request_to_an_api_is_no_statement_of_a_database(verb: str, activity: str) -> None:
    sessions = Sessions()
    begin = {**bare("session.begin"), "session": "S1", "target": "office", "engine": "http", "login": "alice"}
    connected = event_of(begin, sessions.whose(begin))
    assert connected["database"] == {"name": "office", "type_id": 99, "type": "API"}
    asked = {**bare("statement.begin"), "session": "S1", "statement": "S1.1", "verb": verb, "sql": f"{verb} /a/{{id}}"}
    ended = {**bare("statement.end"), "session": "S1", "statement": "S1.1", "tag": "HTTP 404 not-found"}
    events = [event_of(one, sessions.whose(one)) for one in (asked, ended)]
    assert [ocsf_problems(one) for one in (connected, *events)] == [[], [], []]
    assert {one["class_name"] for one in events} == {"API Activity"}
    assert "database" not in str(events)
    operation, service = f"{verb} /a/{{id}}", {"name": "office"}
    assert events[0]["api"] == {"operation": operation, "service": service}
    assert events[0]["activity_name"] == activity
    assert events[1]["unmapped"]["tag"] == "HTTP 404 not-found"
