"""Starts the process that speaks HTTP, and starts it again when it ends; see `http_proxy/`.

INVARIANT: the listening sockets are the gateway's own: clients wait, and meet nobody else, while there is no process.
INVARIANT: what a process leaves behind is settled as unknown and its end is on record before the next one starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gateway import record
from gateway.engines import http_channel as ipc
from gateway.engines.http import HttpEngine
from gateway.engines.http_identity import Identity, read_identity
from gateway.engines.http_links import Link
from gateway.errors import GatewayError
from gateway.http_settings import HttpTarget, sharing
from gateway.ports import Trail

_BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
_SETTLED_S = 60.0
_START_S = 60.0
_RENEWED_S = 5.0
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


class HttpProcess:
    """One process and its successors. `outage` says why there is none at the moment; with `shared` it has siblings."""

    def __init__(
        self,
        engine: HttpEngine,
        targets: Mapping[str, HttpTarget],
        sockets: Sequence[socket.socket],
        *,
        certificate: Path,
        key: Path,
        ciphers: str,
        shared: bool,
        trail: Trail,
        report: Callable[[str, BaseException], None],
    ) -> None:
        self._engine, self._targets, self._sockets = engine, targets, sockets
        self._certificate, self._key, self._ciphers, self._shared = certificate, key, ciphers, shared
        self._trail, self._report = trail, report
        # read once: a certificate that cannot be read stops the start
        self._identities = {name: one for name, target in targets.items() if (one := _identity(target)) is not None}
        self._problems: dict[str, str] = {}
        self._channel: ipc.Channel | None = None
        self.outage = "the HTTP process has not started yet"
        self.pid: int | None = None

    async def run(self) -> None:
        """Keep a process for ever."""
        failures = 0
        while True:
            began = time.monotonic()
            await self._one()
            failures = failures + 1 if time.monotonic() - began < _SETTLED_S else 0
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    async def renew(self) -> None:
        """See that what APIs are shown is what is there now, for ever."""
        while True:
            await asyncio.sleep(_RENEWED_S)
            for name in self._identities:
                try:
                    found = await asyncio.to_thread(_identity, self._targets[name])
                except GatewayError as error:
                    if self._problems.get(name) != error.refusal.message:
                        self._report("http", error)
                    self._problems[name] = error.refusal.message
                    continue
                self._problems.pop(name, None)
                if found is None or found == self._identities[name]:
                    continue
                self._identities[name] = found
                if self._channel is not None:
                    self._channel.send(ipc.Renewed(name, found.chain, found.key))

    async def _one(self) -> None:
        """One process, from its start to its end."""
        ours, theirs = socket.socketpair()
        lost, ready = asyncio.Event(), asyncio.Event()
        link: Link | None = None
        process: asyncio.subprocess.Process | None = None
        channel = ipc.Channel(ipc.ToGate, lambda message: self._take(link, message, ready), lost.set)
        try:
            ours.setblocking(False)
            await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=ours)
            link = self._engine.link(channel.send)
            process = await self._spawn(theirs)
            theirs.close()
            self.pid = process.pid
            channel.send(self._setup())
            self._channel = channel
            starting = asyncio.create_task(self._started(ready))
            try:
                await lost.wait()
            finally:
                starting.cancel()
        finally:
            self._channel = None
            theirs.close()
            channel.close()
            ended = await _ended(process)
            self.outage = f"the HTTP process ended: {ended}"
            self.pid = None
            if link is not None:
                unknown = len(link.running)
                link.lost()
                await link.settled()
                self._engine.unlink(link)
                with contextlib.suppress(GatewayError):
                    # a trail that takes nothing ends the gateway by itself
                    facts = {"engine": "http", "state": "ended", "reason": ended, "count": unknown}
                    self._trail.append(record.event("engine.process", **facts))

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        descriptors = [theirs.fileno(), *(sock.fileno() for sock in self._sockets)]
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "gateway.engines.http_proxy", str(theirs.fileno()),
            stdin=asyncio.subprocess.DEVNULL, pass_fds=descriptors, env=environment,
        )  # fmt: skip

    def _setup(self) -> ipc.Setup:
        places = tuple(self._place(name, target) for name, target in self._targets.items())
        listening = tuple(
            ipc.Listening(sock.fileno(), tuple(self._names(group)))
            for sock, group in zip(self._sockets, sharing(self._targets), strict=True)
        )
        return ipc.Setup(places, listening, str(self._certificate), str(self._key), self._ciphers, self._shared)

    def _place(self, name: str, target: HttpTarget) -> ipc.Place:
        identity = self._identities.get(name)
        return ipc.Place(
            name, target.host, target.port, target.authority, target.tls,
            str(target.ca) if target.ca is not None else "", target.timeout, target.idle_timeout, target.listen.prefix,
            identity.chain if identity is not None else b"", identity.key if identity is not None else b"",
        )  # fmt: skip

    def _names(self, group: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        for listen in (self._targets[name].listen for name in group):
            if listen.certificate is not None:
                yield listen.server_name, str(listen.certificate), str(listen.key)

    async def _started(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self.outage = ""
        with contextlib.suppress(GatewayError):
            self._trail.append(record.event("engine.process", engine="http", state="started"), urgent=False)

    def _take(self, link: Link | None, message: ipc.ToGate, ready: asyncio.Event) -> None:
        if isinstance(message, ipc.Ready):
            ready.set()
        elif isinstance(message, ipc.Fault):
            self._report("http", GatewayError("internal-error", f"the HTTP process met a fault: {message.what}",
                                              detail=" < ".join(message.way)[:1000]))  # fmt: skip
        elif link is not None:
            link.take(message)


def see_certificates(targets: Mapping[str, HttpTarget]) -> None:
    """See that what TLS shows under server names can be used. Raises `GatewayError("configuration-invalid")`."""
    for listen in (target.listen for target in targets.values()):
        if listen.certificate is None or listen.key is None:
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(listen.certificate, listen.key, password="")
        except (OSError, ValueError) as error:
            raise GatewayError(
                "configuration-invalid",
                f"the certificate `{listen.certificate}` or its key cannot be used: {_reason(error)}",
            ) from error


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "they are none, or not of one another").lower().replace("_", " ")
    return getattr(error, "strerror", None) or "they are none"


def _identity(target: HttpTarget) -> Identity | None:
    return read_identity(target.client_certificate) if target.client_certificate is not None else None


async def _ended(process: asyncio.subprocess.Process | None) -> str:
    """How a process ended; made to end where it has not."""
    if process is None:
        return "it could not be started"
    try:
        status = await asyncio.wait_for(process.wait(), 0.5)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        status = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
