"""A local HTTP server for the vendors' stand-ins: what every one of them can be made to do wrong.

A stand-in is a class with `answer(Asked) -> Told`, built from the vendor's published API; this server puts it on a free
port of loopback, keeps what was asked, and plays the outages.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request; `path` is split before it is unquoted, so that an encoded slash stays in its segment."""

    method: str
    path: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    raw: str

    def one(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.query if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Told:
    """An answer; `body` wins over `json`."""

    status: int = 200
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class StandIn(Protocol):
    def answer(self, asked: Asked) -> Told: ...


class VendorServer:
    """`wrong` replaces answers while it is set; `drip_s` sends them byte by byte."""

    def __init__(self, vendor: StandIn, tls: tuple[Path, Path] | None = None) -> None:
        self.vendor = vendor
        self.asked: list[Asked] = []
        self.wrong: Callable[[Asked], Told | None] | None = None
        self.drip_s = 0.0
        self.hang = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def log_message(self, *_: Any) -> None:
                pass

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                url = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    tuple(unquote(part) for part in url.path.strip("/").split("/")),
                    tuple(parse_qsl(url.query, keep_blank_values=True)),
                    {name.lower(): value for name, value in self.headers.items()},
                    body,
                    self.path,
                )
                outer.asked.append(asked)
                told = (outer.wrong(asked) if outer.wrong else None) or outer.vendor.answer(asked)
                data = told.body if told.body is not None else b""
                if told.body is None and told.json is not None:
                    data = json.dumps(told.json).encode()
                with contextlib.suppress(OSError):
                    self.send_response(told.status)
                    headers = {"content-type": "application/json", **told.headers}
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if told.status != 304:
                        self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    if outer.drip_s:
                        for at in range(len(data)):
                            self.wfile.write(data[at : at + 1])
                            self.wfile.flush()
                            time.sleep(outer.drip_s)
                    elif told.status != 304:
                        self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = _serve

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                # a client that went away, which is what half of these tests are about
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        scheme = "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> VendorServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def going_wrong(server: VendorServer, told: Told | Callable[[Asked], Told | None]) -> Iterator[None]:
    """Every answer is that one meanwhile."""
    server.wrong = told if callable(told) else lambda _: told
    try:
        yield
    finally:
        server.wrong = None


def bomb() -> Told:
    """Ten MiB of spaces and a document, in ten KiB."""
    return Told(200, body=gzip.compress(b" " * (10 << 20) + b"{}"), headers={"content-encoding": "gzip"})
