"""Exports: whatever is done to one, or to the index it is compared with, is found with the public key alone."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import gateway.audit.verify as verifier
from gateway.audit.asking import Narrow
from gateway.audit.checkpoint import Signer
from gateway.audit.export import check_export
from gateway.audit.verify import is_export, verify_export
from gateway.errors import GatewayError

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture
def asked(open_log, trail, key, records, tmp_path, open_search):
    """A log of 700 records in several segments, and a way to export and to check."""
    begin, end = records
    log = open_log()
    for number in range(350):
        who = {"login": "alice", "person": "u-1001"} if number % 7 else {"login": "bob", "person": "u-1002"}
        log.append(begin(number, **who, session=f"S{number % 7}", customers=["42" if number % 3 else "7"],
                         sql="select " + "x" * 600))  # fmt: skip
        log.append(end(number, session=f"S{number % 7}"))
        if number % 10 == 0:
            log.flush()
    log.close()
    search = open_search(trail, key.verifier)

    class Asked:
        path = tmp_path / "export.ndjson"

        def export(self, question="person", *, since=None, until=None, **narrow):
            _, pieces = search.export(
                question, Narrow(**narrow or {"person": "bob"}), now=NOW, since=since, until=until
            )
            self.path.write_bytes(b"".join(pieces))
            return self.lines()

        def lines(self):
            return self.path.read_bytes().split(b"\n")[:-1]

        def check(self, lines=None):
            if lines is not None:
                self.path.write_bytes(b"\n".join(lines) + b"\n")
            return check_export(self.path, key.verifier.text)

        def time(self, index):
            return datetime.fromisoformat(search.show(index)["time"])

    asked = Asked()
    asked.search = search
    yield asked
    search.close()


def test_an_export_of_the_whole_log_carries_all_and_verifies(asked, key):
    lines = asked.export()
    report = asked.check()
    assert report.ok, report.problems
    assert report.size == report.signed_size == len(lines) - 2
    assert is_export(asked.path)
    answer = json.loads(lines[-1])["answer"]
    assert answer["total"] == 100
    assert f"`person person=bob` has {answer['total']} rows" in report.notes[1]
    assert {json.loads(lines[1 + row["record"]])["index"] for row in answer["rows"]} == {
        r["record"] for r in answer["rows"]
    }


@pytest.mark.parametrize("first", [1, 2, 63, 64, 255, 256, 257, 511, 512, 700])
@pytest.mark.parametrize("length", [0, 1, 2, 255, 256, 257, 10_000])
def test_every_stretch_of_the_log_is_proven(asked, first, length):
    since = asked.time(first)
    until = asked.time(first + length) if first + length <= 700 else None
    if length == 0:
        since, until = since - timedelta(microseconds=2), since - timedelta(microseconds=1)
    lines = asked.export("denials", since=since, until=until, person="bob")
    report = asked.check()
    assert report.ok, report.problems
    header = json.loads(lines[0])
    assert (header["first"], report.size) == (first, len(lines) - 2)


def test_a_time_before_and_behind_the_log_is_proven_empty(asked):
    for since, until in (
        (NOW, NOW + timedelta(1)),
        (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)),
    ):
        asked.export("denials", since=since, until=until, person="bob")
        report = asked.check()
        assert (report.ok, report.size) == (True, 0), report.problems


def spelt(value):
    """A line as the gateway spells it, so that it is not the spelling that is found."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def edits(lines):
    """Name of an edit, and the lines after it."""
    header, answer = json.loads(lines[0]), json.loads(lines[-1])
    yield "a record is left out", [*lines[:5], *lines[6:]]
    yield "a record is left out and the numbers say so", [
        spelt({**header, "end": header["end"] - 1}), *lines[1:-2], lines[-1],
    ]  # fmt: skip
    yield "a record is doubled", [*lines[:5], lines[5], *lines[5:]]
    yield "records are swapped", [*lines[:5], lines[6], lines[5], *lines[7:]]
    yield "a record is changed", [*lines[:5], lines[5].replace(b"alice", b"malic").replace(b"bob", b"eve"), *lines[6:]]
    yield "the end is cut off", lines[:-1]
    yield "the end is cut in a line", [*lines[:-3], lines[-3][:20]]
    yield "something follows", [*lines, lines[-1]]
    yield (
        "the answer leaves a row out",
        [
            *lines[:-1],
            spelt({"answer": {**answer["answer"], "rows": answer["answer"]["rows"][1:]}}),
        ],
    )
    yield "the answer counts less", [*lines[:-1], spelt({"answer": {**answer["answer"], "total": 1}})]
    yield "the answer is none", [*lines[:-1], b"{}"]
    for name, value in (
        ("first", 1), ("end", 10**9),
        ("since", "2026-11-23T08:00:00.000000Z"), ("until", "2026-11-23T08:00:00.000000Z"),
        ("since", "2999-01-01T00:00:00.000000Z"), ("left", ["AAAA"]), ("right", ["A" * 43 + "="]), ("checkpoint", "x"),
        ("fence", [{"index": 0, "leaf": "{}", "path": []}]), ("format", "gateway-audit-export/2"), ("first", True),
        ("rotations", [7]), ("question", {**header["question"], "people": []}), ("question", {"name": "denials"}),
        ("question", {**header["question"], "filters": {"person": "alice"}}),
        ("question", {**header["question"], "filters": {"limit": 1}}), ("question", {}), ("end", -1), ("since", 5),
        ("question", {**header["question"], "people": [10**30]}), ("question", {**header["question"], "people": [{}]}),
        ("question", {**header["question"], "people": ["\x1b[2J"]}), ("question", {**header["question"], "filters": 5}),
    ):  # fmt: skip
        yield f"{name} is {value}", [spelt({**header, name: value}), *lines[1:]]
    yield "a name stands twice", [lines[0].replace(b'{"format"', b'{"first":9,"format"'), *lines[1:]]
    yield "there are blanks", [lines[0].replace(b'{"format"', b'{ "format"'), *lines[1:]]
    yield "it is nested without end", [b'{"a":' * 9_000, *lines[1:]]
    yield "the header has more", [spelt({**header, "more": 1}), *lines[1:]]
    yield "the header has less", [spelt({k: v for k, v in header.items() if k != "fence"}), *lines[1:]]


