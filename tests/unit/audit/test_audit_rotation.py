"""The signing key changes by a record of both keys; before, after and in the middle of it the trail verifies."""

import base64
import json
import shutil

import pytest

from gateway.audit.checkpoint import Checkpoint, Signer, create_signer, load_signer, verifier_path
from gateway.audit.encode import canonical, record_of
from gateway.audit.log import FileLog
from gateway.audit.publish import Publisher
from gateway.audit.rotation import (
    keep_rotation,
    kept_rotations,
    load_next_signer,
    next_key_path,
    rotation_note,
    rotation_of,
    settle_keys,
)
from gateway.audit.search import Search
from gateway.audit.segment import Damaged, Disk, read_batches, segments_of
from gateway.audit.verify import proof_bytes, verify_log, verify_proof
from gateway.errors import GatewayError


@pytest.fixture
def keys(key):
    """The first key of the log and those that follow."""
    return [key, Signer.generate(key.verifier.name), Signer.generate(key.verifier.name)]


@pytest.fixture
def rotated(open_log, trail, keys, records):
    """A trail with three keys and records under each; checkpoints that the first two signed are kept beside it."""
    begin, end = records
    for number, key in enumerate(keys):
        following = keys[number + 1] if number < 2 else None
        log = open_log(key=key)
        for i in range(150):
            log.append(begin(i))
            log.append(end(i))
        log.flush()
        log.checkpoint()
        shutil.copy(trail / "checkpoint", trail.with_name(f"head{number}"))
        log.close()
        if following is not None:
            log = open_log(key=key, next_key=following)
            assert log.verifier.text == following.verifier.text
            log.close()
    return trail


def leaves_of(trail):
    return [leaf for first, path in segments_of(trail) for batch in read_batches(path, first) for leaf in batch.leaves]


def test_a_trail_verifies_from_any_of_its_keys_on(rotated, keys):
    kinds = [record_of(leaf)["kind"] for leaf in leaves_of(rotated)]
    assert kinds.count("log.rotation") == 2
    for key in keys:
        report = verify_log(rotated, key.verifier.text)
        assert report.ok, report.problems
        assert report.size == report.signed_size == len(kinds)
        for number in range(3):
            witness = rotated.with_name(f"head{number}")
            assert verify_log(rotated, key.verifier.text, witness=witness).ok, number
    stranger = Signer.generate(keys[0].verifier.name)
    assert "none of those" in verify_log(rotated, stranger.verifier.text).problems[0].what


@pytest.mark.parametrize("holder", [0, 1])
def test_a_stolen_old_key_cannot_sign_what_comes_after_it(rotated, keys, holder):
    """Whoever checks with the first key or with the second: a head of the replaced one is not believed."""
    note = (rotated / "checkpoint").read_text()
    head = Checkpoint(*parsed(note))
    (rotated / "checkpoint").write_text(keys[holder].sign(head.text()))
    for key in keys:
        problem = verify_log(rotated, key.verifier.text).problems[0]
        assert "in force" in problem.what
    with pytest.raises(GatewayError) as caught:
        FileLog.open(rotated, origin=head.origin, key=keys[holder], clock=lambda: None)
    assert caught.value.code == "audit-damaged"


def parsed(note):
    origin, size, root = note.split("\n")[:3]
    return origin, int(size), base64.b64decode(root)


def test_a_log_begun_anew_with_a_stolen_key_shows_before_the_new_key_and_before_a_witness(
    rotated, keys, open_log, records, tmp_path
):
    begin, _ = records
    newest = shutil.copy(rotated / "checkpoint", tmp_path / "newest")
    shutil.rmtree(rotated)
    log = open_log(key=keys[0])
    for i in range(2_000):
        log.append(begin(i))
    log.close()
    assert verify_log(rotated, keys[0].verifier.text).ok, "what the first key alone cannot tell"
    assert "not signed by this key" in verify_log(rotated, keys[2].verifier.text).problems[0].what
    report = verify_log(rotated, keys[0].verifier.text, witness=newest)
    assert not report.ok


@pytest.mark.parametrize(
    "change",
    [
        lambda note, keys: note.replace("\n303\n", "\n304\n"),
        lambda note, keys: "\n".join([*note.split("\n")[:-2], ""]),
        lambda note, keys: note.replace("rotation/1", "rotation/2"),
        lambda note, keys: rotation_note(303, keys[1], keys[0]),
        lambda note, keys: rotation_note(303, keys[0], keys[0]),
        lambda note, keys: rotation_note(7, keys[0], keys[1]),
        lambda note, keys: keys[0].sign(note.rpartition("\n\n")[0] + "\n"),
        lambda note, keys: "",
    ],
)
def test_a_rotation_that_both_keys_did_not_sign_for_this_place_changes_nothing(rotated, keys, change):
    path = rotated / "rotations"
    first, rest = path.read_bytes().split(b"\n", 1)
    record = json.loads(first)
    assert record["index"] == 303
    record["note"] = change(record["note"], keys)
    path.write_bytes(canonical(record) + b"\n" + rest)
    assert not verify_log(rotated, keys[0].verifier.text).ok
    with pytest.raises(Damaged):
        kept_rotations(rotated, record["origin"])


