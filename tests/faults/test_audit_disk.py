"""The trail on a disk that fails: at each single operation, for want of space, and for real."""

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gateway.audit.checkpoint import Signer, create_signer
from gateway.audit.encode import record_of
from gateway.audit.log import FileLog
from gateway.audit.segment import Disk, read_batches, segments_of
from gateway.audit.verify import verify_log
from gateway.errors import GatewayError

pytestmark = pytest.mark.faults

ORIGIN = "gateway.example/faults"


def now():
    return datetime.now(UTC)


def open_log(trail, key, **options):
    defaults = {"segment_bytes": 256 << 10, "reserve_bytes": 0, "interval_s": 30.0}
    return FileLog.open(trail, origin=ORIGIN, key=key, clock=now, **{**defaults, **options})


def stored(trail):
    return [
        record_of(leaf)
        for first, path in segments_of(trail)
        for batch in read_batches(path, first)
        for leaf in batch.leaves
    ]


class FailingDisk(Disk):
    """A disk whose operation number `at` fails, before or after it took effect, as do all that follow."""

    def __init__(self, at, *, persisted, error=errno.EIO):
        self.count, self.at, self.persisted, self.error = 0, at, persisted, error

    def _step(self, operation, *arguments, **named):
        self.count += 1
        if self.count == self.at and self.persisted:
            operation(*arguments, **named)
        if self.count >= self.at:
            raise OSError(self.error, os.strerror(self.error))
        return operation(*arguments, **named)

    def allocate(self, *arguments):
        self._step(super().allocate, *arguments)

    def write(self, *arguments):
        self._step(super().write, *arguments)

    def sync(self, *arguments):
        self._step(super().sync, *arguments)

    def sync_directory(self, *arguments):
        self._step(super().sync_directory, *arguments)


def scene(trail, key, disk):
    """A life of a log over several segments; yields the indices whose receipts turned durable."""
    log = open_log(trail, key, disk=disk)
    try:
        for i in range(60):
            begin = {"kind": "statement.begin", "session": "S", "statement": f"Q{i}", "sql": os.urandom(6_000).hex()}
            receipt = log.append(begin)
            log.flush()
            yield receipt.index
            if i % 20 == 19:
                log.checkpoint()
    finally:
        log.close()


@pytest.mark.parametrize("persisted", [False, True])
def test_whichever_operation_fails_nothing_acknowledged_is_lost(tmp_path, persisted):
    key = Signer.generate(ORIGIN)
    healthy = FailingDisk(10**9, persisted=False)
    assert len(list(scene(tmp_path / "healthy", key, healthy))) == 60
    assert healthy.count > 150
    for at in [*range(1, 30), *range(30, healthy.count, 7)]:
        trail = tmp_path / f"trail{at}"
        durable = []
        with contextlib.suppress(GatewayError):
            durable.extend(scene(trail, key, FailingDisk(at, persisted=persisted)))
        open_log(trail, key).close()
        report = verify_log(trail, key.verifier.text)
        assert report.ok, (at, report.problems)
        records = stored(trail)
        assert all(records[index]["kind"] == "statement.begin" for index in durable)
        shutil.rmtree(trail)


def test_after_a_failed_flush_nothing_is_written_and_everything_waiting_fails(tmp_path):
    key, trail = Signer.generate(ORIGIN), tmp_path / "trail"
    disk = FailingDisk(10**9, persisted=False)
    failures, outcomes = [], []

    async def run():
        loop = asyncio.get_running_loop()
        failed = loop.create_future()
        log = open_log(trail, key, disk=disk, loop=loop, on_failure=lambda error: failed.set_result(error))
        good = log.append({"kind": "login", "login": "alice"})
        log.flush()
        log.checkpoint()
        disk.at = disk.count + 2  # the flush that follows the next write
        receipts = [log.append({"kind": "login", "login": f"l{i}"}) for i in range(5)]
        for receipt in receipts:
            receipt.add_done_callback(lambda receipt: outcomes.append((receipt.durable, receipt.failed)))
        failures.append(await asyncio.wait_for(failed, 5))
        operations = disk.count
        with pytest.raises(GatewayError) as caught:
            log.append({"kind": "login", "login": "mallory"})
        with pytest.raises(GatewayError):
            log.checkpoint()
        assert caught.value.code == "audit-not-writable"
        assert not log.writable
        log.close()
        assert disk.count == operations
        return good

    good = asyncio.run(run())
    assert good.durable
    assert outcomes == [(False, True)] * 5
    assert failures[0].errno == errno.EIO
    open_log(trail, key).close()
    assert verify_log(trail, key.verifier.text).ok


class FullDisk(Disk):
    """A disk without space for anything new while `full`."""

    full = False

    def allocate(self, descriptor, size):
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().allocate(descriptor, size)

    def replace(self, path, data, *, durable):
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().replace(path, data, durable=durable)

    def free(self, directory):
        return 0 if self.full else 1 << 40


