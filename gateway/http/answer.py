"""What of an upstream's answer leaves.

INVARIANT: nothing of the upstream leaves but what the route's `AnswerRule` for that status and media type names.
Everything else ends in a `Withheld`, whose status and words are ours. A missing object (404), another customer's and
one of which nobody can read whose it is are one answer.

Theory of operation. An `Answer` is made when the upstream's head is there, fed with its body's chunks as they come
(still in their content coding, without framing), and finished. `head()` is what to send first, once `feed` gave bytes
or `finish` returned; of what does not stream nothing leaves before `finish`. `rows` counts the records in all that was
returned so far: whoever releases the bytes extends the windows first. Everything may raise `Withheld`: of an answer of
which nothing left it is sent as a problem (`problem.problem`); one of which something left is cut off, so that the
client sees that it is not whole. Bytes before the fault are returned first and the fault is raised by the next call, so
`finish` is always called. A body that ends with its connection (RFC 9112, 6.3, the last case) does not prove its end:
a last value that could go on (a number, a record of CSV without its end) is withheld.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from gateway.errors import Refusal
from gateway.http import headers as heads
from gateway.http.csv_text import CsvBody
from gateway.http.cursors import Paging
from gateway.http.decoding import Decoder
from gateway.http.graphql.answering import GraphqlBody
from gateway.http.leaving import Leaving, leaving
from gateway.http.lines import NdjsonBody
from gateway.http.search_rows import SearchBody
from gateway.http.sql_rows import OUTPUT, rows_body
from gateway.http.statuses import REDIRECTS, unnamed
from gateway.http.trino_pages import PagesBody
from gateway.http.withheld import NOT_FOUND, Limits, Withheld
from gateway.policy.dialects import SEARCH
from gateway.policy.http_rules import AnswerRule, Route

__all__ = ["Answer", "Limits", "Withheld"]

DOCUMENT_BYTES = 8 << 20
"""Of a document whose rule has no bound of its own."""

_LIMITS = Limits()


class _Body(Protocol):
    """The body of one media: pieces without coding in, what leaves out."""

    streams: bool
    rows: int

    def feed(self, piece: bytes) -> Iterator[bytes]: ...

    def finish(self, *, proven: bool) -> Iterator[bytes]: ...


class Answer:
    """One answer on its way out.

    `reveal` are the written paths (`$.iban`) that the grant shows in clear; `routes` are what a Location may lead to,
    and `prefix` is what it then begins with. `framed` is whether the message says where its body ends; otherwise that
    is where the connection ended. `paging` names the next page of an answer that has some.

    Raises: Withheld, from here on.
    """

    def __init__(
        self,
        route: Route,
        method: str,
        status: int,
        headers: heads.Headers,
        *,
        customers: Collection[str],
        key: bytes | None,
        reveal: frozenset[str] = frozenset(),
        limits: Limits = _LIMITS,
        routes: Iterable[Route] = (),
        prefix: str = "",
        framed: bool = True,
        paging: Paging | None = None,
    ) -> None:
        self._status = status
        self._fault: Withheld | None = None
        customers = frozenset(customers)
        is_head = method == "HEAD"
        fault = unnamed(route, status, headers)
        if fault is not None:
            raise fault
        given = heads.media(headers)
        rule = _rule(route, status, given, is_head=is_head)
        location = _location(rule, status, headers, routes, customers)
        self._head = heads.leaving(rule, headers, given, f"{prefix}{location}" if location else "")
        coding = "identity" if is_head or rule.media == "empty" else heads.coding(headers)
        self._decoder = Decoder(coding, limits)
        # the end of a coding is the end of what it holds
        self._proven = framed or coding != "identity"
        try:
            self._body = _Nothing() if is_head else _body(rule, headers, customers, key, reveal, limits, paging)
        except ValueError:
            # FAIL CLOSED: a rule that was not checked when the policy was loaded shows nothing.
            raise Withheld(Refusal("policy-invalid", "the policy contradicts itself about this answer")) from None
        # FAIL CLOSED: of a document that cannot be read nobody knows whose it is
        self._is_anybodys = rule.media in {"json", "graphql"} and rule.customer is not None
        # what does not stream is held, and so is bounded before it is decoded too
        self._most = 0 if self._body.streams else _bound(rule) + limits.slack_bytes
        self._came = 0

    @property
    def streams(self) -> bool:
        """Whether bytes leave before the end."""
        return self._body.streams

    @property
    def failed(self) -> bool:
        """Whether it says, with a status of success, that the statement failed."""
        return isinstance(self._body, PagesBody) and self._body.failed

    @property
    def rows(self) -> int:
        """The records in what was returned so far."""
        return self._body.rows

    def head(self) -> tuple[int, heads.Head]:
        """The status and the headers, without Content-Length."""
        return self._status, self._head

    def feed(self, chunk: bytes) -> bytes:
        """What may leave now."""
        return self._left(self._decoded(chunk))

    def finish(self) -> bytes:
        """What may leave at the end."""
        return self._left(self._last())

    def _decoded(self, chunk: bytes) -> Iterator[bytes]:
        self._came += len(chunk)
        if self._most and self._came > self._most:
            raise Withheld.too_large("a document is longer than the policy allows")
        for piece in self._decoder.decode(chunk):
            yield from self._body.feed(piece)

    def _last(self) -> Iterator[bytes]:
        self._decoder.finish()
        yield from self._body.finish(proven=self._proven)

    def _left(self, parts: Iterator[bytes]) -> bytes:
        if self._fault is not None:
            raise self._fault
        left: list[bytes] = []
        try:
            left.extend(parts)
        except Withheld as fault:
            self._fault = Withheld.not_found(fault) if self._is_anybodys and fault.refusal != NOT_FOUND else fault
            if not any(left):
                raise self._fault from None
        return b"".join(left)


class _JsonBody:
    streams = False

    def __init__(
        self, rule: AnswerRule, leaving: Leaving, customers: Collection[str], key: bytes | None, limits: Limits
    ) -> None:
        self.rows = 0
        self._bound, self._leaving = _bound(rule), leaving
        self._customers, self._key = customers, key
        self._depth = limits.depth
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        self._held += piece
        if len(self._held) > self._bound:
            raise Withheld.too_large("a document is longer than the policy allows")
        return iter(())

    def finish(self, *, proven: bool) -> Iterator[bytes]:
        held, self._held = self._held, bytearray()
        left, self.rows = self._leaving.leave(held, self._customers, self._key, self._depth, proven=proven)
        if left is None:
            raise Withheld.not_found()
        yield left


class _PassedBody:
    """What a policy passes as it is: `unmasked`."""

    streams = True

    def __init__(self) -> None:
        self.rows = 1

    def feed(self, piece: bytes) -> Iterator[bytes]:
        yield piece

    def finish(self, *, proven: bool) -> Iterator[bytes]:  # noqa: ARG002 - nobody reads it, so nobody can tell
        return iter(())


class _Nothing:
    """No body: of `empty`, and of every answer to HEAD."""

    streams = False

    def __init__(self) -> None:
        self.rows = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if piece:
            raise Withheld.unreadable("it has a body where there can be none")
        return iter(())

    def finish(self, *, proven: bool) -> Iterator[bytes]:  # noqa: ARG002 - nothing ends nowhere
        return iter(())


def _rule(route: Route, status: int, given: heads.Media | None, *, is_head: bool) -> AnswerRule:
    """The rule for that answer."""
    named = [rule for rule in route.answers if status in rule.statuses]
    bodies = [rule for rule in named if rule.media != "empty" and given is not None and heads.admits(rule, given)]
    rule = next(iter(bodies or [rule for rule in named if rule.media == "empty" or is_head]), None)
    if rule is None:
        raise Withheld.not_allowed("is of a media type that the route does not name")
    if any(of.customer is not None for of in (named if is_head else [rule] if _is_blind(rule) else [])):
        # FAIL CLOSED: whose it is stands in a body that is not there, or that nobody reads.
        raise Withheld.not_found()
    if given is not None and bodies:
        heads.check_text(rule, given)
    return rule


def _is_blind(rule: AnswerRule) -> bool:
    return rule.media in {"empty", "unmasked"}


def _location(
    rule: AnswerRule, status: int, headers: heads.Headers, routes: Iterable[Route], customers: Collection[str]
) -> str:
    redirects = status in REDIRECTS
    if not redirects and "location" not in {name.lower() for name in rule.headers}:
        return ""
    location = heads.location(headers, routes, customers)
    if redirects and not location:
        raise Withheld.not_allowed("points to what no route is for")
    return location


def _bound(rule: AnswerRule) -> int:
    return rule.max_bytes or DOCUMENT_BYTES


def _body(
    rule: AnswerRule,
    headers: heads.Headers,
    customers: Collection[str],
    key: bytes | None,
    reveal: frozenset[str],
    limits: Limits,
    paging: Paging | None,
) -> _Body:
    if rule.media == "rows":
        return rows_body(heads.values(headers, OUTPUT), _bound(rule), limits)
    if rule.media == "pages" and paging is not None:
        return PagesBody(_bound(rule), limits, paging)
    if rule.media in SEARCH and paging is not None:
        return SearchBody(rule, _bound(rule), limits, paging, customers, key)
    if rule.media == "json":
        return _JsonBody(rule, leaving(rule, reveal), customers, key, limits)
    if rule.media == "graphql":
        return GraphqlBody(rule, reveal, customers, key, limits)
    if rule.media == "ndjson":
        return NdjsonBody(leaving(rule, reveal), customers, key, limits)
    if rule.media == "csv":
        return CsvBody(rule, customers, key, reveal, limits)
    if rule.media == "unmasked":
        return _PassedBody()
    if rule.media == "empty":
        return _Nothing()
    raise ValueError(f"there is no media `{rule.media}`")
