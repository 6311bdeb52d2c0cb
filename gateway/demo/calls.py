"""Calls of an API through the gateway, as a person makes them: by curl where there is one.

INVARIANT: the pass is in no command line and in no environment: curl reads it from its standard input, or from a file
that only its owner can read.
"""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gateway.demo.client import bare_environment
from gateway.engines.http_sessions import TOKEN

_TIMEOUT_S = 30


def bearer(opened: Mapping[str, Any]) -> str:
    """The token for a pass, as `gateway open` shows it."""
    shown = f"{opened['user']}:{opened['password']}".encode()
    return TOKEN + base64.urlsafe_b64encode(shown).decode().rstrip("=")


def curl_line(ca: Path, header: Path, url: str, *more: str) -> str:
    """A line to paste; `header` is the file that curl reads its header from: no secret stands on the screen."""
    words = ("curl", "-sS", "--cacert", str(ca), "-H", f"@{header}", *more, url)
    return " ".join(map(shlex.quote, words))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status and the body. `line` is what was asked, as a person would write it."""

    status: int
    text: str
    line: str

    @property
    def json(self) -> Any:
        """The body as a document; None where it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def code(self) -> str:
        """The code of a refusal (RFC 9457); empty for none."""
        found = self.json
        return str(found.get("code", "")) if self.status >= 400 and isinstance(found, dict) else ""

    @property
    def seen(self) -> str:
        """Status and body in short."""
        return f"{self.line} -> {self.status} {' '.join(self.text.split())}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a pass for an API at `url`."""

    url: str
    ca: Path
    token: str = field(repr=False)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Send a request and wait for its answer."""
        sent = json.dumps(body) if body is not None else ""
        line = f"curl {path}" if method == "GET" else f"curl -X {method} {path}" + (f" --json '{sent}'" if sent else "")
        program = shutil.which("curl")
        if program is None:
            return self._without_curl(method, path, sent, line)
        options = [
            f'header = "Authorization: Bearer {self.token}"', f'url = "{self.url}{path}"', f'request = "{method}"',
            f'cacert = "{self.ca}"', f"max-time = {_TIMEOUT_S}", "silent", 'write-out = "\\n%{http_code}"',
        ]  # fmt: skip
        if sent:
            quoted = sent.replace("\\", "\\\\").replace('"', '\\"')
            options += ['header = "Content-Type: application/json"', f'data-raw = "{quoted}"']
        done = subprocess.run(
            [program, "-q", "--config", "-"], input="\n".join(options), capture_output=True, text=True, check=False,
            timeout=_TIMEOUT_S + 10, env=bare_environment(),
        )  # fmt: skip
        text, _, status = done.stdout.rpartition("\n")
        return Reply(int(status) if status.isdigit() else 0, text, line)

    def _without_curl(self, method: str, path: str, sent: str, line: str) -> Reply:
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Content-Type": "application/json"} if sent else {})
        context = ssl.create_default_context(cafile=str(self.ca))
        with httpx2.Client(verify=context, trust_env=False, timeout=_TIMEOUT_S) as client:
            answer = client.request(method, f"{self.url}{path}", content=sent, headers=headers)
        return Reply(answer.status_code, answer.text, line)
