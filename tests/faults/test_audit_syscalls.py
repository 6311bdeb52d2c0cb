"""Each single file operation of the trail's writer fails, fails although it was done, or is the last one before a kill;
and a disk that loses any sectors and names that were not flushed.

The operations are those of `os`, interposed; the compiled writer's own are tried in `test_audit_writer.py` with strace.
The life that is tried has two starts, two segments, checkpoints, and a change of the signing key. By default a sample
is tried; `make soak` (`SOAK_S`) tries every operation in every way.
"""

import contextlib
import errno
import functools
import itertools
import os
import random
import re
import secrets
import shutil
import signal
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.audit import segment
from gateway.audit.checkpoint import Signer
from gateway.audit.encode import record_of
from gateway.audit.log import FileLog
from gateway.audit.segment import read_batches, segments_of
from gateway.audit.verify import verify_log
from gateway.errors import GatewayError

pytestmark = pytest.mark.faults

ORIGIN = "gateway.example/faults"
OLD, NEW = Signer.generate(ORIGIN), Signer.generate(ORIGIN)
NAMES = ("open", "pwrite", "fdatasync", "fsync", "rename", "replace", "unlink", "ftruncate", "posix_fallocate", "mkdir")
SOAKING = "SOAK_S" in os.environ
SOAK_S = float(os.environ.get("SOAK_S", "12"))
SECTOR = 512


class Interposed:
    """Stands between the log and `os` while it is entered, and counts."""

    def __init__(self):
        self.count, self.mutex = 0, threading.RLock()

    def __enter__(self):
        self.real = {name: getattr(os, name) for name in NAMES}
        for name in NAMES:
            setattr(os, name, self.wrapped(name))
        return self

    def __exit__(self, *_):
        for name, function in self.real.items():
            setattr(os, name, function)

    def wrapped(self, name):
        def call(*arguments, **named):
            with self.mutex:
                self.count += 1
                return self.call(name, arguments, named)

        return call

    def call(self, name, arguments, named):
        return self.real[name](*arguments, **named)


class Failing(Interposed):
    """The operation `at` fails, `done` or not; so do all that follow, unless it is for want of space for a moment."""

    def __init__(self, at, error, *, done):
        super().__init__()
        self.at, self.error, self.done = at, error, done

    def call(self, name, arguments, named):
        fails = self.count == self.at if self.error == errno.ENOSPC else self.count >= self.at
        if not fails or name == "unlink":
            return super().call(name, arguments, named)
        if self.done:
            result = super().call(name, arguments, named)
            if name == "open":
                os.close(result)
        raise OSError(self.error, os.strerror(self.error))


class Killing(Interposed):
    """The process is killed at the operation `at`, `done` or not."""

    def __init__(self, at, *, done):
        super().__init__()
        self.at, self.done = at, done

    def call(self, name, arguments, named):
        if self.count != self.at:
            return super().call(name, arguments, named)
        if self.done:
            # a file that was not there to be removed is an end, too
            with contextlib.suppress(OSError):
                super().call(name, arguments, named)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