def test_a_full_disk_refuses_work_but_not_its_ends_and_recovers(tmp_path):
    key, trail, disk = Signer.generate(ORIGIN), tmp_path / "trail", FullDisk()
    log = open_log(trail, key, disk=disk, reserve_bytes=1 << 20)
    log.append({"kind": "statement.begin", "session": "S", "statement": "Q"})
    log.flush()
    disk.full = True
    log.append({"kind": "statement.begin", "session": "S", "statement": "Q2"})
    log.flush()
    log.checkpoint()

    with pytest.raises(GatewayError) as caught:
        log.append({"kind": "statement.begin", "session": "S", "statement": "Q3"})
    assert caught.value.code == "audit-not-writable"
    assert not log.writable
    for statement in ("Q", "Q2"):
        ended = log.append({"kind": "statement.end", "session": "S", "statement": statement})
        log.flush()
        assert ended.index < log.durable_size

    disk.full = False
    log.checkpoint()
    assert log.writable
    log.append({"kind": "statement.begin", "session": "S", "statement": "Q3"})
    log.append({"kind": "statement.end", "session": "S", "statement": "Q3"})
    log.close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    assert [record.get("statement") for record in stored(trail)] == [None, "Q", "Q2", "Q", "Q2", "Q3", "Q3", None]


def test_the_disk_becoming_full_is_noticed_and_so_is_its_end(tmp_path):
    key, trail, disk = Signer.generate(ORIGIN), tmp_path / "trail", FullDisk()
    log = open_log(trail, key, disk=disk, interval_s=0.02, reserve_bytes=1 << 20)
    disk.full = True
    log.append({"kind": "login", "login": "alice"})
    wait_until(lambda: not log.writable)
    disk.full = False
    wait_until(lambda: log.writable)
    log.append({"kind": "login", "login": "alice"})
    log.close()
    assert verify_log(trail, key.verifier.text).ok


FILL = """
import os, resource, sys, time
from datetime import UTC, datetime
from gateway.audit.checkpoint import load_signer
from gateway.audit.log import FileLog
from gateway.errors import GatewayError

directory, key, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
log = FileLog.open(directory, origin="gateway.example/faults", key=load_signer(key), clock=lambda: datetime.now(UTC),
                   segment_bytes=256 << 10, reserve_bytes=0, interval_s=0.02)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    while True:
        receipt = log.append({"kind": "login", "reason": os.urandom(5000).hex()})
        log.flush()
        print(receipt.index, flush=True)
except GatewayError as error:
    print(error.code, flush=True)
if sys.stdin.readline():
    for _ in range(500):
        if log.writable:
            break
        time.sleep(0.01)
    receipt = log.append({"kind": "login", "login": "after"})
    log.flush()
    print(receipt.index, flush=True)
log.close()
"""


def fill(trail, key_file, *, limit=0):
    command = [sys.executable, "-c", FILL, str(trail), str(key_file), str(limit)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def until_refused(writer):
    acknowledged = []
    for line in writer.stdout:
        if not line.strip().isdecimal():
            return acknowledged, line.strip()
        acknowledged.append(int(line))
    raise AssertionError("the writer ended without a refusal")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB, or None where this user may not mount one."""
    path = tmp_path / "small"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        yield None
        return
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_disk_that_really_fills_up(small_disk, tmp_path):
    key = create_signer(tmp_path / "key", ORIGIN)
    if small_disk is None:
        limit_instead_of_mount(tmp_path, key)
        return
    trail = small_disk / "trail"
    with fill(trail, tmp_path / "key") as writer:
        acknowledged, code = until_refused(writer)
        assert code == "audit-not-writable"
        assert len(acknowledged) > 50
        ballast = small_disk / "ballast"
        assert not ballast.exists()
        # space returns: the file system grows
        subprocess.run(["mount", "-o", "remount,size=6m", str(small_disk)], check=True)
        print("go on", file=writer.stdin, flush=True)
        after = int(writer.stdout.readline())
        assert after > acknowledged[-1]
        writer.stdin.close()
        assert writer.wait(10) == 0
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    records = stored(trail)
    assert records[after]["login"] == "after"
    assert all(records[index]["index"] == index for index in acknowledged)


def limit_instead_of_mount(tmp_path, key):
    """A file-size limit in the place of a full file system: the next segment cannot be allocated."""
    trail = tmp_path / "trail"
    with fill(trail, tmp_path / "key", limit=200 << 10) as writer:
        acknowledged, code = until_refused(writer)
        assert code == "audit-not-writable"
        writer.stdin.close()
        writer.wait(10)
    open_log(trail, key).close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    records = stored(trail)
    assert all(records[index]["index"] == index for index in acknowledged)


def test_a_file_size_limit_closes_the_log_and_loses_nothing(tmp_path):
    limit_instead_of_mount(tmp_path, create_signer(tmp_path / "key", ORIGIN))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def wait_until(condition, timeout_s=5.0):
    for _ in range(int(timeout_s / 0.005)):
        if condition():
            return
        asyncio.run(asyncio.sleep(0.005))
    raise AssertionError("it did not happen in time")
