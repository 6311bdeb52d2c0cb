"""Requests whose bytes could mean two things, sent as they are: refused, and nothing of them reaches the API."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
from gateway_fixture import eventually
from http_api import CANARY, OddApi
from http_house import ODD, OFFICE, HttpHouse, open_http_house, token

from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported
from tests.unit.engines.test_http_heads import BAD

# mitmproxy cannot be installed on Python 3.11, nor a version of it that is safe; h2 comes with it
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("framing"), postgres, timeout="1s") as place:
        yield place


@pytest.fixture(scope="module")
def shown(place: HttpHouse) -> dict[str, bytes]:
    """The header that shows a pass, by target."""
    return {
        target: b"Authorization: Bearer " + token(place.opened(target=target)).encode() + b"\r\n"
        for target in (OFFICE, ODD)
    }


GET = b"GET /companies/42/employees/4200 HTTP/1.1\r\nHost: localhost\r\n"
PATCH = b"PATCH /companies/42/employees/4200 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def statuses(got: bytes) -> list[int]:
    """The statuses of the answers in what came back."""
    return [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("head", BAD.values(), ids=BAD)
def test_a_head_with_two_meanings_goes_nowhere(place: HttpHouse, shown: dict[str, bytes], head: bytes) -> None:
    del place.office.seen[:]
    line, _, rest = head.partition(b"\r\n")
    # with a pass, so that it is the form alone that is refused
    got = place.raw(line + b"\r\n" + (rest if not line else shown[OFFICE] + rest))
    assert statuses(got) == [400]
    assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] == "protocol-violation"
    assert place.office.seen == []


@pytest.mark.parametrize("body", [
    b"5\r\nabc", b"-1\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"3;a\nb\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"g\r\n",
    b"3\r\nabcX0\r\n\r\n", b"fffffffffffffffff\r\n", b"0\r\nX-Trailer: a\r\n\r\n", b" 3\r\nabc\r\n0\r\n\r\n",
])  # fmt: skip
def test_a_chunked_body_that_is_none_goes_nowhere(place: HttpHouse, shown: dict[str, bytes], body: bytes) -> None:
    del place.office.seen[:]
    got = place.raw(PATCH + shown[OFFICE] + b"Transfer-Encoding: chunked\r\n\r\n" + body + GET + b"\r\n", patience_s=3)
    assert 200 not in statuses(got)
    assert place.office.seen == []


def test_trailers_of_a_request_are_refused_with_the_reason(place: HttpHouse, shown: dict[str, bytes]) -> None:
    del place.office.seen[:]
    chunks = b'13\r\n{"status":"active"}\r\n0\r\nX-Trailer: a\r\n\r\n'
    got = place.raw(PATCH + shown[OFFICE] + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks)
    assert statuses(got) == [400]
    assert json.loads(got.partition(b"\r\n\r\n")[2])["detail"] == "the request has trailers"
    assert place.office.seen == []


def test_pipelined_requests_are_answered_in_their_order(place: HttpHouse, shown: dict[str, bytes]) -> None:
    one = GET + shown[OFFICE]
    got = place.raw(one + b"\r\n" + one.replace(b"4200", b"4201") + b"\r\n" + one + b"Connection: close\r\n\r\n")
    assert statuses(got) == [200, 200, 200]
    assert [part in got for part in (b'"id":4200', b'"id":4201')] == [True, True]


def test_what_is_pipelined_without_end_is_not_kept(place: HttpHouse, shown: dict[str, bytes]) -> None:
    place.odd.script = lambda sock, _: time.sleep(0.5)
    head = GET + shown[ODD]
    try:
        got = place.raw(head + b"\r\n" + b"GET /" + b"x" * 8_000_000, ODD)
    except OSError:
        got = b""
    assert got == b""


def test_a_body_beyond_the_bound_is_refused(place: HttpHouse, shown: dict[str, bytes]) -> None:
    del place.office.seen[:]
    got = place.raw(PATCH + shown[OFFICE] + b"Content-Length: 99999999\r\n\r\n")
    assert statuses(got) == [413]
    assert place.office.seen == []


def test_a_head_that_comes_drop_by_drop_is_not_waited_for(place: HttpHouse) -> None:
    context = ssl.create_default_context(cafile=str(place.ca))
    began = time.monotonic()
    with (
        socket.create_connection(("localhost", place.ports[OFFICE]), timeout=60) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
        contextlib.suppress(OSError),
    ):
        secured.settimeout(0.5)
        while time.monotonic() - began < 40:
            secured.sendall(b"X")
            with contextlib.suppress(TimeoutError):
                if not secured.recv(1):
                    break
    assert time.monotonic() - began < 35


def spoken(place: HttpHouse, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """Status and body of an HTTP/2 request whose headers are sent unchecked; 0 when it is reset."""
    import h2.config
    import h2.connection
    import h2.events

    context = ssl.create_default_context(cafile=str(place.ca))
    context.set_alpn_protocols(["h2"])
    configuration = h2.config.H2Configuration(
        header_encoding=False, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    with (
        socket.create_connection(("localhost", place.ports[OFFICE]), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        connection = h2.connection.H2Connection(configuration)
        connection.initiate_connection()
        connection.send_headers(1, headers, end_stream=True)
        secured.sendall(connection.data_to_send())
        status, body = 0, b""
        while data := secured.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return 0, body
            secured.sendall(connection.data_to_send())
        return 0, body


PSEUDO = [
    (b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/companies/42/employees/4200"),
    (b":authority", b"localhost"),
]  # fmt: skip


@pytest.mark.parametrize("extra", [
    [(b"x", b"a\r\nx-smuggled: b")], [(b"x", b"a\nb")], [(b"x\r\ny", b"a")], [(b"transfer-encoding", b"chunked")],
    [(b"connection", b"keep-alive")], [(b"host", b"other")], [(b"content-length", b"5")], [(b"X-Upper", b"a")],
    [(b":path", b"/other")], [(b"x", b"a\x00b")], [(b"te", b"gzip")],
])  # fmt: skip
def test_an_http2_head_that_would_be_two_things_goes_nowhere(
    place: HttpHouse, shown: dict[str, bytes], extra: list[tuple[bytes, bytes]]
) -> None:
    del place.office.seen[:]
    proof = (b"authorization", shown[OFFICE].split(b": ")[1].strip())
    assert spoken(place, [*PSEUDO, proof])[0] == 200
    del place.office.seen[:]
    status, _ = spoken(place, [*PSEUDO, proof, *extra])
    assert status in (0, 400)
    assert place.office.seen == []


def answering(odd: OddApi, *parts: bytes, pause_s: float = 0.0) -> None:
    """Let the odd API answer with just that, and hang up."""

    def script(sock: ssl.SSLSocket, _: bytes) -> None:
        for part in parts:
            sock.sendall(part)
            time.sleep(pause_s)

    odd.script = script


JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
NDJSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
MINE = b'{"id":1,"company_id":42,"last_name":"x","iban":"FR761234567890"}'


@pytest.mark.parametrize("answer", [
    JSON + b"Content-Length: 5000\r\n\r\n" + MINE,
    JSON + b"Content-Length: 3\r\nContent-Length: 64\r\n\r\n" + MINE,
    JSON + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
    JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + CANARY.encode() + b"\r\n X: y\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + CANARY.encode() + b"\r\nConnection: Upgrade\r\n\r\n" + MINE,
    b"HTTP/1.1 100 Continue\r\n\r\n",
    CANARY.encode() * 3, b"HTTP/1.1 99999 " + CANARY.encode() + b"\r\n\r\n", b"", JSON,
    JSON + b"Content-Encoding: gzip\r\nContent-Length: 64\r\n\r\n" + MINE,
    b"HTTP/1.1 500 " + CANARY.encode() + b"\r\nContent-Length: 12\r\n\r\n" + CANARY.encode(),
    b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/" + CANARY.encode() + b"\r\nContent-Length: 0\r\n\r\n",
])  # fmt: skip
def test_an_answer_that_is_none_leaves_nothing_of_itself(
    place: HttpHouse, shown: dict[str, bytes], answer: bytes
) -> None:
    answering(place.odd, answer)
    got = place.raw(GET + shown[ODD] + b"Connection: close\r\n\r\n", ODD)
    assert CANARY.encode() not in got
    assert b"mitmproxy" not in got
    assert b"1234567890" not in got
    assert statuses(got) in ([502], [404], []), got


def test_an_api_that_says_nothing_is_not_waited_for(place: HttpHouse, shown: dict[str, bytes]) -> None:
    release = threading.Event()
    place.odd.script = lambda sock, _: release.wait(20) and None
    began = time.monotonic()
    got = place.raw(GET + shown[ODD] + b"Connection: close\r\n\r\n", ODD, patience_s=15)
    release.set()
    assert statuses(got) == [502]
    assert time.monotonic() - began < 10


def test_an_answer_that_dies_in_its_midst_breaks_off(place: HttpHouse, shown: dict[str, bytes]) -> None:
    line = b'{"id":1,"company_id":42,"pad":"' + b"x" * 1000 + b'"}\n'
    head = NDJSON + b"Transfer-Encoding: chunked\r\n\r\n"
    answering(place.odd, head, *[b"%x\r\n%s\r\n" % (len(line), line)] * 50, b"ffff\r\n" + line)
    request = GET.replace(b"employees/4200", b"export") + shown[ODD] + b"\r\n"
    got = place.raw(request, ODD)
    assert statuses(got) == [200]
    assert not got.endswith(b"0\r\n\r\n")


def test_the_process_still_serves_after_all_that(place: HttpHouse, shown: dict[str, bytes]) -> None:
    assert statuses(place.raw(GET + shown[OFFICE] + b"Connection: close\r\n\r\n")) == [200]
    eventually(lambda: len(place.pids()) == 1)
    assert [record for record in place.house.records() if record["kind"] == "engine.process"][1:] == []
