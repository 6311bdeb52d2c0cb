"""A follower sees each committed record once, and nothing that is not committed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.audit.segment import HEADER_BYTES, Header, assemble, segment_path
from gateway.audit.tree import Frontier
from gateway.demo.trail import Follower


class Writer:
    """Writes segments as the log does, batch by batch."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "segments").mkdir(parents=True)
        self.frontier = Frontier()
        self.begin_segment()

    def begin_segment(self) -> None:
        self.path = segment_path(self.directory, self.frontier.size)
        self.path.write_bytes(Header("demo.example/1", self.frontier.copy(), self.frontier.size).encoded())
        self.offset = HEADER_BYTES

    def batch(self, *names: str) -> bytes:
        first = self.frontier.size
        leaves = [json.dumps({"index": first + n, "kind": name}).encode() for n, name in enumerate(names)]
        data, _, _ = assemble(leaves, self.offset, self.frontier)
        return data

    def write(self, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.offset)
            file.write(data)
        self.offset += len(data)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def kinds(follower: Follower) -> list[str]:
    return [record["kind"] for record in follower.news()]


def test_records_come_once_and_in_order(writer: Writer) -> None:
    follower = Follower(writer.directory)
    assert kinds(follower) == []
    writer.write(writer.batch("a", "b"))
    writer.write(writer.batch("c"))
    assert kinds(follower) == ["a", "b", "c"]
    assert kinds(follower) == []
    writer.write(writer.batch("d"))
    assert kinds(follower) == ["d"]


def test_half_a_batch_is_nothing_until_its_commit_is_there(writer: Writer) -> None:
    follower = Follower(writer.directory)
    data = writer.batch("a", "b")
    writer.write(data[:-10])
    assert kinds(follower) == []
    writer.write(data[-10:])
    assert kinds(follower) == ["a", "b"]


def test_the_next_segment_is_followed(writer: Writer) -> None:
    follower = Follower(writer.directory)
    writer.write(writer.batch("a", "b"))
    assert kinds(follower) == ["a", "b"]
    writer.write(writer.batch("c"))
    writer.begin_segment()
    writer.write(writer.batch("d"))
    assert kinds(follower) == ["c", "d"]


def test_one_who_skips_begins_with_what_comes(writer: Writer) -> None:
    writer.write(writer.batch("a", "b"))
    follower = Follower(writer.directory, skip=True)
    writer.write(writer.batch("c"))
    assert kinds(follower) == ["c"]
