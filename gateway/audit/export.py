"""An answer together with all the records it was made from, and the proof that none is missing.

    {"format": …, "checkpoint": …, "question": …, "first": i, "end": j, "left": […], "right": […], "fence": […], …}
        "pruned" is there where the log begins at i: the record by which what was before it went, with its path
    the leaf of record i
    …
    the leaf of record j - 1
    {"answer": …}

What it proves, to anybody who has the public key (`verify.verify_export`): the lines are all records of the log from i
up to j, unchanged, in order; and no other record under the signed head is of the time asked for, because the record
before i is earlier, the one at j is not, and times in the log only grow. So whether the answer is complete does not
rest on the gateway's index: `check_export` answers the question again from the leaves, and anybody can, with other
means. What it does not prove: that the gateway recorded what happened; which people a login stands for, where the
stretch does not say it (`people` is the gateway's word); and that no longer head was signed since.

INVARIANT: the answer is made from the leaves that are sent, and compared with what the index says.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.audit.asking import Head, Narrow, Scope
from gateway.audit.encode import record_of
from gateway.audit.index import SCHEMA, Intake
from gateway.audit.questions import LIMIT, ask
from gateway.audit.segment import read_batches, segments_of
from gateway.audit.tables import SqliteTables
from gateway.audit.tree import Nodes, leaf_hash
from gateway.audit.verify import EXPORT_FORMAT, Problem, Report, Stretch, cover, verify_export
from gateway.errors import GatewayError

_CHUNK = 256 << 10
_FIGURES = {
    "records": "SELECT count(*) FROM records",
    "people": "SELECT count(DISTINCT person) FROM records WHERE kind = 'session.begin'",
    "customers_accessed": (
        "SELECT count(DISTINCT customer) FROM customers "
        "WHERE idx IN (SELECT idx FROM records WHERE kind = 'session.begin')"
    ),
    "tickets_used": "SELECT count(DISTINCT ticket) FROM records WHERE kind = 'session.begin'",
    "sign_ins": "SELECT count(*) FROM records WHERE kind = 'login' AND decision = 'permit'",
    "sign_ins_refused": "SELECT count(*) FROM records WHERE kind = 'login' AND decision = 'deny'",
    "sessions": "SELECT count(*) FROM records WHERE kind = 'session.begin'",
    "statements": "SELECT count(*) FROM statements",
    "statements_refused": "SELECT count(*) FROM records WHERE kind = 'statement.refused'",
    "statements_of_unknown_end": "SELECT count(*) FROM records WHERE kind = 'statement.unknown'",
    "rows_disclosed_at_most": "SELECT coalesce(sum(rows), 0) FROM statements",
    "grants": "SELECT count(*) FROM grants WHERE began IS NOT NULL",
    "reads_of_the_trail": "SELECT count(*) FROM records WHERE kind = 'audit.read' AND decision = 'permit'",
}
"""What a report counts, each by a query over the index of its records."""


def first_line(
    name: str, narrow: Narrow, scope: Scope, checkpoint: str, size: int, nodes: Nodes,
    rotations: list[dict[str, Any]], fence: list[dict[str, Any]], pruned: list[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """What an export begins with. Raises `ValueError` when the tiles do not hold the hashes."""
    return {
        "format": EXPORT_FORMAT,
        "checkpoint": checkpoint,
        "rotations": rotations,
        "question": {"name": name, "filters": narrow.given(), "people": list(scope.people), "at": scope.at},
        "since": scope.since,
        "until": scope.until,
        "first": scope.first,
        "end": scope.end,
        "left": [_text(nodes(*one)) for one in cover(0, scope.first)],
        "right": [_text(nodes(*one)) for one in cover(scope.end, size)],
        "fence": fence,
        **({"pruned": pruned[0]} if pruned else {}),
    }


class Passing:
    """An index of a stretch of leaves, which lives as long as it is asked."""

    def __init__(self) -> None:
        # an empty name is a private file of SQLite's own, gone when it is closed
        self._connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._connection.executescript(SCHEMA)
        self._connection.execute("BEGIN")
        self._tables = SqliteTables(self._connection)
        self._intake = Intake(self._tables)

    def take(self, segment: int, first: int, leaves: list[bytes], offsets: list[int]) -> None:
        """See `Intake.take`."""
        self._intake.take(segment, first, leaves, offsets)
        self._intake.flush()

    def answer(self, name: str, read: Any, head: Head, scope: Scope, narrow: Narrow) -> dict[str, Any]:
        """The answer from those leaves alone, as JSON has it."""
        found = ask(name, self._tables, read, head, scope, narrow, LIMIT, 0)
        value: dict[str, Any] = json.loads(json.dumps(found))
        return value

    def all(self, name: str, read: Any, head: Head, scope: Scope, most: int) -> dict[str, Any]:
        """The answer with up to that many rows, nothing narrowed."""
        answer = self.answer(name, read, head, scope, Narrow())
        while len(answer["rows"]) < min(answer["total"], most):
            offset = len(answer["rows"])
            more = ask(name, self._tables, read, head, scope, Narrow(), LIMIT, offset)["rows"]
            if not more:
                break
            answer["rows"] += json.loads(json.dumps(more))
        return answer

    def figures(self) -> dict[str, int]:
        """How much of what the leaves hold."""
        found = {}
        for name, sql in _FIGURES.items():
            found[name] = int(self._tables.all(sql)[0][0])
        return found

    def close(self) -> None:
        """Forget it."""
        self._connection.close()


def export_chunks(
    directory: Path, line: dict[str, Any], head: Head, scope: Scope, narrow: Narrow, read: Any, indexed: dict[str, Any]
) -> Iterator[bytes]:
    """The export in pieces of some hundred kilobytes; holds little more than one of them.

    `indexed` is the answer by the index. Raises `GatewayError("audit-damaged")` in the place of the last line when the
    leaves are not those that were signed, or say something else than the index.
    """
    stretch, passing = Stretch(), Passing()
    try:
        hashes = zip(cover(0, scope.first), line["left"], strict=True)
        for (level, _), digest in hashes:
            stretch.add(level, base64.b64decode(digest))
        pending = [_line(line)]
        size, index = len(pending[0]), scope.first
        for segment, first, leaves, offsets in _leaves(directory, scope):
            passing.take(segment, first, leaves, offsets)
            for leaf in leaves:
                stretch.add(0, leaf_hash(leaf))
                pending.append(leaf + b"\n")
                size += len(leaf)
                index += 1
                if size >= _CHUNK:
                    yield b"".join(pending)
                    pending, size = [], 0
        for (level, _), digest in zip(cover(scope.end, head.size), line["right"], strict=True):
            stretch.add(level, base64.b64decode(digest))
        if index != scope.end or stretch.root().hex() != head.root:
            raise _damaged("the records are not those that were signed")
        answer = passing.answer(indexed["question"], read, head, scope, narrow)
        if not _agree(json.loads(json.dumps(indexed)), answer):
            raise _damaged("the index says something else than the records")
        yield b"".join([*pending, _line({"answer": answer})])
    finally:
        passing.close()


def check_export(file: Path, public_key: str) -> Report:
    """`verify_export`, and that the answer is the one that the records give.

    Raises `ValueError` for a malformed key, `OSError` for a file it cannot read.
    """
    report = verify_export(file, public_key)
    if not report.ok:
        return report
    passing, origin = Passing(), report.origin
    try:
        with file.open("rb") as lines:
            line = json.loads(lines.readline())
            for first, leaves, offsets in from_file(lines, line["first"], line["end"]):
                passing.take(0, first, leaves, offsets)
            given = json.loads(lines.readline())["answer"]

            def read(index: int, segment: int, at: int, length: int) -> bytes:  # noqa: ARG001 - one file
                lines.seek(at)
                return lines.read(length)

            question = line["question"]
            scope = Scope(line["first"], line["end"], question["at"], line["since"], line["until"],
                          tuple(question["people"]), line["first"] if "pruned" in line else 0)  # fmt: skip
            head = Head(origin, report.signed_size, report.root)
            answer = passing.answer(question["name"], read, head, scope, Narrow(**question["filters"]))
    except (KeyError, TypeError, ValueError, OverflowError, sqlite3.Error, GatewayError) as error:
        return replace(report, problems=(Problem(None, f"the question cannot be answered from it: {error}"),))
    finally:
        passing.close()
    if answer != given:
        return replace(report, problems=(Problem(None, "the answer is not the one that the records give"),))
    asked = " ".join([question["name"], *(f"{name}={value}" for name, value in question["filters"].items())])
    return replace(report, notes=(*report.notes, f"`{asked}` has {answer['total']} rows, as these records say"))


def _agree(indexed: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether the index leaves nothing out.

    It may know more only where the stretch has a beginning: whose a record is that names nothing but its session.
    """
    same = (indexed["total"], indexed["rows"]) == (answer["total"], answer["rows"])
    return same or (bool(indexed["since"]) and indexed["total"] >= answer["total"])