def test_a_kept_rotation_is_the_leaf_of_the_record_and_all_are_there(rotated, keys):
    path = rotated / "rotations"
    whole = path.read_bytes()
    first, second, _ = whole.split(b"\n")
    path.write_bytes(first + b"\n")
    problem = verify_log(rotated, keys[0].verifier.text).problems[0]
    assert "in force" in problem.what
    path.write_bytes(whole)
    assert verify_log(rotated, keys[0].verifier.text).ok
    record = json.loads(first)
    path.write_bytes(canonical(record | {"id": "another"}) + b"\n" + second + b"\n")
    with pytest.raises(GatewayError, match="damaged"):
        FileLog.open(rotated, origin=record["origin"], key=keys[2], clock=lambda: None)
    assert "changed the key" in verify_log(rotated, keys[0].verifier.text).problems[0].what
    for cut in (whole[:-1], b"", whole + b"x", second + b"\n" + first + b"\n", whole + first + b"\n"):
        path.write_bytes(cut)
        assert not verify_log(rotated, keys[0].verifier.text).ok
        with pytest.raises(Damaged):
            kept_rotations(rotated, record["origin"])


def test_a_proof_made_after_a_rotation_verifies_with_the_first_key(rotated, keys, tmp_path):
    search = Search(rotated, keys[2].verifier, database=tmp_path / "index.sqlite")
    for index in (0, 303, 400, 900):
        document = search.prove(index)
        assert len(document["rotations"]) == 2
        file = tmp_path / "proof.json"
        file.write_bytes(proof_bytes(document))
        for key in keys:
            report = verify_proof(file, key.verifier.text)
            assert report.ok, report.problems
            assert report.record == search.show(index)
        for broken in (
            {"rotations": document["rotations"][:1]},
            {"rotations": document["rotations"][::-1]},
            {"rotations": []},
            {"rotations": [document["rotations"][0] | {"path": []}, document["rotations"][1]]},
        ):
            file.write_bytes(proof_bytes(document | broken))
            assert not verify_proof(file, keys[0].verifier.text).ok, broken
        del document["rotations"]
        file.write_bytes(proof_bytes(document))
        assert not verify_proof(file, keys[0].verifier.text).ok
        assert verify_proof(file, keys[2].verifier.text).ok
    search.close()


def test_without_the_key_that_follows_a_log_does_not_start(rotated, keys):
    for key in keys[:2]:
        with pytest.raises(GatewayError) as caught:
            FileLog.open(rotated, origin=key.verifier.name, key=key, clock=lambda: None)
        assert caught.value.code == "audit-damaged"


class Crash(Exception):
    pass


def crash(*_, **__):
    raise Crash


STEPS = {
    "before the record": (FileLog, "_rotate", 0),
    "the record is durable": ("gateway.audit.log.keep_rotation", None, 0),
    "the leaf is kept": (FileLog, "_use", 1),
    "the new key is in use": (Publisher, "publish", 1),
    "the head is signed": (Publisher, "start", 0),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_between_any_two_steps_is_gone_on_from(open_log, trail, clock, tmp_path, records, monkeypatch, step):
    begin, _ = records
    path = tmp_path / "audit.key"
    first = create_signer(path, "gateway.example/test")
    log = open_log(key=first)
    log.append(begin(1))
    log.close()
    following = create_signer(next_key_path(path), "gateway.example/test")
    place, name, after = STEPS[step]
    with monkeypatch.context() as patch:
        if name is None:
            patch.setattr(place, crash)
        else:
            real, calls = getattr(place, name), iter(range(10))
            patch.setattr(place, name, lambda *a, **k: crash() if next(calls) == after else real(*a, **k), raising=True)
        with pytest.raises(Crash):
            open_log(key=load_signer(path), next_key=load_next_signer(path))
    for _ in range(2):
        log = open_log(key=load_signer(path), next_key=load_next_signer(path))
        assert log.verifier.text == following.verifier.text
        log.append(begin(2))
        log.close()
        for known in (first, following):
            report = verify_log(trail, known.verifier.text)
            assert report.ok, report.problems
    assert [record_of(leaf)["kind"] for leaf in leaves_of(trail)].count("log.rotation") == 1
    assert len(kept_rotations(trail, "gateway.example/test")) == 1


def test_settling_puts_the_new_key_in_place_and_may_be_cut_short_anywhere(tmp_path, monkeypatch):
    path = tmp_path / "audit.key"
    old = create_signer(path, "log.example")
    new = create_signer(next_key_path(path), "log.example")
    assert not settle_keys(path, old.verifier), "as long as the old one signs it stays"
    assert load_next_signer(path) is not None
    with monkeypatch.context() as patch:
        patch.setattr(Disk, "replace", crash)
        with pytest.raises(Crash):
            settle_keys(path, new.verifier)
    settle_keys(path, new.verifier)
    assert load_signer(path).verifier.text == new.verifier.text
    assert verifier_path(path).read_text().strip() == new.verifier.text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["audit.key", "audit.key.pub"]
    assert not settle_keys(path, new.verifier)


def test_a_leaf_that_is_kept_twice_is_the_same(trail, keys):
    trail.mkdir()
    record = {"v": 1, "origin": keys[0].verifier.name, "index": 5, "kind": "log.rotation", "id": "x", "time": "t"}
    leaf = canonical(record | {"note": rotation_note(5, keys[0], keys[1])})
    rotation = rotation_of(leaf, keys[0].verifier.name)
    keep_rotation(trail, rotation, Disk())
    keep_rotation(trail, rotation, Disk())
    assert kept_rotations(trail, keys[0].verifier.name) == [rotation]


def test_a_key_of_another_log_does_not_follow(open_log, trail, key):
    other = Signer.generate("other.example")
    with pytest.raises(GatewayError) as caught:
        open_log(next_key=other)
    assert caught.value.code == "configuration-invalid"
    assert not trail.exists()
    record = {"v": 1, "origin": key.verifier.name, "index": 5, "kind": "log.rotation", "id": "x", "time": "t"}
    with pytest.raises(ValueError, match="both sign"):
        rotation_of(canonical(record | {"note": rotation_note(5, key, other)}), key.verifier.name)
