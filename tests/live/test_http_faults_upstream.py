"""APIs that are slow, break off, answer twice or never end a head: nothing false leaves, nobody gets another's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_fixture import eventually
from http_api import POLICY
from http_house import ODD, HttpHouse, open_http_house, token
from http_reading import process, resident_kib

from gateway.demo.company import SECOND_TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

MORE = """    table:
      get: /companies/{{company_id}}/table
      path: {{company_id: integer}}
      customer: path.company_id
      answers:
        200: {{media: csv, customer: $.company_id, fields: {{$.id: clear, $.company_id: clear, $.salary: clear}}}}
    document:
      get: /documents/{{document_id}}
      path: {{document_id: integer}}
      customer: answer
      answers:
        200: {{media: json, customer: $.company_id, fields: {{$.id: clear}}}}
"""
CLOSE = b"Connection: close\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: "


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    policy = POLICY.replace("    note:\n", MORE + "    note:\n")
    with open_http_house(tmp_path_factory.mktemp("upstream"), postgres, timeout="3s", policy=policy) as place:
        yield place


@pytest.fixture(scope="module")
def shown(place: HttpHouse) -> bytes:
    return b"Authorization: Bearer " + token(place.opened(target=ODD)).encode() + b"\r\n"


def asked(path: str, shown: bytes, more: bytes = CLOSE) -> bytes:
    return f"GET /companies/42/{path} HTTP/1.1\r\nHost: localhost\r\n".encode() + shown + more


def answering(place: HttpHouse, *parts: bytes, pause_s: float = 0.0) -> None:
    """Let the API answer with just that, and hang up."""

    def script(sock: ssl.SSLSocket, _: bytes) -> None:
        for part in parts:
            sock.sendall(part)
            time.sleep(pause_s)

    place.odd.script = script


def body_of(got: bytes) -> tuple[int, bytes, bool]:
    """Status, body and whether it is whole, of one answer."""
    head, _, rest = got.partition(b"\r\n\r\n")
    status = int(head[9:12]) if head else 0
    if b"transfer-encoding: chunked" not in head.lower():
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
        return status, rest, len(rest) == length
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not int(size, 16):
            return status, body, True
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return status, body, False


def ended(place: HttpHouse) -> dict[str, Any]:
    """The end record of the request that began last."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        records = place.house.records()
        last = [one["statement"] for one in records if one["kind"] == "statement.begin"][-1]
        found[:] = [one for one in records if one["kind"] == "statement.end" and one["statement"] == last]
        return bool(found)

    eventually(is_there)
    return found[0]


CSV = b"id,company_id,salary\n1,42,421\n2,42,4217\n3,42,42\n"


def test_a_csv_that_its_connection_ends_shows_no_part_of_a_value(place: HttpHouse, shown: bytes) -> None:
    for cut in range(1, len(CSV) + 1):
        answering(place, HEAD + b"text/csv\r\n\r\n" + CSV[:cut])
        status, body, whole = body_of(place.raw(asked("table", shown), ODD))
        lines, rest = CSV[:cut].split(b"\n")[:-1], CSV[:cut].split(b"\n")[-1]
        end = ended(place)
        assert status == (200 if lines else 502), cut
        if lines:
            assert body.split(b"\r\n") == [*lines, b""], cut
            assert whole is not bool(rest), cut
        code = " answer-unreadable" if rest else ""
        assert (end["status"], end["tag"]) == (
            ("ok" if not rest else "cut" if lines else "error"), f"HTTP {status}{code}"
        ), cut  # fmt: skip


LINES = b"".join(b'{"id":%d,"company_id":42,"pad":"p"}\n' % number for number in range(3))
CHUNKED = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in LINES.splitlines(keepends=True)) + b"0\r\n\r\n"
FRAMED = HEAD + b"application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED
MEASURED = HEAD + b"application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(LINES) + LINES
WHOLE = b"".join(b'{"id":%d,"pad":"p"}\n' % number for number in range(3))


@pytest.mark.parametrize("answer", [FRAMED, MEASURED], ids=["chunks", "length"])
def test_an_api_that_breaks_off_anywhere_is_never_taken_for_whole(
    place: HttpHouse, shown: bytes, answer: bytes
) -> None:
    for cut in range(0, len(answer), 3):
        answering(place, answer[:cut])
        status, body, whole = body_of(place.raw(asked("export", shown), ODD))
        assert WHOLE.startswith(body) if status == 200 else status == 502, cut
        assert not (status == 200 and whole), cut
    answering(place, answer)
    assert body_of(place.raw(asked("export", shown), ODD)) == (200, WHOLE, True)


