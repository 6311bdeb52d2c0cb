"""The two cores of the writer: the same bytes, the same answers, the same end; and the compiled one's arithmetic."""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import random
import threading
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from native_module import built

from gateway.audit import writer as writer_module
from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.audit.segment import HEADER_BYTES, Disk, assemble, batch_bytes, read_batches, segments_of
from gateway.audit.tree import Frontier, leaf_hash
from gateway.audit.verify import verify_log
from gateway.audit.writer import COMMITTED, END, ROLL, PythonCore, Writer
from gateway.errors import GatewayError

SOURCE = Path(writer_module.__file__).with_name("_writer.pyx")
ORIGIN = "gateway.example/twins"
SEGMENT = 256 << 10
BATCH = SEGMENT // 4


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """The compiled module of this very source, built for the test."""
    return built(SOURCE, tmp_path_factory.mktemp("writer"))


@pytest.fixture(params=["compiled", "direct", "python"])
def core_of(request, native):
    """Makes a core of either kind; the compiled one also writing around the page cache."""
    opened = []

    class Direct(native.Core):
        def use(self, descriptor, offset, fresh):
            direct = -1
            with contextlib.suppress(OSError, AssertionError):
                # what was opened for reading only is not opened for more here
                assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
                direct = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
                opened.append(direct)
            super().use(descriptor, offset, fresh, direct)

    def make(signal=-1, batch=BATCH, segment=SEGMENT):
        if request.param == "python":
            return PythonCore(Disk(), batch, segment, signal)
        return (Direct if request.param == "direct" else native.Core)(batch, segment, signal)

    yield make
    for descriptor in opened:
        os.close(descriptor)


@pytest.fixture(params=["compiled", "python"])
def compiled(request, native, monkeypatch):
    """What to give to a log for either kind of core."""
    monkeypatch.setattr(writer_module, "CompiledCore", native.Core, raising=False)
    return request.param == "compiled"


@pytest.fixture
def segment(tmp_path):
    """An allocated segment, open for writing."""
    descriptor = os.open(tmp_path / "segment", os.O_RDWR | os.O_CREAT, 0o600)
    os.posix_fallocate(descriptor, 0, SEGMENT)
    yield descriptor
    os.close(descriptor)


def some_leaves(count, seed=1423, longest=2_000):
    chance = random.Random(seed)
    return [chance.randbytes(chance.choice([1, 51, 52, 55, 56, 63, 64, 119, chance.randrange(longest)]))
            for _ in range(count)]  # fmt: skip


def test_the_digests_are_those_of_the_standard_library(native):
    chance = random.Random(180)
    for length in [*range(260), *(chance.randrange(20_000) for _ in range(200))]:
        data = chance.randbytes(length)
        for instructions in (True, False):
            assert native.sha256(data, instructions=instructions)[0] == hashlib.sha256(data).digest(), length
        assert native.crc32(data) == zlib.crc32(data), length
    assert native.sha256(b"", instructions=False)[1] is False


def test_what_is_queued_becomes_these_bytes(core_of, segment):
    """Given leaves in the queue, batches, segments and the tree come out as the format says, whichever core writes."""
    core, tree = core_of(), Frontier()
    core.use(segment, HEADER_BYTES, True)
    leaves = some_leaves(600, longest=9_000)
    assert all(core.push(leaf, False) for leaf in leaves)
    core.hurry()
    expected, rest, hashes = b"", list(leaves), []
    while core.run(True) == COMMITTED:
        count = used = 0
        while count < len(rest) and (count == 0 or used + len(rest[count]) <= BATCH):
            used += len(rest[count])
            count += 1
        batch, rest = rest[:count], rest[count:]
        if HEADER_BYTES + len(expected) + batch_bytes(batch) > SEGMENT:
            raise AssertionError("it wrote beyond the segment")
        data, digests, root = assemble(batch, HEADER_BYTES + len(expected), tree)
        expected += data
        hashes += digests
        assert core.durable == tree.size
        assert core.offset == HEADER_BYTES + len(expected)
        assert core.frontier() == (tree.size, tree.subtrees)
        assert os.pread(segment, SEGMENT, HEADER_BYTES).ljust(SEGMENT, b"\0") == expected.ljust(SEGMENT, b"\0")
    assert rest
    assert len(expected) > SEGMENT - HEADER_BYTES - BATCH - 12 * 600
    assert core.take_unsigned() == (hashes, tree.size, root)
    assert core.take_unsigned() == ([], tree.size, root)


