"""A trail that takes nothing, a budget that ends, a policy that changes, while APIs are used: all stays covered."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway_fixture import awaited, eventually
from http_api import CANARY, POLICY
from http_house import HttpHouse, open_http_house, token
from http_reading import Reader, announced, change_policy

from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

UNBOUNDED = "rows_per_day: 100000000, bytes_per_day: 100000000000"


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    assert POLICY.count(UNBOUNDED) == 1
    with open_http_house(tmp_path_factory.mktemp("trail"), postgres) as place:
        yield place


def streamed(place: HttpHouse, mine: dict[str, Any], lines: int) -> tuple[int, int, bool]:
    """Rows and bytes of an export's body that came, and whether it was whole."""
    rows = size = 0
    try:
        with place.client(mine) as client, client.stream("GET", f"/companies/42/export?lines={lines}") as answer:
            assert answer.status_code == 200
            for part in answer.iter_raw():
                size += len(part)
                rows += part.count(b"\n")
    except httpx2.TransportError:
        return rows, size, False
    return rows, size, True


@pytest.mark.parametrize(("old", "new", "most", "code"), [
    (UNBOUNDED, "rows_per_day: 30000, bytes_per_day: 100000000000", (30_000, 1 << 40), "row-budget-exhausted"),
    ("rows_per_day: 30000, bytes_per_day: 100000000000", "rows_per_day: 900000, bytes_per_day: 9000000",
     (900_000, 9_000_000), "byte-budget-exhausted"),
], ids=["rows", "bytes"])  # fmt: skip
def test_a_budget_that_runs_out_cuts_the_answer_and_lets_no_other_begin(
    place: HttpHouse, old: str, new: str, most: tuple[int, int], code: str
) -> None:
    change_policy(place, old, new)
    mine = place.opened()
    follower = place.house.follow()
    rows, size, whole = streamed(place, mine, 500_000)
    assert not whole
    assert 0 < rows <= most[0]
    assert 0 < size <= most[1]
    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert (end["status"], end["tag"]) == ("cut", f"HTTP 200 {code}")
    assert (rows, size) <= (end["rows"], end["bytes"]) <= announced(place, end["statement"])
    # what is left of the budget may let small answers begin, but never a row beyond it
    with place.client(mine) as client:
        for _ in range(3):
            with contextlib.suppress(httpx2.TransportError):
                answer = client.get("/companies/42/export?lines=20000")
                rows, size = rows + answer.text.count("\n"), size + len(answer.content)
    assert rows <= most[0]
    assert size <= most[1]


def test_a_policy_that_changes_cuts_what_streams_and_counts_for_the_next_request_of_the_connection(
    place: HttpHouse,
) -> None:
    bounded = "rows_per_day: 900000, bytes_per_day: 9000000"
    change_policy(place, bounded, UNBOUNDED)
    mine = place.opened()
    with place.client(mine) as client:
        assert "iban" in client.get("/companies/42/employees/4200").json()
        with Reader(place, "/companies/42/export?lines=100000&slow=true", token(mine)) as reader:
            reader.read(1000)
            follower = place.house.follow()
            change_policy(place, "            $.iban: {mask: partial, keep_start: 4, keep_end: 3, identifier: true, "
                                 "reveal: true}\n", "")  # fmt: skip
            end = awaited(follower, lambda record: record["kind"] == "statement.end")
            reader.read(1 << 40)
        assert end["status"] == "cut"
        assert not reader.got.endswith(b"0\r\n\r\n")
        assert reader.rows() <= end["rows"]
        # the same connection and the same pass: proven anew, and judged by what is known now
        answer = client.get("/companies/42/employees/4200")
    assert answer.status_code == 200
    assert set(answer.json()) == {"id", "last_name"}


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A file system of 6 MiB, where this user may mount one."""
    path.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "none", str(path)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_disk_refuses_requests_and_they_go_nowhere(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    small = tmp_path / "small"
    settings = {"audit": {"path": str(small / "audit"), "reserve": "1MiB", "segment_size": "1MiB"}}
    with small_disk(small), open_http_house(tmp_path / "house", postgres, settings=settings) as place:
        mine = place.opened()
        with place.client(mine) as client:
            assert client.get("/companies/42/employees/4200").status_code == 200
            ballast = small / "ballast"
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            eventually(lambda: client.get("/companies/42/employees/4200").status_code == 503)
            del place.office.seen[:]
            for path in ("employees/4200", "export?lines=5"):
                answer = client.get(f"/companies/42/{path}")
                assert (answer.status_code, answer.json()["code"]) == (503, "audit-not-writable")
                assert CANARY not in answer.text
            assert place.office.seen == []
            ballast.unlink()
            eventually(lambda: client.get("/companies/42/employees/4200").status_code == 200)


@contextlib.contextmanager
def failing_writes(place: HttpHouse) -> Iterator[None]:
    """Every write to the trail fails with EIO (strace(1) injects it); nothing else of the gateway's does."""
    pid = place.house.gateway.pid
    trail = str(place.house.company.state / "audit")
    links = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]
    paths = [word for link in links if link.startswith(trail) for word in ("-P", link)]
    calls = "pwrite64,pwritev,pwritev2,write,fdatasync"
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"]
    assert paths
    with subprocess.Popen([*strace, *paths, "-p", str(pid)]) as tracer:
        try:
            # attached to every thread
            tasks = Path(f"/proc/{pid}/task")
            eventually(
                lambda: all("TracerPid:\t0" not in (one / "status").read_text() for one in tasks.iterdir()),
            )
            yield
        finally:
            tracer.terminate()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: deploy/prepare.sh debian strace")
def test_a_trail_that_fails_in_the_midst_of_an_answer_ends_it_within_what_is_durable(place: HttpHouse) -> None:
    mine = place.opened()
    with Reader(place, "/companies/42/export?lines=3000000", token(mine)) as reader:
        reader.read(200_000)
        with failing_writes(place):
            del place.office.seen[:]
            reader.read(1 << 40)
            assert not reader.got.endswith(b"0\r\n\r\n")
            with place.client(mine) as client, contextlib.suppress(httpx2.TransportError):
                assert client.get("/companies/42/employees/4200").status_code == 503
            assert place.office.seen == []
            # the trail closed, and so does the gateway
            eventually(lambda: place.house.gateway.pid is None, patience_s=30)
    place.house.gateway.stop()
    place.house.gateway.start()
    unknown = [record for record in place.house.records() if record["kind"] == "statement.unknown"][-1]
    rows, size = announced(place, unknown["statement"])
    assert 0 < reader.rows() <= rows
    assert len(reader.got) - 200_000 <= size
    with place.client(place.opened()) as client:
        assert client.get("/companies/42/employees/4200").status_code == 200
