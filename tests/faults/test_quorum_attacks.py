"""Found by attacking the quorum: ways to have acknowledged what no quorum has, or to lose the copy."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quorum_servers import ROLE, Cluster, Proxy, cluster, until
from test_quorum import refused, shared, trails

from gateway.audit.checkpoint import create_signer, head_of, signers_of
from gateway.audit.restore import restore
from gateway.audit.segment import Disk
from gateway.audit.verify import verify_log

__all__ = ["shared", "trails"]
pytestmark = [pytest.mark.faults, pytest.mark.live]

WAITS = "select pid from pg_stat_activity where wait_event = 'SyncRep' and usename = %s"
WRITER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
from test_quorum import Trail
from gateway.audit.checkpoint import load_signer
from gateway.audit_settings import Replica
key = load_signer(Path(sys.argv[2]))
trail = Trail(Path(sys.argv[1]), Replica.model_validate_json(sys.argv[3]), key.verifier.name, key)
print("open", flush=True)
while True:
    for receipt in trail.append(20):
        receipt.add_done_callback(lambda one: one.durable and print(one.index, flush=True))
    trail.log.flush()
"""


@pytest.fixture
def servers() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def head(servers: Cluster, origin: str) -> Any:
    found = servers.a.sql(
        "select size, note from gateway_audit.heads where origin = %s", origin, database="gateway_audit"
    )
    return found[0]


