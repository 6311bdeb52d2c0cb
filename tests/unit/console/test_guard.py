"""The bounds and headers around every application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, Counter

from gateway.console import serve
from gateway.console.ops import create_ops_app
from gateway.console.problems import install
from gateway.console.serve import HEADERS, Guard
from gateway.errors import GatewayError


def application() -> FastAPI:
    app = FastAPI()
    install(app)
    app.add_middleware(Guard, max_body=100)

    @app.post("/echo")
    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("the password is hunter2")

    @app.get("/refused")
    async def refused() -> None:
        raise GatewayError("ticket-closed", "ticket `X` is `closed`", "use another", detail="internal")

    return app


class Wire:
    """One request, message by message."""

    def __init__(
        self, method: str, path: str, chunks: list[bytes | None], headers: dict[str, str] | None = None
    ) -> None:
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self.chunks = chunks
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        chunk = self.chunks.pop(0) if self.chunks else None
        if chunk is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": bool(self.chunks)}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def run(self, app: Any) -> tuple[int, dict[str, str], str]:
        asyncio.run(app(self.scope, self.receive, self.send))
        head = self.sent[0]
        headers = {name.decode(): value.decode() for name, value in head["headers"]}
        return head["status"], headers, b"".join(m.get("body", b"") for m in self.sent[1:]).decode()


JSON = {"Content-Type": "application/json"}


def test_every_answer_carries_the_headers() -> None:
    for wire in (Wire("GET", "/nothing", [b""]), Wire("GET", "/fault", [b""]), Wire("POST", "/echo", [b"{}"], JSON)):
        _, headers, _ = wire.run(application())
        assert {name.decode() for name, _ in HEADERS} <= headers.keys()
        assert "max-age=" in headers["strict-transport-security"]
        assert "server" not in headers


@pytest.mark.parametrize(
    ("chunks", "headers"),
    [
        ([b"x" * 101], {"Content-Length": "101"}),
        ([b"x" * 60, b"x" * 60], {}),
        ([b"x" * 60, b"x" * 60], {"Content-Length": "5"}),
    ],
)
@pytest.mark.parametrize("path", ["/raw", "/echo"])
def test_a_body_past_the_limit_is_refused(path: str, chunks: list[bytes | None], headers: dict[str, str]) -> None:
    status, _, body = Wire("POST", path, list(chunks), JSON | headers).run(application())
    assert status == 413
    assert '"code":"message-too-large"' in body


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "BODY_SECONDS", 0.05)
    status, _, body = Wire("POST", "/echo", [b"{", None], JSON).run(application())
    assert status == 408
    assert '"code":"handshake-timeout"' in body


def test_a_reader_that_never_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "SEND_SECONDS", 0.05)
    wire = Wire("GET", "/refused", [b""])

    async def never(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()
        wire.sent.append(message)

    asyncio.run(asyncio.wait_for(application()(wire.scope, wire.receive, never), 2))
    assert [message["type"] for message in wire.sent] == ["http.response.start"]


def test_a_fault_tells_nothing_but_an_instance(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, body = Wire("GET", "/fault", [b""]).run(application())
    assert status == 500
    assert '"instance":"fault:' in body
    written = body + "".join(capsys.readouterr())
    assert "hunter2" not in written
    assert "RuntimeError" not in body


def test_a_refusal_keeps_its_detail_to_itself() -> None:
    status, _, body = Wire("GET", "/refused", [b""]).run(application())
    assert status == 403
    assert "internal" not in body
    assert '"hint":"use another"' in body


def ops(path: str, host: str = "127.0.0.1:9464", missing: dict[str, str] | None = None) -> tuple[int, str]:
    registry = CollectorRegistry()
    Counter("statements", "Statements.", registry=registry).inc()
    app = create_ops_app(registry=registry, readiness=lambda: missing or {})
    status, _, body = Wire("GET", path, [b""], {"Host": host}).run(app)
    return status, body


def test_the_operations_port_tells_health_readiness_and_metrics() -> None:
    assert ops("/healthz") == (200, '{"status":"ok"}')
    assert ops("/readyz")[0] == 200
    status, body = ops("/readyz", missing={"target payroll": "unreachable"})
    assert status == 503
    assert "unreachable" in body
    assert "statements_total 1.0" in ops("/metrics")[1]
    assert ops("/version")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "", "127.0.0.1.evil.example:80"])
def test_the_operations_port_answers_to_local_names_only(host: str) -> None:
    assert ops("/metrics", host)[0] == 404


@pytest.mark.parametrize("host", ["localhost", "localhost:9464", "[::1]:9464", "[::1]", "127.0.0.1"])
def test_local_names_are_known(host: str) -> None:
    assert ops("/healthz", host)[0] == 200
