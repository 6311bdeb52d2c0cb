"""What must hold of every trail, every flipped byte, and every order of writing."""

import itertools
import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.audit.checkpoint import Signer
from gateway.audit.encode import leaf_of, record_of
from gateway.audit.log import FileLog
from gateway.audit.search import Query, Search
from gateway.audit.segment import Disk, read_batches, segments_of
from gateway.audit.tiles import WIDTH, TileReader, TileWriter, tile_path
from gateway.audit.tree import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from gateway.audit.verify import proof_bytes, verify_log, verify_proof

ORIGIN = "gateway.example/properties"
KEY = Signer.generate(ORIGIN)
RELAXED = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


class StepClock:
    def __init__(self):
        self.now = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(milliseconds=1)
        return self.now


def open_log(trail, clock=None, **options):
    options = {"key": KEY, "segment_bytes": 256 << 10, "reserve_bytes": 0, "interval_s": 30.0} | options
    return FileLog.open(trail, origin=ORIGIN, clock=clock or StepClock(), **options)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A trail with full and partial tiles on two levels and two keys, cleanly closed, and the content of its files."""
    trail = tmp_path_factory.mktemp("honest") / "trail"
    clock, following = StepClock(), Signer.generate(ORIGIN)
    for key, next_key in ((KEY, None), (KEY, following), (following, None)):
        log = open_log(trail, clock, key=key, next_key=next_key)
        for i in range(110):
            log.append({"kind": "statement.begin", "session": "S", "statement": f"Q{i}", "sql": "select 1 " * 45})
            log.append({"kind": "statement.end", "session": "S", "statement": f"Q{i}"})
            if i % 25 == 0:
                log.flush()
            if i % 50 == 0:
                log.checkpoint()
        log.close()
    assert verify_log(trail, KEY.verifier.text).ok
    files = {path.relative_to(trail): path.read_bytes() for path in trail.rglob("*") if path.is_file()}
    assert {"segments", "tile", "rotations", "checkpoint", "lock"} == {path.parts[0] for path in files}
    return trail, files


def first_bad(trail, name, at):
    """Between which records (both included) the one lies that a changed byte of that file must name, or None."""
    if name.parts[0] == "segments":
        first, start = int(name.stem), 4_096
        for batch in read_batches(trail / name, first):
            for i, offset in enumerate(batch.offsets):
                if offset - 12 <= at < offset + len(batch.leaves[i]):
                    return batch.first + i, batch.first + i
            if start <= at < batch.end:
                return batch.first, batch.size
            start, first = batch.end, batch.size
        return (int(name.stem),) * 2 if at < 4_096 else (first, first)
    if name.parts[:2] == ("tile", "0") and not name.parent.name.endswith(".p"):
        return (256 * int(name.name) + at // 32,) * 2
    return None


@settings(RELAXED, max_examples=250)
@given(st.data())
def test_any_changed_byte_of_any_file_is_found_and_names_the_first_bad_record(honest, data):
    trail, files = honest
    # each file alike, and in the segment what is written as often as the zeros behind it
    name = data.draw(st.sampled_from(sorted(path for path, content in files.items() if content)))
    content = files[name]
    used = len(content.rstrip(b"\0"))
    at = data.draw(st.one_of(st.integers(0, used - 1), st.integers(0, len(content) - 1)))
    flip = data.draw(st.integers(1, 255))
    expected = first_bad(trail, name, at)
    (trail / name).write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
    try:
        report = verify_log(trail, KEY.verifier.text)
        assert not report.ok, f"{name}: byte {at}"
        if expected is not None:
            record = report.problems[0].record
            assert record is not None, f"{name}: byte {at}: {report.problems[0]}"
            assert expected[0] <= record <= expected[1], f"{name}: byte {at}: {report.problems[0]}"
    finally:
        (trail / name).write_bytes(content)


def restore(trail, files):
    shutil.rmtree(trail)
    for name, content in files.items():
        (trail / name).parent.mkdir(parents=True, exist_ok=True)
        (trail / name).write_bytes(content)


@settings(RELAXED, max_examples=150)
@given(st.data())
def test_any_file_removed_emptied_replaced_swapped_or_added_is_found(honest, data):
    trail, files = honest
    head = (trail / "checkpoint").read_text().split("\n")[1]
    # what nothing is made from: the lock's presence, and partial tiles of sizes that were signed before
    spare = {Path("lock")} | {
        name for name in files if name.parent.name.endswith(".p") and name.name != str(int(head) % 256)
    }
    needed = sorted(name for name in files if name not in spare and name.parts[:2] != ("tile", "1"))
    name, other = data.draw(st.sampled_from(needed)), data.draw(st.sampled_from(needed))
    act = data.draw(st.sampled_from(["remove", "empty", "replace", "swap", "add"]))
    place = trail / name
    try:
        if act == "remove":
            place.unlink()
        elif act == "empty":
            place.write_bytes(b"")
        elif act == "replace" and files[other] != files[name]:
            place.write_bytes(files[other])
        elif act == "swap" and files[other] != files[name]:
            place.write_bytes(files[other])
            (trail / other).write_bytes(files[name])
        elif act == "add" and name.parent.parts:
            number = f"{data.draw(st.integers(0, 2_000)):020d}"
            added = place.with_name(f"{number}.log" if name.parts[0] == "segments" else "9")
            if added.relative_to(trail) in files:
                return
            added.write_bytes(files[name])
        else:
            return
        report = verify_log(trail, KEY.verifier.text)
        assert not report.ok, f"{act} {name} {other}"
    finally:
        restore(trail, files)


@RELAXED
@given(st.data())
def test_any_removed_or_inserted_piece_of_any_file_is_found(honest, data):
    trail, files = honest
    name = data.draw(st.sampled_from(sorted(path for path, content in files.items() if content)))
    content = files[name]
    used = len(content.rstrip(b"\0"))
    at = data.draw(st.integers(0, used - 1))
    if data.draw(st.booleans()):
        changed = content[:at] + data.draw(st.binary(min_size=1, max_size=60)) + content[at:]
    else:
        changed = content[:at] + content[at + data.draw(st.integers(1, used)) :]
    if changed.rstrip(b"\0") == content.rstrip(b"\0"):
        return
    (trail / name).write_bytes(changed)
    try:
        assert not verify_log(trail, KEY.verifier.text).ok
    finally:
        (trail / name).write_bytes(content)


def test_any_changed_byte_of_a_proof_is_refused(tmp_path):
    trail = tmp_path / "trail"
    log = open_log(trail)
    for i in range(600):
        log.append({"kind": "login", "login": f"l{i}"})
    log.close()
    search = Search(trail, KEY.verifier, database=tmp_path / "index.sqlite")
    file = tmp_path / "proof.json"
    proof = proof_bytes(search.prove(417))
    search.close()
    file.write_bytes(proof)
    assert verify_proof(file, KEY.verifier.text).ok
    for at in range(len(proof)):
        flip = (0x01, 0x02, 0x20, 0x80)[at % 4]
        file.write_bytes(proof[:at] + bytes([proof[at] ^ flip]) + proof[at + 1 :])
        assert not verify_proof(file, KEY.verifier.text).ok, at
    for end in range(0, len(proof), 7):
        file.write_bytes(proof[:end])
        assert not verify_proof(file, KEY.verifier.text).ok, end


pieces = st.one_of(
    st.sampled_from(["", "\n", "\n\n", ORIGIN, "0", "660", "-1", "1" * 5_000, "٣", "\u2014 ", " ", "\ud800", "\0"]),
    st.sampled_from(["{", "}", "[]", "null", "1e9", '"index":', '"kind":"log.rotation"', '"note":', "[" * 3_000]),
    st.sampled_from(
        ["gateway-audit-rotation/1", KEY.verifier.text, "A" * 88, "AAAA", '{"checkpoint":""}', '"\\ud800"']
    ),
    st.text(max_size=8),
)


@settings(RELAXED, max_examples=400)
@given(st.data())
def test_nothing_that_is_put_in_a_files_place_ends_the_verifier_without_a_verdict(honest, data):
    trail, files = honest
    name = data.draw(st.sampled_from([Path("checkpoint"), Path("rotations"), Path("witness"), Path("proof")]))
    content = files.get(name, files[Path("checkpoint")]).decode()
    lines = content.split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(st.one_of(st.just("".join(data.draw(st.lists(pieces, max_size=6)))), st.just(lines[0])))
    text = "\n".join(lines).encode(errors="surrogatepass")
    place = trail.parent / "elsewhere" if name.name in ("witness", "proof") else trail / name
    place.write_bytes(text)
    try:
        if name.name == "proof":
            assert not verify_proof(place, KEY.verifier.text).ok
        elif name.name == "witness":
            report = verify_log(trail, KEY.verifier.text, witness=place)
            assert report.ok == (text == files[Path("checkpoint")])
        else:
            report = verify_log(trail, KEY.verifier.text)
            assert report.ok == (text == files[name])
    finally:
        if name in files:
            (trail / name).write_bytes(files[name])
        else:
            place.unlink()


values = st.recursive(
    st.one_of(st.text(max_size=20), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("abcxyz_", max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdefghij_", min_size=1, max_size=8), values, max_size=8))
def test_a_record_has_one_encoding_and_comes_back(record):
    leaf = leaf_of(record)
    assert record_of(leaf) == record
    assert leaf_of(record_of(leaf)) == leaf
    assert json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == leaf


@RELAXED
@given(st.lists(st.integers(0, 400), min_size=1, max_size=6), st.data())
def test_tiles_give_every_proof_whatever_the_steps_in_which_they_grew(steps, data):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        writer, tree = TileWriter(directory, Disk()), Frontier()
        roots = {0: tree.root()}
        leaves = []
        for step in steps:
            hashes = [leaf_hash((len(leaves) + i).to_bytes(4, "big")) for i in range(step)]
            leaves += hashes
            for digest in hashes:
                tree.push(digest)
                roots[tree.size] = tree.root()
            if data.draw(st.booleans()):
                writer.add(hashes)
            else:
                # a restart: the writer resumes from what is on disk
                writer = TileWriter(directory, Disk())
                assert writer.resume(tree.size - step, roots[tree.size - step])
                writer.add(hashes)
            writer.write()
            writer.discard_old()
        size = tree.size
        if not size:
            return
        nodes = TileReader(directory, size).node
        index = data.draw(st.integers(0, size - 1))
        old = data.draw(st.integers(0, size))
        path = inclusion_proof(index, size, nodes)
        assert verify_inclusion(index, size, leaves[index], path, roots[size])
        proof = consistency_proof(old, size, nodes)
        assert verify_consistency(old, size, roots[old], roots[size], proof)
        # a partial tile of each size that was signed stays for as long as there is no full one
        partial = set(directory.rglob("*.p/*"))
        assert all(file.stat().st_size == 32 * int(file.name) for file in partial)
        sizes = itertools.accumulate(steps)
        wanted = {
            (level, *divmod(one >> 8 * level, WIDTH)) for one in sizes for level in range(one.bit_length() // 8 + 1)
        }
        assert partial == {
            tile_path(directory, level, number, width)
            for level, number, width in wanted
            if width and number == (size >> 8 * level) // WIDTH
        }
        for number in range(size // WIDTH):
            assert tile_path(directory, 0, number).read_bytes() == b"".join(
                leaves[number * WIDTH : (number + 1) * WIDTH]
            )


people = st.sampled_from(["alice", "bob", "carol"])
events = st.one_of(
    st.builds(lambda p, s, n: {"kind": "statement.begin", "login": p, "session": s, "statement": n, "window_rows": 5},
              people, st.sampled_from("ST"), st.sampled_from("123")),
    st.builds(lambda s, n: {"kind": "statement.end", "session": s, "statement": n},
              st.sampled_from("ST"), st.sampled_from("123")),
    st.builds(lambda p, n: {"kind": "login", "login": p, "reason": "x" * n}, people, st.integers(1, 14_000)),
)  # fmt: skip


@settings(deadline=None, max_examples=25)
@given(st.lists(st.one_of(events, st.sampled_from(["flush", "sign", "crash", "reopen"])), max_size=40))
def test_whatever_happens_the_trail_verifies_and_search_agrees_with_reading(steps):
    with tempfile.TemporaryDirectory() as name:
        place, clock = Path(name), StepClock()
        trail = place / "trail"
        log = open_log(trail, clock)
        appended = []
        for step in steps:
            if isinstance(step, dict):
                appended.append((log.append(step).index, step))
            elif step == "flush":
                log.flush()
            elif step == "sign":
                log.flush()
                log.checkpoint()
            elif step == "reopen":
                log.close()
                log = open_log(trail, clock)
            else:
                log.flush()
                copy = Path(shutil.copytree(trail, place / "copy"))
                log.close()
                shutil.rmtree(trail)
                copy.rename(trail)
                log = open_log(trail, clock)
        log.close()
        report = verify_log(trail, KEY.verifier.text)
        assert report.ok, report.problems
        records = [
            record_of(leaf)
            for first, path in segments_of(trail)
            for batch in read_batches(path, first)
            for leaf in batch.leaves
        ]
        assert report.size == len(records)
        for index, step in appended:
            assert {field: records[index][field] for field in step} == step
        search = Search(trail, KEY.verifier, database=place / "index.sqlite")
        for kind in ("statement.begin", "statement.unknown", "login"):
            wanted = [record for record in records if record["kind"] == kind]
            assert search.search(Query(kind=kind, newest_first=False, limit=1000)) == wanted
        search.close()
