"""The trail under kill -9, torn writes, and a second writer."""

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from gateway.audit.checkpoint import Signer, create_signer, load_signer
from gateway.audit.encode import record_of
from gateway.audit.log import FileLog
from gateway.audit.recovery import read_state
from gateway.audit.segment import FRAME_BYTES, Damaged, assemble, read_batches, segments_of
from gateway.audit.verify import verify_log
from gateway.errors import GatewayError

pytestmark = pytest.mark.faults

ORIGIN = "gateway.example/faults"
OPTIONS = {"segment_bytes": 256 << 10, "reserve_bytes": 0}
WRITER = """
import asyncio, os, sys
from datetime import UTC, datetime
from gateway.audit.checkpoint import load_signer
from gateway.audit.log import FileLog

async def main(directory, key, outstanding):
    loop = asyncio.get_running_loop()
    log = FileLog.open(directory, origin="gateway.example/faults", key=load_signer(key), loop=loop,
                       clock=lambda: datetime.now(UTC), segment_bytes=256 << 10, reserve_bytes=0, interval_s=0.05)
    number = 0
    def acknowledged(receipt):
        os.write(1, b"%d\\n" % receipt.index)
        more()
    def more():
        nonlocal number
        number += 1
        key = {"session": "S1", "statement": f"Q{number}"}
        begin = {"kind": "statement.begin", "window_rows": 1000, "sql": "select 1 " * (number % 90)}
        receipt = log.append({**begin, **key})
        receipt.add_done_callback(acknowledged)
        if number % 3:
            log.append({"kind": "statement.end", "rows": 1, **key}, urgent=False)
    for _ in range(outstanding):
        more()
    await asyncio.sleep(60)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def now():
    return datetime.now(UTC)


def open_log(trail, key, **options):
    return FileLog.open(trail, origin=ORIGIN, key=key, clock=now, **{**OPTIONS, "interval_s": 30.0, **options})


def stored(trail):
    return [
        record_of(leaf)
        for first, path in segments_of(trail)
        for batch in read_batches(path, first)
        for leaf in batch.leaves
    ]


def test_every_acknowledged_record_survives_kill_9(tmp_path):
    trail, key_file = tmp_path / "trail", tmp_path / "key"
    create_signer(key_file, ORIGIN)
    key = load_signer(key_file)
    chance = random.Random(1423)
    acknowledged: set[int] = set()
    for turn in range(8):
        command = [sys.executable, "-c", WRITER, str(trail), str(key_file), str((1, 16, 64)[turn % 3])]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.25))
            writer.send_signal(signal.SIGKILL)
            lines = (first + writer.stdout.read()).split(b"\n")
        acknowledged |= {int(line) for line in lines[:-1]}
        if turn % 2:
            log = open_log(trail, key)
            log.close()
            report = verify_log(trail, key.verifier.text)
            assert report.ok, report.problems
            assert report.size == report.signed_size

    open_log(trail, key).close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    records = stored(trail)
    assert len(acknowledged) > 500
    assert len(segments_of(trail)) > 1
    for index in acknowledged:
        assert records[index]["index"] == index
        assert records[index]["kind"] == "statement.begin"
    still_open = set()
    for record in records:
        if record["kind"] == "statement.begin":
            still_open.add(record["statement"])
        elif record["kind"] in {"statement.end", "statement.unknown"}:
            still_open.discard(record["statement"])
        elif record["kind"] == "log.start":
            assert not still_open, "statements of the run before were not closed"
    assert not still_open
    assert any(record["kind"] == "log.recovery" for record in records)


@pytest.fixture
def crashed(tmp_path):
    """A trail as a crash left it: two batches that no checkpoint covers, the last of three records."""
    key = Signer.generate(ORIGIN)
    log = open_log(tmp_path / "live", key)
    for batch in range(3):
        for i in range(3):
            log.append({"kind": "statement.begin", "session": f"S{batch}", "statement": f"Q{i}", "window_rows": 7})
        log.flush()
        if batch == 0:
            log.checkpoint()
    trail = tmp_path / "trail"
    shutil.copytree(tmp_path / "live", trail)
    log.close()
    first, path = segments_of(trail)[0]
    batches = list(read_batches(path, first))
    return trail, key, path, batches


def test_a_tail_torn_at_any_byte_is_cut_and_nothing_before_it(crashed):
    trail, key, path, batches = crashed
    pristine = shutil.copytree(trail, trail.with_name("pristine"))
    start, end = batches[-2].end, batches[-1].end
    whole = path.read_bytes()[: end + 2_000]
    tears = {
        "never written from here on": lambda at: whole[:at] + bytes(len(whole) - at),
        "the file ends here": lambda at: whole[:at],
        "written from here on only": lambda at: whole[:start] + bytes(at - start) + whole[at:] if at > start else None,
        "garbage from here on": lambda at: whole[:at] + b"\xa5" * (end - at) + whole[end:],
    }
    for name, tear in tears.items():
        for at in range(start, end):
            torn = tear(at)
            if torn is None:
                continue
            path.write_bytes(torn)
            state = read_state(trail, ORIGIN, key.verifier)
            # a tear within bytes that were zero anyway tears nothing
            expected = batches[-1].size if torn[:end] == whole[:end] else batches[-1].first
            assert state.frontier.size == expected, (name, at)
            if (at - start) % 97 == 5:
                log = open_log(trail, key)
                assert log.recovery is not None
                assert log.recovery["size"] == expected
                log.close()
                report = verify_log(trail, key.verifier.text)
                assert report.ok, (name, at, report.problems)
                shutil.rmtree(trail)
                shutil.copytree(pristine, trail)


def test_damage_below_the_last_commit_stops_the_start_at_every_byte(crashed):
    trail, key, path, batches = crashed
    whole = path.read_bytes()[: batches[-1].end + 2_000]
    for at in range(batches[0].end, batches[-2].end):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(Damaged):
            read_state(trail, ORIGIN, key.verifier)
    with pytest.raises(GatewayError) as caught:
        open_log(trail, key)
    assert caught.value.code == "audit-damaged"


def test_a_signed_record_that_is_gone_stops_the_start(crashed):
    trail, key, path, batches = crashed
    whole = path.read_bytes()
    path.write_bytes(whole[: batches[0].end] + bytes(len(whole) - batches[0].end))
    before = {file: file.read_bytes() for file in trail.rglob("*") if file.is_file()}
    with pytest.raises(GatewayError) as caught:
        open_log(trail, key)
    assert caught.value.code == "audit-damaged"
    # what was found is what an investigation needs: a refused start leaves it as it was
    assert {file: file.read_bytes() for file in trail.rglob("*") if file.is_file()} == before


def test_a_last_leaf_of_a_cleanly_stopped_trail_cannot_be_passed_off_as_torn(tmp_path):
    key, trail = Signer.generate(ORIGIN), tmp_path / "trail"
    log = open_log(trail, key)
    log.append({"kind": "login", "login": "dan"})
    log.close()
    first, path = segments_of(trail)[0]
    batches = list(read_batches(path, first))
    data = bytearray(path.read_bytes())
    data[batches[-1].offsets[-1] - FRAME_BYTES + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(GatewayError) as caught:
        open_log(trail, key)
    assert caught.value.code == "audit-damaged"


@pytest.mark.parametrize(
    "leaf", [b"", b"[]", b'{"kind":"statement.begin"}', b'{"kind":"x","time":"yesterday"}', b"\xff"]
)
def test_a_committed_leaf_that_is_no_record_stops_the_start(crashed, leaf):
    trail, key, path, batches = crashed
    state = read_state(trail, ORIGIN, key.verifier)
    data, _, _ = assemble([leaf], state.offset, state.frontier)
    whole = path.read_bytes()
    path.write_bytes(whole[: batches[-1].end] + data + whole[batches[-1].end + len(data) :])
    with pytest.raises(GatewayError) as caught:
        open_log(trail, key)
    assert caught.value.code == "audit-damaged"
    assert not verify_log(trail, key.verifier.text).ok


def test_a_start_over_a_flipped_byte_refuses_or_loses_nothing(tmp_path):
    """Anywhere in any file, after a clean stop or a crash: what was signed is never given up in silence."""
    key, following = Signer.generate(ORIGIN), Signer.generate(ORIGIN)
    pristine = tmp_path / "pristine"
    for signer, next_key in ((key, None), (key, following)):
        log = open_log(pristine, signer, next_key=next_key)
        for i in range(180):
            log.append({"kind": "statement.begin", "session": "S", "statement": f"Q{i}", "sql": "select 1 " * 90})
            log.append({"kind": "statement.end", "session": "S", "statement": f"Q{i}"})
            if i % 60 == 7:
                log.flush()
        log.flush()
        log.checkpoint()
        shutil.copytree(pristine, tmp_path / "crashed", dirs_exist_ok=True)
        log.close()
    chance = random.Random(secrets.randbits(64))
    refused = mended = 0
    for number in range(120):
        source = pristine if number % 2 else tmp_path / "crashed"
        signed = stored(source)
        trail = shutil.copytree(source, tmp_path / "trail", ignore=shutil.ignore_patterns("spare"))
        files = sorted(path for path in trail.rglob("*") if path.is_file() and path.stat().st_size)
        path = chance.choice(files)
        data = bytearray(path.read_bytes())
        used = len(data.rstrip(b"\0"))
        at = chance.choice((chance.randrange(used), chance.randrange(len(data))))
        data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        where = f"{path.relative_to(trail)}, byte {at} of {source.name}"
        try:
            log = open_log(trail, following)
        except GatewayError as error:
            assert error.code == "audit-damaged", where  # noqa: PT017
            refused += 1
        else:
            log.close()
            report = verify_log(trail, key.verifier.text)
            if report.ok:
                # beyond the last commit, or in what is derived and was made anew
                assert stored(trail)[: len(signed)] == signed, where
                mended += 1
            else:
                assert path.is_relative_to(trail / "tile") or path.parent.name == "segments", where
        shutil.rmtree(trail)
    assert refused > 10
    assert mended > 3


def test_a_second_process_cannot_write_the_same_trail(tmp_path):
    key_file, trail = tmp_path / "key", tmp_path / "trail"
    key = create_signer(key_file, ORIGIN)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(trail), str(key_file), "1"], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(GatewayError) as caught:
            open_log(trail, key)
        assert caught.value.code == "audit-not-writable"
        assert verify_log(trail, key.verifier.text).ok
        os.kill(writer.pid, signal.SIGKILL)
        writer.stdout.close()
    log = open_log(trail, key)
    log.close()
    assert verify_log(trail, key.verifier.text).ok
