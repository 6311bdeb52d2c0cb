"""The headers of a request: what is refused, what is dropped, and what goes on.

INVARIANT: a header goes on because the policy's route names it, or because it is written here; its value is visible
ASCII. What would lead the target to another request than the one that was judged is refused: the client meant it.
What only decorates is dropped.

Fields are RFC 9110, 5; hop-by-hop fields 7.6.1; framing RFC 9112, 6.3; HTTP/2's own rules RFC 9113, 8.2; conditions
RFC 9110, 13. `traceparent` is W3C Trace Context, 3.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.http.message import HttpRequest
from gateway.http.query import chosen
from gateway.http.refusing import malformed, not_allowed, too_large
from gateway.policy.http_rules import Route

MOST_HEADERS = 100
MOST_BYTES = 32_768

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_VISIBLE = re.compile(r"[ -~]*")
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,15}")
_TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_WEBSOCKET_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")

OVERRIDES = frozenset({
    "x-http-method-override", "x-http-method", "x-method-override", "x-method", "x-original-url", "x-rewrite-url",
    "x-original-uri", "x-original-host", "x-original-method", "x-override-url", "http2-settings", "x-host",
    "x-original-path", "x-proxy-url", "destination", "request-uri",
})  # fmt: skip
"""What some targets take instead of the request line that was judged."""
_CONDITIONS = ("if-match", "if-unmodified-since")
_WRITING = (*_CONDITIONS, "if-none-match", "if-modified-since", "content-range")
_ONCE = frozenset({
    "host", "content-length", "content-type", "transfer-encoding", "content-encoding", "authorization", "expect",
    "upgrade", "range", "traceparent",
})  # fmt: skip
_HOPS = frozenset({"close", "keep-alive", "upgrade", "te"})


@dataclass(frozen=True, slots=True)
class Heads:
    """The headers of a request once they are known to be well-formed: by lower-case name, in their order."""

    values: dict[str, list[str]]

    def one(self, name: str) -> str:
        """The only value of that name; empty without one."""
        return self.values.get(name, [""])[0]

    def members(self, name: str) -> list[str]:
        """The members of a list, as they were written."""
        parts = (part.strip(" \t") for value in self.values.get(name, ()) for part in value.split(","))
        return [part for part in parts if part]

    def tokens(self, name: str) -> list[str]:
        """The members of a list, in lower case."""
        return [part.lower() for part in self.members(name)]


def heads(request: HttpRequest) -> Heads:
    """The request's headers, once they and what they say of the framing are well-formed. Raises: GatewayError."""
    if len(request.headers) > MOST_HEADERS or sum(len(n) + len(v) for n, v in request.headers) > MOST_BYTES:
        raise too_large("the request has too many headers, or too long ones")
    values: dict[str, list[str]] = {}
    for name, value in request.headers:
        if not _TOKEN.fullmatch(name):
            raise malformed("the name of a header is none")
        if request.version == "HTTP/2" and name != name.lower():
            raise malformed("a header's name has a capital letter, which HTTP/2 does not have")
        if _BAD_VALUE.search(value):
            raise malformed("the value of a header has a control character or goes on in another line")
        values.setdefault(name.decode("ascii").lower(), []).append(value.decode("latin-1").strip(" \t"))
    for once in sorted(_ONCE & values.keys()):
        if len(values[once]) > 1:
            raise malformed(f"the header `{once}` comes more than once")
    found = Heads(values)
    _judge_authority(request, found)
    _judge_framing(request, found)
    _judge_hops(request, found)
    return found


def passed_on(route: Route, found: Heads) -> list[tuple[str, str]]:
    """The headers that the route's policy names, with lower-case names and canonical values. Raises: GatewayError.

    Refuses what would change the meaning of the request; says nothing about what is merely dropped.
    """
    for name in sorted(OVERRIDES & found.values.keys()):
        raise not_allowed(f"the header `{name}` would ask for something else than the request does", "leave it out")
    for name in _WRITING if route.writes else _CONDITIONS:
        if name in found.values:
            # FAIL CLOSED: without it, the request would do always, or to the whole, what was wanted otherwise
            raise not_allowed(f"the header `{name}` is not passed on, and would mean another request", "leave it out")
    given = [(rule.name, value) for rule in route.headers for value in found.values.get(rule.name, ())]
    for name, value in given:
        if not _VISIBLE.fullmatch(value):
            raise malformed(f"the header `{name}` has characters beyond ASCII")
    return chosen(given, route.headers, "header")


