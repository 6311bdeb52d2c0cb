"""Where permitted requests go: each target's API, the TLS that it is met with, and connections that are one target's.

mitmproxy uses a connection to an API again for every request to the same address. Here the same address may be two
targets', with a certificate of ours for each. INVARIANT: a connection to an API is used again for the way that it was
opened for, and for no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy.layers.http import GetHttpConnection
from msgspec import structs
from OpenSSL import SSL

from gateway.engines.http_channel import Place, Setup
from gateway.engines.http_proxy import tls


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A way to an API; ways are told apart by which object they are. `upgrades` is one that becomes a WebSocket."""

    reached: Reached
    upgrades: bool = False

    @property
    def place(self) -> Place:
        """Where it leads."""
        return self.reached.place


class Reached:
    """A target's API. Raises: SSL.Error for an authority or a certificate that cannot be used."""

    def __init__(self, setup: Setup, place: Place) -> None:
        self._setup, self.place = setup, place
        self.context = tls.target_context(setup, place) if place.tls else None
        self._usual = Way(self)

    def way(self, *, upgrades: bool) -> Way:
        """The way for a request: everybody's, or one of its own where the connection becomes a WebSocket."""
        return Way(self, upgrades=True) if upgrades else self._usual

    def renew(self, chain: bytes, private_key: bytes) -> None:
        """Show another certificate from the next connection on. Raises: SSL.Error."""
        self.place = structs.replace(self.place, chain=chain, private_key=private_key)
        self.context = tls.target_context(self._setup, self.place)


class Front:
    """What TLS shows people: a certificate for some server names, and the gateway's own for every other."""

    def __init__(self, usual: SSL.Context, named: Mapping[str, SSL.Context]) -> None:
        self._usual, self._named = usual, named

    def context(self, server_name: str) -> SSL.Context:
        """What it is for that server name."""
        return self._named.get(server_name.lower(), self._usual)


@dataclass(eq=False)
class Reach(GetHttpConnection):
    """Asks for a connection of that way; `known` says which way each one is of."""

    way: Way | None = None
    known: Mapping[Any, Way] = field(default_factory=dict)

    def connection_spec_matches(self, connection: Connection) -> bool:
        """See `GetHttpConnection`."""
        return self.way is not None and self.known.get(connection) is self.way


def reach(way: Way) -> Reach:
    """The command that asks for it."""
    return Reach((way.place.host, way.place.port), way.place.tls, None, "tcp", way)
