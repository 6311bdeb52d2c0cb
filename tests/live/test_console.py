"""The API's sockets: TLS, slow and oversized clients, and stopping, on real connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fastapi import FastAPI, Request

from gateway import certificates
from gateway.cli.initial import write
from gateway.config import Config, load_config
from gateway.console import serve
from gateway.console.problems import install
from gateway.console.serve import Guard, local_path, local_socket, serve_app
from gateway.errors import GatewayError

HELLO = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

Talk = Callable[[int, ssl.SSLContext], Awaitable[Any]]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write(tmp_path, "payroll", ["localhost", "127.0.0.1"])
    return load_config(tmp_path / "gateway.yaml", {})


def application() -> Any:
    app = FastAPI()
    install(app)
    app.add_middleware(Guard)

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.3)
        return "done"

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    return app


def serving(config: Config, talk: Talk) -> Any:
    """What `talk` returns while the application answers on a free port."""

    async def run() -> Any:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        stop = asyncio.Event()
        server = asyncio.create_task(serve_app(application(), config, sock, stop=stop))
        await asyncio.sleep(0.2)
        trusting = ssl.create_default_context(cafile=str(config.tls.ca))
        try:
            return await talk(sock.getsockname()[1], trusting)
        finally:
            stop.set()
            await asyncio.wait_for(server, 10)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


async def exchange(port: int, context: ssl.SSLContext, *chunks: bytes, pause: float = 0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        for chunk in chunks:
            writer.write(chunk)
            await asyncio.sleep(pause)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


def test_an_answer_has_the_security_headers_and_names_no_server(config: Config) -> None:
    answer = serving(config, lambda port, context: exchange(port, context, HELLO)).lower()
    assert answer.startswith(b"http/1.1 200 ok")
    for name, value in serve.HEADERS:
        assert name + b": " + value.lower() in answer
    assert b"\r\nserver:" not in answer


@pytest.mark.parametrize(
    ("version", "ciphers", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_3, None, True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-CHACHA20-POLY1305", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256", False),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256", False),
        (ssl.TLSVersion.TLSv1_2, "DHE-RSA-AES128-GCM-SHA256", False),
    ],
)
def test_only_forward_secret_authenticated_suites(
    config: Config, version: ssl.TLSVersion, ciphers: str | None, accepted: bool
) -> None:
    async def talk(port: int, context: ssl.SSLContext) -> bool:
        context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
        try:
            return (await exchange(port, context, HELLO)).startswith(b"HTTP/1.1 200")
        except (ssl.SSLError, ConnectionError):
            return False

    assert serving(config, talk) is accepted


def test_the_context_refuses_old_versions(config: Config) -> None:
    context = serve.server_context(config.tls)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert all(cipher["aead"] and cipher["kea"] != "kx-rsa" for cipher in context.get_ciphers())


def test_plain_text_gets_no_answer(config: Config) -> None:
    async def talk(port: int, _: ssl.SSLContext) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        try:
            async with asyncio.timeout(5):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    assert b"HTTP" not in serving(config, talk)


@pytest.mark.parametrize(
    "chunks",
    [(), (b"GET /hel",), (HELLO.replace(b"close", b"keep-alive"), b"GET /hel")],
    ids=["says nothing", "half a head", "half a second head"],
)
def test_a_slow_head_ends_the_connection(
    config: Config, monkeypatch: pytest.MonkeyPatch, chunks: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(serve, "HEAD_SECONDS", 0.5)
    answer = serving(config, lambda port, context: exchange(port, context, *chunks, pause=0.1))
    assert answer.count(b"HTTP/1.1 200") == (1 if len(chunks) == 2 else 0)


def test_a_slow_answer_is_not_a_slow_head(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "HEAD_SECONDS", 0.1)
    answer = serving(config, lambda port, context: exchange(port, context, HELLO.replace(b"hello", b"slow")))
    assert answer.endswith(b'"done"')


def test_a_slow_body_is_given_up(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "BODY_SECONDS", 0.3)
    head = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    answer = serving(config, lambda port, context: exchange(port, context, head, b"12"))
    assert b'"code":"handshake-timeout"' in answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"\x00\xff" * 50 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["huge head", "two framings", "two lengths", "garbage", "another protocol"],
)
def test_a_head_that_cannot_be_trusted_is_refused(config: Config, head: bytes) -> None:
    answer = serving(config, lambda port, context: exchange(port, context, head[:-2], head[-2:], pause=0.2))
    assert b"HTTP/1.1 200" not in answer


@pytest.mark.parametrize("size", [serve.MAX_BODY, serve.MAX_BODY + 1])
def test_the_limit_of_a_body_is_exact(config: Config, size: int) -> None:
    head = b"POST /body HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    answer = serving(config, lambda port, context: exchange(port, context, head, b"x" * size))
    assert answer.startswith(b"HTTP/1.1 200" if size == serve.MAX_BODY else b"HTTP/1.1 413")


def test_stopping_lets_a_request_finish(config: Config) -> None:
    async def run() -> bytes:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        stop = asyncio.Event()
        server = asyncio.create_task(serve_app(application(), config, sock, stop=stop))
        await asyncio.sleep(0.2)
        context = ssl.create_default_context(cafile=str(config.tls.ca))
        request = asyncio.create_task(exchange(sock.getsockname()[1], context, HELLO.replace(b"hello", b"slow")))
        await asyncio.sleep(0.15)
        stop.set()
        answer = await request
        await asyncio.wait_for(server, 10)
        return answer

    assert asyncio.run(run()).endswith(b'"done"')


def test_without_tls_only_this_machine_is_served(config: Config) -> None:
    async def run() -> None:
        with socket.socket() as sock:
            sock.bind(("0.0.0.0", 0))
            await serve_app(application(), config, sock, secure=False)

    with pytest.raises(GatewayError, match="must be on loopback or local"):
        asyncio.run(run())


def test_a_certificate_that_cannot_be_used_stops_the_start(config: Config) -> None:
    config.tls.key.write_bytes(certificates.issue("x", ["localhost"]).key)

    async def run() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            await serve_app(application(), config, sock)

    with pytest.raises(GatewayError, match="cannot be used"):
        asyncio.run(run())


def test_the_local_socket_replaces_a_dead_one_and_is_private(config: Config) -> None:
    for _ in range(2):
        local_socket(config).close()
        mode = local_path(config).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
