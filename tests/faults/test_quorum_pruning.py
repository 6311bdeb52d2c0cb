"""The copy of a log that is pruned: what goes there, what cannot, and what is written again from the rest."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quorum_servers import ROLE, Cluster, until
from test_quorum import Trail, refused, shared, trails

from gateway.audit.ageing import plan
from gateway.audit.checkpoint import Signer
from gateway.audit.encode import leaf_of
from gateway.audit.log import FileLog
from gateway.audit.pruning import keep_pruning, leaf_of_record, minimum_of, pruning_record, remove_pruned
from gateway.audit.quorum import packed
from gateway.audit.restore import restore
from gateway.audit.search import Search
from gateway.audit.segment import Disk, segments_of
from gateway.audit.thinning import prune_copy
from gateway.audit.tree import leaf_hash
from gateway.audit.verify import verify_log
from gateway.audit_settings import Audit
from gateway.cli.doctor_replica import examine
from gateway.custody.retention import Retention
from gateway.record import event

pytestmark = [pytest.mark.faults, pytest.mark.live]
__all__ = ["shared", "trails"]

LATER = datetime.now(UTC) + timedelta(days=400)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def keeps_a_year(shared: Cluster) -> None:
    keep(shared, "365 days")


def keep(servers: Cluster, period: str) -> None:
    """How long the servers keep records; old ones are made by letting them think that it is later."""
    servers.a.sql("update gateway_audit.retention set keep = %s::interval", period, database="gateway_audit")


def age(servers: Cluster, trail: Trail, days: int = 400) -> None:
    """Let the copy's batches be that much older."""
    servers.a.sql(
        "update gateway_audit.batches set at = at - %s * interval '1 day' where origin = %s", days, trail.origin,
        database="gateway_audit",
    )  # fmt: skip


def grow(trail: Trail, segments: int = 5) -> None:
    while len(segments_of(trail.directory)) < segments:
        # nothing that is open still, since a start would have to read its beginning
        for number in range(200):
            receipt = trail.log.append(event("audit.read", login="carol", query="x" * 250, count=number))
            receipt.add_done_callback(trail._done)
        trail.log.flush()
    trail.log.checkpoint()


def prune(trail: Trail, *, carried_out: bool = True) -> int:
    """Let the log's oldest segments go, in the steps of the gateway; where it begins then, or would."""
    directory, log = trail.directory, trail.log
    to = plan(directory, log.signed_size, LATER, DAY, lambda _: "").to
    assert to > segments_of(directory)[0][0]
    index = log.append(pruning_record(directory, log.signed_size, to, LATER, "rule")).index
    log.flush()
    head = log.checkpoint()
    if carried_out:
        remove_pruned(directory, keep_pruning(directory, leaf_of_record(directory, index), head, Disk()), Disk())
    if trail.replica is not None:
        signed(trail, head.size)
    return to


def signed(trail: Trail, size: int) -> None:
    """Wait until the copy has that head: it is kept beside it within a second or so."""
    assert trail.replica is not None
    port = int(trail.replica.hosts[0].rpartition(":")[2])
    with psycopg.connect(host="127.0.0.1", port=port, user=ROLE, password="audit-copy-password",
                         dbname="gateway_audit", autocommit=True) as connection:  # fmt: skip
        sql = "select signed from gateway_audit.heads where origin = %s"
        until(lambda: (connection.execute(sql, [trail.origin]).fetchone() or (0,))[0] >= size)


def batches(servers: Cluster, trail: Trail) -> list[tuple[int, int, bool]]:
    return batches_on(servers.a, trail)


def kept_from(servers: Cluster, trail: Trail) -> int:
    """The first record from which on the copy has all."""
    return max([size for _, size, whole in batches(servers, trail) if not whole], default=0)


def again(trail: Trail, tmp_path: Path, begins: int) -> None:
    """Lose the disk, write the log again from the copy, and go on."""
    size = trail.log.size
    trail.close()
    size = trail.log.size
    shutil.move(trail.directory, tmp_path / f"lost-{size}")
    verifier = trail.key.verifier
    assert trail.replica is not None
    assert restore(trail.directory, trail.replica, trail.origin, (verifier,), 256 << 10) == size
    assert segments_of(trail.directory)[0][0] == begins
    report = verify_log(trail.directory, verifier.text)
    assert report.ok, report.problems
    trail.log = trail.open()
    assert trail.log.size > size
    trail.log.append(event("audit.read", login="carol"))
    trail.log.flush()
    report = verify_log(trail.directory, verifier.text)
    assert report.ok, report.problems
    trail.acknowledged = {index for index in trail.acknowledged if index >= begins}


