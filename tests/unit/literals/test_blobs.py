"""The files of sealed literals: what was taken is found again, and what cannot be kept is not taken."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.segment import Disk
from gateway.errors import GatewayError
from gateway.literals.blobs import Blobs

MONTH = "2026-11"


class Faulty(Disk):
    """A disk that fails in the way that the test says."""

    def __init__(self) -> None:
        self.write_error: OSError | None = None
        self.sync_error: OSError | None = None
        self.written = 0
        self.short = False

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.write_error is not None:
            if self.short:
                super().write(descriptor, data[: len(data) // 2], offset)
            raise self.write_error
        super().write(descriptor, data, offset)
        self.written += 1

    def sync(self, descriptor: int) -> None:
        if self.sync_error is not None:
            raise self.sync_error
        super().sync(descriptor)


@pytest.fixture
def disk() -> Faulty:
    return Faulty()


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def blobs(tmp_path: Path, disk: Faulty, failures: list[BaseException]) -> Iterator[Callable[..., Blobs]]:
    made: list[Blobs] = []

    def make(**options: Any) -> Blobs:
        options.setdefault("gather_s", 0.001)
        made.append(Blobs(tmp_path / "sealed", disk=disk, on_failure=failures.append, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def put(blobs: Blobs, data: bytes, month: str = MONTH) -> bytes:
    digest = sha256(data).digest()
    blobs.append(month, digest.hex(), data)
    return digest


def test_what_was_taken_is_found_in_this_life_and_in_the_next(blobs):
    one = blobs()
    digests = {put(one, b"blob %d" % n): n for n in range(200)}
    one.flush()
    other = blobs()

    assert [one.find(MONTH, digest) for digest in digests] == [b"blob %d" % n for n in digests.values()]
    assert other.find(MONTH, next(iter(digests))) == b"blob 0"
    assert other.find("2026-12", next(iter(digests))) is None
    assert other.find(MONTH, sha256(b"another").digest()) is None


def test_it_is_durable_within_a_second_though_nobody_asks(blobs, disk):
    one = blobs(gather_s=0.25)
    digest, began = put(one, b"blob"), time.monotonic()
    while one.find(MONTH, digest) is None:
        time.sleep(0.01)

    assert time.monotonic() - began < 1.0


def test_many_share_a_flush(blobs, disk):
    one = blobs(gather_s=0.1)
    for n in range(1_000):
        put(one, b"blob %d" % n)
    one.flush()

    assert disk.written <= 3


def test_a_full_file_is_followed_by_another_one_and_so_is_a_month(blobs):
    one = blobs(file_bytes=1_000)
    digests = []
    for n in range(10):
        digests.append(put(one, bytes([n]) * 400))
        one.flush()
    later = put(one, b"later", "2026-12")
    one.flush()

    assert len(one.files()) == 5
    assert all(one.find(MONTH, digest) for digest in digests)
    assert one.find("2026-12", later) == b"later"
    assert one.months() == [MONTH, "2026-12"]


@pytest.mark.parametrize("cut", [1, 5, 20, 30])
def test_a_torn_end_hides_nothing_before_it(blobs, cut):
    one = blobs()
    first, last = put(one, b"first blob"), put(one, b"last blob!")
    one.flush()
    [path] = one.files()
    os.truncate(path, path.stat().st_size - cut)

    assert one.find(MONTH, first) == (b"first blob" if cut <= 26 else None)
    assert one.find(MONTH, last) is None


def test_a_full_disk_refuses_work_until_there_is_room_and_loses_nothing(blobs, disk, failures):
    one = blobs()
    disk.write_error, disk.short = OSError(errno.ENOSPC, "No space left on device"), True
    digest = put(one, b"waiting blob")
    while not one.refusing:
        time.sleep(0.01)
    with pytest.raises(GatewayError) as raised:
        put(one, b"refused")
    assert raised.value.code == "audit-not-writable"
    disk.write_error = None
    while one.refusing:
        time.sleep(0.01)

    assert one.find(MONTH, digest) == b"waiting blob"
    assert one.find(MONTH, put(one, b"next")) in (None, b"next")
    assert failures == []


@pytest.mark.parametrize(
    ("write", "sync"),
    [
        (OSError(errno.EIO, "Input/output error"), None),
        (None, OSError(errno.EIO, "Input/output error")),
        # a flush that failed is never tried again, for whatever reason
        (None, OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_a_broken_disk_ends_it_for_good(blobs, disk, failures, write, sync):
    one = blobs()
    disk.write_error, disk.sync_error = write, sync
    put(one, b"lost")
    while not failures:
        time.sleep(0.01)
    disk.write_error = disk.sync_error = None

    for _ in range(3):
        with pytest.raises(GatewayError) as raised:
            put(one, b"refused")
        assert raised.value.code == "audit-not-writable"
        time.sleep(0.02)
    with pytest.raises(GatewayError):
        one.flush()
    assert len(failures) == 1


def test_what_piles_up_is_refused(blobs, disk):
    one = blobs(pending_bytes=10_000, gather_s=30.0)
    for _ in range(11):
        put(one, b"x" * 1_000)
    with pytest.raises(GatewayError) as raised:
        put(one, b"x" * 1_000)

    assert raised.value.code == "audit-not-writable"
    assert one.failure is None


def test_erased_blobs_are_zeros_and_the_others_stay(blobs):
    one = blobs()
    kept, erased = put(one, b"kept blob"), put(one, b"erased blob")
    one.flush()

    assert one.destroy({MONTH: {erased}, "2026-10": {kept}}) == 1
    assert one.find(MONTH, erased) == b""
    assert one.find(MONTH, kept) == b"kept blob"
    assert one.destroy({MONTH: {erased}}) == 0
    assert b"erased blob" not in b"".join(path.read_bytes() for path in one.files())


def test_writing_goes_on_while_a_month_is_erased_and_removed(blobs):
    one = blobs()
    old = put(one, b"old", "2026-07")
    one.flush()
    running = threading.Event()
    digests: list[bytes] = []

    def write() -> None:
        for n in range(300):
            digests.append(put(one, b"blob %d" % n, MONTH if n % 3 else "2026-10"))
            running.set()

    writer = threading.Thread(target=write)
    writer.start()
    running.wait()
    one.destroy({"2026-07": {old}})
    one.remove("2026-07")
    writer.join()
    one.flush()

    assert one.months() == ["2026-10", MONTH]
    assert all(one.find("2026-10" if n % 3 == 0 else MONTH, digest) for n, digest in enumerate(digests))


def test_the_month_that_is_written_to_can_be_removed(blobs):
    one = blobs()
    put(one, b"old")
    one.flush()
    one.remove(MONTH)
    digest = put(one, b"new")
    one.flush()

    assert one.find(MONTH, digest) == b"new"


def test_what_was_taken_is_written_at_the_end(blobs):
    one = blobs(gather_s=30.0)
    digest = put(one, b"blob")
    one.close()

    assert blobs().find(MONTH, digest) == b"blob"