def test_a_core_goes_on_behind_a_batch_that_ends_within_a_block(core_of, segment):
    """Given a segment whose last batch another core wrote, what it wrote stays as it is."""
    first, second, tree = core_of(), core_of(), Frontier()
    batches = [some_leaves(3, seed=5), some_leaves(1, seed=6), some_leaves(40, seed=7)]
    expected, offset = b"", HEADER_BYTES
    for number, batch in enumerate(batches):
        core = first if number == 0 else second
        if number < 2:
            core.resume(tree.size, list(tree.subtrees), [])
            core.use(segment, offset, number == 0)
        for leaf in batch:
            core.push(leaf, True)
        assert core.run(True) == COMMITTED
        data, _, _ = assemble(batch, offset, tree)
        expected, offset = expected + data, offset + len(data)
        assert offset % 4_096
    assert os.pread(segment, SEGMENT, HEADER_BYTES) == expected.ljust(SEGMENT - HEADER_BYTES, b"\0")


def test_a_spare_segment_is_filled_with_zeros_only_while_it_is_spare(compiled, tmp_path, monkeypatch):
    """Given a segment that is taken while it is being filled, the batches in it stay."""
    if not compiled:
        return
    trail, key, slow = tmp_path / "trail", Signer.generate(ORIGIN), threading.Event()
    blank = Disk.blank

    def slowly(self, direct, start, end):
        slow.wait(0.01)
        return blank(self, direct, start, end)

    monkeypatch.setattr(Disk, "blank", slowly)
    monkeypatch.setattr(writer_module, "BLANK_BYTES", 4_096)
    log = FileLog.open(
        trail, origin=ORIGIN, key=key, clock=lambda: datetime.now(UTC), reserve_bytes=0, segment_bytes=SEGMENT,
        compiled=True,
    )  # fmt: skip
    for number in range(240):
        log.append({"kind": "login", "login": f"l{number}", "reason": "x" * 9_000})
        log.flush()
    log.close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    assert len(leaves_of(trail)) == 242
    assert len(segments_of(trail)) > 5


def test_a_full_segment_is_left_for_the_next_and_a_fresh_one_takes_any_batch(core_of, segment):
    core = core_of(segment=20_000)
    core.use(segment, HEADER_BYTES, False)
    core.push(b"x" * 16_000, True)
    assert core.run(False) == ROLL
    assert core.run(False) == ROLL
    assert (core.durable, core.offset, core.frontier()) == (0, HEADER_BYTES, (0, []))
    core.use(segment, HEADER_BYTES, True)
    assert core.run(True) == COMMITTED
    assert (core.durable, core.offset) == (1, HEADER_BYTES + batch_bytes([b"x" * 16_000]))
    core.push(b"y", True)
    core.stop()
    assert core.run(False) == ROLL
    core.use(segment, HEADER_BYTES, True)
    assert core.run(False) == END
    assert core.durable == 2


def test_a_core_goes_on_with_the_tree_that_it_is_given(core_of, segment):
    tree = Frontier()
    for leaf in some_leaves(77):
        tree.push(leaf_hash(leaf))
    core = core_of()
    core.resume(tree.size, tree.subtrees, [b"u" * 32, b"v" * 32])
    assert core.durable == 77
    assert core.take_unsigned() == ([b"u" * 32, b"v" * 32], 77, tree.root())
    core.use(segment, HEADER_BYTES, False)
    core.push(b"next", True)
    assert core.run(True) == COMMITTED
    tree.push(leaf_hash(b"next"))
    assert core.take_unsigned() == ([leaf_hash(b"next")], 78, tree.root())
    with pytest.raises(ValueError, match=r"hashes|subtrees"):
        core_of().resume(7, tree.subtrees, [])


def test_an_empty_tree_has_the_root_of_nothing(core_of):
    assert core_of().take_unsigned() == ([], 0, hashlib.sha256(b"").digest())