def own(route: Route, found: Heads, *, outbound: bool) -> list[tuple[str, str]]:
    """The headers that are ours to write: no coding, the media of the route's answers, and the trace.

    A trace does not leave for a sub-processor: its client may write what he likes in it.
    """
    media = dict.fromkeys(kind for answer in route.answers for kind in answer.content_types or _MEDIA[answer.media])
    written = [("accept", ", ".join(media) or "*/*"), ("accept-encoding", "identity")]
    if not outbound and _TRACE.fullmatch(found.one("traceparent")):
        written.append(("traceparent", found.one("traceparent")))
    return written


def upgrade(route: Route, found: Heads, authority: str) -> list[tuple[str, str]]:
    """The headers of a WebSocket's handshake (RFC 6455, 4.1), where the request asks for one. Raises: GatewayError.

    A page of another origin may have no WebSocket (section 10.2): browsers send what they know to prove themselves.
    """
    if "upgrade" not in found.values:
        if "upgrade" in found.tokens("connection"):
            raise malformed("the connection is to be upgraded to nothing")
        if route.websocket:
            raise not_allowed("this request is a WebSocket's handshake only", "connect with a WebSocket client")
        return []
    if not route.websocket:
        raise not_allowed("the request asks for another protocol", "leave the header `upgrade` out")
    key = found.one("sec-websocket-key")
    proper = found.tokens("upgrade") == ["websocket"] and "upgrade" in found.tokens("connection")
    if not proper or found.one("sec-websocket-version") != "13" or not _WEBSOCKET_KEY.fullmatch(key):
        raise malformed("the WebSocket's handshake is not as RFC 6455 has it")
    origin = found.values.get("origin", [f"https://{authority}"])
    if [one.lower() for one in origin] != [f"https://{authority.lower()}"]:
        raise not_allowed("a page of another origin asks for the WebSocket")
    handshake = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", key),
        ("sec-websocket-version", "13"),
    ]
    chosen = _subprotocols(route, found)
    return [*handshake, ("sec-websocket-protocol", ", ".join(chosen))] if chosen else handshake


def _subprotocols(route: Route, found: Heads) -> list[str]:
    """The subprotocols that the client offers and the policy names, in the client's order; [] where it names none."""
    offered = list(dict.fromkeys(found.members("sec-websocket-protocol")))
    chosen = [one for one in offered if one in route.subprotocols]
    if offered and route.subprotocols and not chosen:
        names = ", ".join(f"`{one}`" for one in route.subprotocols)
        raise not_allowed("none of the WebSocket's subprotocols is available", f"offer one of {names}, or none")
    return chosen


def _judge_authority(request: HttpRequest, found: Heads) -> None:
    if not _AUTHORITY.fullmatch(request.authority):
        raise malformed("the request's host is no host")
    hosts = found.values.get("host", [])
    if request.version != "HTTP/2" and not hosts:
        raise malformed("the request has no header `host`")
    if any(host.lower() != request.authority.lower() for host in hosts):
        raise malformed("the request names two hosts")


def _judge_framing(request: HttpRequest, found: Heads) -> None:
    length, coding = found.values.get("content-length"), found.values.get("transfer-encoding")
    if coding is not None and (request.version == "HTTP/2" or length is not None or coding[0].lower() != "chunked"):
        raise malformed("the request's length can be read in two ways")
    if length is not None and (not _LENGTH.fullmatch(length[0]) or int(length[0]) != len(request.body)):
        raise malformed("the request's length is not what it says")
    if request.body and length is None and coding is None and request.version != "HTTP/2":
        raise malformed("the request has a body and does not say so")
    if "trailer" in found.values:
        raise malformed("the request announces trailers, which are not read")


def _judge_hops(request: HttpRequest, found: Heads) -> None:
    nominated = found.tokens("connection")
    if request.version == "HTTP/2":
        if found.values.keys() & {"connection", "keep-alive", "proxy-connection", "upgrade"}:
            raise malformed("the request has a header that HTTP/2 does not have")
        if found.values.keys() & {"te"} and found.tokens("te") != ["trailers"]:
            raise malformed("the request has a header that HTTP/2 does not have")
    if not set(nominated) <= _HOPS:
        # FAIL CLOSED: it names headers that the next hop should not see; one that decides something may be among them
        raise malformed("the header `connection` names other headers")
    if found.tokens("expect") not in ([], ["100-continue"]):
        raise malformed("the request expects something that is not known")
    if found.tokens("content-encoding") not in ([], ["identity"]):
        raise not_allowed("the request's body is encoded", "send it as it is, without `content-encoding`")


_MEDIA = {
    "json": ("application/json",),
    "ndjson": ("application/x-ndjson",),
    "csv": ("text/csv",),
    "unmasked": (),
    "empty": (),
}
"""What an answer of each kind is asked for as, where the policy names no media types."""
