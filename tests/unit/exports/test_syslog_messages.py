"""Syslog messages are what RFC 5424 says, whatever a record holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syslog_check import frames, parse

from gateway.exports.sink import Message
from gateway.exports.syslog import frame_of, message_of

RECORD = {
    "kind": "login",
    "origin": "gateway.example/test",
    "index": 7,
    "id": "0192f0c4-1c2a-7000-8000-000000000001",
    "time": "2026-11-23T08:00:00.123456Z",
    "decision": "permit",
}


def message(record: dict[str, Any], **facts: Any) -> bytes:
    body = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")
    options = {"facility": 13, "enterprise": 32473, "hostname": "here.example", "process": "17", **facts}
    return message_of(Message(7, record, body), **options)


def test_a_message_has_all_its_parts() -> None:
    found = parse(message(RECORD))
    assert (found.facility, found.severity, found.time) == (13, 5, RECORD["time"])
    assert (found.host, found.application, found.process, found.id) == ("here.example", "gateway", "17", "login")
    assert found.element == "record@32473"
    assert found.data == {"index": "7", "id": RECORD["id"], "kind": "login", "origin": "gateway.example/test"}
    assert json.loads(found.text) == RECORD


@pytest.mark.parametrize(
    ("change", "severity"),
    [
        ({}, 5),
        ({"decision": "deny"}, 4),
        ({"kind": "refusals.flood"}, 4),
        ({"kind": "statement.begin"}, 6),
        ({"kind": "statement.refused", "decision": "deny"}, 4),
    ],
)
def test_severity_is_by_what_happened(change: dict[str, Any], severity: int) -> None:
    assert parse(message({**RECORD, **change})).severity == severity


@given(st.dictionaries(st.sampled_from(["origin", "kind", "id", "time", "login"]), st.text(max_size=60)))
def test_no_text_breaks_out_of_its_place(fields: dict[str, str]) -> None:
    record = {**RECORD, **fields, "time": RECORD["time"]}
    sent = [message(record), message(RECORD)]
    found, rest = frames(b"".join(map(frame_of, sent)))
    assert (found, rest) == (sent, b"")
    parsed = parse(found[0])
    assert parsed.data["kind"] == record["kind"].encode("utf-8", "replace").decode()
    assert json.loads(parse(found[1]).text) == RECORD


@pytest.mark.parametrize("hostname", ["two words", "a\nb", "ü", "x" * 400, ""])
def test_a_strange_host_name_is_still_a_header(hostname: str) -> None:
    assert parse(message(RECORD, hostname=hostname)).host


def test_the_reader_is_strict() -> None:
    good = message(RECORD)
    for bad in (good.replace(b">1 ", b">2 "), good.replace(b" [record", b" record"), b"<999>1" + good[6:]):
        with pytest.raises(ValueError, match="no "):
            parse(bad)
    with pytest.raises(ValueError, match="no length"):
        frames(b"x12 abc")