class LosingDisk(Failing):
    """Remembers what was flushed and what was not; `crashed` makes a directory as a loss of power could leave it."""

    def __init__(self, at, root):
        super().__init__(at, errno.EIO, done=False)
        self.root = root
        self.durable, self.pending = {}, {}
        self.names, self.moves = {}, []

    def call(self, name, arguments, named):
        inode = None
        if name in ("pwrite", "fdatasync", "fsync", "ftruncate", "posix_fallocate"):
            inode = os.fstat(arguments[0]).st_ino
        existed = name != "open" or os.path.exists(arguments[0])
        result = super().call(name, arguments, named)
        if name == "open" and arguments[1] & os.O_CREAT:
            inode = os.fstat(result).st_ino
            if not existed:
                # the file system may give the number of a file that is gone to a new one
                self.durable[inode], self.pending[inode] = b"", []
                self.moves.append(("create", str(arguments[0]), inode))
            elif arguments[1] & os.O_TRUNC:
                self.pending[inode].append(("size", 0))
        elif name == "pwrite":
            self.pending[inode].append(("data", arguments[2], bytes(arguments[1])[:result]))
        elif name == "ftruncate":
            self.pending[inode].append(("size", arguments[1]))
        elif name == "posix_fallocate":
            self.pending[inode].append(("grow", arguments[1] + arguments[2]))
        elif name in ("fdatasync", "fsync"):
            self.flush(arguments[0], inode)
        elif name in ("rename", "replace"):
            self.moves.append(("move", str(arguments[0]), str(arguments[1])))
        elif name == "unlink":
            self.moves.append(("unlink", str(arguments[0])))
        return result

    def flush(self, descriptor, inode):
        if inode in self.pending:
            self.durable[inode] = self.applied(inode, lambda: True)
            self.pending[inode] = []
            return
        folder = os.readlink(f"/proc/self/fd/{descriptor}")
        for move in [move for move in self.moves if os.path.dirname(move[1]) == folder]:
            self.rename(self.names, move)
            self.moves.remove(move)

    def applied(self, inode, keeps):
        content = bytearray(self.durable[inode])
        for kind, *what in self.pending[inode]:
            if kind == "data":
                offset, data = what
                at = 0
                while at < len(data):
                    end = min(len(data), at + SECTOR - (offset + at) % SECTOR)
                    if keeps():
                        content.extend(bytes(max(0, offset + end - len(content))))
                        content[offset + at : offset + end] = data[at:end]
                    at = end
            elif keeps():
                size = what[0] if kind == "size" else max(what[0], len(content))
                content = bytearray(bytes(content[:size]).ljust(size, b"\0"))
        return bytes(content)

    @staticmethod
    def rename(names, move):
        if move[0] == "create":
            names[move[1]] = move[2]
        elif move[0] == "unlink":
            names.pop(move[1], None)
        elif move[1] in names:
            names[move[2]] = names.pop(move[1])

    def crashed(self, place, chance):
        names, left = dict(self.names), {}
        for move in self.moves:
            left.setdefault(os.path.dirname(move[1]), []).append(move)
        for moves in left.values():
            # names come back in the order in which they were made: any beginning of it
            for move in moves[: chance.randrange(len(moves) + 1)]:
                self.rename(names, move)
        kept = chance.choice((0.0, 0.5, 0.9, 1.0))
        for name, inode in names.items():
            path = place / os.path.relpath(name, self.root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.applied(inode, lambda: chance.random() < kept))


def now():
    return datetime.now(UTC)


def open_log(trail, key, **options):
    options = {"segment_bytes": 256 << 10, "reserve_bytes": 0, "interval_s": 30.0, "compiled": False} | options
    return FileLog.open(trail, origin=ORIGIN, key=key, clock=now, **options)


def life(trail, acknowledge):
    """Tells which records turned durable, as they do."""
    for key, next_key, count in ((OLD, None, 12), (OLD, NEW, 12)):
        log = open_log(trail, key, next_key=next_key)
        try:
            for i in range(count):
                begin = {
                    "kind": "statement.begin",
                    "session": "S",
                    "statement": f"Q{i}",
                    "sql": os.urandom(7_000).hex(),
                }
                with contextlib.suppress(GatewayError):
                    receipt = log.append(begin)
                    log.flush()
                    acknowledge(receipt.index)
                if i % 5 == 4:
                    with contextlib.suppress(GatewayError):
                        log.checkpoint()
        finally:
            log.close()


def report(descriptor, index):
    os.write(descriptor, b"%d\n" % index)


def check(trail, acknowledged, what):
    """A later start mends what there is to mend; nothing acknowledged is missing, and the trail verifies."""
    log = open_log(trail, OLD, next_key=NEW)
    log.append({"kind": "login", "login": "after"})
    log.close()
    for key in (OLD, NEW):
        found = verify_log(trail, key.verifier.text)
        assert found.ok, (what, found.problems)
        assert found.size == found.signed_size, what
    records = [
        record_of(leaf)
        for first, path in segments_of(trail)
        for batch in read_batches(path, first)
        for leaf in batch.leaves
    ]
    assert all(records[index]["kind"] == "statement.begin" for index in acknowledged), what
    assert [record["kind"] for record in records].count("log.rotation") == 1, what


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    """How many operations a healthy life has."""
    acknowledged, place = [], tmp_path_factory.mktemp("healthy") / "trail"
    with Interposed() as healthy:
        life(place, acknowledged.append)
    assert len(acknowledged) == 24
    assert len(segments_of(place)) == 2
    check(place, acknowledged, "healthy")
    assert healthy.count > 150
    return healthy.count


def turns(operations, ways):
    """Every operation in every way when soaking, else as many as there is time for, none twice."""
    chance = random.Random(secrets.randbits(64))
    cases = [(at, way) for at in range(1, operations + 1) for way in ways]
    chance.shuffle(cases)
    end = time.monotonic() + SOAK_S
    for number, case in enumerate(cases):
        if not SOAKING and time.monotonic() > end and number >= 20:
            return
        yield case


