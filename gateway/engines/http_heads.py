"""Which heads of requests have one meaning: everything else is refused before anything else reads it.

RFC 9112 (HTTP/1.1) sections 2.2, 3, 5 and 6, RFC 9113 (HTTP/2) section 8. What those let a server tolerate (bare LF,
obs-fold, absolute form, a list of lengths, both framings) is refused here, for another server behind may read it
otherwise. INVARIANT: a head that `fault_of_head` lets pass is read alike by everybody who follows the RFC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

MAX_HEAD = 32 * 1024
MAX_FIELDS = 100

_LINE = re.compile(rb"[A-Z]{1,16} /[\x21-\x7e]* HTTP/1\.1")
_METHOD = re.compile(rb"[A-Z]{1,16}")
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LOWER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,9}")
_HOST = re.compile(rb"[0-9A-Za-z._\-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_ONCE = frozenset(
    {b"upgrade", b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"expect"}
)
_OF_CONNECTIONS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})

Fields = Iterable[tuple[bytes, bytes]]


def fault_of_head(data: bytes) -> str:
    """What is wrong with the beginning of an HTTP/1.1 connection, or of what follows a request; empty for nothing yet.

    `data` may be a part of a head, which may still come to a fault, or have a body behind it, which is not looked at.
    """
    end = data.find(b"\r\n\r\n")
    head = data[: end if end >= 0 else len(data)]
    if len(head) > MAX_HEAD:
        return "the head of the request is too large"
    lines = head.split(b"\r\n")
    if end < 0:
        # its last line is under way, and so may its end be
        lines[-1] = lines[-1].removesuffix(b"\r")
    if any(b"\n" in line or b"\r" in line for line in lines):
        return "a line of the head does not end in CR LF"
    if end < 0:
        return "an empty line stands before the request" if len(lines) > 1 and not lines[0] else ""
    if not _LINE.fullmatch(lines[0]):
        return "the request line is not of the form `METHOD /path HTTP/1.1`"
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            return "a header is not of the form `Name: value`"
        fields.append((name.lower(), value.strip(b" \t")))
    return _fault_of_fields(fields) or _fault_of_framing(fields)


def fault_of_fields(pseudo: dict[bytes, bytes], fields: list[tuple[bytes, bytes]]) -> str:
    """The same for the fields of an HTTP/2 request, its pseudo-headers apart."""
    if set(pseudo) != {b":method", b":scheme", b":path", b":authority"}:
        return "the request does not have the four pseudo-headers of HTTP/2"
    if pseudo[b":scheme"] != b"https" or not _METHOD.fullmatch(pseudo[b":method"]):
        return "the scheme or the method is none"
    if not _TARGET.fullmatch(pseudo[b":path"]):
        return "the path is not of the form `/path`"
    if sum(len(name) + len(value) + 32 for name, value in (*pseudo.items(), *fields)) > MAX_HEAD:
        return "the head of the request is too large"
    if any(not _LOWER.fullmatch(name) or name in _OF_CONNECTIONS for name, _ in fields):
        return "a header is none of HTTP/2"
    if any(value != value.strip(b" \t") for _, value in fields):
        return "a header begins or ends with a blank"
    if any(name == b"te" and value != b"trailers" for name, value in fields):
        return "the header `te` asks for a coding"
    hosts = [value for name, value in fields if name == b"host"]
    if hosts and hosts != [pseudo[b":authority"]]:
        return "the request names two hosts"
    rest = [one for one in fields if one[0] != b"host"]
    return _fault_of_fields([(b"host", pseudo[b":authority"]), *rest])


def _fault_of_fields(fields: list[tuple[bytes, bytes]]) -> str:
    if len(fields) > MAX_FIELDS:
        return "the request has too many headers"
    if any(_CONTROL.search(value) for _, value in fields):
        return "a header has a control character"
    counts = Counter(name for name, _ in fields)
    if any(counts[name] > 1 for name in _ONCE):
        return "a header that can be there once is there twice"
    given = dict(fields)
    if not _HOST.fullmatch(given.get(b"host", b"")):
        return "the request does not name one host"
    if not _LENGTH.fullmatch(given.get(b"content-length", b"0")):
        return "the length of the body is no number"
    if given.get(b"expect", b"100-continue").lower() != b"100-continue":
        return "the request expects what is not known"
    if b"upgrade" not in counts:
        return ""
    if given[b"upgrade"].lower() != b"websocket":
        return "a connection is not changed to another protocol"
    has_body = given.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in counts
    return "a request for another protocol has a body" if has_body else ""


def _fault_of_framing(fields: list[tuple[bytes, bytes]]) -> str:
    given = dict(fields)
    coding = given.get(b"transfer-encoding")
    if coding is None:
        return ""
    if b"content-length" in given:
        return "the body has two lengths"
    return "" if coding.lower() == b"chunked" else "the body has a transfer coding that is not known"
