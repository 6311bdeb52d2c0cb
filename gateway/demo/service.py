"""An API of the demonstration's as a child process: started, asked whether it answers, stopped.

`python -m MODULE SETTINGS` serves it over TLS, under a token that nobody but the gateway has. INVARIANT: no secret is
on a command line or in an environment: the process reads them from a file that only its owner can read.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx2

from gateway.demo.client import bare_environment
from gateway.demo.ports import free_port
from gateway.demo.postgres import DemoError, end, private_log
from gateway.demo.tls import LOOPBACK, make_server_tls


@dataclass
class Service:
    """The process. `directory` holds its certificate, its settings and its log."""

    name: ClassVar[str]
    """Of the target that it is, and of its files."""
    title: ClassVar[str]
    usual_port: ClassVar[int]
    """Where people reach it through the gateway, unless that is taken."""

    directory: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def token(self) -> Path:
        """The service's token, which nobody but the gateway has."""
        return self.directory / "service.token"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.directory / f"{self.name}.log"

    def target(self, port: int) -> dict[str, Any]:
        """The gateway's target for it, which people reach at `port`."""
        return {
            "engine": "http",
            "url": f"https://localhost:{self.port}",
            "ca": str(self.directory / "tls" / "ca.crt"),
            "listen": {"port": port},
            "credentials": {"kind": "bearer", "token": {"file": str(self.token)}},
            "pseudonyms_of": "payroll",
        }

    def settings(self) -> dict[str, Any]:
        """What its process needs to know beside its token, port and certificate."""
        return {}

    def start(self) -> None:
        """Run it until it answers. Raises `DemoError` with the end of its log."""
        self.launch()
        self.ready()

    def launch(self) -> None:
        """Run it; `port` is its port from here on. `ready` waits until it answers."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tls = make_server_tls(self.directory / "tls", self.title, LOOPBACK)
        token = secrets.token_urlsafe(32)
        _write_secret(self.token, token)
        self.port = free_port()
        settings = self.settings() | {
            "token": token, "port": self.port, "certificate": str(tls.certificate), "key": str(tls.key),
        }  # fmt: skip
        _write_secret(self.directory / "settings.json", json.dumps(settings))
        command = [sys.executable, "-P", "-m", f"gateway.demo.{self.name}", str(self.directory / "settings.json")]
        setpriv = shutil.which("setpriv")
        if setpriv:
            command = [setpriv, "--pdeathsig", "TERM", *command]
        with private_log(self.log) as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=bare_environment(),
                start_new_session=True,
            )  # fmt: skip

    def ready(self, *, timeout_s: float = 60) -> None:
        """Wait until it answers. Raises `DemoError` with the end of its log."""
        deadline = time.monotonic() + timeout_s
        context = ssl.create_default_context(cafile=str(self.directory / "tls" / "ca.crt"))
        with httpx2.Client(trust_env=False, timeout=5, verify=context) as client:
            while time.monotonic() < deadline and self.pid is not None:
                with contextlib.suppress(httpx2.TransportError):
                    if client.get(f"https://localhost:{self.port}/").status_code == 401:
                        return
                time.sleep(0.03)
        self.stop()
        raise DemoError(f"the {self.title} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self, *, timeout_s: float = 10) -> None:
        """End it; kill it when that takes too long."""
        process, self._process = self._process, None
        if process is not None:
            end(process, timeout_s)


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