def test_what_is_old_goes_from_the_copy_too_and_the_rest_is_written_again(
    shared: Cluster, trails: Any, tmp_path: Path
) -> None:
    trail = trails(shared.replica())
    grow(trail)
    to = prune(trail)
    age(shared, trail)
    assert prune_copy(trail.replica, trail.origin, minimum_of(trail.directory, trail.origin)) > 0
    kept = kept_from(shared, trail)
    assert 0 < kept <= to
    assert prune_copy(trail.replica, trail.origin, to) == 0
    assert not any(whole for first, _, whole in batches(shared, trail) if first < kept)
    for node in (shared.b, shared.c):
        until(
            lambda node=node: [one[2] for one in batches_on(node, trail)] == [one[2] for one in batches(shared, trail)]
        )
    again(trail, tmp_path, to)
    # and once more, of the log that was written again
    grow(trail, 6)
    second = prune(trail)
    age(shared, trail)
    prune_copy(trail.replica, trail.origin, second)
    again(trail, tmp_path, second)
    trail.check(shared, shared.a)


def batches_on(node: Any, trail: Trail) -> list[tuple[int, int, bool]]:
    return node.sql(
        "select first, size, leaves is not null from gateway_audit.batches where origin = %s order by first",
        trail.origin, database="gateway_audit",
    )  # fmt: skip


def test_a_pruned_log_whose_copy_was_not_pruned_is_written_again_whole(
    shared: Cluster, trails: Any, tmp_path: Path
) -> None:
    """The copy has more than the log had: it begins at 0, and the record of the pruning fits all the same."""
    trail = trails(shared.replica())
    grow(trail)
    assert prune(trail) > 0
    again(trail, tmp_path, 0)
    trail.check(shared, shared.a)


def test_a_pruning_that_was_not_carried_out_takes_nothing_with_it(shared: Cluster, trails: Any, tmp_path: Path) -> None:
    """A newer record, of a pruning that a hold or a crash stopped, does not let the records in between go."""
    trail = trails(shared.replica())
    grow(trail)
    to = prune(trail)
    grow(trail, 6)
    later = prune(trail, carried_out=False)
    assert later > to
    age(shared, trail)
    prune_copy(trail.replica, trail.origin, minimum_of(trail.directory, trail.origin))
    assert kept_from(shared, trail) <= to
    again(trail, tmp_path, to)


def test_a_copy_can_be_begun_for_a_log_that_is_pruned(shared: Cluster, trails: Any, tmp_path: Path) -> None:
    trail = trails(None)
    grow(trail)
    to = prune(trail)
    trail.close()
    trail.replica = shared.replica()
    trail.log = trail.open()
    assert kept_from(shared, trail) == to
    trail.acknowledged.clear()
    trail.append(5)
    trail.log.flush()
    trail.check(shared, shared.a)
    again(trail, tmp_path, to)


def test_a_copy_with_records_takes_no_hashes_in_their_place(shared: Cluster, trails: Any) -> None:
    """A log that was pruned beyond the end of its copy: what is between would be missing in the copy for ever."""
    trail = trails(shared.replica())
    trail.append(10)
    trail.log.flush()
    trail.log.checkpoint()
    trail.close()
    trail.replica = None
    trail.log = trail.open()
    grow(trail)
    prune(trail)
    trail.close()
    trail.replica = shared.replica()
    assert refused(trail.open) == "audit-damaged"
    trail.replica = None
    trail.log = trail.open()


class NoHolds:
    """No legal hold."""

    version = 0

    async def matcher(self) -> Any:
        return lambda _record: ""


def looked(trail: Trail, replica: Any, tmp_path: Path) -> list[str]:
    """The gateway's daily look, a year later, with the log opened as the gateway does."""
    told: list[str] = []
    settings = Audit(retention="10d", hot="5d", reserve="1MiB", segment_size="1MiB", replica=replica)  # type: ignore[arg-type]
    holds: Any = NoHolds()

    async def look() -> None:
        log = trail.open(asyncio.get_running_loop())
        search = Search(trail.directory, trail.key.verifier, database=tmp_path / "index.sqlite")
        try:
            state = tmp_path / "time.json"
            retention = Retention(settings, log, search, holds, state, lambda what, **_: told.append(what))
            await asyncio.wait_for(retention.look(LATER), 30)
        finally:
            search.close()
            await asyncio.to_thread(log.close)

    trail.close()
    try:
        asyncio.run(look())
    finally:
        trail.log = trail.open()
    return told


def test_the_daily_look_prunes_log_and_copy(shared: Cluster, trails: Any, tmp_path: Path) -> None:
    trail = trails(shared.replica())
    grow(trail)
    age(shared, trail)
    told = looked(trail, trail.replica, tmp_path)
    assert told[:1] == ["pruned"]
    # the copy may have to wait for the signed head that covers it
    signed(trail, trail.log.checkpoint().size)
    told += looked(trail, trail.replica, tmp_path)
    assert "copy pruned" in told
    assert 0 < kept_from(shared, trail) <= segments_of(trail.directory)[0][0]


def test_a_copy_that_cannot_be_asked_does_not_stop_the_look(shared: Cluster, trails: Any, tmp_path: Path) -> None:
    trail = trails(shared.replica())
    grow(trail)
    assert refused(lambda: looked(trail, shared.replica(1), tmp_path)) == "audit-not-writable"
    assert segments_of(trail.directory)[0][0] > 0


