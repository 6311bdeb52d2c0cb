"""Both cores of the audit writer: killed, out of room, and refused by the system call that makes records durable."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from gateway.audit.checkpoint import create_signer, load_signer
from gateway.audit.encode import record_of
from gateway.audit.log import FileLog
from gateway.audit.segment import Disk, read_batches, segments_of
from gateway.audit.verify import verify_log
from gateway.audit.writer import COMPILED

pytestmark = pytest.mark.faults

ORIGIN = "gateway.example/faults"
WRITER = """
import asyncio, os, resource, sys
from datetime import UTC, datetime
from gateway.audit.checkpoint import load_signer
from gateway.audit.log import FileLog
from gateway.errors import GatewayError

async def main(directory, key, compiled, outstanding, limit):
    loop = asyncio.get_running_loop()
    failed = loop.create_future()
    log = FileLog.open(directory, origin="gateway.example/faults", key=load_signer(key), loop=loop,
                       clock=lambda: datetime.now(UTC), segment_bytes=256 << 10, reserve_bytes=0, interval_s=0.05,
                       compiled=compiled, on_failure=failed.set_result)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    def decided(receipt):
        if receipt.failed:
            return
        os.write(1, b"%d\\n" % receipt.index)
        more(receipt.index)
    def more(number):
        try:
            receipt = log.append({"kind": "login", "login": f"l{number}", "reason": "why " * (number % 400)})
        except GatewayError:
            return
        receipt.add_done_callback(decided)
        log.append({"kind": "session.end", "session": f"S{number}"}, urgent=False)
    for number in range(outstanding):
        more(number)
    error = await asyncio.wait_for(failed, 60)
    os.write(1, b"failed %d\\n" % error.errno)
    os._exit(0 if not log.writable else 1)

directory, key, compiled, outstanding, limit = sys.argv[1:]
asyncio.run(main(directory, key, compiled == "compiled", int(outstanding), int(limit)))
"""


@pytest.fixture(params=["compiled", "python"])
def kind(request):
    if request.param == "compiled" and not COMPILED:
        pytest.fail("the compiled writer is missing: python -m gateway.wire.build gateway/audit/_writer.pyx")
    return request.param


@pytest.fixture
def key_file(tmp_path):
    create_signer(tmp_path / "key", ORIGIN)
    return tmp_path / "key"


def has_direct_writes(directory):
    (directory / "probe").touch()
    descriptor = Disk().open_direct(directory / "probe")
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


def start(trail, key_file, kind, *, outstanding=32, limit=0, wrapper=()):
    command = [*wrapper, sys.executable, "-c", WRITER, str(trail), str(key_file), kind, str(outstanding), str(limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def check(trail, key_file, acknowledged):
    """What was acknowledged is there once the trail was mended, and the trail is whole."""
    key = load_signer(key_file)
    log = FileLog.open(trail, origin=ORIGIN, key=key, clock=lambda: datetime.now(UTC), segment_bytes=256 << 10,
                       reserve_bytes=0)  # fmt: skip
    log.close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    stored = [
        record_of(leaf)
        for first, path in segments_of(trail)
        for batch in read_batches(path, first)
        for leaf in batch.leaves
    ]
    assert all(stored[index]["kind"] == "login" for index in acknowledged)


def test_every_acknowledged_record_survives_kill_9(tmp_path, key_file, kind):
    trail, chance, acknowledged = tmp_path / "trail", random.Random(9), []
    for outstanding in (1, 8, 64, 64):
        with start(trail, key_file, kind, outstanding=outstanding) as writer:
            lines = [writer.stdout.readline()]
            time.sleep(chance.uniform(0.05, 0.25))
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        acknowledged += [int(line) for line in lines if line.endswith("\n")]
        check(trail, key_file, acknowledged)
    assert len(acknowledged) > 300
    assert len(segments_of(trail)) > 1


def test_a_file_that_may_not_grow_ends_the_log(tmp_path, key_file, kind):
    trail = tmp_path / "trail"
    with start(trail, key_file, kind, limit=150 << 10) as writer:
        *lines, last = writer.stdout.readlines()
    assert last.startswith("failed"), last
    assert writer.returncode == 0
    assert len(lines) > 20
    check(trail, key_file, map(int, lines))


def durable_call(kind, directory):
    """The system call after which that core's records are durable."""
    return "pwrite64" if kind == "compiled" and has_direct_writes(directory) else "fdatasync"


@pytest.mark.parametrize("number", [2, 5, 20, 60])
def test_a_kill_at_the_very_call_that_makes_records_durable_loses_nothing_acknowledged(
    tmp_path, key_file, kind, number
):
    strace = shutil.which("strace")
    assert strace, "strace is missing: deploy/prepare.sh debian strace"
    trail, call = tmp_path / "trail", durable_call(kind, tmp_path)
    wrapper = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    wrapper += ["-e", f"inject={call}:signal=KILL:when={number}"]
    with start(trail, key_file, kind, wrapper=wrapper) as writer:
        output = writer.stdout.readlines()
    assert writer.returncode != 0
    check(trail, key_file, [int(line) for line in output if line.endswith("\n")])


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("number", [1, 7])
def test_a_flush_that_fails_is_not_tried_again_and_acknowledges_nothing(tmp_path, key_file, kind, number, error):
    """The kernel's answer is replaced; the number is that of the call among those of the writer.

    The compiled writer's write is its flush where the file system has direct writes.
    """
    strace = shutil.which("strace")
    assert strace, "strace is missing: deploy/prepare.sh debian strace"
    trail, trace = tmp_path / "trail", tmp_path / "trace"
    when = f"{durable_call(kind, tmp_path)}:error={error}:when={number}+"
    wrapper = [strace, "-f", "-qq", "-o", str(trace), "-e", "trace=fdatasync,pwritev,pwrite64", "-e", f"inject={when}"]
    # the opening flushes on the first thread, which strace counts apart
    with start(trail, key_file, kind, wrapper=wrapper) as writer:
        output = writer.stdout.readlines()
    if number == 1:
        assert output == []
        assert writer.returncode != 0
        return
    assert output[-1] == f"failed {getattr(errno, error)}\n"
    check(trail, key_file, [int(line) for line in output[:-1]])
    calls = [line.split(maxsplit=1) for line in trace.read_text().splitlines() if "exited" not in line]
    failing = next(thread for thread, call in calls if "INJECTED" in call)
    mine = [call for thread, call in calls if thread == failing]
    at = next(i for i, call in enumerate(mine) if "INJECTED" in call)
    assert mine[at + 1 :] == [], "after a failed flush its thread writes and flushes nothing"
