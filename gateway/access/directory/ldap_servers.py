"""The servers of an LDAP directory: which one is asked, over which connection, and what happens when one is out.

Theory of operation. A question goes to the first server that is not known to be out. One that fails is out from then
on, and the question goes to the next; a thread of its own tries again what is out until it lets the gateway in. So only
the first questions after a failure wait for a timeout, and where every server is out the answer is immediate.

INVARIANT: passwords are tried over connections that ask nothing else, so that no question is ever asked with the rights
of a person, nor answered to somebody who signed in last.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from gateway.access.directory.ldap_wire import Unanswered, Unreachable, Wire, context_of
from gateway.directory_settings import LdapDirectory
from gateway.errors import GatewayError

T = TypeVar("T")

PAUSE_S = 0.5
"""Between attempts at a server that is out."""
REFUSED_PAUSE_S = 15.0
"""The same where it answers and refuses the gateway: hammering could lock its account."""
_KEPT = 8
_IDLE_S = 60.0


class _Server:
    """One server with its idle connections: those of the gateway, and those over which passwords are tried."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.outage = ""
        self.again_at = 0.0
        self.idle: dict[bool, list[tuple[Wire, float]]] = {False: [], True: []}


class Servers:
    """Safe to use from several threads. `close` when nobody asks any more."""

    def __init__(self, settings: LdapDirectory, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Asks nobody yet. Raises `GatewayError("configuration-invalid")`."""
        self.settings, self._monotonic = settings, monotonic
        self._context: ssl.SSLContext | None = context_of(settings)
        self._servers = [_Server(address) for address in settings.servers]
        self._turn = threading.Condition()
        self._prober: threading.Thread | None = None
        self._stopped = False

    def ask(self, question: Callable[[Wire], T]) -> T:
        """The answer over a connection that is signed in as the gateway.

        Raises `GatewayError("directory-unavailable")` when no server gives one.
        """
        return self._ask(question, trying=False)

    def try_password(self, dn: str, password: bytes) -> tuple[bool, str]:
        """Whether it is that entry's password, and what the server adds. Raises as `ask`."""
        return self._ask(lambda wire: wire.is_right(dn, password), trying=True)

    def outages(self) -> dict[str, str]:
        """The servers that are out, each with why."""
        with self._turn:
            return {one.address: one.outage for one in self._servers if one.outage}

    def examine(self) -> dict[str, str]:
        """Every server, with why it does not let the gateway in, "" for one that does. Asks one after the other."""
        found = {}
        for server in self._servers:
            try:
                self.check(server.address)
            except Unreachable as error:
                found[server.address] = str(error)
            else:
                found[server.address] = ""
        return found

    def check(self, address: str) -> None:
        """Sign in to that server over a new connection. Raises `Unreachable`."""
        wire = Wire(self.settings, address, self._context, self._monotonic)
        try:
            wire.sign_in()
        finally:
            wire.close()

    def close(self) -> None:
        """Join the thread and let go of the connections."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
            prober = self._prober
        if prober is not None:
            prober.join()
        for server in self._servers:
            for kept in server.idle.values():
                for wire, _ in kept:
                    wire.close()

    def _ask(self, question: Callable[[Wire], T], *, trying: bool) -> T:
        why = []
        for server in self._servers:
            with self._turn:
                outage = server.outage
            if outage:
                why.append(f"{server.address}: {outage}")
                continue
            try:
                return self._ask_one(server, question, trying=trying)
            except Unreachable as error:
                self._is_out(server, error)
                why.append(f"{server.address}: {error}")
            except Unanswered as error:
                why.append(f"{server.address}: {error}")
        raise unavailable("; ".join(why))

    def _ask_one(self, server: _Server, question: Callable[[Wire], T], *, trying: bool) -> T:
        """Over an idle connection, and where that turns out to be dead, over a new one."""
        idle, begun = self._take(server, trying=trying), self._monotonic()
        if idle is not None:
            try:
                return self._over(server, idle, question, trying=trying)
            except Unreachable:
                # a server that closed what was idle says so at once; one that let us wait is not asked twice
                if self._monotonic() - begun > self.settings.timeout / 2:
                    raise
        wire = Wire(self.settings, server.address, self._context, self._monotonic)
        if not trying:
            wire.sign_in()
        return self._over(server, wire, question, trying=trying)

    def _over(self, server: _Server, wire: Wire, question: Callable[[Wire], T], *, trying: bool) -> T:
        try:
            return question(wire)
        finally:
            self._give_back(server, wire, trying=trying)

    def _take(self, server: _Server, *, trying: bool) -> Wire | None:
        now, old = self._monotonic(), []
        with self._turn:
            kept = server.idle[trying]
            found = None
            while kept and found is None:
                wire, since = kept.pop()
                if now - since > _IDLE_S:
                    old.append(wire)
                else:
                    found = wire
        for wire in old:
            wire.close()
        return found

    def _give_back(self, server: _Server, wire: Wire, *, trying: bool) -> None:
        with self._turn:
            kept = server.idle[trying]
            if not wire.closed and not self._stopped and not server.outage and len(kept) < _KEPT:
                kept.append((wire, self._monotonic()))
                return
        wire.close()

    def _is_out(self, server: _Server, error: Unreachable) -> None:
        with self._turn:
            server.outage = str(error)
            server.again_at = self._monotonic() + (REFUSED_PAUSE_S if error.refused else PAUSE_S)
            dead = [wire for kept in server.idle.values() for wire, _ in kept]
            for kept in server.idle.values():
                kept.clear()
            if self._prober is None and not self._stopped:
                self._prober = threading.Thread(target=self._probe, name="directory-probe", daemon=True)
                self._prober.start()
        for wire in dead:
            wire.close()

    def _probe(self) -> None:
        """Try what is out until nothing is."""
        while True:
            with self._turn:
                out = [one for one in self._servers if one.outage]
                if not out or self._stopped:
                    self._prober = None
                    return
                now = self._monotonic()
                due = [one for one in out if now >= one.again_at]
                if not due:
                    self._turn.wait(max(0.01, min(one.again_at for one in out) - now))
                    continue
            for server in due:
                try:
                    self.check(server.address)
                except Unreachable as error:
                    with self._turn:
                        server.outage = str(error)
                        server.again_at = self._monotonic() + (REFUSED_PAUSE_S if error.refused else PAUSE_S)
                else:
                    with self._turn:
                        server.outage = ""


def unavailable(detail: str) -> GatewayError:
    """That the directory cannot be asked; the detail is for operators."""
    return GatewayError("directory-unavailable", "the directory cannot be asked", "tell an operator", detail)