def test_a_head_that_comes_late_and_a_body_that_trickles_are_waited_for(place: HttpHouse, shown: bytes) -> None:
    cuts = range(0, len(FRAMED), 12)
    answering(place, *(FRAMED[at : at + 12] for at in cuts), pause_s=0.2)
    # longer in all than the API may be silent, which it never is for that long
    assert len(cuts) * 0.2 > 3.0
    assert body_of(place.raw(asked("export", shown), ODD, patience_s=30)) == (200, WHOLE, True)


def test_a_body_that_stops_is_given_up_and_said_to_be_cut(place: HttpHouse, shown: bytes) -> None:
    release = threading.Event()

    def script(sock: ssl.SSLSocket, _: bytes) -> None:
        sock.sendall(FRAMED[:-40])
        release.wait(30)

    place.odd.script = script
    status, body, whole = body_of(place.raw(asked("export", shown), ODD, patience_s=20))
    release.set()
    assert (status, whole) == (200, False)
    assert WHOLE.startswith(body)
    assert ended(place)["status"] == "cut"


def test_a_head_that_does_not_end_is_not_kept(place: HttpHouse, shown: bytes) -> None:
    sent = 0

    def script(sock: ssl.SSLSocket, _: bytes) -> None:
        nonlocal sent
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            while sent < 200_000_000:
                sock.sendall(b"X-Pad: " + b"x" * 60_000 + b"\r\n")
                sent += 60_000

    place.odd.script = script
    pid = process(place)
    before = resident_kib(pid)
    assert body_of(place.raw(asked("export", shown), ODD))[0] == 502
    assert sent < 20_000_000
    assert resident_kib(pid) - before < 60_000


def test_what_is_missing_and_what_is_anothers_are_told_in_the_same_bytes_and_steps(
    place: HttpHouse, shown: bytes
) -> None:
    foreign = b'{"id":7,"company_id":43}'
    asking = b"GET /documents/7 HTTP/1.1\r\nHost: localhost\r\n" + shown + CLOSE
    told = []
    for answer in (
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        HEAD + b"application/json\r\nContent-Length: %d\r\n\r\n" % len(foreign) + foreign,
        HEAD + b'application/json\r\nContent-Length: 8\r\n\r\n{"id":7}',
        HEAD + b"application/json\r\nContent-Length: 3\r\n\r\n???",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ):
        answering(place, answer)
        began = time.monotonic()
        told.append(place.raw(asking, ODD))
        # never before the first step is over, however fast the API was
        assert time.monotonic() - began > 0.1
    assert set(told) == {told[0]}
    assert told[0].startswith(b"HTTP/1.1 404 ")


