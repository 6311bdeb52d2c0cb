"""Pruning, compressing and archiving broken off at every operation: killed, failing, on a full disk.

Whatever was the last operation, the next start finds a trail that verifies, and that begins where a signed record says.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from test_audit_syscalls import SOAKING, Failing, Interposed, Killing

from gateway.audit.ageing import freeze, plan, to_freeze
from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.audit.pruning import (
    keep_pruning,
    kept_pruning,
    leaf_of_record,
    minimum_of,
    pruning_record,
    remove_pruned,
)
from gateway.audit.search import Query, Search
from gateway.audit.segment import Damaged, Disk, segments_of
from gateway.audit.verify import verify_log
from gateway.errors import GatewayError

pytestmark = pytest.mark.faults

ORIGIN = "gateway.example/ageing"
LATER = datetime.now(UTC) + timedelta(days=400)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def key():
    return Signer.generate(ORIGIN)


def open_log(trail, key):
    return FileLog.open(
        trail, origin=ORIGIN, key=key, clock=lambda: datetime.now(UTC), segment_bytes=256 << 10, reserve_bytes=0,
        interval_s=30.0, compiled=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def grown(key, tmp_path_factory):
    """A closed trail of five segments, of which a signed record lets three go; and that record's index."""
    trail = tmp_path_factory.mktemp("grown") / "trail"
    log = open_log(trail, key)
    for number in range(2100):
        log.append({"kind": "statement.begin", "session": "S", "statement": f"Q{number}", "sql": "x" * 150})
        log.append({"kind": "statement.end", "session": "S", "statement": f"Q{number}"})
        if number % 100 == 99:
            # A segment turns between two batches only: were all of this one batch, it would be one segment.
            log.flush()
    log.checkpoint()
    segments = segments_of(trail)
    assert len(segments) >= 5
    assert plan(trail, log.signed_size, LATER, DAY, lambda _: "").to >= segments[3][0]
    index = log.append(pruning_record(trail, log.signed_size, segments[3][0], LATER, "rule")).index
    log.flush()
    head = log.checkpoint()
    log.close()
    return trail, index, head


def prune(trail, index, head):
    remove_pruned(trail, keep_pruning(trail, leaf_of_record(trail, index), head, Disk()), Disk())


def compress(trail, _index, _head):
    for one in to_freeze(trail, LATER, DAY):
        freeze(one.path, Disk())


def good(trail, key, to):
    """The trail as it lies, and after the next start, verifies; it begins nowhere but where it may."""
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    assert report.first in (*to, 0)
    kept = kept_pruning(trail, ORIGIN)
    log = open_log(trail, key)
    assert segments_of(trail)[0][0] == (0 if kept is None else kept.to)
    log.close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    search = Search(trail, key.verifier, database=trail.with_name("index.sqlite"))
    assert search.count(Query()) == report.signed_size - report.first
    search.close()
    for path in trail.parent.glob("index.sqlite*"):
        path.unlink()


def some(count):
    """Every operation when soaking, else a sample."""
    every = range(1, count + 1)
    return every if SOAKING else sorted(random.sample(every, min(count, 10)))


def operations(grown, work, tmp_path):
    trail = tmp_path / "counted"
    shutil.copytree(grown[0], trail)
    with Interposed() as disk:
        work(trail, *grown[1:])
    shutil.rmtree(trail)
    return disk.count


@pytest.mark.parametrize("work", [prune, compress])
@pytest.mark.parametrize("done", [False, True])
def test_whichever_operation_is_the_last_before_a_kill_the_trail_is_whole(grown, key, tmp_path, work, done):
    firsts = [first for first, _ in segments_of(grown[0])][:4]
    count = operations(grown, work, tmp_path)
    assert count > 10
    for at in some(count):
        trail = tmp_path / f"trail{at}"
        shutil.copytree(grown[0], trail)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException), Killing(at, done=done):
                work(trail, *grown[1:])
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), at
        good(trail, key, firsts)
        work(trail, *grown[1:])
        good(trail, key, firsts)
        shutil.rmtree(trail)


@pytest.mark.parametrize("work", [prune, compress])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("done", [False, True])
def test_whichever_operation_fails_the_trail_is_whole(grown, key, tmp_path, work, error, done):
    firsts = [first for first, _ in segments_of(grown[0])][:4]
    failed = 0
    for at in some(operations(grown, work, tmp_path)):
        trail = tmp_path / f"trail{at}"
        shutil.copytree(grown[0], trail)
        with Failing(at, error, done=done):
            try:
                work(trail, *grown[1:])
            except (OSError, Damaged, GatewayError):
                failed += 1
        good(trail, key, firsts)
        shutil.rmtree(trail)
    assert failed > 3


def test_a_flipped_byte_in_what_says_what_was_pruned_stops_the_start(grown, key, tmp_path):
    trail = tmp_path / "trail"
    shutil.copytree(grown[0], trail)
    prune(trail, *grown[1:])
    data = (trail / "pruned").read_bytes()
    assert minimum_of(trail, ORIGIN) > 0
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        (trail / "pruned").write_bytes(changed)
        assert not verify_log(trail, key.verifier.text).ok, at
        with pytest.raises(GatewayError):
            open_log(trail, key)
    (trail / "pruned").write_bytes(data)
    good(trail, key, [minimum_of(trail, ORIGIN)])


def test_readers_go_on_while_segments_turn_cold_and_go(key, grown, tmp_path):
    trail = tmp_path / "trail"
    shutil.copytree(grown[0], trail)
    search = Search(trail, key.verifier, database=tmp_path / "index.sqlite")
    total = search.count(Query())
    for one in to_freeze(trail, LATER, DAY):
        wanted = search.show(one.first)
        freeze(one.path, Disk())
        assert search.show(one.first) == wanted
        assert search.count(Query()) == total
    pruning = keep_pruning(trail, leaf_of_record(trail, grown[1]), grown[2], Disk())
    search.renew()
    assert search.show(pruning.to)["index"] == pruning.to
    remove_pruned(trail, pruning, Disk())
    assert search.count(Query()) == total - pruning.to
    search.close()
