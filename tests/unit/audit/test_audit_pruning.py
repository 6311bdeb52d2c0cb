"""Pruning and cold segments: what is kept stays provable, and what went without a signed record is named."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from gateway.audit import ageing
from gateway.audit.ageing import freeze, plan
from gateway.audit.checkpoint import Checkpoint
from gateway.audit.cold import BLOCK_BYTES, ColdFile, Unreadable, cold_path, compressed
from gateway.audit.pruning import keep_pruning, kept_pruning, minimum_of, pruning_record, remove_pruned
from gateway.audit.segment import Damaged, Disk, read_batches, segments_of
from gateway.audit.tiles import TileReader, tile_path
from gateway.audit.tree import (
    consistency_proof,
    frontier_of,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from gateway.audit.verify import verify_log
from gateway.errors import GatewayError

YEAR = timedelta(days=365)
LATER = datetime(2028, 1, 1, tzinfo=UTC)


def nothing(_):
    return ""


@pytest.fixture
def long(open_log, trail, records):
    """A trail of several segments, open; the witness's checkpoint of an early size is beside it."""
    begin, end = records
    log = open_log()
    for i in range(300):
        log.append(begin(i))
        log.append(end(i, begin=1 + 2 * i))
    log.flush()
    log.checkpoint()
    shutil.copy(trail / "checkpoint", trail.with_name("witness"))
    for i in range(300, 2500):
        log.append(begin(i))
        log.append(end(i, begin=1 + 2 * i))
        if i % 50 == 0:
            log.flush()
    log.flush()
    log.checkpoint()
    assert len(segments_of(trail)) > 5
    return log


def stored(trail):
    return {
        index: leaf
        for first, path in segments_of(trail)
        for batch in read_batches(path, first)
        for index, leaf in enumerate(batch.leaves, batch.first)
    }


def recorded(log, to):
    """The record of a pruning, durable and signed."""
    index = log.append(pruning_record(log.directory, log.signed_size, to, LATER, "audit.retention 365d")).index
    log.flush()
    return index, log.checkpoint()


def prune(log, to):
    index, head = recorded(log, to)
    found = keep_pruning(log.directory, stored(log.directory)[index], head, Disk())
    return remove_pruned(log.directory, found, Disk())


def ages(log, now=LATER, holds=nothing):
    return plan(log.directory, log.signed_size, now, YEAR, holds)


def test_what_is_kept_is_the_rest_of_the_signed_tree(long, trail, key):
    before = stored(trail)
    to = ages(long).to
    assert 0 < to <= segments_of(trail)[-1][0]
    assert prune(long, to) > 3
    assert segments_of(trail)[0][0] == to == minimum_of(trail, long.origin)
    long.close()
    report = verify_log(trail, key.verifier.text, witness=trail.with_name("witness"))
    assert report.ok, report.problems
    assert report.first == to
    assert any(f"before {to} were pruned" in note for note in report.notes)
    head = Checkpoint(long.origin, report.signed_size, bytes.fromhex(report.root))
    nodes = TileReader(trail, head.size).node
    for index in (0, to - 1, to, head.size - 1):
        leaf = {**before, **stored(trail)}[index]
        assert verify_inclusion(index, head.size, leaf_hash(leaf), inclusion_proof(index, head.size, nodes), head.root)
    root = frontier_of(to, nodes).root()
    assert verify_consistency(to, head.size, root, head.root, consistency_proof(to, head.size, nodes))


def test_a_pruned_trail_is_gone_on_with_and_pruned_again(long, trail, key, open_log, records):
    begin, _ = records
    segments = segments_of(trail)
    prune(long, segments[2][0])
    long.close()
    log = open_log()
    for i in range(500):
        log.append(begin(i))
    log.flush()
    log.checkpoint()
    prune(log, segments[4][0])
    log.close()
    assert verify_log(trail, key.verifier.text).first == segments[4][0]
    assert verify_log(trail, key.verifier.text).ok
    open_log().close()


def test_tiles_are_made_anew_for_a_pruned_trail(long, trail, key, open_log):
    prune(long, segments_of(trail)[3][0])
    long.close()
    for partial in (trail / "tile").glob("**/*.p/*"):
        partial.unlink()
    open_log().close()
    assert verify_log(trail, key.verifier.text).ok


def test_a_pruning_that_a_crash_broke_off_is_finished_at_the_next_start(long, trail, key, open_log):
    to = segments_of(trail)[4][0]
    index, head = recorded(long, to)
    keep_pruning(trail, stored(trail)[index], head, Disk())
    segments_of(trail)[0][1].unlink()
    long.close()
    assert verify_log(trail, key.verifier.text).ok
    open_log().close()
    assert segments_of(trail)[0][0] == to
    assert verify_log(trail, key.verifier.text).ok


def test_a_record_alone_removes_nothing(long, trail, key, open_log):
    recorded(long, segments_of(trail)[4][0])
    long.close()
    open_log().close()
    assert segments_of(trail)[0][0] == 0
    assert verify_log(trail, key.verifier.text).ok


