"""Sinks that are dead, slow, broken, rude or wrong: nothing is lost, and the trail does not wait."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_world import fill, open_trail, road, until
from receivers import Collector, Reply, SyslogReceiver, make_client_certificate, partial, server_side, values

from gateway.audit.log import FileLog
from gateway.demo.tls import ServerTls, make_server_tls
from gateway.exports.collector import HttpsOut, OtlpOut
from gateway.exports.files import FileOut
from gateway.exports.syslog import SyslogOut
from gateway.otlp import Post, client_context

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"), "receiver")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FileLog]:
    log = open_trail(tmp_path / "trail", segment_bytes=4 << 20)
    yield log
    log.close()


def syslog_out(
    tls: ServerTls, port: int, *, timeout_s: float = 2.0, client: tuple[Path | None, Path | None] = (None, None)
) -> SyslogOut:
    context = client_context(tls.ca, *client)
    return SyslogOut("localhost", port, context, 13, 32473, timeout_s)


def otlp_out(url: str, *, ca: Path | None = None, timeout_s: float = 2.0, **headers: str) -> OtlpOut:
    return OtlpOut(Post(f"{url}/v1/logs", headers, client_context(ca, None, None), timeout_s))


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


def complete(indices: list[int], log: FileLog) -> None:
    """Nothing is missing, and what came twice is the same order again."""
    assert set(indices) == set(range(log.size))


# -- syslog


def test_syslog_over_tls_takes_everything_in_order(log: FileLog, tls: ServerTls, tmp_path: Path) -> None:
    receiver = SyslogReceiver(server_side(tls))
    fill(log, 2_000)
    with road(log, syslog_out(tls, receiver.port), tmp_path / "cursor", form="ocsf") as way:
        until(lambda: way.worker.state.next == log.size)
    receiver.stop()
    assert receiver.faults == []
    assert receiver.indices == list(range(log.size))
    assert receiver.connections == 1
    assert json.loads(receiver.messages[5].text)["metadata"]["sequence"] == 5


def test_syslog_that_resets_in_the_midst_gets_the_rest_again(log: FileLog, tls: ServerTls, tmp_path: Path) -> None:
    left = [7_000, 100_001, 333_333]
    receiver = SyslogReceiver(server_side(tls), lambda count: 0 if left and count >= left[0] and left.pop(0) else 4096)
    fill(log, 2_000)
    with road(log, syslog_out(tls, receiver.port), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size, 60)
        assert way.worker.state.failures >= 3
    receiver.stop()
    assert receiver.faults == []
    complete(receiver.indices, log)


def test_syslog_that_dies_after_it_confirmed_gets_the_last_seconds_again(
    log: FileLog, tls: ServerTls, tmp_path: Path
) -> None:
    """What its kernel took and its program never kept."""
    stuck = SyslogReceiver(server_side(tls), lambda count: time.sleep(1.5) or 0 if count else 1)
    fill(log, 5)
    with road(log, syslog_out(tls, stuck.port), tmp_path / "cursor") as way:
        until(lambda: stuck.connections == 1)
        until(lambda: way.worker.state.failures >= 1)
        assert stuck.messages == []
        stuck.pace = lambda _: 65536
        until(lambda: way.worker.state.next == log.size)
    complete(stuck.indices, log)
    stuck.stop()


def test_syslog_that_takes_a_byte_a_second_holds_up_nothing_but_itself(
    log: FileLog, tls: ServerTls, tmp_path: Path
) -> None:
    receiver = SyslogReceiver(server_side(tls), lambda _: time.sleep(1.0) or 1)
    with road(log, syslog_out(tls, receiver.port, timeout_s=1.0), tmp_path / "cursor") as way:
        began = time.monotonic()
        fill(log, 20_000)
        took = time.monotonic() - began
        until(lambda: way.worker.state.failures >= 1, 60)
        assert took < 10, "the trail does not wait"
        assert way.worker.state.next == 0
        receiver.pace = lambda _: 65536
        until(lambda: way.worker.state.next == log.size, 60)
    receiver.stop()
    complete(receiver.indices, log)


@pytest.mark.parametrize("what", ["other authority", "other name", "not TLS", "client not known"])
def test_syslog_that_is_not_who_it_should_be_gets_nothing(
    log: FileLog, tls: ServerTls, tmp_path: Path, what: str
) -> None:
    other = make_server_tls(
        tmp_path / "other", "other", ["siem.example.com"] if what == "other name" else ["localhost"]
    )
    context: Any = server_side(other)
    if what == "not TLS":
        context = None
    elif what == "client not known":
        context = server_side(tls, client_ca=tls.ca)
    receiver = SyslogReceiver(context)
    fill(log, 5)
    trusted = other if what == "other name" else tls
    with road(log, syslog_out(trusted, receiver.port), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.failures >= 2)
        assert way.worker.state.next == 0
        reason = way.said.said("export failed")[0]["reason"]
    receiver.stop()
    assert receiver.messages == []
    if what.startswith("other"):
        assert "certificate is not accepted" in reason


def test_syslog_that_asks_who_comes_is_told(log: FileLog, tls: ServerTls, tmp_path: Path) -> None:
    client = make_client_certificate(tmp_path)
    receiver = SyslogReceiver(server_side(tls, client_ca=client[0]))
    fill(log, 5)
    with road(log, syslog_out(tls, receiver.port, client=client), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    receiver.stop()
    assert receiver.indices == list(range(log.size))


# -- collectors


def test_otlp_says_what_the_record_says(log: FileLog, collector: Collector, tmp_path: Path) -> None:
    fill(log, 3)
    with road(log, otlp_out(collector.url, authorization="Bearer of something"), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    assert collector.paths == ["/v1/logs"]
    assert collector.headers[0]["authorization"] == "Bearer of something"
    found = collector.logs()[-1]
    assert found.event_name == "gateway.statement.begin"
    attributes = values(found.attributes)
    record = json.loads(found.body.string_value)
    assert attributes["log.record.uid"] == record["id"]
    assert attributes["db.system.name"] == "postgresql"
    assert attributes["db.namespace"] == "payroll"
    assert attributes["db.collection.name"] == "public.employees"
    assert attributes["db.query.text"] == record["sql"]
    assert attributes["user.name"] == "alice"
    assert (attributes["client.address"], attributes["client.port"]) == ("192.0.2.7", 50123)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(found.time_unix_nano // 10**9))
    assert record["time"] == f"{moment}.{found.time_unix_nano % 10**9 // 1000:06d}Z"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503, take=False),
        Reply(502, take=False),
        Reply(500, take=False),
        Reply(401, take=False),
        Reply(404, take=False),
        Reply(307, headers={"location": "http://localhost:1/elsewhere"}, take=False),
        Reply(cut=True, take=False),
        Reply(cut=True, take=True),
        Reply(200, take=True, drip=True),
    ],
    ids=lambda reply: f"{reply.status}{'-cut' if reply.cut else ''}{'-taken' if reply.take else ''}",
)
def test_a_collector_that_answers_badly_gets_it_again(
    log: FileLog, collector: Collector, tmp_path: Path, reply: Reply
) -> None:
    fill(log, 1_200)
    collector.replies = [reply, reply]
    with road(log, otlp_out(collector.url), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
        assert way.worker.state.rejected == 0
    complete(collector.indices, log)


def test_a_collector_that_asks_for_time_gets_it(log: FileLog, collector: Collector, tmp_path: Path) -> None:
    fill(log, 5)
    collector.replies = [Reply(429, headers={"retry-after": "2"}, take=False)]
    with road(log, otlp_out(collector.url), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    assert collector.times[1] - collector.times[0] >= 2.0
    assert collector.indices == list(range(log.size))


@pytest.mark.parametrize("value", ["-5", "1e9", "99999999999999999999", "Wed, 21 Oct 2099 07:28:00 GMT", "٣"])
def test_a_strange_wish_for_time_is_not_taken_literally(
    log: FileLog, collector: Collector, tmp_path: Path, value: str
) -> None:
    fill(log, 5)
    collector.replies = [Reply(429, headers={"retry-after": value.encode().decode("latin-1")}, take=False)]
    with road(log, otlp_out(collector.url), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)


def test_a_partial_success_is_counted_and_not_sent_again(log: FileLog, collector: Collector, tmp_path: Path) -> None:
    fill(log, 20)
    collector.replies = [Reply(body=partial(4))]
    with road(log, otlp_out(collector.url), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
        assert way.worker.state.rejected == 4
        assert way.said.said("export rejected")[0]["records"] == 4
    assert len(collector.bodies) == 1


@pytest.mark.parametrize("body", [partial(10**9), b"{}", b"<html>", b"\xff" * 100_000])
def test_a_body_that_makes_no_sense_does_no_harm(
    log: FileLog, collector: Collector, tmp_path: Path, body: bytes
) -> None:
    fill(log, 20)
    collector.always = Reply(body=body)
    with road(log, otlp_out(collector.url), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    complete(collector.indices, log)


def test_a_collector_that_finds_it_too_large_gets_less(log: FileLog, collector: Collector, tmp_path: Path) -> None:
    fill(log, 400)
    collector.replies = [Reply(413, take=False)] * 6
    with road(log, otlp_out(collector.url), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size, 60)
    complete(collector.indices, log)
    assert len(collector.logs()) == log.size


def test_lines_of_json_are_posted(log: FileLog, tls: ServerTls, tmp_path: Path) -> None:
    collector = Collector(server_side(tls))
    fill(log, 600)
    post = Post(f"{collector.url}/events", {}, client_context(tls.ca, None, None), 5.0)
    with road(log, HttpsOut(post), tmp_path / "cursor", form="ocsf") as way:
        until(lambda: way.worker.state.next == log.size)
    collector.stop()
    lines = [json.loads(line) for kind, body in collector.bodies for line in body.splitlines() if "ndjson" in kind]
    assert [line["metadata"]["sequence"] for line in lines] == list(range(log.size))


def test_a_collector_with_another_certificate_gets_nothing(log: FileLog, tls: ServerTls, tmp_path: Path) -> None:
    other = make_server_tls(tmp_path / "other", "other")
    collector = Collector(server_side(other))
    fill(log, 5)
    with road(log, otlp_out(collector.url, ca=tls.ca), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.failures >= 2)
        assert "certificate is not accepted" in way.said.said("export failed")[0]["reason"]
    collector.stop()
    assert collector.bodies == []


def test_a_hundred_thousand_records_wait_for_a_collector_that_is_dead_and_comes_back(tmp_path: Path) -> None:
    collector = Collector()
    port = collector.port
    collector.stop()
    log = open_trail(tmp_path / "trail", segment_bytes=16 << 20)
    with road(log, otlp_out(f"http://localhost:{port}"), tmp_path / "cursor") as way:
        fill(log, 100_000)
        until(lambda: way.worker.state.failures >= 1)
        assert way.worker.state.next == 0
        collector = Collector(port=port)
        until(lambda: way.worker.state.next == log.size, 120)
    collector.stop()
    assert collector.indices == list(range(log.size)), "each once, for none of them was answered before"
    log.close()


# -- files


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; the test is of no use without one."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_the_file_and_nothing_else(log: FileLog, tmp_path: Path, small_disk: Path) -> None:
    out = FileOut(small_disk / "records", 64 << 20, 2)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 700_000)
    with road(log, out, tmp_path / "cursor") as way:
        fill(log, 1_000)
        until(lambda: way.worker.state.failures >= 2)
        assert "no space left" in way.said.said("export failed")[0]["reason"]
        fill(log, 500)
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
        until(lambda: way.worker.state.next == log.size, 60)
    lines = [json.loads(line) for line in (small_disk / "records").read_bytes().splitlines()]
    assert [line["index"] for line in lines] == list(range(log.size)), "no torn line, none twice"
