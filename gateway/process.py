"""The process: what it sets before its first thread, the signals it hears, and what it tells the service manager."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable

import uvloop

from gateway.config import Config
from gateway.errors import GatewayError
from gateway.server import DRAIN_S, Server
from gateway.telemetry import configure_logging

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_SWITCH_S = 0.0002


def run(config: Config, *, ready: Callable[[Server], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status: 0, 1 after a fault, 78 when the start was refused."""
    # The thread that makes records durable needs the interpreter for microseconds after each flush; the default of
    # 5 ms would make every session wait for whatever the event loop happens to be doing.
    sys.setswitchinterval(_SWITCH_S)
    # libuv's io_uring would keep a kernel thread of ours polling, for file operations that the loop never makes
    os.environ.setdefault("UV_USE_IO_URING", "0")
    _map_large_buffers()
    return uvloop.run(_run(config, ready))


def _map_large_buffers() -> None:
    """Let glibc map what is as large as a TLS buffer of uvloop's on its own: mallopt(3).

    uvloop gives each TLS connection a buffer of 256 KiB, of which an idle session touches next to nothing. From the
    heap it is memory that was in use before, and stays resident; mapped, only touched pages count. The heap's end is
    kept smaller than such a buffer, or the buffer would be taken from there all the same.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 256 * 1024)
        mallopt(_M_TRIM_THRESHOLD, 192 * 1024)


async def _run(config: Config, ready: Callable[[Server], None] | None) -> int:
    log = configure_logging(config.log_format)
    server = Server(config, log)
    try:
        await server.start()
    except GatewayError as error:
        log.error("not started", code=error.code, reason=error.refusal.message, hint=error.refusal.hint)
        if error.refusal.detail:
            log.error("not started", detail=error.refusal.detail)
        return 78
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.end)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(server.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    log.info(
        "serving",
        origin=config.origin,
        postgres=server.ports.postgres,
        api=server.ports.api,
        ops=server.ports.ops,
        **({"mysql": server.ports.mysql} if server.ports.mysql else {}),
        **({"http": server.http.ports} if server.http.ports else {}),
    )
    notify("READY=1")
    # what was made until now lives as long as the process: a full collection would stop every session for 100 ms
    gc.collect()
    gc.freeze()
    if ready is not None:
        ready(server)
    await server.wait()
    notify("STOPPING=1")
    log.info("stopping", sessions=server.engine.sessions + server.mysql.sessions)
    await server.stop(0.0 if server.failed else DRAIN_S)
    return 1 if server.failed else 0


def notify(state: str) -> None:
    """Tell the service manager (sd_notify(3)); nothing happens where there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(state.encode())