def forge(trail, origin, to, index=None):
    """What somebody with the disk, but without the key, would write."""
    leaf = json.dumps(
        {"index": index or to, "kind": "log.pruned", "origin": origin, "root": "00" * 32, "to": to},
        separators=(",", ":"),
    )
    (trail / "pruned").write_bytes(leaf.encode() + b"\n")


@pytest.mark.parametrize("which", [0, 1, 3])
@pytest.mark.parametrize("claimed", [False, True])
def test_a_segment_that_was_removed_by_hand_is_missed(long, trail, key, open_log, which, claimed):
    long.close()
    first, path = segments_of(trail)[which]
    following = segments_of(trail)[which + 1][0]
    for _, gone in segments_of(trail)[: which + 1] if claimed else [(first, path)]:
        gone.unlink()
    if claimed:
        forge(trail, long.origin, following)
    problem = verify_log(trail, key.verifier.text).problems[0]
    assert problem.record in (0, first), problem
    # the start reads the newest segments only, and the first one's name
    if claimed or which == 0:
        with pytest.raises(GatewayError) as error:
            open_log()
        assert error.value.code == "audit-damaged"


def test_more_than_was_recorded_may_not_go(long, trail, key, open_log):
    segments = segments_of(trail)
    prune(long, segments[2][0])
    long.close()
    segments[2][1].unlink()
    problem = verify_log(trail, key.verifier.text).problems[0]
    assert "no signed record says that they were pruned" in problem.what
    with pytest.raises(GatewayError):
        open_log()
    forge(trail, long.origin, segments[3][0], index=segments[-1][0])
    assert not verify_log(trail, key.verifier.text).ok
    with pytest.raises(GatewayError):
        open_log()


def test_the_file_that_says_what_was_pruned_must_be_the_record(long, trail, key, open_log):
    prune(long, segments_of(trail)[2][0])
    long.close()
    kept = (trail / "pruned").read_bytes()
    for data in (b"", kept[:-1], kept.replace(b'"rule":"audit', b'"rule":"Audit'), None):
        (trail / "pruned").unlink(missing_ok=True)
        if data is not None:
            (trail / "pruned").write_bytes(data)
        assert not verify_log(trail, key.verifier.text).ok
        with pytest.raises(GatewayError):
            open_log()
    (trail / "pruned").write_bytes(kept)
    assert verify_log(trail, key.verifier.text).ok


@pytest.mark.parametrize("change", ["edit", "cut", "remove"])
def test_the_hashes_of_what_was_pruned_are_guarded_by_the_root(long, trail, key, change):
    prune(long, segments_of(trail)[3][0])
    long.close()
    tile = tile_path(trail, 0, 1)
    data = bytearray(tile.read_bytes())
    data[40] ^= 1
    tile.unlink()
    if change == "edit":
        tile.write_bytes(data)
    elif change == "cut":
        tile.write_bytes(data[:-32])
    problem = verify_log(trail, key.verifier.text).problems[0]
    if change == "edit":
        # nothing but the root over all of them speaks against it
        assert problem.record == segments_of(trail)[0][0]
        assert "the tiles before it" in problem.what
    else:
        assert problem.record == 256


def test_a_record_of_a_pruning_that_never_was_the_logs_beginning_is_found(long, trail, key):
    long.append({"kind": "log.pruned", "from": 0, "to": segments_of(trail)[2][0], "root": "ab" * 32, "rule": "x"})
    long.close()
    assert "never was the beginning" in verify_log(trail, key.verifier.text).problems[0].what


def test_nothing_goes_before_its_time_nor_from_the_open_segment(long, trail):
    assert ages(long, datetime(2027, 11, 23, 7, 0, tzinfo=UTC)).segments == ()
    found = ages(long)
    # of the last sealed one the tile that its end is in may not be full yet
    paths = [path for _, path in segments_of(trail)[:-1]]
    assert [one.path for one in found.segments] in (paths, paths[:-1])
    assert found.bytes == sum(one.path.stat().st_size for one in found.segments)
    assert found.to % 256 == 0 or found.to // 256 * 256 + 256 <= long.signed_size


def test_a_hold_keeps_its_first_record_and_what_follows(long, trail):
    segments = segments_of(trail)
    held = segments[2][0] + 5
    found = ages(long, holds=lambda record: "H1" if record["index"] >= held else "")
    assert (found.to, found.hold, found.held) == (segments[2][0], "H1", held)
    assert ages(long, holds=lambda _: "H2").segments == ()


def test_what_a_start_reads_stays(open_log, trail, records):
    begin, end = records
    log = open_log()
    log.append(begin(0, session="open"))
    for i in range(1, 1500):
        log.append(begin(i))
        log.append(end(i))
    log.flush()
    log.checkpoint()
    assert len(segments_of(trail)) > 3
    assert ages(log).to == 0
    log.append(end(0, session="open"))
    log.flush()