def test_a_record_that_is_not_urgent_waits_for_one_that_is_and_goes_with_it(core_of, segment):
    core = core_of()
    core.use(segment, HEADER_BYTES, True)
    thread = threading.Thread(target=core.run, args=(False,))
    thread.start()
    try:
        core.push(b"lazy", False)
        time.sleep(0.05)
        assert core.durable == 0
        core.push(b"urgent", True)
        assert wait_until(lambda: core.durable == 2)
        core.push(b"lazy", False)
        core.hurry()
        assert wait_until(lambda: core.durable == 3)
        core.push(b"lazy", False)
        assert core.wait(4, 5.0)
        core.push(b"z" * 9_000, False)
        for _ in range(BATCH // 9_000):
            core.push(b"z" * 9_000, False)
        assert wait_until(lambda: core.durable > 4), "more than a batch of lazy records is written"
    finally:
        core.push(b"last", False)
        core.stop()
        thread.join()
    assert core.durable == 4 + 1 + BATCH // 9_000 + 1
    assert not core.push(b"late", True)


def test_waiting_ends_in_time_and_when_it_is_in_vain(core_of):
    core = core_of()
    started = time.monotonic()
    assert not core.wait(1, 0.12)
    assert 0.1 < time.monotonic() - started < 2
    threading.Timer(0.05, core.fail).start()
    started = time.monotonic()
    assert not core.wait(1, 5.0)
    assert time.monotonic() - started < 2
    assert not core.push(b"x", True)
    assert core.run(False) == END


def test_what_fails_is_an_error_with_its_number_and_counts_nothing(core_of, tmp_path):
    for name, error in (("closed", errno.EBADF), ("read only", errno.EBADF), ("pipe", errno.ESPIPE)):
        core = core_of()
        if name == "read only":
            (tmp_path / "file").touch()
            descriptors = [os.open(tmp_path / "file", os.O_RDONLY)]
        else:
            descriptors = list(os.pipe()) if name == "pipe" else []
        core.use(descriptors[-1] if descriptors else 1 << 20, HEADER_BYTES, True)
        core.push(b"x", True)
        with pytest.raises(OSError) as caught:
            core.run(False)
        assert caught.value.errno == error, name
        assert caught.value.strerror == os.strerror(error)
        assert core.durable == 0
        assert core.take_unsigned()[0] == []
        for descriptor in descriptors:
            os.close(descriptor)


def test_the_eventfd_is_raised_once_until_it_was_heard(core_of, segment):
    signal = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    core = core_of(signal)
    core.use(segment, HEADER_BYTES, True)
    for _ in range(3):
        core.push(b"x", True)
        assert core.run(True) == COMMITTED
    assert os.eventfd_read(signal) == 1
    assert core.collect() == 3
    with pytest.raises(BlockingIOError):
        os.eventfd_read(signal)
    core.push(b"x", True)
    core.run(True)
    assert core.collect() == 4
    with pytest.raises(BlockingIOError):
        os.eventfd_read(signal)
    os.close(signal)


def test_pushing_from_one_thread_while_another_commits_loses_and_doubles_nothing(core_of, segment):
    signal = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    core = core_of(signal, segment=1 << 40)
    core.use(segment, HEADER_BYTES, True)
    thread = threading.Thread(target=core.run, args=(False,))
    thread.start()
    leaves = some_leaves(20_000, longest=200)
    tree, seen, until = Frontier(), 0, time.monotonic() + 30
    for number, leaf in enumerate(leaves):
        assert core.push(leaf, number % 3 > 0)
        if number % 16 == 0:
            now = core.collect()
            assert seen <= now <= number + 1
            seen = now
    while seen < len(leaves) and time.monotonic() < until:
        core.hurry()
        seen = core.collect()
    core.stop()
    thread.join()
    os.close(signal)
    for leaf in leaves:
        tree.push(leaf_hash(leaf))
    hashes, size, root = core.take_unsigned()
    assert (size, root) == (tree.size, tree.root())
    assert hashes == [leaf_hash(leaf) for leaf in leaves]
    at = HEADER_BYTES
    for leaf in leaves[:1]:
        assert os.pread(segment, len(leaf), at + 12) == leaf


class Ticks:
    """A clock and an entropy that give two logs the same times and ids."""

    def __init__(self):
        self.at = 0
        self.chance = random.Random(7)

    def __call__(self):
        self.at += 1_000
        return datetime.fromtimestamp(1_795_420_800 + self.at / 1e6, UTC)


def life_of(trail, key, compiled):
    """Starts, statements and stops of a log over several segments, the batches being those that were flushed."""
    ticks = Ticks()
    for turn in range(3):
        log = FileLog.open(
            trail,
            origin=ORIGIN,
            key=key,
            clock=ticks,
            entropy=ticks.chance.randbytes,
            segment_bytes=SEGMENT,
            reserve_bytes=0,
            interval_s=30.0,
            compiled=compiled,
        )
        for i in range(60):
            names = {"session": f"S{turn}", "statement": f"Q{i}"}
            log.append({"kind": "statement.begin", "sql": "x" * (i * 211 % 9_000), "window_rows": 5, **names})
            log.flush()
            if i % 7:
                log.append({"kind": "statement.end", "rows": i, **names})
                log.flush()
        log.close()


def test_two_lives_of_a_log_leave_the_same_files(native, monkeypatch, tmp_path):
    monkeypatch.setattr(writer_module, "CompiledCore", native.Core, raising=False)
    key = Signer.generate(ORIGIN)
    files = []
    for compiled in (True, False):
        trail = tmp_path / f"trail-{compiled}"
        life_of(trail, key, compiled)
        report = verify_log(trail, key.verifier.text)
        assert report.ok, report.problems
        files.append({path.relative_to(trail): path.read_bytes() for path in trail.rglob("*") if path.is_file()})
    assert files[0] == files[1]
    assert len([path for path in files[0] if path.suffix == ".log"]) > 2


def test_on_a_loop_many_waiters_each_hear_of_their_record_once_it_is_on_disk(compiled, tmp_path):
    trail, key, order = tmp_path / "trail", Signer.generate(ORIGIN), []
    followed = []

    async def one(log, number):
        for turn in range(20):
            loop = asyncio.get_running_loop()
            heard = loop.create_future()
            log.append({"kind": "login", "login": f"l{number}.{turn}"}).add_done_callback(heard.set_result)
            receipt = await asyncio.wait_for(heard, 10)
            assert receipt.durable
            assert receipt.index < log.durable_size
            order.append(receipt.index)

    async def scene():
        loop = asyncio.get_running_loop()
        log = FileLog.open(
            trail, origin=ORIGIN, key=key, clock=lambda: datetime.now(UTC), loop=loop, reserve_bytes=0,
            segment_bytes=SEGMENT, compiled=compiled,
        )  # fmt: skip
        log.subscribe(lambda record: followed.append(record["index"]))
        await asyncio.gather(*(one(log, number) for number in range(40)))
        await asyncio.to_thread(log.close)

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(scene())
    assert len(os.listdir("/proc/self/fd")) == before
    assert sorted(order) == list(range(1, 801))
    assert order == sorted(order)
    assert followed == list(range(802))
    assert verify_log(trail, key.verifier.text).ok


def test_a_log_that_fails_tells_each_waiter_so_and_takes_no_more(compiled, tmp_path):
    """The file is closed under the writer: what was durable stays so, everything else fails."""
    trail, key, outcomes = tmp_path / "trail", Signer.generate(ORIGIN), []

    async def scene():
        loop = asyncio.get_running_loop()
        failed = loop.create_future()
        log = FileLog.open(
            trail, origin=ORIGIN, key=key, clock=lambda: datetime.now(UTC), loop=loop, reserve_bytes=0,
            segment_bytes=SEGMENT, compiled=compiled, on_failure=failed.set_result,
        )  # fmt: skip
        good = log.append({"kind": "login", "login": "alice"})
        log.flush()
        path = segments_of(trail)[-1][1]
        read_only = os.open(path, os.O_RDONLY)
        for descriptor in (log._writer._fd, log._writer._direct):
            if descriptor >= 0:
                os.dup2(read_only, descriptor)
        os.close(read_only)
        for i in range(5):
            receipt = log.append({"kind": "login", "login": f"l{i}"})
            receipt.add_done_callback(lambda receipt: outcomes.append((receipt.durable, receipt.failed)))
        error = await asyncio.wait_for(failed, 5)
        assert error.errno == errno.EBADF
        assert good.durable
        assert not log.writable
        with pytest.raises(GatewayError) as caught:
            log.append({"kind": "login", "login": "mallory"})
        assert caught.value.code == "audit-not-writable"
        log.close()

    asyncio.run(scene())
    assert outcomes == [(False, True)] * 5
    assert len(leaves_of(trail)) == 2
    log = FileLog.open(trail, origin=ORIGIN, key=key, clock=lambda: datetime.now(UTC), reserve_bytes=0,
                       segment_bytes=SEGMENT)  # fmt: skip
    log.close()
    assert verify_log(trail, key.verifier.text).ok


def test_a_loop_that_is_gone_does_not_keep_the_log_from_closing(compiled, tmp_path):
    trail, key, heard, logs = tmp_path / "trail", Signer.generate(ORIGIN), [], []

    async def scene():
        logs.append(
            FileLog.open(
                trail, origin=ORIGIN, key=key, clock=lambda: datetime.now(UTC), loop=asyncio.get_running_loop(),
                reserve_bytes=0, segment_bytes=SEGMENT, compiled=compiled,
            )
        )  # fmt: skip
        logs[0].append({"kind": "login", "login": "alice"}).add_done_callback(heard.append)

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(scene())
    logs[0].close()
    assert [receipt.durable for receipt in heard] == [True]
    assert len(os.listdir("/proc/self/fd")) == before
    assert verify_log(trail, key.verifier.text).ok


def test_a_disk_of_ones_own_gets_the_python_core(tmp_path):
    class OwnDisk(Disk):
        pass

    def core_for(disk, compiled=None):
        writer = Writer(tmp_path, ORIGIN, disk, SEGMENT, -1, lambda: None, lambda error: None, compiled)
        return type(writer._core)

    assert core_for(OwnDisk()) is PythonCore
    assert core_for(Disk(), False) is PythonCore
    assert (core_for(Disk()) is PythonCore) is not writer_module.COMPILED


def leaves_of(trail):
    return [leaf for first, path in segments_of(trail) for batch in read_batches(path, first) for leaf in batch.leaves]


def wait_until(condition, timeout_s=5.0):
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True
