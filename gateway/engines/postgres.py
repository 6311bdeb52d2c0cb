"""The PostgreSQL engine: accepts clients, authenticates them, and hands each to a relay.

The bytes before TLS are read from the bare socket, exactly as many as a request has, so that nothing sent ahead in
clear can be taken for part of the protected stream; a client that sends more right behind its SSLRequest is dropped.
From there on a connection is an asyncio protocol: first a small inbox for the log-in, then the relay itself.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Generic, cast

from gateway.access.context import durable
from gateway.admitted import Admitted
from gateway.config import Limits
from gateway.engines.doors import C, Doors
from gateway.engines.postgres_client import AnyRelay, Client, TlsClient, ahead, exactly, last_words, peek
from gateway.engines.postgres_observed import ObservedRelay
from gateway.engines.postgres_relay import Relay
from gateway.engines.postgres_scrub import SHOWN, refusal_bytes
from gateway.engines.postgres_startup import Wishes, judge_startup
from gateway.engines.reception import STOPPING, Reception
from gateway.engines.upstream import Backend, Rejected, Upstream
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.listener_settings import DatabaseListener
from gateway.model import Peer, Session
from gateway.wire import auth
from gateway.wire import postgres as wire

_DIRECT_TLS = 0x16
_MAX_PREAMBLES = 3


class PostgresEngine(Reception[AnyRelay], Generic[C]):
    """Serves PostgreSQL clients on one listening socket."""

    def __init__(
        self,
        settings: DatabaseListener,
        limits: Limits,
        *,
        gate: Gate,
        doors: Doors[C],
        upstreams: Mapping[str, Upstream],
        pins: Callable[[Session], Mapping[str, str]],
        tls: ssl.SSLContext | None,
        binding: bytes | None,
        report: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(settings, gate, report)
        self._limits, self._doors, self._upstreams, self._pins = limits, doors, upstreams, pins
        self._tls, self._binding = tls, binding
        self._keys: dict[tuple[int, bytes], AnyRelay] = {}
        self._key_of: dict[AnyRelay, tuple[int, bytes]] = {}

    async def _greet(self, sock: socket.socket, address: str) -> None:
        """Everything from the first byte to the relay. Nothing that a client does may raise out of here."""
        client = Client() if self._tls is None else TlsClient()
        try:
            async with asyncio.timeout(self._settings.login_timeout):
                packet = await self._open(client, sock)
                if isinstance(packet, wire.CancelRequest):
                    await self._cancel(packet)
                elif packet is not None:
                    await self._log_in(client, packet, address)
        except GatewayError as error:
            self._say(client, sock, error.refusal)
        except TimeoutError:
            self._say(client, sock, Refusal("handshake-timeout", "the log-in took too long"))
        except OSError:
            pass  # the client is gone, or its TLS failed; there is nobody to tell
        except asyncio.CancelledError:
            self._say(client, sock, STOPPING)
            raise
        except BaseException as error:
            self._say(client, sock, Refusal("internal-error", "the gateway met a fault; the connection ends"))
            self._report("log-in", error)
        finally:
            if client.transport is None:
                sock.close()
            elif client.relay is None:
                client.transport.close()

    def _say(self, client: Client, sock: socket.socket, refusal: Refusal) -> None:
        data = refusal_bytes(refusal, fatal=True)
        if client.transport is not None:
            client.transport.write(data)
        elif not client.encrypting:
            last_words(sock, data)

    async def _open(self, client: Client, sock: socket.socket) -> wire.StartupMessage | wire.CancelRequest | None:
        """What the client wants, encrypted as the settings demand; None when it is gone or speaks another protocol."""
        loop = asyncio.get_running_loop()
        for _ in range(_MAX_PREAMBLES):
            head = await peek(loop, sock)
            if not head:
                return None
            if head[0] == _DIRECT_TLS and self._tls is not None:
                await self._encrypt(client, sock)
                if _alpn(client) != "postgresql":
                    # libpq's rule against cross-protocol tricks; there is no common language to explain in
                    client.abort()
                    return None
                return await client.startup()
            length = wire.startup_length(await exactly(loop, sock, 4))
            packet = wire.parse_startup(await exactly(loop, sock, length - 4))
            if isinstance(packet, wire.CancelRequest):
                return packet
            if isinstance(packet, wire.StartupMessage):
                if self._tls is not None:
                    raise GatewayError(
                        "tls-required", "the connection must use TLS", hint="connect with sslmode=verify-full"
                    )
                await loop.connect_accepted_socket(lambda: client, sock)
                client.started()
                return packet
            if isinstance(packet, wire.SSLRequest) and self._tls is not None:
                if ahead(sock):
                    raise GatewayError("protocol-violation", "data was sent ahead of the TLS handshake")
                await loop.sock_sendall(sock, b"S")
                await self._encrypt(client, sock)
                return await client.startup()
            await loop.sock_sendall(sock, b"N")
        raise GatewayError("protocol-violation", "too many encryption requests")

    async def _encrypt(self, client: Client, sock: socket.socket) -> None:
        client.encrypting = True
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: client, sock, ssl=self._tls, ssl_handshake_timeout=self._settings.login_timeout
        )

    async def _cancel(self, packet: wire.CancelRequest) -> None:
        relay = self._keys.get((packet.pid, packet.secret))
        if relay is not None:
            await relay.cancel()

    async def _log_in(self, client: Client, packet: wire.StartupMessage, address: str) -> None:
        self._room()
        wishes = judge_startup(packet.parameters)
        if packet.minor > wire.NEWEST_MINOR or packet.protocol_options:
            minor = min(packet.minor, wire.NEWEST_MINOR)
            client.send(wire.encode_negotiate_protocol_version(minor, packet.protocol_options))
        tls = client.line.get_extra_info("ssl_object")
        version = (tls.version() or "TLS") if tls is not None else ""
        peer = Peer(address, wishes.application, "postgres", version, wishes.user)
        await self._doors.ready()
        challenge = self._doors.challenge(wishes.user, wishes.database, peer, tls=tls is not None)
        if challenge.method == "scram":
            session = await self._scram(client, challenge, peer, bound=tls is not None)
        else:
            client.send(wire.encode_auth_cleartext())
            secret = wire.decode_password(await client.message(wire.PASSWORD_MESSAGE))
            session = await self._doors.admit_direct(challenge, secret.decode("utf-8", "replace"), peer)
        await self._let_in(client, self._judged(session, peer.host), wishes, packet.minor)

    async def _scram(self, client: Client, challenge: C, peer: Peer, *, bound: bool) -> Session | Refusal:
        binding = self._binding if bound else None
        mechanisms = [auth.SCRAM_SHA_256] if binding is None else [auth.SCRAM_SHA_256_PLUS, auth.SCRAM_SHA_256]
        client.send(wire.encode_auth_sasl(mechanisms))
        initial = wire.decode_sasl_initial_response(await client.message(wire.SASL_INITIAL_RESPONSE))
        server = auth.ScramServer(
            auth.ScramVerifier.parse(challenge.verifier),
            nonce=auth.make_nonce(),
            channel_binding=binding,
            mechanism=initial.mechanism,
            others=[auth.ScramVerifier.parse(verifier) for verifier, _ in challenge.others],
        )
        client.send(wire.encode_auth_sasl_continue(server.first(initial.data or b"")))
        proven, final = server.final(wire.decode_sasl_response(await client.message(wire.SASL_RESPONSE)))
        challenge = challenge.proven(server.proven)
        session = await self._doors.admit_pass(challenge, proven and challenge.pass_id is not None, peer)
        if isinstance(session, Session):
            client.send(wire.encode_auth_sasl_final(final))
        return session

    async def _let_in(self, client: Client, session: Session, wishes: Wishes, minor: int) -> None:
        self._take_place(session)
        try:
            await self._enter(client, session, wishes, minor)
        except BaseException:
            self._left(session.principal.id)
            raise

    async def _enter(self, client: Client, session: Session, wishes: Wishes, minor: int) -> None:
        upstream = self._upstreams.get(session.grant.target)
        if upstream is None:
            raise GatewayError("target-not-available", f"`{session.grant.target}` is no database", fatal=True)
        inside = self._gate.enter(session)
        backend: Backend | None = None
        observed = inside.view.policy.observed
        # one statement means what it meant to whoever approved it, whatever zone or order of dates its client has
        restore = wishes.apart if session.grant.statement else wishes.restore
        try:
            if wishes.refused is not None and not observed:
                raise wishes.refused
            if not observed and wishes.only_public and inside.view.search_path != ("public",):
                path = ", ".join(inside.view.search_path)
                raise GatewayError(
                    "setting-not-allowed",
                    "the setting `search_path` may not be given at start-up",
                    hint=f"leave it out: here it is {path}",
                    fatal=True,
                )
            await durable(inside.begin)
            if observed:
                backend = await upstream.open_as(wishes.given)
            else:
                backend = await upstream.acquire(self._pins(session))
            self._gate.connected(inside, upstream.tie(backend))
            if restore and not observed:
                await backend.run(restore)
            if client.line.is_closing():
                raise ConnectionResetError("the client is gone")
            if not self._gate.is_current(inside):
                # a reload cuts the sessions that are inside; this one was on its way in
                raise GatewayError("policy-changed", "the policy changed; connect again", fatal=True)
        except BaseException as error:
            if backend is not None:
                backend.close()
            refusal = error.refusal if isinstance(error, GatewayError) else None
            self._gate.leave(inside, refusal)
            if isinstance(error, Rejected) and observed:
                # what the client asked for did not please the target, which says so itself
                client.send(wire.frame(wire.ERROR_RESPONSE, error.words))
                raise ConnectionAbortedError from error
            raise
        # where all is as it is, so is the process id, which notifications name as well; the secret is ours in any case
        key = self._new_key(minor, backend.facts.pid if observed else 0)
        ends = client.line, client.framer, backend, upstream, self._gate, inside
        limit = self._limits.client_buffer
        relay: AnyRelay
        if observed:
            relay = ObservedRelay(*ends, closed=self._closed, buffer_limit=limit)
        else:
            relay = Relay(*ends, closed=self._closed, restore=restore, buffer_limit=limit)
        self._relays[relay] = self._doors.attach(session, relay.cut)
        self._keys[key], self._key_of[relay] = relay, key
        client.send(_welcome(backend.facts.parameters, inside, key))
        client.hand_over(relay, self._limits.message)

    def _new_key(self, minor: int, pid: int = 0) -> tuple[int, bytes]:
        while True:
            key = pid or secrets.randbelow(2**31 - 1) + 1, secrets.token_bytes(32 if minor >= 2 else 4)
            if key not in self._keys:
                return key

    def _closed(self, relay: AnyRelay) -> None:
        key = self._key_of.pop(relay, None)
        if key is not None:
            del self._keys[key]
        super()._closed(relay)


def _welcome(parameters: Mapping[str, str], inside: Admitted, key: tuple[int, bytes]) -> bytes:
    warning = inside.view.policy.warning
    parts = [wire.encode_auth_ok()]
    if warning:
        shown = dict(parameters)
        parts.append(wire.encode_notice("WARNING", "01000", warning))
    else:
        shown = {name: value for name, value in parameters.items() if name in SHOWN}
        shown |= {"session_authorization": inside.session.principal.login, "is_superuser": "off"}
    parts += [wire.encode_parameter_status(name, value) for name, value in sorted(shown.items())]
    parts += [wire.encode_backend_key(*key), wire.encode_ready(b"I")]
    return b"".join(parts)


def _alpn(client: Client) -> str | None:
    tls = client.line.get_extra_info("ssl_object")
    return cast(str | None, tls.selected_alpn_protocol())
