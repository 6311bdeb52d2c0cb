"""A gateway that exports: what arrives is the trail, whole, whatever happens to the sinks or the gateway."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from gateway_fixture import House, eventually, open_house
from ocsf_check import ocsf_problems
from receivers import Collector, SyslogReceiver, server_side
from rsyslog import rsyslog

from gateway.demo.postgres import DemoError, EmbeddedPostgres
from gateway.demo.tls import ServerTls, make_server_tls
from gateway.exports.cursor import cursor_path, exports_path, read_cursor


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"), "receiver")


@contextmanager
def exporting(directory: Path, postgres: EmbeddedPostgres, **exports: Any) -> Iterator[House]:
    with open_house(directory, postgres, settings={"exports": exports}) as house:
        yield house


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def work(house: House, count: int = 20) -> None:
    with house.connect() as connection:
        for number in range(count):
            connection.execute(f"select id, email from employees where id > {number}").fetchall()
        with pytest.raises(psycopg.Error):
            connection.execute("select notes from employees")


def taken(house: House, *names: str) -> bool:
    """Whether these sinks have all that is durable."""
    size = len(house.records())
    cursors = [read_cursor(cursor_path(exports_path(house.company.state), name)) for name in names]
    return all(cursor is not None and cursor.next == size for cursor in cursors)


def child(house: House) -> int:
    """The pid of the exporting process."""
    children = Path(f"/proc/{house.gateway.pid}/task/{house.gateway.pid}/children").read_text().split()
    (found,) = [int(pid) for pid in children if b"gateway.exports" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def test_every_sink_gets_the_whole_trail(postgres: EmbeddedPostgres, tls: ServerTls, tmp_path: Path) -> None:
    collector = Collector(server_side(tls))
    files = tmp_path / "files"
    files.mkdir()
    token = tmp_path / "token"
    token.write_text("Bearer 7hdk-canary-token\n")
    token.chmod(0o600)
    with (
        rsyslog(tmp_path / "rsyslog", tls) as siem,
        exporting(
            tmp_path / "house",
            postgres,
            siem={"kind": "syslog", "host": "localhost", "port": siem.port, "ca": str(tls.ca), "format": "ocsf"},
            collector={
                "kind": "otlp",
                "url": f"{collector.url}/v1/logs",
                "ca": str(tls.ca),
                "headers": {"Authorization": {"file": str(token)}},
            },
            plain={"kind": "file", "path": str(files / "records")},
            events={"kind": "file", "path": str(files / "events"), "format": "ocsf"},
            logins={"kind": "file", "path": str(files / "logins"), "kinds": ["login", "session.*"]},
        ) as house,
    ):
        work(house)
        eventually(lambda: taken(house, "siem", "collector", "plain", "events", "logins"))
        house.gateway.stop()
        records = house.records()
        eventually(lambda: len(siem.received()) >= len(records))
        received = siem.received()
    assert records[-1]["kind"] == "log.stop", "the last record is exported as well"
    assert lines(files / "records") == records
    events = lines(files / "events")
    assert [event["metadata"]["uid"] for event in events] == [record["id"] for record in records]
    assert [problem for event in events for problem in ocsf_problems(event)] == []
    ends = [event for event in events if event["metadata"]["event_code"] == "statement.end"]
    assert {event["actor"]["user"]["name"] for event in ends} == {"alice"}
    kinds = {"login", "session.begin", "session.connected", "session.end"}
    assert {line["kind"] for line in lines(files / "logins")} == kinds
    assert collector.indices == list(range(len(records)))
    assert collector.headers[0]["authorization"] == "Bearer 7hdk-canary-token"
    assert [json.loads(log.body.string_value) for log in collector.logs()] == records
    collector.stop()
    # what rsyslog took apart of it
    assert {(parts[0], parts[2]) for parts in received} == {("13", "gateway")}
    assert [parts[3] for parts in received] == [record["kind"] for record in records]
    assert [json.loads(parts[5].lstrip("\ufeff "))["metadata"]["sequence"] for parts in received] == [
        record["index"] for record in records
    ]
    assert f'id="{records[3]["id"]}"' in received[3][4]


def test_a_dead_sink_holds_up_nobody_and_shows(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    collector = Collector()
    port = collector.port
    collector.stop()
    settings = {"kind": "otlp", "url": f"http://localhost:{port}/v1/logs"}
    with exporting(tmp_path / "house", postgres, collector=settings) as house:
        work(house)
        eventually(lambda: b"export failed" in house.gateway.log.read_bytes())
        eventually(lambda: labelled(house, "gateway_export_lag_records", "collector") >= 20)
        eventually(lambda: labelled(house, "gateway_export_lag_seconds", "collector") > 0)
        assert house.metric("gateway_audit_writable") == 1.0
        told = house.command("root", "doctor")
        assert "connection refused" in told.stdout
        assert "export collector" in told.stdout
        collector = Collector(port=port)
        eventually(lambda: taken(house, "collector"), patience_s=30)
        assert collector.indices[: len(house.records())] == list(range(len(house.records())))
        eventually(lambda: labelled(house, "gateway_export_lag_records", "collector") == 0)
        told = house.command("root", "doctor")
        assert "records are taken, 0 wait" in told.stdout
        collector.stop()


def labelled(house: House, name: str, sink: str) -> float:
    with httpx2.Client(trust_env=False, timeout=10) as client:
        text = client.get(f"http://127.0.0.1:{house.company.ports['ops']}/metrics").text
    (line,) = [line for line in text.splitlines() if line.startswith(f'{name}{{sink="{sink}"}}')]
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("kills", [4])
def test_kill_9_while_exporting_leaves_nothing_out(
    postgres: EmbeddedPostgres, tls: ServerTls, tmp_path: Path, kills: int
) -> None:
    collector = Collector(server_side(tls))
    receiver = SyslogReceiver(server_side(tls))
    plain = tmp_path / "records"
    with exporting(
        tmp_path / "house",
        postgres,
        siem={"kind": "syslog", "host": "localhost", "port": receiver.port, "ca": str(tls.ca)},
        collector={"kind": "otlp", "url": f"{collector.url}/v1/logs", "ca": str(tls.ca)},
        plain={"kind": "file", "path": str(plain)},
    ) as house:
        for number in range(kills):
            with house.connect() as connection:
                for one in range(300):
                    connection.execute(f"select id from employees where id = {one}")
                time.sleep(0.1 * number)
                house.gateway.kill()
            house.gateway.start()
        eventually(lambda: taken(house, "siem", "collector", "plain"), patience_s=60)
        house.gateway.stop()
        records = house.records()
    everything = set(range(len(records)))
    written = lines(plain)
    assert {record["index"] for record in written} == everything
    by_index = {record["index"]: record for record in records}
    assert all(by_index[record["index"]] == record for record in written), "nothing that the trail does not hold"
    assert set(collector.indices) == everything
    assert receiver.faults == []
    eventually(lambda: set(receiver.indices) == everything)
    assert all(json.loads(message.text) == by_index[int(message.data["index"])] for message in receiver.messages)
    collector.stop()
    receiver.stop()


def test_an_exporting_process_that_dies_is_begun_anew(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    plain = tmp_path / "records"
    with exporting(tmp_path / "house", postgres, plain={"kind": "file", "path": str(plain)}) as house:
        work(house)
        before = child(house)
        os.kill(before, signal.SIGKILL)
        work(house)
        eventually(lambda: taken(house, "plain"), patience_s=30)
        assert child(house) != before
        assert house.gateway.pid is not None
        house.gateway.stop()
        assert {record["index"] for record in lines(plain)} == set(range(len(house.records())))
        assert b"the exporting process ended" in house.gateway.log.read_bytes()


def test_an_exporting_process_that_stops_taking_anything_holds_up_nobody(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with exporting(tmp_path / "house", postgres, plain={"kind": "file", "path": str(tmp_path / "records")}) as house:
        eventually(lambda: taken(house, "plain"))
        frozen = child(house)
        os.kill(frozen, signal.SIGSTOP)
        try:
            began = time.monotonic()
            work(house, 300)
            assert time.monotonic() - began < 20
            eventually(lambda: labelled(house, "gateway_export_lag_records", "plain") >= 300)
            assert house.metric("gateway_audit_writable") == 1.0
            began = time.monotonic()
            house.gateway.stop()
            assert time.monotonic() - began < 15, "a stop does not wait for it for long"
        finally:
            if Path(f"/proc/{frozen}").exists():
                os.kill(frozen, signal.SIGCONT)
        house.gateway.start()
        eventually(lambda: taken(house, "plain"), patience_s=30)
        house.gateway.stop()
        assert {record["index"] for record in lines(tmp_path / "records")} == set(range(len(house.records())))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kind": "otlp", "url": "https://localhost/v1/logs", "ca": "nowhere.crt"}, "cannot be used"),
        ({"kind": "otlp", "url": "https://localhost/v1/logs", "headers": {"A": {"file": "nowhere"}}}, "cannot be read"),
        ({"kind": "file", "path": "/nowhere/at/all"}, "does not exist"),
    ],
)
def test_a_sink_that_cannot_work_stops_the_start(
    postgres: EmbeddedPostgres, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DemoError, match="did not start") as failed, exporting(tmp_path, postgres, wrong=settings):
        pass
    assert reason in str(failed.value)
