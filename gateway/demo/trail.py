"""The audit trail as it grows, read from its files: each record once, and only after its commit is on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.audit.encode import record_of
from gateway.audit.segment import HEADER_BYTES, read_batches, segments_of

_STYLES = {
    "login": "cyan",
    "enrolment": "cyan",
    "grant": "cyan",
    "pass.minted": "cyan",
    "session.begin": "green",
    "session.end": "green",
    "statement.begin": "bold",
    "search.exact": "yellow",
    "statement.unknown": "yellow",
}


class Follower:
    """Where a reader of one trail stands. `skip` begins behind what is there already."""

    def __init__(self, directory: Path, *, skip: bool = False) -> None:
        self._directory = directory
        self._next = 0
        self._segment = -1
        self._offset = HEADER_BYTES
        if skip:
            for _ in self.news():
                pass

    def news(self) -> Iterator[dict[str, Any]]:
        """The records that were committed since the last call."""
        for first, path in segments_of(self._directory):
            if first < self._segment:
                continue
            if first > self._segment:
                self._segment, self._offset, self._next = first, HEADER_BYTES, first
            for batch in read_batches(path, self._next, offset=self._offset):
                self._offset, self._next = batch.end, batch.size
                for leaf in batch.leaves:
                    yield record_of(leaf)


def style(record: Mapping[str, Any]) -> str:
    """The colour of a record on a screen."""
    if record.get("decision") == "deny" or record.get("status") in ("cut", "unknown"):
        return "red"
    return _STYLES.get(str(record.get("kind")), "dim")


def sentence(record: Mapping[str, Any]) -> str:
    """A record in one line: when, what, who, why, and its gist."""
    who = str(record.get("login") or "")
    why = str(record.get("ticket") or "")
    head = f"{str(record.get('time', ''))[11:19]}  {record.get('index', ''):>5}  {record.get('kind', ''):<17} "
    line = f"{head}{who:<6} {why:<9} {gist(record)}".rstrip().replace("\n", " ")
    # what others wrote must not draw on the screen
    return "".join(c if c.isprintable() else "\ufffd" for c in line)


def gist(record: Mapping[str, Any]) -> str:
    """What a record says beyond who and why."""
    kind, said = str(record.get("kind")), []
    if record.get("code"):
        said.append(f"refused: {record['code']}" if record.get("decision") == "deny" else str(record["code"]))
    if record.get("sql"):
        said.append(str(record["sql"]))
    if kind == "search.exact":
        said.append(f"{record.get('relation')}.{record.get('column')}")
    if kind == "statement.begin" and record.get("columns_masked"):
        said.append(f"[{len(record['columns_masked'])} masked columns, customer {', '.join(record['customers'])}]")
    if kind in ("statement.end", "statement.unknown", "session.end") and "rows" in record:
        said.append(f"{record['rows']} rows")
    if record.get("status") not in (None, "ok"):
        said.append(str(record["status"]))
    if record.get("reason") and not record.get("sql"):
        said.append(str(record["reason"]))
    return " · ".join(said)
