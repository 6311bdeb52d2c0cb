"""A whole gateway whose trail a quorum acknowledges: psql sees rows only while there is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, open_house, small_payroll
from quorum_servers import PASSWORD, ROLE, Cluster, cluster, until

from gateway.audit.verify import verify_log
from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = [pytest.mark.faults, pytest.mark.live]


@pytest.fixture(scope="module")
def target() -> Iterator[EmbeddedPostgres]:
    with small_payroll(data.generate(data.SMALL, 2026), 2026) as server:
        yield server


@pytest.fixture
def parts(target: EmbeddedPostgres, tmp_path: Path) -> Iterator[tuple[House, Cluster]]:
    with cluster() as servers:
        secret = tmp_path / "role.password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        replica: dict[str, Any] = {
            "hosts": [f"127.0.0.1:{node.port}" for node in servers.nodes], "user": ROLE, "tls": "off",
            "password": {"file": str(secret)}, "deadline": "3s",
        }  # fmt: skip
        with open_house(tmp_path / "house", target, settings={"audit": {"replica": replica}}) as house:
            yield house, servers


def test_without_a_quorum_no_row_leaves_and_with_it_work_goes_on(parts: tuple[House, Cluster]) -> None:
    house, servers = parts
    origin = "demo.gateway.example/1"
    with house.connect() as connection:
        assert len(connection.execute("select n from generate_series(1, 3000) n").fetchall()) == 3000
        servers.b.freeze()
        servers.c.freeze()
        begun = time.monotonic()
        with pytest.raises(psycopg.Error):
            connection.execute("select id from employees")
        assert time.monotonic() - begun < 10
    until(lambda: house.gateway.pid is None or not _alive(house.gateway.pid))
    log = (house.directory / "gateway.log").read_text()
    assert "audit trail" in log
    servers.b.thaw()
    servers.c.thaw()
    house.gateway.stop()
    house.gateway.start()
    with house.connect() as connection:
        rows = connection.execute("select id from employees").fetchall()
        assert len(rows) > 10
    house.gateway.stop()
    state = house.company.state
    report = verify_log(state / "audit", (state / "audit.key.pub").read_text().strip())
    assert report.ok, report.problems
    assert len(servers.leaves(servers.a, origin)) == report.size


def test_statements_wait_for_a_standby_that_comes_back(parts: tuple[House, Cluster]) -> None:
    house, servers = parts
    with house.connect() as connection:
        connection.execute("select 1")
        servers.b.freeze()
        servers.c.freeze()
        timer = threading.Timer(1.5, servers.c.thaw)
        timer.start()
        begun = time.monotonic()
        assert connection.execute("select count(*) from employees").fetchone() is not None
        assert time.monotonic() - begun > 1
        timer.join()
    servers.b.thaw()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False
