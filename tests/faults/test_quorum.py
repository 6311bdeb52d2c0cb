"""A trail that a quorum of three servers acknowledges, and everything that can befall servers, networks and disks.

After each fault: what was acknowledged is on the servers that are left, the copy and the local log agree, both verify.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quorum_servers import ROLE, Cluster, Node, Proxy, cluster, until

from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.audit.restore import restore
from gateway.audit.segment import read_batches, segments_of
from gateway.audit.verify import verify_log
from gateway.audit_settings import Replica
from gateway.errors import GatewayError
from gateway.record import event

pytestmark = [pytest.mark.faults, pytest.mark.live]

DEADLINE_S = 3.0


@pytest.fixture
def servers() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """Servers for tests that leave them as they were."""
    with cluster() as made:
        yield made


class Trail:
    """A log with a copy, and what it acknowledged."""

    def __init__(self, directory: Path, replica: Replica | None, origin: str, key: Signer | None = None) -> None:
        self.directory, self.replica, self.origin = directory, replica, origin
        self.key = key or Signer.generate(origin)
        self.acknowledged: set[int] = set()
        self.failed = 0
        self.log = self.open()

    def open(self, loop: asyncio.AbstractEventLoop | None = None) -> FileLog:
        return FileLog.open(
            self.directory, origin=self.origin, key=self.key, clock=lambda: datetime.now(UTC), segment_bytes=256 << 10,
            reserve_bytes=0, interval_s=0.2, replica=self.replica, loop=loop,
        )  # fmt: skip

    def append(self, count: int = 1, **fields: Any) -> list[Any]:
        receipts = []
        for number in range(count):
            sql = f"select {number} -- {'x' * 200}"
            receipt = self.log.append(
                event("statement.begin", session="s", statement=f"q{self.log.size}", sql=sql, **fields)
            )
            receipt.add_done_callback(self._done)
            receipts.append(receipt)
        return receipts

    def _done(self, receipt: Any) -> None:
        if receipt.durable:
            self.acknowledged.add(receipt.index)
        else:
            self.failed += 1

    def local(self) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for first, path in segments_of(self.directory):
            for batch in read_batches(path, first):
                found |= dict(enumerate(batch.leaves, batch.first))
        return found

    def check(self, servers: Cluster, *nodes: Node) -> None:
        """Nothing acknowledged is missing anywhere, nothing differs, and the local log verifies."""
        local = self.local()
        for node in nodes:
            copy = servers.leaves(node, self.origin)
            assert self.acknowledged - copy.keys() == set()
            # the copy lets whole batches go, so it may have some records more at the beginning
            assert {index for index, leaf in copy.items() if index >= min(local) and local.get(index) != leaf} == set()
        report = verify_log(self.directory, self.key.verifier.text)
        assert report.ok, report.problems

    def close(self) -> None:
        self.log.close()


@pytest.fixture
def trails(tmp_path: Path) -> Iterator[Any]:
    made: list[Trail] = []

    def make(replica: Replica | None, name: str = "audit", origin: str = "", key: Signer | None = None) -> Trail:
        trail = Trail(tmp_path / name, replica, origin or f"test.example/{tmp_path.name}", key)
        made.append(trail)
        return trail

    yield make
    for trail in made:
        trail.close()


def refused(make: Any) -> str:
    with pytest.raises(GatewayError) as error:
        make()
    return str(error.value.code)


def test_what_is_acknowledged_is_on_the_servers(shared: Cluster, trails: Any) -> None:
    trail = trails(shared.replica())
    trail.append(3_000)
    trail.log.flush()
    assert len(trail.acknowledged) == 3_000
    assert trail.log.waiting_for_quorum == 0
    trail.check(shared, shared.a)
    trail.log.checkpoint()
    assert trail.log.signed_size == trail.log.size
    trail.close()
    until(lambda: len(shared.leaves(shared.b, trail.origin)) == trail.log.size)
    trail.log = trail.open()
    trail.append(5)
    trail.log.flush()
    trail.check(shared, shared.a)


def test_one_server_killed_changes_nothing(servers: Cluster, trails: Any) -> None:
    trail = trails(servers.replica())
    trail.append(10)
    servers.b.kill()
    trail.append(200)
    trail.log.flush()
    trail.check(servers, servers.a, servers.c)


def test_two_frozen_acknowledge_nothing_and_work_is_refused(servers: Cluster, trails: Any) -> None:
    trail = trails(servers.replica(deadline=DEADLINE_S))
    trail.append(10)
    trail.log.flush()
    signed = trail.log.checkpoint().size
    servers.b.freeze()
    servers.c.freeze()
    begun = time.monotonic()
    receipts = trail.append(5)
    time.sleep(1)
    assert not any(one.durable for one in receipts)
    assert trail.log.durable_size == receipts[0].index
    until(lambda: not trail.log.writable)
    assert time.monotonic() - begun < DEADLINE_S + 3
    assert all(one.failed for one in receipts)
    assert refused(trail.append) == "audit-not-writable"
    assert trail.log.signed_size == signed
    trail.close()
    assert refused(trail.open) == "audit-not-writable"
    servers.b.thaw()
    servers.c.thaw()
    trail.log = trail.open()
    trail.append(5)
    trail.log.flush()
    trail.check(servers, servers.a)


def test_a_short_freeze_is_waited_out(servers: Cluster, trails: Any) -> None:
    trail = trails(servers.replica(deadline=8.0))
    trail.append(3)
    trail.log.flush()
    servers.b.freeze()
    servers.c.freeze()
    receipts = trail.append(5)
    time.sleep(5)
    assert not any(one.durable for one in receipts)
    servers.b.thaw()
    servers.c.thaw()
    trail.log.flush()
    assert all(one.durable for one in receipts)
    trail.append(5)
    trail.log.flush()
    trail.check(servers, servers.a)


def test_the_primary_killed_and_a_standby_promoted(servers: Cluster, trails: Any) -> None:
    trail = trails(servers.replica(deadline=15.0))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            trail.append(3)
            time.sleep(0.002)

    writing = threading.Thread(target=write)
    writing.start()
    time.sleep(0.5)
    servers.a.kill()
    # the standby that has more is the one to promote
    received = "select pg_last_wal_receive_lsn() - '0/0'::pg_lsn"
    behind = sorted((servers.b, servers.c), key=lambda node: node.sql(received, database="postgres"))
    other, best = behind
    best.promote()
    until(lambda: best.sql("select pg_is_in_recovery()", database="postgres") == [(False,)])
    other.stop()
    follow = best.dsn(database="postgres", application_name=other.name)
    other.start()
    other.set(primary_conninfo=follow.replace("'", "''"))
    best.set(synchronous_standby_names=f"ANY 1 ({other.name})")
    time.sleep(1)
    stop.set()
    writing.join()
    trail.log.flush(20)
    assert len(trail.acknowledged) == trail.log.size - 1
    trail.check(servers, best)


@pytest.mark.parametrize("side", ["reply", "request"])
def test_a_lost_answer_to_a_commit(shared: Cluster, trails: Any, side: str) -> None:
    """Kept, and the answer lost; or never sent: the writer cannot tell, and must find out."""
    proxy = Proxy(shared.a.port)
    trail = trails(shared.replica(proxy.port, deadline=8.0))
    trail.append(3)
    trail.log.flush()
    for _ in range(15):
        cuts = [1]

        def once(data: bytes, cuts: list[int] = cuts) -> bool:
            if cuts and (side == "reply" or b"gateway_audit.append" in data):
                cuts.pop()
                return True
            return False

        if side == "reply":
            proxy.cut = once
        else:
            proxy.cut_requests = once
        trail.append(7)
        trail.log.flush()
        assert cuts == []
    trail.check(shared, shared.a)
    assert len(shared.leaves(shared.a, trail.origin)) == trail.log.size
    trail.close()
    proxy.close()


def test_a_network_that_goes_away(shared: Cluster, trails: Any) -> None:
    proxy = Proxy(shared.a.port)
    trail = trails(shared.replica(proxy.port, deadline=DEADLINE_S))
    trail.append(3)
    trail.log.flush()
    proxy.blocked = True
    receipts = trail.append(5)
    until(lambda: not trail.log.writable)
    assert all(one.failed for one in receipts)
    trail.close()
    proxy.blocked = False
    proxy.hang_up()
    trail.log = trail.open()
    trail.log.flush()
    trail.check(shared, shared.a)
    trail.close()
    proxy.close()


def test_a_wait_that_is_cancelled_is_no_acknowledgement(servers: Cluster, trails: Any) -> None:
    trail = trails(servers.replica(servers.a.port, deadline=6.0))
    trail.append(3)
    trail.log.flush()
    servers.b.freeze()
    servers.c.freeze()
    receipts = trail.append(5)
    waits = "select pid from pg_stat_activity where wait_event = 'SyncRep' and usename = %s"
    until(lambda: servers.a.sql(waits, ROLE, database="postgres"))
    for (pid,) in servers.a.sql(waits, ROLE, database="postgres"):
        servers.a.sql("select pg_cancel_backend(%s)", pid, database="postgres")
    time.sleep(1)
    assert not any(one.durable for one in receipts)
    until(lambda: all(one.failed for one in receipts))
    servers.b.thaw()
    servers.c.thaw()
    trail.close()
    trail.log = trail.open()
    trail.log.flush()
    trail.check(servers, servers.a)


@pytest.mark.parametrize(
    "settings",
    [{"synchronous_standby_names": ""}, {"synchronous_commit": "local"}],
    ids=["nobody to wait for", "waiting switched off"],
)
def test_servers_that_would_not_wait_take_nothing(servers: Cluster, trails: Any, settings: dict[str, str]) -> None:
    if "synchronous_commit" in settings:
        servers.a.sql(f"alter role {ROLE} set synchronous_commit = local", database="postgres")
        assert refused(lambda: trails(servers.replica(deadline=2.0))) == "audit-not-writable"
        return
    trail = trails(servers.replica(servers.a.port, deadline=DEADLINE_S))
    trail.append(3)
    trail.log.flush()
    servers.a.set(**settings)
    receipts = trail.append(5)
    until(lambda: not trail.log.writable)
    assert all(one.failed for one in receipts)
    trail.close()
    assert refused(trail.open) == "audit-not-writable"
    servers.a.set(synchronous_standby_names="ANY 1 (b, c)")
    trail.log = trail.open()
    trail.log.flush()
    trail.check(servers, servers.a)


def test_a_second_writer_of_the_same_name_stops(shared: Cluster, trails: Any, tmp_path: Path) -> None:
    first = trails(shared.replica())
    first.append(3)
    first.log.flush()
    first.close()
    shutil.copytree(first.directory, tmp_path / "twin")
    one = first
    one.log = one.open()
    assert refused(lambda: trails(shared.replica(), "twin", first.origin, first.key)) == "audit-damaged"
    one.append(3)
    one.log.flush()
    one.check(shared, shared.a)


def test_the_copy_of_another_log_is_not_continued(shared: Cluster, trails: Any) -> None:
    first = trails(shared.replica())
    first.append(3)
    first.log.flush()
    first.close()
    other = lambda: trails(shared.replica(), "other", first.origin)  # noqa: E731
    assert refused(other) == "audit-damaged"


def test_a_writer_that_is_overtaken_stops(shared: Cluster, trails: Any) -> None:
    trail = trails(shared.replica())
    trail.append(3)
    trail.log.flush()
    shared.a.sql(
        "update gateway_audit.heads set root = 'x'::bytea where origin = %s", trail.origin, database="gateway_audit"
    )
    receipts = trail.append(3)
    until(lambda: all(one.failed for one in receipts))
    assert not trail.log.writable


def test_a_log_from_before_there_was_a_copy_is_copied(shared: Cluster, trails: Any) -> None:
    trail = trails(None)
    trail.append(4_000)
    trail.log.flush()
    trail.acknowledged.clear()
    trail.close()
    trail.replica = shared.replica()
    trail.log = trail.open()
    trail.append(5)
    trail.log.flush()
    trail.check(shared, shared.a)
    assert len(shared.leaves(shared.a, trail.origin)) == trail.log.size


def test_a_disk_that_was_lost_is_written_again(shared: Cluster, trails: Any, tmp_path: Path) -> None:
    trail = trails(shared.replica())
    for _ in range(6):
        trail.append(400)
        trail.log.flush()
    trail.log.checkpoint()
    time.sleep(6)
    trail.append(3)
    trail.log.flush()
    size = trail.log.size
    trail.close()
    size = trail.log.size
    trail.directory.rename(tmp_path / "lost")
    assert refused(trail.open) == "audit-damaged"
    shutil.rmtree(trail.directory)
    verifier = trail.key.verifier
    assert restore(trail.directory, trail.replica, trail.origin, (verifier,), 256 << 10) == size
    report = verify_log(trail.directory, verifier.text)
    assert report.ok, report.problems
    again = trail.local()
    assert trail.acknowledged - again.keys() == set()
    assert refused(lambda: restore(trail.directory, trail.replica, trail.origin, (verifier,), 256 << 10)) == (
        "configuration-invalid"
    )
    trail.log = trail.open()
    trail.append(5)
    trail.log.flush()
    trail.check(shared, shared.a)


@pytest.mark.parametrize(
    "forgery",
    [
        "update gateway_audit.batches set leaves = set_byte(leaves, 40, 0) where origin = %s and first = 0",
        "delete from gateway_audit.batches where origin = %s and first = 0",
        "update gateway_audit.heads set note = replace(note, 'test.example', 'text.example') where origin = %s",
        "update gateway_audit.heads set note = '' where origin = %s",
    ],
    ids=["a leaf edited", "a batch deleted", "a note edited", "no note"],
)
def test_a_forged_copy_is_not_restored(shared: Cluster, trails: Any, tmp_path: Path, forgery: str) -> None:
    trail = trails(shared.replica())
    trail.append(30)
    trail.log.flush()
    trail.log.checkpoint()
    time.sleep(6)
    trail.close()
    shared.a.sql(forgery, trail.origin, database="gateway_audit")
    place = tmp_path / "again"
    assert refused(
        lambda: restore(place, shared.replica(shared.a.port), trail.origin, (trail.key.verifier,), 256 << 10)
    ) in ("audit-damaged", "not-found")
    assert not (place / "checkpoint").exists()


def test_the_role_may_add_and_nothing_else(shared: Cluster) -> None:
    dsn = shared.a.dsn(database="gateway_audit")
    with psycopg.connect(dsn, user=ROLE, password="audit-copy-password", autocommit=True) as connection:
        for text in (
            "delete from gateway_audit.batches",
            "update gateway_audit.batches set leaves = ''",
            "insert into gateway_audit.batches values ('x', 0, 1, '', '')",
            "update gateway_audit.heads set size = 0",
            "truncate gateway_audit.heads cascade",
            "drop table gateway_audit.batches",
            "create table gateway_audit.mine (a int)",
        ):
            with pytest.raises(psycopg.Error) as error:
                connection.execute(text)
            assert error.value.sqlstate == "42501", text


def test_a_role_without_rights_is_told(shared: Cluster, trails: Any) -> None:
    shared.a.sql("create role nobody_in_particular login password 'x'", database="postgres")
    bare = shared.replica().model_copy(update={"user": "nobody_in_particular"})
    (shared.directory / "other.password").write_text("x")
    (shared.directory / "other.password").chmod(0o600)
    bare = bare.model_copy(
        update={"password": bare.password.model_copy(update={"file": shared.directory / "other.password"})}
    )
    assert refused(lambda: trails(bare)) == "configuration-invalid"
