"""The demonstration as visitors meet it: the tour passes, lines work when pasted, nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from emitted import EMITTED

from gateway.engines.http_support import unsupported

GATEWAY = [sys.executable, "-P", "-m", "gateway"]


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    # Not pytest's own directory: under root, PostgreSQL runs as a user who cannot enter it.
    directory = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
    directory.chmod(0o711)
    yield directory
    for log in directory.glob("*/gateway.log"):
        EMITTED.watch(log.parent / "company", log)
    EMITTED.scan()
    shutil.rmtree(directory, ignore_errors=True)


def descendants(pid: int) -> set[int]:
    """All processes below that one, by /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    while fresh := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= fresh
    return found


class Demo:
    """`gateway demo` without a terminal, its output collected as it comes."""

    def __init__(self, state: Path) -> None:
        self.process = subprocess.Popen(
            [*GATEWAY, "demo", "--state", str(state)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            self.lines += iter(out.readline, "")

    def wait_for(self, pattern: str, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if re.search(pattern, line):
                    return line.strip()
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        pytest.fail(f"no line like {pattern!r} in:\n{''.join(self.lines)}")

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


def test_every_claim_of_the_tour_holds(state: Path) -> None:
    done = subprocess.run(
        [*GATEWAY, "demo", "--tour", "--state", str(state)], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"All \d+ claims hold", done.stdout)
    assert "FAIL" not in done.stdout


def pasted_line(line: str) -> str:
    """What a line to paste printed."""
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_line_for_mariadb_works_when_pasted(state: Path) -> None:
    demo = Demo(state)
    try:
        demo.wait_for("the audit trail, as it grows")
        line = demo.wait_for(r"^\s+mariadb --defaults-file=")
        query = "select id, first_name, iban from employees order by id limit 1"
        number, name, iban = pasted_line(f"{line} --batch --skip-column-names -e {shlex.quote(query)}").split("\t")
        psql = demo.wait_for(r"^\s+psql .*passfile=")
        text = f"select first_name, iban from employees where id = {number}"
        assert pasted_line(f"{psql} -At -F , -c {shlex.quote(text)}").strip() == f"{name},{iban.strip()}"
        demo.wait_for(r"statement\.begin\s+alice\s+SUP-1423\s+SELECT .*`employees`")
    finally:
        assert demo.end(signal.SIGINT) == 0


@pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")
def test_the_lines_for_the_apis_work_when_pasted(state: Path) -> None:
    demo = Demo(state)
    try:
        demo.wait_for("the audit trail, as it grows")
        people = pasted_line(demo.wait_for(r"^\s+curl .*per_page=2"))
        assert {one["company_id"] for one in json.loads(people)["employees"]} == {42}
        assert pasted_line(demo.wait_for(r"^\s+curl .*/overview")).startswith("<!doctype html>")
        sent = json.loads(pasted_line(demo.wait_for(r"^\s+curl .*/simulations")))
        kept = json.loads(pasted_line(demo.wait_for(r"^\s+cat .*received\.jsonl")))
        assert kept["employee"]["last_name"] == sent["for"]
        assert kept["employee"]["nir"] == "***"
        demo.wait_for(r"statement\.begin\s+alice\s+SUP-1423\s+POST /companies/\{company_id\}/simulations")
    finally:
        assert demo.end(signal.SIGINT) == 0


def test_the_demo_s_lines_work_when_pasted_and_the_trail_shows_it(state: Path) -> None:
    demo = Demo(state)
    try:
        demo.wait_for("the audit trail, as it grows")
        line = demo.wait_for(r'^\s+psql ".*passfile=')
        pasted = subprocess.run(
            [*shlex.split(line), "-X", "--csv", "-c", "select distinct company_id from employees"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert pasted.stdout == "company_id\n42\n", pasted.stderr
        demo.wait_for(r"statement\.begin\s+alice\s+SUP-1423\s+select distinct company_id from employees")
        started = descendants(demo.process.pid)
        assert len(started) >= 2
    finally:
        code = demo.end(signal.SIGINT)
    assert code == 0
    assert {pid for pid in started if Path(f"/proc/{pid}").exists()} == set()
    assert any("stopped" in line for line in demo.lines)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_start_is_quick_and_other_ends_are_as_orderly(state: Path, how: signal.Signals) -> None:
    begun = time.monotonic()
    demo = Demo(state)
    demo.wait_for("the audit trail, as it grows")
    # 5 s is the promise on an idle machine; a test machine is seldom idle.
    assert time.monotonic() - begun < 60
    again = [line for line in demo.lines if re.search("making|enrolling|waiting", line)]
    assert again == [], "nothing is made twice, and no code is needed"
    started = descendants(demo.process.pid)
    assert demo.end(how) == 0
    assert {pid for pid in started if Path(f"/proc/{pid}").exists()} == set()


def test_two_demos_at_once_do_not_meet(state: Path) -> None:
    first, second = Demo(state), None
    try:
        first.wait_for("the audit trail, as it grows")
        second = Demo(state)
        second.wait_for("the audit trail, as it grows")
        assert any("usual port for postgres is taken" in line for line in second.lines)
        assert first.wait_for(r'^\s+psql ".*passfile=') != second.wait_for(r'^\s+psql ".*passfile=')
    finally:
        for demo in filter(None, (second, first)):
            assert demo.end(signal.SIGINT) == 0


def test_what_a_killed_demo_leaves_ends_with_it(state: Path) -> None:
    if shutil.which("setpriv") is None:
        pytest.fail("setpriv (util-linux) is needed")
    demo = Demo(state)
    demo.wait_for("the audit trail, as it grows")
    started = descendants(demo.process.pid)
    os.kill(demo.process.pid, signal.SIGKILL)
    demo.process.wait(10)
    deadline = time.monotonic() + 20
    while left := {pid for pid in started if _runs(pid)}:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
