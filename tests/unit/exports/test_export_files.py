"""A file of lines: whole ones only, in order, rotated, and mended after a death."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.exports.files import FileOut
from gateway.exports.orders import Orders, check_files
from gateway.exports.sink import Message, SendFailed


def messages(*numbers: int, size: int = 20) -> list[Message]:
    return [Message(n, {}, json.dumps({"n": n, "pad": "x" * size}).encode()) for n in numbers]


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.ndjson"


def test_lines_are_appended_for_their_owner_only(path: Path) -> None:
    out = FileOut(path, 1 << 20, 3)
    out.send(messages(1, 2))
    out.settle()
    out.close()
    out = FileOut(path, 1 << 20, 3)
    out.send(messages(3))
    out.settle()
    out.close()
    assert numbers(path) == [1, 2, 3]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [b'{"n": 3', b"x" * 200_000, b"\0"])
def test_a_torn_last_line_is_cut_off(path: Path, torn: bytes) -> None:
    out = FileOut(path, 1 << 20, 3)
    out.send(messages(1, 2))
    out.close()
    with path.open("ab") as file:
        file.write(torn)
    out = FileOut(path, 1 << 20, 3)
    out.send(messages(3))
    out.close()
    assert numbers(path) == [1, 2, 3]


def test_a_full_file_makes_room_for_another(path: Path) -> None:
    out = FileOut(path, 64 * 1024, 2)
    for number in range(8):
        out.send(messages(number, size=40_000))
    out.settle()
    out.close()
    assert [
        numbers(path),
        numbers(path.with_name("records.ndjson.1")),
        numbers(path.with_name("records.ndjson.2")),
    ] == [
        [7],
        [6],
        [5],
    ]
    assert len(list(path.parent.iterdir())) == 3


def test_a_full_disk_takes_back_what_was_written_of_a_batch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = FileOut(path, 1 << 20, 3)
    out.send(messages(1))
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if offset > 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:10], offset)

    with monkeypatch.context() as patch:
        patch.setattr("gateway.exports.files.os.pwrite", full)
        with pytest.raises(SendFailed, match="no space left") as failed:
            out.send(messages(2, 3))
    assert not failed.value.rewind
    assert numbers(path) == [1]
    out.send(messages(2, 3))
    out.settle()
    out.close()
    assert numbers(path) == [1, 2, 3]


def test_a_failed_flush_makes_everything_since_the_last_one_uncertain(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = FileOut(path, 1 << 20, 3)
    out.send(messages(1))

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("gateway.exports.files.os.fdatasync", fails)
    with pytest.raises(SendFailed) as failed:
        out.settle()
    assert failed.value.rewind


def test_a_link_in_the_place_of_the_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SendFailed):
        FileOut(path, 1 << 20, 3).send(messages(1))


def orders(tmp_path: Path, **paths: str) -> Orders:
    exports = {name: {"kind": "file", "path": str(tmp_path / path)} for name, path in paths.items()}
    facts = {
        "origin": "o",
        "state": tmp_path / "state",
        "trail": tmp_path / "trail",
        "durable": 0,
        "log_format": "json",
    }
    return Orders.model_validate({**facts, "exports": exports})


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ({"a": "state/x"}, "the gateway's own files"),
        ({"a": "trail/segments/00000000000000000000.log"}, "the gateway's own files"),
        ({"a": "elsewhere/../trail/x"}, "the gateway's own files"),
        ({"a": "x", "b": "y/../x"}, "the same file"),
    ],
)
def test_files_lie_apart_from_one_another_and_from_what_is_the_gateways(
    tmp_path: Path, paths: dict[str, str], reason: str
) -> None:
    with pytest.raises(GatewayError, match=reason):
        check_files(orders(tmp_path, **paths))


def test_files_that_lie_apart_are_fine(tmp_path: Path) -> None:
    check_files(orders(tmp_path, a="x", b="trails", c="stateful/y"))
