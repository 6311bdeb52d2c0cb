"""A gateway with several APIs behind one listening socket, and what its tests speak to both of its sides with.

`Api` is an API of few words: it answers with what a test gives it, remembers what reached it and by which connection,
and can ask for a client's certificate. `Wire` is a client that says which host TLS and which the request names.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from gateway_fixture import House, open_house
from http_house import token

from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.demo.tls import LOOPBACK, ServerTls, make_server_tls
from gateway.errors import GatewayError

POLICY = """
target: {target}
access:
  teams: [support]
  ticket: {{projects: [SUP], states: [open, in_progress]}}
  duration: {{default: 1h, max: 8h}}
  auto_approve: masked_reads
  approvers: {{teams: [security]}}
limits: {{rows_per_day: 100000, bytes_per_day: 100000000}}
http:
  routes:
    employee:
      get: /companies/{{company_id}}/employees/{{employee_id}}
      path: {{company_id: integer, employee_id: integer}}
      customer: path.company_id
      answers:
        200:
          media: json
          customer: $.company_id
          fields: {{$.id: clear, $.name: {{mask: pseudonym, domain: last_name, identifier: true}}, $.api: clear}}
        303: {{media: empty}}
    note:
      post: /companies/{{company_id}}/notes
      path: {{company_id: integer}}
      customer: path.company_id
      write: request
      body: {{media: json, fields: {{$.text: {{type: string, required: true}}}}}}
      answers: {{201: {{media: empty}}}}
"""


@dataclass
class Asked:
    """One request as it reached an API: by which of the client's ports, and who TLS says that it is."""

    method: str
    target: str
    headers: dict[str, str]
    port: int
    subject: str
    body: bytes = b""


Script = Callable[[ssl.SSLSocket, Asked], bool]


@dataclass
class Api:
    """See the module. `script` may answer instead, and says whether it did; `known` are the credentials it accepts."""

    name: str
    tls: ServerTls
    clients: Path | None = None
    port: int = 0
    known: set[str] | None = None
    seen: list[Asked] = field(default_factory=list)
    script: Script = lambda _sock, _asked: False
    location: str = ""

    @contextlib.contextmanager
    def serving(self) -> Iterator[Api]:
        """Run it in threads."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.tls.certificate, self.tls.key)
        if self.clients is not None:
            context.load_verify_locations(self.clients)
            context.verify_mode = ssl.CERT_REQUIRED
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, peer = listener.accept()
                    threading.Thread(target=self._serve, args=(context, sock, peer[1]), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(10)

    def _serve(self, context: ssl.SSLContext, sock: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as secured:
            secured.settimeout(60)
            shown = secured.getpeercert() or {}
            subject = dict(pair for part in shown.get("subject", ()) for pair in part).get("commonName", "")
            held = b""
            while True:
                while b"\r\n\r\n" not in held:
                    data = secured.recv(65536)
                    if not data:
                        return
                    held += data
                head, _, held = held.partition(b"\r\n\r\n")
                line, *fields = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
                wanted = int(headers.get("content-length", "0"))
                while len(held) < wanted:
                    held += secured.recv(65536)
                body, held = held[:wanted], held[wanted:]
                method, target, _ = line.split(" ")
                asked = Asked(method, target, headers, port, str(subject), body)
                self.seen.append(asked)
                if not self.script(secured, asked):
                    secured.sendall(self._answer(asked))

    def _answer(self, asked: Asked) -> bytes:
        if self.known is not None and asked.headers.get("authorization") not in self.known:
            return answered(401, b"CANARY", "www-authenticate: Basic realm=CANARY")
        if asked.method == "POST":
            return answered(201)
        if self.location:
            return answered(303, b"", f"location: {self.location}")
        _, _, company, _, number = asked.target.split("/")
        document = {"id": int(number), "company_id": int(company), "name": "Dupont", "api": self.name}
        return answered(200, json.dumps(document).encode(), "content-type: application/json")


def answered(status: int, body: bytes = b"", *fields: str) -> bytes:
    """An answer of HTTP/1.1, as bytes."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


class _Made:
    """What `http.client` reads an answer from."""

    def __init__(self, data: io.BufferedIOBase) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BufferedIOBase:
        return self._data


