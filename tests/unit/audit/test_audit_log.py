"""The log as its users see it: indices, receipts, times, recovery, refusal."""

import asyncio
import fcntl
import os
import re
import stat
import threading
from datetime import timedelta

import pytest

from gateway.audit.encode import record_of
from gateway.audit.lock import is_being_written
from gateway.audit.log import FileLog
from gateway.audit.segment import Disk, read_batches, segments_of
from gateway.audit.verify import verify_log
from gateway.errors import GatewayError


class HeldDisk(Disk):
    """A disk whose flush can be held for the writer."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.syncs = 0

    def hold(self):
        self.gate.clear()
        self.reached.clear()

    def release(self):
        self.gate.set()

    def sync(self, descriptor):
        if threading.current_thread().name == "audit-writer":
            self.syncs += 1
            self.reached.set()
            assert self.gate.wait(5)
        super().sync(descriptor)


def leaves_of(trail):
    return [leaf for first, path in segments_of(trail) for batch in read_batches(path, first) for leaf in batch.leaves]


def records_of(trail):
    return [record_of(leaf) for leaf in leaves_of(trail)]


def refusal(call):
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value.refusal


def test_records_get_their_place_in_order_and_are_found_again(open_log, trail, records):
    begin, end = records
    log = open_log()
    receipts = [log.append(begin(i)) for i in range(3)] + [log.append(end(0))]
    log.flush()

    assert [receipt.index for receipt in receipts] == [1, 2, 3, 4]
    assert log.durable_size == 5
    stored = records_of(trail)
    assert [record["kind"] for record in stored] == ["log.start", *["statement.begin"] * 3, "statement.end"]
    assert [record["index"] for record in stored] == [0, 1, 2, 3, 4]
    assert all(record["v"] == 1 and record["origin"] == "gateway.example/test" for record in stored)
    assert {name: stored[1][name] for name in begin(0)} == begin(0)


def test_times_and_ids_are_utc_microseconds_and_uuid_7_and_grow(open_log, trail, records):
    begin, _ = records
    log = open_log()
    for i in range(50):
        log.append(begin(i))
    log.flush()
    stored = records_of(trail)

    assert all(re.fullmatch(r"2026-11-23T08:\d\d:\d\d\.\d{6}Z", record["time"]) for record in stored)
    uuid7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(uuid7, record["id"]) for record in stored)
    assert len({record["id"] for record in stored}) == len(stored)
    assert [record["id"] for record in stored] == sorted(record["id"] for record in stored)


def test_a_clock_that_goes_back_is_held_and_noted(open_log, trail, clock, records):
    begin, _ = records
    log = open_log()
    log.append(begin(1))
    clock.now -= timedelta(hours=1)
    log.append(begin(2))
    log.close()
    reopened = open_log()
    reopened.append(begin(3))
    reopened.close()

    stored = records_of(trail)
    times = [record["time"] for record in stored]
    assert times == sorted(set(times))
    assert [record["id"] for record in stored] == sorted(record["id"] for record in stored)
    assert 3_599_000_000 < stored[2]["clock_behind_us"] < 3_600_000_000
    assert "clock_behind_us" not in stored[1]


def test_a_receipt_is_durable_only_after_the_flush_and_calls_back_once(open_log, records):
    begin, _ = records
    disk = HeldDisk()
    log = open_log(disk=disk)
    disk.hold()
    receipt = log.append(begin(1))
    heard = []
    receipt.add_done_callback(heard.append)
    assert disk.reached.wait(5)
    assert not receipt.durable
    assert heard == []
    assert log.durable_size == 1

    disk.release()
    log.flush()
    wait_until(lambda: heard)
    assert receipt.durable
    assert heard == [receipt]
    receipt.add_done_callback(heard.append)
    assert heard == [receipt, receipt]


def test_what_arrives_during_a_flush_shares_the_next_one(open_log, records):
    begin, _ = records
    disk = HeldDisk()
    log = open_log(disk=disk)
    disk.hold()
    log.append(begin(0))
    assert disk.reached.wait(5)
    syncs = disk.syncs
    for i in range(1, 40):
        log.append(begin(i))
    disk.release()
    log.flush()
    assert disk.syncs == syncs + 1


def test_on_a_loop_callbacks_and_subscribers_run_on_its_thread(open_log, records):
    begin, end = records
    seen = []

    async def scene():
        loop = asyncio.get_running_loop()
        log = open_log(loop=loop)
        stop = log.subscribe(lambda record: seen.append((record["kind"], threading.get_ident())))
        durable = loop.create_future()
        log.append(begin(1)).add_done_callback(lambda receipt: durable.set_result(threading.get_ident()))
        lazy = log.append(end(1), urgent=False)
        ident = await asyncio.wait_for(durable, 5)
        await durable_on(loop, lazy)
        stop()
        await durable_on(loop, log.append(begin(2)))
        log.close()
        return ident

    ident = asyncio.run(scene())
    assert ident == threading.get_ident()
    assert seen == [("log.start", ident), ("statement.begin", ident), ("statement.end", ident)]


def test_a_lazy_record_wakes_nobody_but_is_durable_soon(open_log, records):
    _, end = records

    async def scene():
        loop = asyncio.get_running_loop()
        log = open_log(loop=loop)
        started = loop.time()
        receipt = log.append(end(1), urgent=False)
        await asyncio.sleep(0.01)
        early = receipt.durable
        await durable_on(loop, receipt)
        log.close()
        return early, loop.time() - started

    early, took = asyncio.run(scene())
    assert not early
    assert 0.03 < took < 2


def test_a_callback_that_fails_does_not_silence_the_others(open_log, records):
    begin, _ = records
    reported = []

    async def scene():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        log = open_log(loop=loop)
        done = loop.create_future()
        log.append(begin(1)).add_done_callback(lambda _: 1 / 0)
        log.append(begin(2)).add_done_callback(lambda _: done.set_result(None))
        await asyncio.wait_for(done, 5)
        log.close()

    asyncio.run(scene())
    assert [type(error) for error in reported] == [ZeroDivisionError]


@pytest.mark.parametrize(
    "record", [{"kind": "login", "x": 1.5}, {"kind": "login", "x": None}, {"kind": "login", "index": 7}]
)
def test_a_record_that_cannot_be_written_is_refused_and_takes_no_place(open_log, records, record):
    begin, _ = records
    log = open_log()
    assert refusal(lambda: log.append(record)).code == "audit-not-writable"
    assert log.append(begin(1)).index == 1


def test_a_closed_log_refuses_and_closing_twice_is_harmless(open_log, records):
    begin, _ = records
    log = open_log()
    log.close()
    log.close()
    assert refusal(lambda: log.append(begin(1))).code == "audit-not-writable"
    assert not log.writable


def test_files_and_directories_are_private(open_log, trail, records):
    begin, _ = records
    log = open_log()
    for i in range(600):
        log.append(begin(i))
    log.close()
    assert stat.S_IMODE(trail.stat().st_mode) == 0o700
    for path in trail.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_clean_stop_needs_no_mending_and_the_tree_goes_on(open_log, trail, key, records):
    begin, end = records
    for turn in range(4):
        log = open_log()
        assert log.recovery is None
        for i in range(300):
            log.append(begin(i, session=f"T{turn}"))
            log.append(end(i, session=f"T{turn}"))
        log.close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    assert report.size == report.signed_size == 4 * 602
    assert len(segments_of(trail)) > 3
    assert [r["kind"] for r in records_of(trail)].count("log.stop") == 4


def test_open_statements_are_closed_as_unknown_with_their_ceiling(open_log, trail, records):
    begin, end = records
    log = open_log()
    log.append(begin(1))
    log.append(begin(2))
    log.append({"kind": "statement.window", "session": "S1", "statement": "Q2", "window_rows": 2000, "window_bytes": 9})
    log.append(begin(3))
    log.append(end(3))
    log.close()

    reopened = open_log()
    assert reopened.recovery is not None
    assert reopened.recovery["unknown"] == 2
    reopened.close()
    unknown = [record for record in records_of(trail) if record["kind"] == "statement.unknown"]
    assert [(u["statement"], u["rows"], u["bytes"], u["begin"]) for u in unknown] == [
        ("Q1", 1000, 65536, 1),
        ("Q2", 2000, 65536, 2),
    ]
    assert open_log().recovery is None


def test_a_statement_that_was_open_for_many_segments_is_still_closed(open_log, trail, key, records):
    begin, end = records
    log = open_log()
    log.append(begin(0, session="long"))
    for i in range(1, 1500):
        log.append(begin(i))
        log.append(end(i))
    log.close()
    assert len(segments_of(trail)) > 3

    reopened = open_log()
    assert reopened.recovery is not None
    assert reopened.recovery["unknown"] == 1
    reopened.close()
    assert [r["session"] for r in records_of(trail) if r["kind"] == "statement.unknown"] == ["long"]
    assert verify_log(trail, key.verifier.text).ok


def test_lost_or_spoilt_tiles_are_made_anew(open_log, trail, key, records):
    begin, _ = records
    log = open_log()
    for i in range(700):
        log.append(begin(i))
    log.close()
    for path in [path for path in trail.rglob("tile/**/*") if path.is_file()]:
        path.write_bytes(b"")
    open_log().close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems


def test_two_writers_on_one_directory_are_refused(open_log):
    open_log()
    assert refusal(open_log).code == "audit-not-writable"


def test_a_key_of_another_log_is_refused(trail, key, clock):
    assert refusal(lambda: FileLog.open(trail, origin="other", key=key, clock=clock)).code == "configuration-invalid"
    assert not trail.exists()


def test_checkpoints_follow_within_the_interval_and_at_stop(open_log, trail, records):
    begin, _ = records
    log = open_log(interval_s=0.05)
    log.append(begin(1))
    wait_until(lambda: log.signed_size == 2)
    assert (trail / "checkpoint").read_text().splitlines()[1] == "2"
    log.append(begin(2))
    log.close()
    assert (trail / "checkpoint").read_text().splitlines()[1] == "4"


def test_leaves_larger_than_a_batch_and_many_of_them_roll_segments(open_log, trail, key):
    log = open_log()
    for i in range(200):
        log.append({"kind": "login", "reason": os.urandom(6_000).hex(), "session": f"s{i}"})
    log.close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    assert report.size == 202


async def durable_on(loop, receipt):
    done = loop.create_future()
    receipt.add_done_callback(done.set_result)
    await asyncio.wait_for(done, 5)
    assert receipt.durable


def wait_until(condition, timeout_s=5.0):
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it did not happen in time")


def test_who_verifies_does_not_keep_a_gateway_from_starting(open_log, trail, key):
    """A verifier holds the lock for an instant; a start outwaits that, and does not outwait a writer."""
    open_log().close()
    with (trail / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.03, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        log = open_log()
        assert is_being_written(trail)
    with pytest.raises(GatewayError, match="another process"):
        open_log()
    log.close()
    assert not is_being_written(trail)