def _leaves(directory: Path, scope: Scope) -> Iterator[tuple[int, int, list[bytes], list[int]]]:
    """Segment, first index, leaves and their offsets, cut to the scope."""
    segments = segments_of(directory)
    for number, (start, path) in enumerate(segments):
        following = segments[number + 1][0] if number + 1 < len(segments) else None
        if start >= scope.end or (following is not None and following <= scope.first):
            continue
        for batch in read_batches(path, start):
            if batch.first >= scope.end:
                break
            low, high = max(scope.first - batch.first, 0), max(scope.end - batch.first, 0)
            if batch.leaves[low:high]:
                yield start, batch.first + low, list(batch.leaves[low:high]), list(batch.offsets[low:high])


def from_file(lines: Any, first: int, end: int) -> Iterator[tuple[int, list[bytes], list[int]]]:
    """The leaves of an export behind its first line: index of the first, leaves, offsets, some at a time."""
    while first < end:
        count = min(1_000, end - first)
        leaves, offsets = [], []
        for _ in range(count):
            offsets.append(lines.tell())
            leaves.append(lines.readline()[:-1])
            record_of(leaves[-1])
        yield first, leaves, offsets
        first += count


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass") + b"\n"


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _damaged(what: str) -> GatewayError:
    return GatewayError("audit-damaged", what, "run `gateway audit verify`; the index is built anew")