@pytest.mark.parametrize("part", [False, True])
def test_every_edit_is_found(asked, part):
    span = {"since": asked.time(100), "until": asked.time(300)} if part else {}
    lines = asked.export(**span)
    assert asked.check(lines).ok
    missed = [name for name, edited in edits(lines) if edited != lines and asked.check(edited).ok]
    assert missed == []


def test_a_fence_cannot_be_moved_to_hide_records(asked):
    """Whoever exports less than he says needs records that fit the times, and the tree has none."""
    narrow = asked.export(since=asked.time(101), until=asked.time(200))
    wide = json.loads(asked.export(since=asked.time(100), until=asked.time(200))[0])
    header = json.loads(narrow[0])
    for name in ("since", "until"):
        edited = {**header, name: wide[name] if name == "since" else "2026-11-23T09:00:00.000000Z"}
        report = asked.check([spelt(edited), *narrow[1:]])
        assert not report.ok
        assert "outside the stretch" in str(report.problems[0]) or "around the stretch" in str(report.problems[0])


def test_another_key_does_not_verify(asked):
    asked.export()
    assert not verify_export(asked.path, Signer.generate("gateway.example/test").verifier.text).ok


def test_the_stand_alone_verifier_checks_an_export(asked, key, tmp_path):
    lines = asked.export()
    alone = tmp_path / "verify.py"
    shutil.copy(Path(verifier.__file__), alone)
    command = [sys.executable, "-I", str(alone), str(asked.path), "--key", key.verifier.text]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "all records from 0 up to" in told.stdout
    asked.path.write_bytes(b"\n".join([*lines[:9], *lines[10:]]) + b"\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 3


LIES = ["DELETE FROM records WHERE idx IN (2, 16)", "UPDATE records SET person = 'x' WHERE person = 'u-1002'",
        "UPDATE records SET kind = 'x' WHERE idx = 1"]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_an_index_that_was_edited_while_nobody_looked_is_noticed_and_built_anew(asked, trail, key, lie, open_search):
    right = asked.search.ask("person", Narrow(person="bob"), now=NOW)["total"]
    asked.search.close()
    database = trail.with_name("trail-index.sqlite")
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(lie)
    again = open_search(trail, key.verifier)
    if again.ask("person", Narrow(person="bob"), now=NOW)["total"] != right:
        _, pieces = again.export("person", Narrow(person="bob"), now=NOW)
        with pytest.raises(GatewayError) as damaged:
            list(pieces)
        assert damaged.value.refusal.code == "audit-damaged"
    assert again.ask("person", Narrow(person="bob"), now=NOW)["total"] == right
    again.close()
