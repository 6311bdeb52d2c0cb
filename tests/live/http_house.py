"""A gateway with two APIs behind it, beside the payroll database: what the HTTP tests share."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from gateway_fixture import House, open_house
from http_api import CREDENTIAL, POLICY, BackOffice, OddApi

from gateway.demo.company import TICKET
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.demo.tls import LOOPBACK, make_server_tls

OFFICE, ODD = "backoffice", "odd"


@dataclass
class HttpHouse:
    """The gateway, and what stands behind it."""

    house: House
    office: BackOffice
    odd: OddApi
    ports: Mapping[str, int]

    @property
    def ca(self) -> Path:
        """What clients verify the gateway with."""
        return self.house.company.tls.ca

    def url(self, path: str = "", target: str = OFFICE) -> str:
        """Where a client reaches an API."""
        return f"https://localhost:{self.ports[target]}{path}"

    def opened(
        self, login: str = "alice", target: str = OFFICE, ticket: str = TICKET, statement: str = ""
    ) -> dict[str, Any]:
        """What `POST /open` answers."""
        found: dict[str, Any] = self.house.actor(login).open(ticket, statement, target)
        return found

    def client(self, opened: Mapping[str, Any], **more: Any) -> httpx2.Client:
        """A client that shows a pass."""
        context = ssl.create_default_context(cafile=str(self.ca))
        headers = {"Authorization": f"Bearer {token(opened)}"}
        return httpx2.Client(
            base_url=f"https://localhost:{opened['port']}", verify=context, headers=headers, trust_env=False,
            timeout=30, **more,
        )  # fmt: skip

    def raw(self, data: bytes, target: str = OFFICE, patience_s: float = 10.0) -> bytes:
        """All that comes back for bytes that are sent as they are."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(["http/1.1"])
        with (
            socket.create_connection(("localhost", self.ports[target]), timeout=patience_s) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as secured,
        ):
            secured.sendall(data)
            got = b""
            with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):
                while part := secured.recv(65536):
                    got += part
            return got

    def curl(self, *arguments: str, opened: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run curl against the back office."""
        shown = ["-H", f"Authorization: Bearer {token(opened)}"] if opened is not None else []
        return subprocess.run(
            ["curl", "-q", "-sS", "--cacert", str(self.ca), *shown, *arguments],
            capture_output=True,
            timeout=60,
            check=False,
        )

    def pids(self) -> list[int]:
        """The HTTP processes of the gateway."""
        children = Path(f"/proc/{self.house.gateway.pid}/task/{self.house.gateway.pid}/children").read_text().split()
        return [
            int(pid) for pid in children if b"http_proxy" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]  # fmt: skip


def token(opened: Mapping[str, Any]) -> str:
    """The Bearer token for a pass, as `gateway open` makes it."""
    shown = f"{opened['user']}:{opened['password']}".encode()
    return "gwh_" + base64.urlsafe_b64encode(shown).decode().rstrip("=")


@contextlib.contextmanager
def open_http_house(
    directory: Path, postgres: EmbeddedPostgres, *, timeout: str = "5s", settings: Mapping[str, Any] | None = None,
    policy: str = POLICY, idle: str = "15m",
) -> Iterator[HttpHouse]:  # fmt: skip
    """Start everything in `directory`. `policy` is that of both APIs, `idle` their `idle_timeout`."""
    tls = make_server_tls(directory / "api-tls", "Back office", LOOPBACK)
    secret = directory / "upstream.token"
    secret.touch(0o600)
    secret.write_text(CREDENTIAL.removeprefix("Bearer "))
    office, odd = BackOffice(tls), OddApi(tls)
    ports = {OFFICE: free_port(), ODD: free_port()}
    with office.serving(), odd.serving():
        apis = {
            name: {
                "engine": "http",
                "url": f"https://localhost:{port}",
                "ca": str(tls.ca),
                "listen": {"port": ports[name]},
                "credentials": {"kind": "bearer", "token": {"file": str(secret)}},
                "timeout": timeout,
                "idle_timeout": idle,
                "pseudonyms_of": "payroll",
            }
            for name, port in ((OFFICE, office.port), (ODD, odd.port))
        }
        with open_house(directory, postgres, settings={"targets": apis, **(settings or {})}, start=False) as house:
            for name in (OFFICE, ODD):
                path = house.company.directory / "policies" / f"{name}.yaml"
                path.write_text(policy.format(target=name))
                path.chmod(0o644)
            house.gateway.start()
            yield HttpHouse(house, office, odd, ports)
