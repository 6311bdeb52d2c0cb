"""What the HTTP room is given and what it gives back: a request as it came, and the request that may go on instead.

INVARIANT: what goes to a target is made from an `HttpPlan` alone, never from the `HttpRequest` that it was judged from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.policy.http_rules import Route


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came. `target` is the request-target (HTTP/1.1) or `:path` (HTTP/2), not decoded in any way.

    `authority` is the Host field's value or `:authority`. `headers` keep their order and case, without pseudo-headers.
    `version` is `HTTP/1.1` or `HTTP/2`. `body` is without its transfer coding.
    """

    method: str
    target: str
    authority: str
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    version: str = "HTTP/1.1"
    scheme: str = "https"


@dataclass(frozen=True, slots=True)
class SentField:
    """One value that leaves for a sub-processor: where, its category, and the kind of its mask.

    A field of the body is named by its path (`$.to`), a parameter by its place (`path.company_id`): that has no
    category, and leaves as it is.
    """

    path: str
    category: str
    mask: str

    @property
    def text(self) -> str:
        """The same in a line."""
        return f"{self.path}: {self.category}, {self.mask}" if self.category else f"{self.path}: {self.mask}"


@dataclass(frozen=True, slots=True)
class SqlAsked:
    """A statement that a request brings, as it came; `schema` is the one that it means, `output` the form of the
    answer that it asks for. Both are empty where it does not say. `parameters` are the values of its question marks.
    """

    text: str = field(repr=False)
    schema: str = ""
    output: str = ""
    parameters: tuple[Any, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class PageAsked:
    """A further page that a request asks for: of which cursor, and the seal of where the server has it; or, with
    `ends`, that there shall be none.
    """

    cursor: str
    seal: str = field(repr=False)
    ends: bool = False


@dataclass(frozen=True, slots=True)
class HttpPlan:
    """What may go to the target in a request's place.

    `path` and `query` are encoded anew; `headers` are all that go on (Host, credentials and framing are the engine's to
    add). `text` is the canonical request as a person reads it, with values; `shape` is the same without values, and is
    what the trail shows in clear. `digest` (SHA-256, hexadecimal) identifies the canonical request, byte for byte, as
    it is before any mask, whatever their key: what an approval is for. `about` are those of the ticket's customers that
    the request names. `given` are the values that the client chose freely, each with the name of its place, as they
    came. Outbound, `recipient` is who gets it and `masked` is what leaves.

    INVARIANT: of a request that brings SQL, nothing is in the plan until its statement was rewritten and proven: `sql`
    is what came, and `body` is empty. One that asks for a further `page` has no path until the page was found.
    """

    route: Route
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    customers: tuple[str, ...] = field(repr=False)
    text: str = field(repr=False)
    shape: str = ""
    digest: str = ""
    masked: tuple[SentField, ...] = ()
    about: tuple[str, ...] = field(default=(), repr=False)
    recipient: str = ""
    given: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    sql: SqlAsked | None = None
    page: PageAsked | None = None

    @property
    def target(self) -> str:
        """The request-target in origin form."""
        return f"{self.path}?{self.query}" if self.query else self.path