def test_a_statement_that_began_in_what_went_may_be_open_later(open_log, trail, records, key):
    begin, end = records
    log = open_log()
    for i in range(600):
        log.append(begin(i))
        log.append(end(i))
    log.append(begin(0, session="open"))
    for i in range(600, 1200):
        log.append(begin(i))
        log.append(end(i))
    log.append(end(0, session="open"))
    for i in range(1200, 2600):
        log.append(begin(i))
        log.append(end(i))
    log.flush()
    log.checkpoint()
    opened = next(i for i, leaf in stored(trail).items() if b'"session":"open"' in leaf)
    to = min(first for first, _ in segments_of(trail) if first > opened)
    assert ages(log).to > to
    prune(log, to)
    log.close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    open_log().close()


def test_an_unsigned_record_lets_nothing_go(long, trail):
    index = long.append(pruning_record(trail, long.signed_size, segments_of(trail)[2][0], LATER, "rule")).index
    long.flush()
    head = Checkpoint(long.origin, long.signed_size, b"\0" * 32)
    with pytest.raises(Damaged):
        keep_pruning(trail, stored(trail)[index], head, Disk())
    assert kept_pruning(trail, long.origin) is None


# -- cold segments


def test_a_cold_segment_is_read_as_the_hot_one_was(long, trail, key, open_log):
    before = stored(trail)
    was = sum(path.stat().st_size for _, path in segments_of(trail)[:-1])
    for _, path in segments_of(trail)[:-1]:
        freeze(path, Disk())
        assert not path.exists()
    assert sum(cold_path(path).stat().st_size for _, path in segments_of(trail)[:-1]) < was / 5
    assert stored(trail) == before
    long.close()
    assert verify_log(trail, key.verifier.text, jobs=2).ok
    log = open_log()
    prune(log, segments_of(trail)[2][0])
    log.close()
    assert verify_log(trail, key.verifier.text).ok


def test_only_what_is_old_enough_turns_cold(long, trail):
    first = next(ageing.sealed(trail))
    hot = timedelta(days=90)
    assert [one.first for one in ageing.to_freeze(trail, first.last + hot, hot)] == [0]
    freeze(first.path, Disk())
    assert list(ageing.to_freeze(trail, first.last + hot, hot)) == []


def test_a_flipped_byte_in_a_cold_segment_is_found_wherever_it_is(long, trail, key):
    long.close()
    path = segments_of(trail)[1][1]
    freeze(path, Disk())
    cold = cold_path(path)
    data = cold.read_bytes()
    for at in [*range(0, 64), *range(64, len(data), len(data) // 40), len(data) - 1]:
        changed = bytearray(data)
        changed[at] ^= 0x20
        cold.write_bytes(changed)
        report = verify_log(trail, key.verifier.text)
        assert report.problems, at
        assert report.problems[0].record is not None, at
    for changed in (data[:-1], data + b"\0", b"", data[:30]):
        cold.write_bytes(changed)
        assert not verify_log(trail, key.verifier.text).ok
    cold.write_bytes(data)
    assert verify_log(trail, key.verifier.text).ok


def test_an_edit_in_a_cold_segment_is_named(long, trail, key):
    long.close()
    first, path = segments_of(trail)[1]
    freeze(path, Disk())
    with ColdFile(cold_path(path)) as file:
        data = file.read()
    at = data.index(b'"ticket":"SUP-1423"')
    cold_path(path).write_bytes(compressed(data[:at] + b'"ticket":"SUP-1424"' + data[at + 19 :]))
    assert verify_log(trail, key.verifier.text).problems[0].record >= first


def test_what_a_crash_leaves_of_freezing_is_harmless_and_mended(long, trail, key, open_log):
    long.close()
    _, path = segments_of(trail)[0]
    data = path.read_bytes()
    freeze(path, Disk())
    path.write_bytes(data)
    (trail / "segments" / f".{cold_path(path).name}.tmp").write_bytes(b"half")
    assert verify_log(trail, key.verifier.text).ok
    cold_path(path).write_bytes(compressed(data[:-1] + b"x"))
    assert not verify_log(trail, key.verifier.text).ok
    freeze(path, Disk())
    assert verify_log(trail, key.verifier.text).ok
    open_log().close()


def test_a_trail_whose_last_segment_is_cold_can_be_gone_on_with(long, trail, key, open_log):
    long.close()
    _, path = segments_of(trail)[-1]
    freeze(path, Disk())
    assert verify_log(trail, key.verifier.text).ok
    open_log().close()
    assert path.exists()
    assert not cold_path(path).exists()
    assert verify_log(trail, key.verifier.text).ok


def test_a_cold_file_inflates_to_no_more_than_it_says(tmp_path):
    path = tmp_path / "x.cold"
    data = bytes(range(256)) * (BLOCK_BYTES // 128)
    path.write_bytes(compressed(data))
    with ColdFile(path) as file:
        assert file.read() == data
        file.seek(BLOCK_BYTES - 3)
        assert file.read(6) == data[BLOCK_BYTES - 3 : BLOCK_BYTES + 3]
        assert file.read(-1) == data[BLOCK_BYTES + 3 :]
        assert file.read(1) == b""
    bomb = bytearray(compressed(b"\0" * BLOCK_BYTES))
    small = compressed(b"\0" * 10)
    path.write_bytes(small[:20] + bomb[20:24] + small[24:28] + bomb[28:])
    with pytest.raises(Unreadable), ColdFile(path) as file:
        file.read()