def test_an_answer_too_many_is_nobodys(place: HttpHouse) -> None:
    """Two people behind one client connection, as behind a proxy of their own; the API answers the first one twice."""
    people = [
        (token(place.opened(target=ODD)).encode(), b"42"),
        (token(place.opened(target=ODD, ticket=SECOND_TICKET)).encode(), b"41"),
    ]
    connections: list[list[bytes]] = []

    def late(sock: ssl.SSLSocket, answer: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            sock.sendall(answer)

    def script(sock: ssl.SSLSocket, head: bytes) -> None:
        connections.append(heads := [head])
        while True:
            company = heads[-1].split(b"/")[2]
            line = b'{"id":%s,"company_id":%s,"pad":"p"}\n' % (company, company)
            one = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(line)
            sock.sendall(one + line)
            # a second one, while the first one's client may already ask for more
            threading.Timer(0.1, late, (sock, one + line)).start()
            data = sock.recv(65536)
            if not data:
                return
            heads.append(data)

    place.odd.script = script
    context = ssl.create_default_context(cafile=str(place.ca))
    context.set_alpn_protocols(["http/1.1"])
    with (
        socket.create_connection(("localhost", place.ports[ODD]), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        for turn in range(6):
            shown, company = people[turn % 2]
            secured.sendall(
                b"GET /companies/%s/export HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n"
                % (company, shown)
            )
            got = b""
            while not got.endswith(b"0\r\n\r\n"):
                part = secured.recv(65536)
                assert part, (turn, got)
                got += part
            assert body_of(got) == (200, b'{"id":%s,"pad":"p"}\n' % company, True)
            time.sleep(0.05)
    assert all(len({head.split(b"/")[2] for head in heads}) == 1 for heads in connections)
    assert len(connections) == 6


INTERIM = b"HTTP/1.1 103 CANARY\r\nLink: </CANARY>; rel=preload\r\nSet-Cookie: s=CANARY\r\n\r\n"
ONE = b'{"id":7,"company_id":42,"note":"CANARY"}'
MEASURED_ONE = HEAD + b"application/json\r\nContent-Length: %d\r\n\r\n" % len(ONE) + ONE
CHUNKED_ONE = HEAD + b"application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(ONE), ONE)


@pytest.mark.parametrize("parts", [
    (INTERIM, MEASURED_ONE),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + INTERIM * 20 + MEASURED_ONE,),
    (INTERIM[:9], INTERIM[9:-1], INTERIM[-1:] + b"HTTP/1.1 102 Processing\r\n\r\n", MEASURED_ONE),
    (CHUNKED_ONE + b"X-CANARY: CANARY\r\nServer-Timing: CANARY\r\n\r\n",),
    (CHUNKED_ONE, b"X-CANARY: CAN", b"ARY\r\n\r", b"\n"),
], ids=["early", "many", "in parts", "trailers", "trailers in parts"])  # fmt: skip
def test_interim_answers_and_trailers_are_passed_over(place: HttpHouse, shown: bytes, parts: tuple[bytes, ...]) -> None:
    answering(place, *parts, pause_s=0.05)
    got = place.raw(asked("employees/7", shown), ODD)
    assert body_of(got) == (200, b'{"id":7}', True)
    assert b"CANARY" not in got


@pytest.mark.parametrize("parts", [
    (INTERIM,), (INTERIM + b"CANARY" + MEASURED_ONE,), (INTERIM.replace(b"103", b"101") + MEASURED_ONE,),
    (INTERIM.replace(b"Link", b"Content-Length: 6\r\nLink") + b"CANARY", MEASURED_ONE),
    (INTERIM * 101 + MEASURED_ONE,),
], ids=["alone", "with a body", "switches", "with a length", "without end"])  # fmt: skip
def test_an_interim_answer_that_is_none_shows_nothing(place: HttpHouse, shown: bytes, parts: tuple[bytes, ...]) -> None:
    answering(place, *parts)
    got = place.raw(asked("employees/7", shown), ODD)
    assert body_of(got)[0] == 502
    assert b"CANARY" not in got


def test_a_connection_goes_on_after_interim_answers_and_trailers(place: HttpHouse, shown: bytes) -> None:
    chunked = CHUNKED_ONE.replace(b"Connection: close\r\n", b"")
    served: list[int] = []

    def script(sock: ssl.SSLSocket, _: bytes) -> None:
        held = b"\r\n\r\n"
        while held:
            for _ in range(held.count(b"\r\n\r\n")):
                sock.sendall(INTERIM * 40 + chunked + b"X-CANARY: CANARY\r\n\r\n")
            served.append(id(sock))
            held = sock.recv(65536)

    place.odd.script = script
    got = place.raw(asked("employees/7", shown, b"\r\n") * 3 + asked("employees/7", shown), ODD)
    assert got.count(b'{"id":7}') == 4
    assert b"CANARY" not in got
    assert len(served) == 4
    assert len(set(served)) == 1


@pytest.mark.parametrize("start", [b"5;", b"5\r\nabcde\r\n", b"0\r\nX: "], ids=["extension", "size", "trailer"])
def test_a_line_of_a_body_that_does_not_end_is_not_kept(place: HttpHouse, shown: bytes, start: bytes) -> None:
    sent = threading.Event()

    def script(sock: ssl.SSLSocket, _: bytes) -> None:
        with contextlib.suppress(OSError):
            sock.sendall(HEAD + b"application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + start)
            for _ in range(400):
                sock.sendall(b"a" * 65536)
            sent.set()

    place.odd.script = script
    got = place.raw(asked("employees/7", shown), ODD)
    assert b"aaaa" not in got
    assert body_of(got)[0] in (404, 502)
    assert not sent.is_set()


def test_the_process_still_serves_after_all_that(place: HttpHouse) -> None:
    with place.client(place.opened()) as client:
        assert client.get("/companies/42/employees/4200").status_code == 200
    eventually(lambda: len(place.pids()) == 1)
    assert [one for one in place.house.records() if one["kind"] == "engine.process"][1:] == []