def test_a_kill_at_any_moment_leaves_a_log_that_starts(shared: Cluster, trails: Any, tmp_path: Path) -> None:
    """The copy must not be ahead of the disk, or the start takes an ordinary crash for a lost disk."""
    origin = f"test.example/{tmp_path.name}"
    path = tmp_path / "audit.key"
    key = create_signer(path, origin)
    replica = shared.replica(shared.a.port)
    secret = replica.model_dump(mode="json") | {"password": {"file": str(shared.directory / "role.password")}}
    arguments = [str(tmp_path / "killed"), str(path), json.dumps(secret), str(Path(__file__).parent)]
    acknowledged: set[int] = set()
    for round_ in range(int(os.environ.get("SOAK_KILLS", "8"))):
        command = [sys.executable, "-c", WRITER, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(0.1 + 0.037 * round_)
            process.kill()
            lines = process.stdout.read().splitlines(keepends=True)
        assert first == "open\n", f"round {round_} does not start"
        acknowledged |= {int(line) for line in lines if line.endswith("\n")}
    assert acknowledged
    trail = trails(replica, "killed", origin, key)
    trail.acknowledged |= acknowledged
    trail.log.flush()
    trail.check(shared, shared.a)
    assert len(shared.leaves(shared.a, origin)) == trail.log.size


def test_the_copy_has_nothing_that_the_disk_has_not(
    shared: Cluster, trails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    write = Disk.write

    def stuck(self: Disk, *arguments: Any) -> None:
        if slow.is_set():
            time.sleep(1.5)
        write(self, *arguments)

    monkeypatch.setattr(Disk, "write", stuck)
    monkeypatch.setattr("gateway.audit.writer.COMPILED", False)
    trail = trails(shared.replica())
    size = trail.log.size
    slow.set()
    receipts = trail.append(5)
    time.sleep(0.7)
    assert head(shared, trail.origin)[0] == size
    assert not any(one.durable for one in receipts)
    slow.clear()
    trail.log.flush()
    assert head(shared, trail.origin)[0] == size + 5


def test_a_wait_is_cancelled_where_warnings_are_not_sent(servers: Cluster, trails: Any) -> None:
    servers.a.sql(f"alter role {ROLE} set client_min_messages = error", database="postgres")
    trail = trails(servers.replica(servers.a.port, deadline=4.0))
    trail.append(3)
    trail.log.flush()
    servers.b.freeze()
    servers.c.freeze()
    receipts = trail.append(5)
    until(lambda: servers.a.sql(WAITS, ROLE, database="postgres"))
    for (pid,) in servers.a.sql(WAITS, ROLE, database="postgres"):
        servers.a.sql("select pg_cancel_backend(%s)", pid, database="postgres")
    until(lambda: not trail.log.writable)
    assert all(one.failed for one in receipts)


def test_a_setting_is_taken_away_and_put_back_during_one_commit(servers: Cluster, trails: Any) -> None:
    proxy = Proxy(servers.a.port)
    trail = trails(servers.replica(proxy.port, deadline=12.0))
    trail.append(3)
    trail.log.flush()
    time.sleep(1.5)
    servers.b.freeze()
    servers.c.freeze()
    receipts = trail.append(5)
    until(lambda: servers.a.sql(WAITS, ROLE, database="postgres"))
    proxy.blocked = True
    servers.a.set(synchronous_standby_names="")
    until(lambda: not servers.a.sql(WAITS, ROLE, database="postgres"))
    servers.a.set(synchronous_standby_names="ANY 1 (b, c)")
    proxy.blocked = False
    until(lambda: not trail.log.writable)
    assert all(one.failed for one in receipts)
    proxy.close()


def test_a_thousand_open_files_do_not_end_the_log(shared: Cluster, trails: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        trail = trails(shared.replica(shared.a.port, deadline=8.0))
        ours = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = %s"
        shared.a.sql(ours, ROLE, database="postgres")
        receipts = trail.append(3)
        trail.log.flush()
        assert all(one.durable for one in receipts)
        trail.close()
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_busy_log_has_its_signed_heads_beside_the_copy(shared: Cluster, trails: Any) -> None:
    trail = trails(shared.replica())
    end = time.monotonic() + 4
    while time.monotonic() < end:
        trail.append(2)
        trail.log.flush()
        time.sleep(0.02)
    size, note = head(shared, trail.origin)
    text, _ = signers_of(note, (trail.key.verifier,))
    assert head_of(text, trail.origin).size > size / 4
    trail.close()
    size, note = head(shared, trail.origin)
    text, _ = signers_of(note, (trail.key.verifier,))
    assert head_of(text, trail.origin).size == size == trail.log.size


def test_a_signed_head_is_not_replaced_by_an_older_one(shared: Cluster, trails: Any) -> None:
    trail = trails(shared.replica())
    trail.append(3)
    trail.close()
    before = head(shared, trail.origin)
    shared.a.sql("select gateway_audit.sign(%s, 1, 'older')", trail.origin, database="gateway_audit")
    shared.a.sql("select gateway_audit.sign(%s, 10000, 'beyond')", trail.origin, database="gateway_audit")
    assert head(shared, trail.origin) == before


def test_what_is_restored_is_the_longest_copy(servers: Cluster, trails: Any, tmp_path: Path) -> None:
    """A standby that was behind is asked first."""
    trail = trails(servers.replica())
    trail.append(30)
    trail.log.flush()
    until(lambda: len(servers.leaves(servers.c, trail.origin)) == trail.log.size)
    servers.c.sql("select pg_wal_replay_pause()", database="postgres")
    trail.append(30)
    trail.close()
    order = servers.replica(servers.c.port, servers.a.port)
    place = tmp_path / "again"
    assert restore(place, order, trail.origin, (trail.key.verifier,), 256 << 10) == trail.log.size
    report = verify_log(place, trail.key.verifier.text)
    assert report.ok, report.problems


def test_a_restore_that_failed_leaves_nothing_and_can_be_tried_again(
    shared: Cluster, trails: Any, tmp_path: Path
) -> None:
    trail = trails(shared.replica())
    for _ in range(3):
        trail.append(10)
        trail.log.flush()
    trail.close()
    ((first, leaves),) = shared.a.sql(
        "select first, leaves from gateway_audit.batches where origin = %s order by first desc limit 1",
        trail.origin, database="gateway_audit",
    )  # fmt: skip
    change = "update gateway_audit.batches set leaves = %s where origin = %s and first = %s"
    shared.a.sql(change, b"\0\0\0\1x", trail.origin, first, database="gateway_audit")
    place, replica = tmp_path / "again", shared.replica(shared.a.port)
    again = lambda: restore(place, replica, trail.origin, (trail.key.verifier,), 256 << 10)  # noqa: E731
    assert refused(again) == "audit-damaged"
    assert list(tmp_path.glob("again*")) == []
    shared.a.sql(change, leaves, trail.origin, first, database="gateway_audit")
    assert again() == trail.log.size
    shutil.rmtree(trail.directory)
    shutil.move(place, trail.directory)
    trail.log = trail.open()
    trail.append(3)
    trail.log.flush()
    trail.check(shared, shared.a)