@dataclass
class Answer:
    """An answer: status, headers and body, in which order does not matter."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(json.loads(self.body)["code"])

    @property
    def code_or_none(self) -> str:
        """The same, empty for what is no problem."""
        return self.code if self.headers.get("content-type") == "application/problem+json" else ""

    @property
    def whole(self) -> tuple[int, dict[str, str], bytes]:
        """All that may tell anything."""
        return self.status, {name: value for name, value in self.headers.items() if name != "date"}, self.body


@dataclass
class Wire:
    """One connection of a client's, HTTP/1.1."""

    sock: ssl.SSLSocket
    data: io.BufferedIOBase

    def ask(
        self, path: str, host: str, opened: Mapping[str, Any] | None = None, method: str = "GET", body: bytes = b"",
        fields: tuple[str, ...] = (),
    ) -> Answer:  # fmt: skip
        """One request and its answer."""
        self.send(path, host, opened, method, body, fields)
        return self.answer(method)

    def send(
        self, path: str, host: str, opened: Mapping[str, Any] | None = None, method: str = "GET", body: bytes = b"",
        fields: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """One request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields]
        if opened is not None:
            lines.append(f"Authorization: Bearer {token(opened)}")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer."""
        made: Any = _Made(self.data)
        response = http.client.HTTPResponse(made, method=method)
        # the reader is everybody's: it is not closed with one answer
        response._close_conn = lambda: None  # type: ignore[method-assign]
        response.begin()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@dataclass
class Reach:
    """The gateway, and the APIs behind it by the names of their targets."""

    house: House
    apis: dict[str, Api]
    port: int
    ca: Path
    names: frozenset[str] = frozenset()

    def served(self, name: str) -> bool:
        """Whether a target has that name."""
        return name in self.names

    def opened(self, target: str, login: str = "alice", ticket: str = TICKET) -> dict[str, Any]:
        """What `POST /open` answers."""
        found: dict[str, Any] = self.house.actor(login).open(ticket, "", target)
        return found

    def writing(self, target: str, ticket: str = TICKET) -> dict[str, Any]:
        """The same of a grant that may write, which somebody else approved."""
        alice, bob = self.house.actor("alice"), self.house.actor("bob")
        alice.sign_in()
        wanted = {"ticket": ticket, "target": target, "write": True, "reason": "as the customer asked"}
        with pytest.raises(GatewayError) as waits:
            alice._call("/open", wanted)
        assert waits.value.code == "approval-required"
        bob.approve(self.records("request", state="pending", target=target)[-1]["request"], "good")
        return alice._call("/open", wanted)

    def pids(self) -> list[int]:
        """The HTTP processes of the gateway."""
        own = self.house.gateway.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [int(pid) for pid in children if b"http_proxy" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def records(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The records of that kind with those fields."""
        return [
            record
            for record in self.house.records()
            if record["kind"] == kind and all(record.get(name) == value for name, value in fields.items())
        ]

    @contextlib.contextmanager
    def wire(self, name: str | None, port: int = 0, alpn: str = "http/1.1") -> Iterator[Wire]:
        """A connection whose TLS names that host; of one that is not there, only that somebody known answers counts."""
        known = name is not None and self.served(name)
        context = ssl.create_default_context(cafile=str(self.ca if known else self.house.company.tls.ca))
        context.check_hostname = known
        context.set_alpn_protocols([alpn])
        with (
            socket.create_connection(("127.0.0.1", port or self.port), timeout=30) as sock,
            context.wrap_socket(sock, server_hostname=name) as secured,
            secured.makefile("rb") as data,
        ):
            yield Wire(secured, data)

    def h2(self, name: str, asked: list[tuple[str, str, Mapping[str, Any]]]) -> list[Answer]:
        """The answers to requests (host, path, pass) that are all sent at once on one connection of HTTP/2."""
        with self.wire(name, alpn="h2") as wire:
            connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
            connection.initiate_connection()
            for number, (host, path, opened) in enumerate(asked):
                shown = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", path)]
                shown.append(("authorization", f"Bearer {token(opened)}"))
                connection.send_headers(2 * number + 1, shown, end_stream=True)
            wire.sock.sendall(connection.data_to_send())
            answers = {2 * number + 1: Answer(0, {}, b"") for number in range(len(asked))}
            ended: set[int] = set()
            while len(ended) < len(asked):
                data = wire.sock.recv(65536)
                assert data, "the connection ended before its answers"
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        headers = dict(event.headers or ())
                        answers[event.stream_id] = Answer(int(headers.pop(":status")), headers, b"")
                    elif isinstance(event, h2.events.DataReceived):
                        answers[event.stream_id].body += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        ended.add(event.stream_id)
                wire.sock.sendall(connection.data_to_send())
            return [answers[number] for number in sorted(answers)]


@contextlib.contextmanager
def open_reach(
    directory: Path, postgres: EmbeddedPostgres, apis: Mapping[str, Api], settings: Mapping[str, Any],
    *, port: int, ca: Path, policy: str = POLICY,
) -> Iterator[Reach]:  # fmt: skip
    """Start a gateway with these targets in front of these APIs, which serve already."""
    targets = {
        name: {"engine": "http", "url": f"https://localhost:{api.port}", "ca": str(api.tls.ca), **settings[name]}
        for name, api in apis.items()
    }
    with open_house(directory, postgres, settings={"targets": targets}, start=False) as house:
        for name in apis:
            path = house.company.directory / "policies" / f"{name}.yaml"
            path.write_text(policy.format(target=name))
            path.chmod(0o644)
        house.gateway.start()
        names = frozenset(one["listen"].get("server_name", "localhost") for one in settings.values())
        yield Reach(house, dict(apis), port, ca, names)


@dataclass(frozen=True)
class Clients:
    """An authority for certificates of clients."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def ca(self) -> Path:
        """Its own certificate."""
        return self.directory / "clients.crt"

    def issue(self, name: str, stem: str, days: int = 90) -> tuple[Path, Path]:
        """Write a certificate for that name and its key, over what is there."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        certificate, private = self.directory / f"{stem}.crt", self.directory / f"{stem}.key"
        private.touch(0o600)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        certificate.write_bytes(made.public_bytes(Encoding.PEM))
        return certificate, private


def make_clients(directory: Path) -> Clients:
    """A new authority."""
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_named("clients"))
        .issuer_name(_named("clients"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=400))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "clients.crt").write_bytes(made.public_bytes(Encoding.PEM))
    return Clients(directory, key, made)


def make_api(directory: Path, name: str, clients: Path | None = None) -> Api:
    """An API with a certificate of its own."""
    return Api(name, make_server_tls(directory / f"{name}-tls", name, LOOPBACK), clients)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
