"""Which target a request is for: of those on one listening socket, the one whose host and path prefix it names.

The host is that of the request's authority (RFC 9110, 7.2; its port is a load balancer's business), and TLS's server
name (RFC 6066, 3) must be the same: a connection that was opened for one host carries nothing for another (421, RFC
9110, 15.5.20). The prefix is compared octet for octet with the path as it came and taken off; what is left is judged
like every path. A prefix consists of characters that are never encoded, so no other spelling of it is one.

INVARIANT: a host that is not there, and one that this connection is not for, are refused in the same words; a prefix
that is not there is a target that nobody has a pass for, and is told like one that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import Refusal
from gateway.http_settings import HttpTarget, sharing

_MISDIRECTED = Refusal("misdirected-request", "the request names a host that this connection is not for")


@dataclass(frozen=True, slots=True)
class Addressed:
    """The target that a request is for, empty where there is none, and the request-target without its prefix."""

    target: str
    path: str


class Addresses:
    """See the module. A listening socket is named by its place in `http_settings.sharing`."""

    def __init__(self, targets: Mapping[str, HttpTarget]) -> None:
        self._hosts: list[dict[str, list[tuple[str, str]]]] = []
        for group in sharing(targets):
            hosts: dict[str, list[tuple[str, str]]] = {}
            for name in group:
                listen = targets[name].listen
                hosts.setdefault(listen.server_name, []).append((listen.prefix, name))
            self._hosts.append(hosts)

    def find(self, listener: int, server_name: str, authority: str, path: str) -> Addressed | Refusal:
        """Where a request is for that came in at that socket, over TLS that was opened for `server_name`."""
        hosts = self._hosts[listener] if 0 <= listener < len(self._hosts) else {}
        found = hosts.get("")
        if found is None:
            host = _host(authority)
            found = hosts.get(host) if host and server_name.lower() == host else None
        if found is None:
            return _MISDIRECTED
        for prefix, name in found:
            if path.startswith(f"{prefix}/"):
                return Addressed(name, path.removeprefix(prefix))
        return Addressed("", path)


def _host(authority: str) -> str:
    return authority.lower().partition(":")[0]
