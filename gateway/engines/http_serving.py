"""All of the HTTP engine in one gateway: its gate side, its process, its listening sockets; nothing without APIs.

On an interpreter that cannot serve them, HTTP targets are missing: whoever asks for one is refused, and told why.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.config import Config
from gateway.engines.doors import Doors
from gateway.engines.http import HttpEngine
from gateway.engines.http_process import HttpProcess
from gateway.engines.http_support import unsupported
from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.http_settings import HttpListener
from gateway.model import Session
from gateway.ports import Mark, Trail
from gateway.sql.worker import Workers


class HttpServing:
    """See the module. `bind` opens a listening socket."""

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
        workers: Workers,
    ) -> None:
        apis = {} if unsupported() else config.apis
        self.engine = HttpEngine(apis, gate=gate, doors=doors, key=key, mark=mark, report=report, workers=workers)
        self._sockets: dict[str, socket.socket] = {}
        self._process: HttpProcess | None = None
        if not apis:
            return
        try:
            for name, api in apis.items():
                self._sockets[name] = bind(api.listen)
        except BaseException:
            self._close()
            raise
        self._process = HttpProcess(
            self.engine, apis, self._sockets, certificate=config.tls.certificate, key=config.tls.key, ciphers=ciphers,
            trail=trail, report=report,
        )  # fmt: skip

    @property
    def ports(self) -> dict[str, int]:
        """The port of each target (a configured port of 0 has become a real one)."""
        return {name: sock.getsockname()[1] for name, sock in self._sockets.items()}

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What has to run all the time."""
        return (self._process.run(), self._process.tick()) if self._process is not None else ()

    def missing(self) -> dict[str, str]:
        """Why requests are not answered at the moment; empty when they are."""
        return {"http": self._process.outage} if self._process is not None and self._process.outage else {}

    def cut_target(self, target: str, refusal: Refusal) -> None:
        """End every session on a target."""
        self.engine.sessions.cut_target(target, refusal)

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, let what is under way end for that long, then cut what is left."""
        self._close()
        await self.engine.stop(grace_s)

    def _close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
