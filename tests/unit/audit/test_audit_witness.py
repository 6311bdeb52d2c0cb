"""A witness follows a log that grows, and tells each way in which one may not."""

import shutil

import pytest

from gateway.audit.checkpoint import Checkpoint, Signer, open_checkpoint
from gateway.audit.cosignature import Cosigner
from gateway.audit.segment import Disk
from gateway.audit.verify import verify_log
from gateway.audit.witness import Copy, evidence_keeper, load_memory, look, saver

SILENCE_S = 600


class Watcher:
    """A witness with a state file, and a clock that the test moves."""

    def __init__(self, place, key):
        self.state, self.first = place / "state.json", key.verifier
        self.now = 1_795_000_000
        self.cosigner = None

    def look(self, source, later=30):
        self.now += later
        return look(
            source if hasattr(source, "read") else Copy(source), load_memory(self.state), self.first, self.now,
            SILENCE_S, saver(self.state), self.cosigner, evidence_keeper(self.state, lambda: self.now),
        )  # fmt: skip

    @property
    def size(self):
        return load_memory(self.state).head.size

    @property
    def evidence(self):
        folder = self.state.with_name("state.json.evidence")
        return sorted(file.read_text() for file in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def watcher(tmp_path, key):
    (tmp_path / "elsewhere").mkdir()
    return Watcher(tmp_path / "elsewhere", key)


@pytest.fixture
def grow(open_log, records):
    """Lets the trail grow by that many statements, and closes it."""
    begin, end = records

    def grow_it(count, text="", **options):
        log = open_log(**options)
        for i in range(count):
            log.append(begin(i, sql=f"select {text}"))
            log.append(end(i))
        log.close()

    return grow_it


def test_a_log_that_grows_is_followed_in_steps_of_any_size(watcher, grow, trail, key):
    sizes = []
    for count in (1, 0, 3, 120, 5, 300, 700):
        grow(count)
        found = watcher.look(trail)
        assert found.alarm == "", found
        sizes.append(watcher.size)
        assert verify_log(trail, key.verifier.text, witness=watcher.state).ok
    assert sizes == sorted(set(sizes))
    assert sizes[-1] > 2_000
    assert watcher.evidence == []


def test_a_log_without_news_is_silent_after_a_while_and_no_longer_when_it_grows(watcher, grow, trail):
    grow(1)
    assert watcher.look(trail).alarm == ""
    for _ in range(SILENCE_S // 30):
        assert watcher.look(trail).alarm == ""
    found = watcher.look(trail)
    assert found.alarm == "silent"
    assert "no new head for 630 seconds" in found.what
    assert load_memory(watcher.state).alarm == "silent"
    grow(0)
    assert watcher.look(trail).alarm == ""


def test_a_log_that_cannot_be_reached_is_silent_after_a_while(watcher, grow, trail, tmp_path):
    grow(1)
    watcher.look(trail)
    found = watcher.look(tmp_path / "nowhere")
    assert (found.alarm, found.what) == ("", "the log cannot be read: No such file or directory")
    assert watcher.look(tmp_path / "nowhere", later=SILENCE_S).alarm == "silent"
    assert watcher.look(tmp_path / "nowhere").alarm == "silent"
    assert watcher.evidence == []


def test_a_log_that_was_never_reached_is_silent_too(watcher, tmp_path):
    assert watcher.look(tmp_path / "nowhere").alarm == ""
    assert watcher.look(tmp_path / "nowhere", later=SILENCE_S + 1).alarm == "silent"


def test_a_log_that_was_put_back_is_told_and_remembered(watcher, grow, trail, tmp_path):
    grow(40)
    old = shutil.copytree(trail, tmp_path / "old")
    grow(200)
    watcher.look(trail)
    size = watcher.size
    found = watcher.look(old)
    assert found.alarm == "rollback"
    assert watcher.size == size, "what was seen stays"
    assert watcher.evidence == [(old / "checkpoint").read_text()]
    watcher.look(old)
    assert len(watcher.evidence) == 1
    grow(1)
    assert watcher.look(trail).alarm == ""
    assert len(watcher.evidence) == 1, "evidence outlives the alarm"


@pytest.mark.parametrize("count", [10, 40, 400])
def test_a_log_with_two_histories_is_told_whichever_is_longer(watcher, grow, trail, tmp_path, count):
    grow(40)
    watcher.look(trail)
    shared = shutil.copytree(trail, tmp_path / "shared")
    grow(20)
    watcher.look(trail)
    shutil.rmtree(trail)
    shutil.copytree(shared, trail)
    grow(count, "another")
    assert watcher.look(trail).alarm == ("rollback" if count < 20 else "fork")


def test_two_trees_of_one_size_are_a_fork(watcher, grow, trail, key):
    grow(40)
    watcher.look(trail)
    head = open_checkpoint((trail / "checkpoint").read_text(), key.verifier)
    (trail / "checkpoint").write_text(key.sign(Checkpoint(head.origin, head.size, bytes(32)).text()))
    assert watcher.look(trail).alarm == "fork"


def test_what_the_log_did_not_sign_or_does_not_show_is_forged(watcher, grow, trail, key):
    grow(300)
    watcher.look(trail)
    grow(300)
    note = (trail / "checkpoint").read_text()
    size = watcher.size
    stranger = Signer.generate(key.verifier.name)
    text = note.rpartition("\n\n")[0] + "\n"
    for forged in (
        stranger.sign(text), note.replace("\n1", "\n2"), "", "x", Signer.generate("other.example").sign(text),
        key.sign(text.replace(key.verifier.name, "other.example")), key.sign("nonsense\n"),
    ):  # fmt: skip
        (trail / "checkpoint").write_text(forged)
        assert watcher.look(trail).alarm == "forged", forged
    (trail / "checkpoint").write_text(note)
    for name in ("tile/0/004.p/180", "tile/1/000.p/4", "tile/0/002"):
        data = (trail / name).read_bytes()
        for broken in (data[:-32], bytes(len(data)), data[32:64] + data[:32] + data[64:]):
            (trail / name).write_bytes(broken)
            assert watcher.look(trail).alarm in ("forged", "fork"), name
        (trail / name).unlink()
        assert watcher.look(trail).alarm == "forged", name
        (trail / name).write_bytes(data)
    assert watcher.size == size
    assert watcher.look(trail).alarm == ""


def test_a_change_of_the_key_is_followed_and_the_old_one_no_longer_believed(watcher, grow, trail, key):
    second, third = Signer.generate(key.verifier.name), Signer.generate(key.verifier.name)
    grow(10)
    watcher.look(trail)
    grow(10, key=key, next_key=second)
    grow(10, key=second, next_key=third)
    grow(10, key=third)
    rotations = (trail / "rotations").read_bytes()
    first, second_leaf, _ = rotations.split(b"\n")
    for missing in (b"", first + b"\n", second_leaf + b"\n", rotations[:-1], rotations.replace(b"log.r", b"log.R")):
        (trail / "rotations").write_bytes(missing)
        assert watcher.look(trail).alarm == "forged", missing
    (trail / "rotations").unlink()
    assert watcher.look(trail).alarm == "forged"
    (trail / "rotations").write_bytes(rotations)
    assert watcher.look(trail).alarm == ""
    assert load_memory(watcher.state).key == third.verifier
    grow(10, key=third)
    note = (trail / "checkpoint").read_text()
    for stolen in (key, second):
        (trail / "checkpoint").write_text(stolen.sign(note.rpartition("\n\n")[0] + "\n"))
        assert watcher.look(trail).alarm == "forged"
    (trail / "checkpoint").write_text(note)
    assert watcher.look(trail).alarm == ""


def test_a_rotation_that_is_not_in_the_tree_is_not_followed(watcher, grow, trail, key, tmp_path):
    """Who stole the first key and the disk makes a rotation of their own: it must be a record of the same history."""
    grow(10)
    watcher.look(trail)
    mine = Signer.generate(key.verifier.name)
    elsewhere = shutil.copytree(trail, tmp_path / "theirs")
    grow(10, key=key, next_key=mine)
    theirs = (trail / "rotations").read_bytes()
    shutil.rmtree(trail)
    shutil.copytree(elsewhere, trail)
    grow(30)
    text = (trail / "checkpoint").read_text().rpartition("\n\n")[0] + "\n"
    (trail / "rotations").write_bytes(theirs)
    (trail / "checkpoint").write_text(mine.sign(text))
    found = watcher.look(trail)
    assert found.alarm == "forged"
    assert "not in the tree" in found.what


def test_a_witness_cosigns_what_it_accepted_and_nothing_else(watcher, grow, trail, key, tmp_path):
    watcher.cosigner = Cosigner.generate("witness.example/w1")
    grow(40)
    old = shutil.copytree(trail, tmp_path / "old")
    grow(40)
    watcher.look(trail)
    cosigned = load_memory(watcher.state).note
    assert watcher.cosigner.verifier.cosigned_at(cosigned) == watcher.now
    assert verify_log(trail, key.verifier.text, witness=watcher.state).ok
    watcher.look(old)
    assert load_memory(watcher.state).note == cosigned
    watcher.look(trail)
    assert watcher.cosigner.verifier.cosigned_at(load_memory(watcher.state).note) == watcher.now


def test_nothing_is_cosigned_that_is_not_on_disk(watcher, grow, trail):
    watcher.cosigner = Cosigner.generate("witness.example/w1")
    grow(1)
    saved = []

    def save(memory):
        saved.append(memory)
        if len(saved) == 1:
            assert watcher.cosigner.verifier.cosigned_at(memory.note) is None
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        look(Copy(trail), None, watcher.first, watcher.now, SILENCE_S, save, watcher.cosigner)
    assert len(saved) == 1


class Torn(Disk):
    """Fails in the middle of what a write is made of."""

    def __init__(self, at):
        self.left = at

    def step(self):
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error")

    def write(self, descriptor, data, offset):
        self.step()
        super().write(descriptor, data[: len(data) // 2], offset)
        self.step()
        super().write(descriptor, data[len(data) // 2 :], offset + len(data) // 2)

    def sync(self, descriptor):
        self.step()
        super().sync(descriptor)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_crash_while_the_state_is_written_leaves_the_one_before(watcher, grow, trail, at):
    grow(1)
    watcher.look(trail)
    before = watcher.state.read_bytes()
    grow(1)
    with pytest.raises(OSError):
        look(Copy(trail), load_memory(watcher.state), None, watcher.now, SILENCE_S, saver(watcher.state, Torn(at)))
    assert watcher.state.read_bytes() == before
    assert watcher.look(trail).alarm == ""


@pytest.mark.parametrize(
    "change", [lambda text: text[:-5], lambda text: "{}", lambda text: "[]", lambda text: text.replace("/1", "/2", 1),
               lambda text: text.replace('"grew": 1', '"grew": "1"'), lambda text: text.replace("\\n", "\\n1", 1)]
)  # fmt: skip
def test_a_state_that_was_changed_is_refused(watcher, grow, trail, change):
    grow(1)
    watcher.look(trail)
    text = watcher.state.read_text()
    assert change(text) != text
    watcher.state.write_text(change(text))
    with pytest.raises(ValueError):
        watcher.look(trail)


def test_the_first_look_needs_a_key_and_later_ones_the_same(watcher, grow, trail):
    grow(1)
    key, watcher.first = watcher.first, None
    with pytest.raises(ValueError, match="first look"):
        watcher.look(trail)
    watcher.first = key
    watcher.look(trail)
    watcher.first = None
    assert watcher.look(trail).alarm == ""
    watcher.first = Signer.generate(key.name).verifier
    with pytest.raises(ValueError, match="another key"):
        watcher.look(trail)
