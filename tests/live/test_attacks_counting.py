"""What the client got is never more than what was announced, and what the end records say is what the client got."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gateway_fixture import House, eventually
from raw_client import Raw, query

from gateway.wire import postgres as wire

SYNC = wire.encode_sync()
ROWS = (wire.DATA_ROW, wire.COPY_DATA)
MANY = "select 1 from employees a, employees b, employees c limit"
WIDE = "select string_agg(a.last_name, '-') from employees a, employees b, employees c, companies d"


def extended(text: str, *, max_rows: int = 0, times: int = 1) -> bytes:
    run = wire.encode_execute(b"", max_rows) * times
    return wire.encode_parse(b"", text) + wire.encode_bind(b"", b"", (), (), [1]) + run + SYNC


SENT: dict[str, bytes] = {
    "none": query("select 1 where false") + query("") + extended("select 1 where false"),
    "one": query("select 1"),
    "one window exactly": query(f"{MANY} 1000"),
    "one more than a window": query(f"{MANY} 1001"),
    "several windows": query(f"{MANY} 9999") + extended(f"{MANY} 5000"),
    "statements of one text": query(f"{MANY} 700; {MANY} 700; select 1 where false; {MANY} 1"),
    "portions": extended(f"{MANY} 2500", max_rows=999, times=4),
    "a COPY": query(f"copy ({MANY} 4001) to stdout"),
    "a COPY with a header": query("copy (select id from employees limit 3) to stdout with (format csv, header)"),
    "a binary COPY": query(f"copy ({MANY} 1500) to stdout with (format binary)"),
    "a wide row": query(WIDE) + extended(WIDE),
    "wide rows beside narrow ones": query(f"select 1; {WIDE}; select 2"),
    "cursors": query("begin") + query(f"declare c cursor for {MANY} 3000") + query("fetch 1500 from c; fetch all c"),
    "an error in the middle": query(
        f"select 1 / (n - 900) from (select row_number() over () n from ({MANY} 2000) x) y"
    ),
    "refused among others": query("select 1") + query("select notes from employees") + query("select 2"),
}


@pytest.fixture
def raw(house: House) -> Iterator[Raw]:
    """A session of alice's."""
    with Raw(house) as raw:
        yield raw.log_in()


@pytest.mark.parametrize("what", SENT)
def test_the_records_count_what_the_client_got(house: House, raw: Raw, what: str) -> None:
    follower = house.follow()
    data = SENT[what]
    raw.send(data)
    due = sum(kind in (wire.QUERY, wire.SYNC) for kind, _ in wire.Framer().feed(data))
    got = [message for _ in range(due) for message in raw.until_ready()]
    rows = [body for kind, body in got if kind in ROWS]
    raw.send(wire.encode_terminate())
    records: list[dict[str, Any]] = []

    def ended() -> bool:
        records.extend(follower.news())
        return any(record["kind"] == "session.end" for record in records)

    eventually(ended)
    ends = [record for record in records if record["kind"] == "statement.end"]
    assert sum(record["rows"] for record in ends) == len(rows)
    assert sum(record["bytes"] for record in ends) == sum(len(row) + 5 for row in rows)
    assert next(r for r in records if r["kind"] == "session.end").get("rows", 0) == len(rows)
    for end in ends:
        announced = [r for r in records if r["kind"] in WINDOWS and r["statement"] == end["statement"]]
        assert max(r["window_rows"] for r in announced) >= end["rows"]
        assert max(r["window_bytes"] for r in announced) >= end["bytes"]
        assert all(r["index"] < end["index"] for r in announced)
    if "wide" in what:
        assert max(map(len, rows)) > 1024**2


WINDOWS = ("statement.begin", "statement.window")
