"""The engine of MySQL and MariaDB: accepts clients, authenticates them, and hands each to a session."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gateway.access.context import durable
from gateway.admitted import Admitted
from gateway.config import Limits
from gateway.engines.doors import Doors
from gateway.engines.mysql_answers import MysqlAnswers
from gateway.engines.mysql_client import Client
from gateway.engines.mysql_heads import Heads
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_observed import observed_session, welcome
from gateway.engines.mysql_requests import MysqlRequests
from gateway.engines.mysql_session import MysqlSession
from gateway.engines.mysql_upstream import WANTED, Backend, MysqlUpstream
from gateway.engines.reception import STOPPING, Reception
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.listener_settings import MysqlListener
from gateway.model import Peer, Session
from gateway.sql.mysql import session_statements
from gateway.sql.statement import View
from gateway.wire.auth import ScramVerifier, known_to
from gateway.wire.mysql.base import Capability
from gateway.wire.mysql.handshake import HandshakeResponse
from gateway.wire.mysql.results import Ok, encode_ok

_LAST_WORDS_S = 5.0
_ANSWER_GRACE_S = 10.0
_FIRST_NUMBER = 1 << 30
"""Of a connection. A target counts from 1, so that neither's numbers are taken for the other's."""
_UNKNOWN_VERSION = "8.0.0"
_CHARSETS = frozenset({11, 33, 45, 46, 63, 65, 83, *range(192, 216), 223, *range(224, 256)})
"""Collations of ASCII, UTF-8 and of bytes, as a handshake numbers them."""


class MysqlEngine(Reception[MysqlSession]):
    """Serves clients of MySQL's protocol on one listening socket."""

    def __init__(
        self,
        settings: MysqlListener,
        limits: Limits,
        *,
        gate: Gate,
        doors: Doors[Any],
        upstreams: Mapping[str, MysqlUpstream],
        mask_key: Callable[[Session], bytes],
        tls: ssl.SSLContext,
        report: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(settings, gate, report)
        self._limits, self._doors, self._upstreams, self._mask_key, self._tls = limits, doors, upstreams, mask_key, tls
        self._heads = Heads()
        self._numbers = itertools.count(_FIRST_NUMBER)
        self._by_number: dict[int, MysqlSession] = {}

    async def stop(self, grace_s: float) -> None:
        """See `Reception`; sessions are left by their own tasks, which are waited for."""
        await super().stop(grace_s)
        deadline = time.monotonic() + _LAST_WORDS_S
        while self._relays and time.monotonic() < deadline:  # noqa: ASYNC110 (polls once)
            await asyncio.sleep(0.01)

    async def _greet(self, sock: socket.socket, address: str) -> None:
        """Everything from the first byte to the session. Nothing that a client does may raise out of here."""
        client = Client(sock, next(self._numbers) & 0x7FFFFFFF)
        inside = False
        try:
            async with asyncio.timeout(self._settings.login_timeout):
                response = await client.greet(self._version(), self._tls, self._settings.login_timeout)
                await self._log_in(client, response, address)
                inside = True
        except GatewayError as error:
            client.say(error.refusal)
        except TimeoutError:
            client.say(Refusal("handshake-timeout", "the log-in took too long"))
        except OSError:
            pass  # the client is gone, or its TLS failed; there is nobody to tell
        except asyncio.CancelledError:
            client.say(STOPPING)
            raise
        except BaseException as error:
            client.say(Refusal("internal-error", "the gateway met a fault; the connection ends"))
            self._report("log-in", error)
        finally:
            if not inside:
                client.close()

    def _version(self) -> str:
        """What the gateway says that it is, before it knows for whom: the first target that told its own."""
        return next((one.version for one in self._upstreams.values() if one.version), _UNKNOWN_VERSION)

    async def _log_in(self, client: Client, response: HandshakeResponse, address: str) -> None:
        self._room()
        assert client.link is not None
        user = response.user.decode("utf-8", "replace")
        target = self._target_of((response.database or b"").decode("utf-8", "replace"))
        application = response.attributes.get(b"program_name") or response.attributes.get(b"_client_name") or b""
        _, version = _tls_of(client.link)
        peer = Peer(address, application.decode("utf-8", "replace")[:63], "mysql", version, user)
        secret = await client.secret(response)
        session = self._judged(await self._admitted(user, target, secret, peer), peer.host)
        self._take_place(session)
        try:
            await self._enter(client, session, response)
        except BaseException:
            self._left(session.principal.id)
            raise

    def _target_of(self, database: str) -> str:
        """Which target a client means by the database that it names: a target's name, or its database's."""
        if database in self._upstreams:
            return database
        meant = [name for name, one in self._upstreams.items() if database in ("", one.database)]
        return meant[0] if len(meant) == 1 else database

    async def _admitted(self, user: str, target: str, secret: str, peer: Peer) -> Session | Refusal:
        doors = self._doors
        await doors.ready()
        challenge = doors.challenge(user, target, peer, tls=True)
        if challenge.method != "scram":
            return await doors.admit_direct(challenge, secret, peer)
        verifiers = [challenge.verifier, *(verifier for verifier, _ in challenge.others)]
        place = await asyncio.to_thread(known_to, secret, [ScramVerifier.parse(one) for one in verifiers])
        challenge = challenge.proven(place or 0)
        return await doors.admit_pass(challenge, place is not None and challenge.pass_id is not None, peer)

    async def _enter(self, client: Client, session: Session, response: HandshakeResponse) -> None:
        upstream = self._upstreams.get(session.grant.target)
        if upstream is None:
            raise GatewayError("target-not-available", f"`{session.grant.target}` is no database of MySQL", fatal=True)
        inside = self._gate.enter(session)
        backend: Backend | None = None
        try:
            await durable(inside.begin)
            assert client.link is not None
            if inside.view.policy.observed:
                backend = await upstream.open_as(response)
            else:
                backend = await self._protected(upstream, inside, response, client.link)
            self._gate.connected(inside, upstream.tie(backend))
            if client.link.closing:
                raise ConnectionResetError("the client is gone")
            if not self._gate.is_current(inside):
                # a reload cuts the sessions that are inside; this one was on its way in
                raise GatewayError("policy-changed", "the policy changed; connect again", fatal=True)
        except BaseException as error:
            if backend is not None:
                backend.abort()
            self._gate.leave(inside, error.refusal if isinstance(error, GatewayError) else None)
            raise
        link = client.link
        link.limit = self._limits.message
        capabilities = response.capabilities
        relay: MysqlSession
        if inside.view.policy.observed:
            backend.limit = max(backend.limit, link.limit)
            relay = observed_session(
                link, backend, upstream, self._gate, inside, response.charset,
                behind=partial(self._behind, session.grant.target), closed=self._closed, report=self._report,
            )  # fmt: skip
            said = welcome(backend, inside.view.policy.warning)
        else:
            relay = self._session(link, backend, upstream, inside, capabilities)
            said = Ok()
        self._by_number[client.number] = relay
        detach = self._doors.attach(session, relay.cut)

        def leave() -> None:
            self._by_number.pop(client.number, None)
            detach()

        self._relays[relay] = leave
        client.lost = relay.finish
        link.send(encode_ok(said, capabilities))
        relay.start()

    async def _protected(
        self, upstream: MysqlUpstream, inside: Admitted, response: HandshakeResponse, link: Link
    ) -> Backend:
        """A connection on which all is set that the session's safety rests on."""
        if response.charset not in _CHARSETS:
            raise GatewayError(
                "setting-not-allowed", "the connection's character set is not available; only UTF-8 is",
                hint="connect with --default-character-set=utf8mb4", fatal=True,
            )  # fmt: skip
        wanted = WANTED & (response.capabilities | ~Capability.DEPRECATE_EOF)
        return await upstream.open(self._pins(inside.session, inside.view, link), wanted)

    def _session(
        self, link: Link, backend: Backend, upstream: MysqlUpstream, inside: Admitted, capabilities: int
    ) -> MysqlSession:
        async def pin(connection: Backend) -> None:
            for statement in self._pins(inside.session, inside.view, link):
                await connection.run(statement)

        gate = self._gate
        answers = MysqlAnswers(link, backend, upstream, gate, inside, capabilities, pin, self._heads)
        kill = partial(self._kill, inside)
        requests = MysqlRequests(link, backend, gate, inside, capabilities, answers, pin=pin, kill=kill)
        return MysqlSession(
            link, backend, upstream, gate, inside, requests, answers,
            timeout_s=inside.view.policy.limits.statement_timeout_ms / 1000 + _ANSWER_GRACE_S,
            closed=self._closed, report=self._report,
        )  # fmt: skip

    def _pins(self, session: Session, view: View, link: Link) -> tuple[str, ...]:
        return session_statements(view, self._mask_key(session), _tls_of(link))

    def _behind(self, target: str, number: int) -> int:
        """The number that a connection has at an observed target, by the one that its client was greeted with."""
        other = self._by_number.get(number)
        if other is None or other.inside.session.grant.target != target:
            return number
        return other.backend.greeting.connection_id

    def _kill(self, by: Admitted, number: int, query: bool) -> bool:
        """Stop what another session of the same person runs, or end that session; False when there is none."""
        other = self._by_number.get(number)
        if other is None:
            other = next((one for one in self._relays if one.backend.greeting.connection_id == number), None)
        mine = other is not None and other.inside.session.principal.id == by.session.principal.id
        if other is None or not mine or other.inside is by:
            return False
        if query:
            other.stop_statement()
        else:
            other.cut(Refusal("cancelled", "the session was ended by a KILL of yours", fatal=True))
        return True


def _tls_of(link: Link) -> tuple[str, str]:
    """The cipher and the version of the connection with the client."""
    tls = link.name("ssl_object")
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        return "", "TLS"
    cipher = tls.cipher()
    return cipher[0] if cipher else "", tls.version() or "TLS"