class TestWhoHasTheRole:
    """What whoever got hold of the gateway's role could do to the copy by what the pruning needs."""

    def as_role(self, servers: Cluster, sql: str, *values: Any) -> Any:
        dsn = servers.a.dsn(database="gateway_audit")
        with psycopg.connect(dsn, user=ROLE, password="audit-copy-password", autocommit=True) as connection:
            return connection.execute(sql, values).fetchone()

    def test_nothing_that_is_young_goes(self, shared: Cluster, trails: Any) -> None:
        trail = trails(shared.replica())
        trail.append(50)
        trail.log.flush()
        signed(trail, trail.log.checkpoint().size)
        before = batches(shared, trail)
        assert self.as_role(shared, "select gateway_audit.prune(%s, %s)", trail.origin, 1 << 40) == (0,)
        assert batches(shared, trail) == before

    def test_how_long_is_not_the_roles_to_say(self, shared: Cluster) -> None:
        for sql in (
            "update gateway_audit.retention set keep = '1 day'", "delete from gateway_audit.retention",
            "update gateway_audit.batches set at = at - interval '400 days'",
            "update gateway_audit.batches set leaves = null, hashes = ''",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                self.as_role(shared, sql)

    def test_what_no_head_covers_stays(self, shared: Cluster, trails: Any) -> None:
        trail = trails(shared.replica())
        trail.append(50)
        trail.log.flush()
        age(shared, trail)
        shared.a.sql(
            "update gateway_audit.heads set signed = 0 where origin = %s", trail.origin, database="gateway_audit"
        )
        assert self.as_role(shared, "select gateway_audit.prune(%s, %s)", trail.origin, 1 << 40) == (0,)

    def test_records_in_the_place_of_hashes_are_told(self, shared: Cluster, trails: Any, tmp_path: Path) -> None:
        """Hashes without a pruning that was recorded: a log of which the beginning was never shown to anybody."""
        trail = trails(shared.replica())
        trail.append(50)
        trail.log.flush()
        signed(trail, trail.log.checkpoint().size)
        trail.close()
        age(shared, trail)
        assert self.as_role(shared, "select gateway_audit.prune(%s, %s)", trail.origin, 20) != (None,)
        assert kept_from(shared, trail) > 0
        place = tmp_path / "again"
        assert refused(lambda: restore(place, trail.replica, trail.origin, (trail.key.verifier,), 256 << 10)) == (
            "audit-damaged"
        )


def test_the_servers_hash_as_the_tree_does(shared: Cluster) -> None:
    leaves = [leaf_of(event("statement.begin", statement=f"q{n}", sql="é" * n)) for n in (0, 1, 70, 30_000)] + [b""]
    ((hashes,),) = shared.a.sql(
        "select gateway_audit.leaf_hashes(%s)", packed(leaves), database="gateway_audit"
    )  # fmt: skip
    assert bytes(hashes) == b"".join(map(leaf_hash, leaves))


def test_a_change_of_the_key_in_what_goes_is_kept(shared: Cluster, trails: Any, tmp_path: Path) -> None:
    trail = trails(shared.replica())
    trail.append(20)
    trail.log.flush()
    trail.close()
    new = Signer.generate(trail.origin)
    old, trail.key = trail.key, new
    trail.log = FileLog.open(
        trail.directory, origin=trail.origin, key=old, next_key=new, clock=lambda: datetime.now(UTC),
        segment_bytes=256 << 10, reserve_bytes=0, interval_s=0.2, replica=trail.replica,
    )  # fmt: skip
    grow(trail)
    to = prune(trail)
    age(shared, trail)
    assert prune_copy(trail.replica, trail.origin, to) > 0
    again(trail, tmp_path, to)
    report = verify_log(trail.directory, old.verifier.text)
    assert report.ok, report.problems


def test_the_doctor_tells_how_the_servers_stand(shared: Cluster, trails: Any) -> None:
    trail = trails(shared.replica())
    trail.append(3)
    trail.log.flush()
    config = Settings(trail)
    levels = {finding.check: (finding.level, finding.message) for finding in examine(config)}  # type: ignore[arg-type]
    assert [level for level, _ in levels.values()] == ["ok", "ok", "ok", "ok"], levels
    assert f"has {trail.log.size} records" in levels[f"audit copy 127.0.0.1:{shared.a.port}"][1]
    for period, why in (("3650 days", "the log does not"), ("30 days", "whoever has the role")):
        keep(shared, period)
        finding = next(examine(config))  # type: ignore[arg-type]
        assert (finding.level, why in finding.message) == ("warn", True)
    trail.replica = shared.replica(shared.b.port, shared.c.port)
    assert [one.level for one in examine(Settings(trail))] == ["ok", "ok", "fail"]  # type: ignore[arg-type]
    trail.replica = shared.replica(shared.a.port, 1)
    assert [one.level for one in examine(Settings(trail))] == ["warn", "warn", "ok"]  # type: ignore[arg-type]


class Settings:
    """As much of a configuration as the doctor looks at here."""

    def __init__(self, trail: Trail) -> None:
        self.origin = trail.origin
        self.audit = self
        self.replica = trail.replica
        self.retention = 365 * 86400.0
