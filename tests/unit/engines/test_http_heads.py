"""Heads of requests: those with one meaning pass, every other is refused, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.http_heads import MAX_FIELDS, MAX_HEAD, fault_of_fields, fault_of_head

LINE = b"GET /a?b=c HTTP/1.1\r\n"
HOST = b"Host: example.test\r\n"

GOOD = [
    LINE + HOST + b"\r\n",
    LINE + b"hOST:example.test:8443\r\nAccept: */*\r\nX-Empty:\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    LINE + b"Host: [::1]:80\r\n\r\n",
    LINE + HOST + b"Expect: 100-continue\r\n\r\n",
    LINE + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    LINE + HOST + b"Connection: Upgrade\r\nUpgrade: WebSocket\r\nContent-Length: 0\r\n\r\n",
]
BAD = {
    "two lengths": LINE + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": LINE + HOST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": LINE + HOST + b"Content-Length: +3\r\n\r\nabc",
    "a length with zeros": LINE + HOST + b"Content-Length: 03\r\n\r\nabc",
    "length and coding": LINE + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": LINE + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two codings": LINE + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    "another coding": LINE + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a coding with a tab": LINE + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "a blank before the colon": LINE + HOST + b"Transfer-Encoding : chunked\r\n\r\n",
    "obs-fold": LINE + HOST + b"X: a\r\n b\r\n\r\n",
    "obs-fold with a tab": LINE + HOST + b"Transfer-Encoding:\r\n\tchunked\r\n\r\n",
    "a bare LF": LINE + b"Host: example.test\n\r\n",
    "a bare LF at the end": LINE + HOST + b"\n",
    "a bare CR": LINE + b"Host: example.test\rX: y\r\n\r\n",
    "an empty line first": b"\r\n" + LINE + HOST + b"\r\n",
    "absolute form": b"GET http://other/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority form": b"CONNECT other:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab for a blank": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "another version": b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
    "a version of three": b"GET / HTTP/1.1.1\r\n" + HOST + b"\r\n",
    "a small method": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": LINE + b"\r\n",
    "two hosts": LINE + HOST + HOST + b"\r\n",
    "a host with a user": LINE + b"Host: a@example.test\r\n\r\n",
    "a host with a list": LINE + b"Host: a, b\r\n\r\n",
    "two authorizations": LINE + HOST + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
    "no colon": LINE + HOST + b"X\r\n\r\n",
    "no name": LINE + HOST + b": x\r\n\r\n",
    "a control character": LINE + HOST + b"X: a\x00b\r\n\r\n",
    "a name that is none": LINE + HOST + b"X\xe9: a\r\n\r\n",
    "an upgrade": LINE + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "two upgrades": LINE + HOST + b"Upgrade: websocket\r\nUpgrade: websocket\r\n\r\n",
    "a list of upgrades": LINE + HOST + b"Upgrade: websocket, h2c\r\n\r\n",
    "an upgrade with a version": LINE + HOST + b"Upgrade: websocket/13\r\n\r\n",
    "an upgrade with a body": LINE + HOST + b"Upgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
    "an upgrade with chunks": LINE + HOST + b"Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an expectation": LINE + HOST + b"Expect: wonders\r\n\r\n",
    "too many": LINE + HOST + b"X: y\r\n" * MAX_FIELDS + b"\r\n",
    "too long": LINE + HOST + b"X: " + b"y" * MAX_HEAD,
}


@pytest.mark.parametrize("head", GOOD)
def test_a_head_with_one_meaning_passes(head: bytes) -> None:
    assert fault_of_head(head) == ""
    assert {fault_of_head(head[:size]) for size in range(1, len(head))} == {""}


@pytest.mark.parametrize("head", BAD.values(), ids=BAD)
def test_every_other_is_refused(head: bytes) -> None:
    assert fault_of_head(head)


@given(st.sampled_from(list(BAD.values())), st.data())
def test_what_is_refused_in_a_piece_stays_refused(head: bytes, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(head)))
    if fault_of_head(head[:size]):
        assert fault_of_head(head)


@given(st.binary(max_size=200))
def test_whatever_comes_is_refused_or_ends_its_lines_as_it_should(junk: bytes) -> None:
    head = LINE + HOST + junk + b"\r\n\r\n"
    if not fault_of_head(head):
        before = head.split(b"\r\n\r\n")[0]
        assert before.count(b"\n") == before.count(b"\r") == before.count(b"\r\n")


PSEUDO = {b":method": b"GET", b":scheme": b"https", b":path": b"/a", b":authority": b"example.test"}


@pytest.mark.parametrize(("pseudo", "fields"), [
    ({}, []), ({}, [(b"host", b"example.test")]), ({}, [(b"te", b"trailers"), (b"accept", b"*/*")]),
])  # fmt: skip
def test_an_http2_head_with_one_meaning_passes(pseudo: dict[bytes, bytes], fields: list[tuple[bytes, bytes]]) -> None:
    assert fault_of_fields(PSEUDO | pseudo, fields) == ""


@pytest.mark.parametrize(("pseudo", "fields"), [
    ({b":path": b"http://other/"}, []), ({b":path": b"*"}, []), ({b":path": b"/a b"}, []), ({b":path": b""}, []),
    ({b":scheme": b"http"}, []), ({b":method": b"CONNECT "}, []), ({b":authority": b"a@b"}, []),
    ({b":protocol": b"websocket"}, []), ({}, [(b"host", b"other")]), ({}, [(b"host", b"example.test")] * 2),
    ({}, [(b"x", b"a\r\nb: c")]), ({}, [(b"x", b"a\nb")]), ({}, [(b"x", b"a\x00")]), ({}, [(b"x\r\ny", b"a")]),
    ({}, [(b"Upper", b"a")]), ({}, [(b"transfer-encoding", b"chunked")]), ({}, [(b"connection", b"close")]),
    ({}, [(b"upgrade", b"h2c")]), ({}, [(b"upgrade", b"websocket")]),
    ({}, [(b"te", b"gzip")]), ({}, [(b"x", b" a")]), ({}, [(b"x", b"a")] * 101),
    ({}, [(b"content-length", b"1")] * 2), ({}, [(b"x", b"y" * MAX_HEAD)]),
])  # fmt: skip
def test_every_other_http2_head_is_refused(pseudo: dict[bytes, bytes], fields: list[tuple[bytes, bytes]]) -> None:
    assert fault_of_fields(PSEUDO | pseudo, fields)


def test_an_http2_head_lacks_no_pseudo_header() -> None:
    for name in PSEUDO:
        assert fault_of_fields({key: value for key, value in PSEUDO.items() if key != name}, [])
