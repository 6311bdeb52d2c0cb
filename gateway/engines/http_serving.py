"""All of the HTTP engine in one gateway: its gate side, its processes, its listening sockets; nothing without APIs.

On an interpreter that cannot serve them, HTTP targets are missing: whoever asks for one is refused, and told why.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.access.service import Access
from gateway.config import Config
from gateway.engines.doors import Doors
from gateway.engines.http import HttpEngine
from gateway.engines.http_process import HttpProcess, see_certificates
from gateway.engines.http_signing import Admit
from gateway.engines.http_support import unsupported
from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.http_settings import HttpListener, sharing
from gateway.model import Session
from gateway.ports import Mark, Trail
from gateway.sql.worker import Workers

if TYPE_CHECKING:
    from gateway.access.directory.oidc.logins import Logins


class HttpServing:
    """See the module. `bind` opens a listening socket; for `admit` and `logins` see `HttpEngine`."""

    def __init__(
        self,
        config: Config,
        *,
        gate: Gate,
        doors: Doors[Any],
        key: Callable[[Session], bytes],
        mark: Mark,
        bind: Callable[[HttpListener], socket.socket],
        ciphers: str,
        trail: Trail,
        report: Callable[[str, BaseException], None],
        access: Access,
        admit: Admit,
        workers: Workers,
        logins: Logins | None,
    ) -> None:
        apis = {} if unsupported() else config.apis
        self.engine = HttpEngine(
            apis, gate=gate, doors=doors, key=key, mark=mark, report=report, access=access, admit=admit,
            workers=workers, logins=logins,
        )  # fmt: skip
        self._groups = sharing(apis)
        self._sockets: list[socket.socket] = []
        self._processes: list[HttpProcess] = []
        if not apis:
            return
        see_certificates(apis)
        try:
            for group in self._groups:
                self._sockets.append(bind(apis[group[0]].listen))
            self._processes = [
                HttpProcess(
                    self.engine, apis, self._sockets, certificate=config.tls.certificate, key=config.tls.key,
                    ciphers=ciphers, shared=config.http.workers > 1, trail=trail, report=report,
                )
                for _ in range(config.http.workers)
            ]  # fmt: skip
        except BaseException:
            self._close()
            raise

    @property
    def ports(self) -> dict[str, int]:
        """The port of each target (a configured port of 0 has become a real one)."""
        pairs = zip(self._groups, self._sockets, strict=True)
        return {name: sock.getsockname()[1] for group, sock in pairs for name in group}

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What has to run all the time."""
        each = (work for one in self._processes for work in (one.run(), one.renew()))
        return (*each, self._tick()) if self._processes else ()

    def missing(self) -> dict[str, str]:
        """Why requests are not answered at the moment; empty when they are."""
        outages = [one.outage for one in self._processes]
        # one that serves answers for all: they share the sockets
        return {"http": outages[0]} if outages and all(outages) else {}

    def cut_target(self, target: str, refusal: Refusal) -> None:
        """End every session on a target."""
        self.engine.cut_target(target, refusal)

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, let what is under way end for that long, then cut what is left."""
        self._close()
        await self.engine.stop(grace_s)

    async def _tick(self) -> None:
        """End what is idle, for ever."""
        while True:
            await asyncio.sleep(1.0)
            self.engine.tick()

    def _close(self) -> None:
        for sock in self._sockets:
            sock.close()