def tell(capsys, what, number, operations):
    with capsys.disabled():
        print(f"\n{what}: {number} of {operations} operations and ways")


def test_whichever_operation_fails_nothing_acknowledged_is_lost(tmp_path, operations, capsys):
    ways = [(error, done) for error in (errno.EIO, errno.ENOSPC) for done in (False, True)]
    number = 0
    for number, (at, (error, done)) in enumerate(turns(operations, ways), 1):
        trail, acknowledged = tmp_path / str(number), []
        with Failing(at, error, done=done), contextlib.suppress(GatewayError):
            life(trail, acknowledged.append)
        check(trail, acknowledged, (at, errno.errorcode[error], "done" if done else "not done"))
        shutil.rmtree(trail)
    tell(capsys, "an operation failed", number, operations * len(ways))


def test_whichever_operation_is_the_last_before_a_kill_nothing_acknowledged_is_lost(tmp_path, operations, capsys):
    number = 0
    for number, (at, done) in enumerate(turns(operations, [False, True]), 1):
        trail = tmp_path / str(number)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with Killing(at, done=done):
                    life(trail, functools.partial(report, writer))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as told:
            acknowledged = [int(line) for line in told.read().split()]
        _, status = os.waitpid(child, 0)
        if at <= operations - 5:
            assert os.WIFSIGNALED(status), at
        check(trail, acknowledged, (at, "done" if done else "not done"))
        shutil.rmtree(trail)
    tell(capsys, "killed at an operation", number, operations * 2)


def test_a_disk_may_lose_any_sectors_and_names_that_were_not_flushed(tmp_path, operations, capsys):
    chance = random.Random(secrets.randbits(64))
    number = crashes = 0
    for number, (at, _) in enumerate(turns(operations, range(3 if SOAKING else 1)), 1):
        trail, acknowledged = tmp_path / str(number), []
        with LosingDisk(at, trail) as disk, contextlib.suppress(GatewayError):
            life(trail, acknowledged.append)
        for _ in range(6):
            seed = chance.randrange(2**32)
            crashed = tmp_path / f"{number}-{seed}"
            disk.crashed(crashed, random.Random(seed))
            if acknowledged or (crashed / "segments").exists():
                check(crashed, acknowledged, (at, seed))
            shutil.rmtree(crashed, ignore_errors=True)
            crashes += 1
        shutil.rmtree(trail, ignore_errors=True)
    tell(capsys, f"power lost {crashes} times", number, operations)


def test_a_write_around_the_page_cache_may_lose_any_of_its_sectors(tmp_path):
    """The compiled writer's batches: whole blocks, the first of which has committed bytes in it already."""
    trail, chance = tmp_path / "trail", random.Random(1423)
    log = open_log(trail, OLD, compiled=None)
    _, path = segments_of(trail)[0]
    images = [path.read_bytes()]
    for _ in range(30):
        for _ in range(chance.randrange(1, 4)):
            log.append({"kind": "login", "login": "l", "reason": os.urandom(chance.randrange(1, 2_000)).hex()})
        log.flush()
        images.append(path.read_bytes())
    log.close()
    copy, torn_batches = tmp_path / "copy", 0
    for before, after in itertools.pairwise(images):
        had, has = sizes(copy, before), sizes(copy, after)
        assert len(has) > len(had)
        changed = [at for at in range(0, len(after), SECTOR) if before[at : at + SECTOR] != after[at : at + SECTOR]]
        for _ in range(40):
            torn = bytearray(before)
            kept = chance.choice((0.1, 0.5, 0.9))
            for at in changed:
                if chance.random() < kept:
                    torn[at : at + SECTOR] = after[at : at + SECTOR]
            found = sizes(copy, torn)
            assert found in (had, has[: len(found)]), "what was committed is there, and nothing that was not written"
            assert len(found) >= len(had)
            torn_batches += len(found) < len(has)
    assert torn_batches > 200


def sizes(copy, content):
    copy.write_bytes(content)
    return [batch.size for batch in read_batches(copy, 0)]


def test_no_operation_of_the_writer_goes_past_what_is_interposed():
    harmless = {"close", "fstat", "statvfs", "posix_fadvise", "eventfd", "eventfd_read", "eventfd_write", "urandom"}
    harmless |= {"strerror", "link", "walk", "cpu_count", "getpid"}
    for path in Path(segment.__file__).parent.glob("*.py"):
        used = set(re.findall(r"\bos\.([a-z_]+)\(", path.read_text()))
        assert used <= {*NAMES, *harmless}, path.name
