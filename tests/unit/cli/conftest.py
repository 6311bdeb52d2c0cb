"""A command line whose road to the gateway ends in the test: requests are recorded, answers are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.cli import client, main

SIGNED_IN = {
    "token": "gwt_token-secret",
    "person": {"login": "alice", "name": "Alice", "teams": ["support"]},
    "roles": [],
    "factor": "totp",
    # recent for as long as a run of all tests may take
    "factor_at": (datetime.now(UTC) + timedelta(hours=4)).isoformat(),
    "expires_at": (datetime.now(UTC) + timedelta(hours=8)).isoformat(),
}
ME = {name: value for name, value in SIGNED_IN.items() if name != "token"}


@dataclass
class Said:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Terminal:
    """Runs command lines; `answers` maps `METHOD /path` to (status, body) or a function of the request."""

    home: Path
    capsys: pytest.CaptureFixture[str]
    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[httpx2.Request] = field(default_factory=list)

    def run(self, *argv: str) -> Said:
        self.capsys.readouterr()
        code = main(argv)
        captured = self.capsys.readouterr()
        return Said(code, captured.out, captured.err)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        found = self.answers.get(f"{request.method} {request.url.path.removeprefix('/v1')}")
        if found is None:
            return httpx2.Response(404, json={"code": "not-found", "detail": "there is no such resource"})
        if callable(found):
            found = found(request)
        status, body = found
        return httpx2.Response(status, **({"content": body} if isinstance(body, bytes) else {"json": body}))

    def sent(self, index: int = -1) -> Any:
        return json.loads(self.requests[index].content)

    @property
    def kept(self) -> Path:
        return self.home / "state" / "gateway"


Problem = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def problem() -> Problem:
    """A problem document as the API answers with it."""

    def make(status: int, code: str, detail: str, **more: Any) -> tuple[int, dict[str, Any]]:
        return status, {"type": "about:blank", "status": status, "code": code, "detail": detail, **more}

    return make


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A person's terminal with an empty home, a gateway at gw.example.test, and credentials in the environment."""
    (tmp_path / "state").mkdir()
    found = Terminal(tmp_path, capsys, {"POST /sign-in": (200, SIGNED_IN), "GET /whoami": (200, ME)})
    for name, value in {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "GATEWAY_URL": "https://gw.example.test:8443",
        "GATEWAY_LOGIN": "alice",
        "GATEWAY_PASSWORD": "password-secret",
        "GATEWAY_OTP": "123456",
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("GATEWAY_CA", "GATEWAY_CONFIG", "PGPASSFILE", "PGSERVICEFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "transport_to", lambda _: httpx2.MockTransport(found.answer))
    return found
