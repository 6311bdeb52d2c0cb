"""Receivers of exports on loopback, which behave as a test tells them to."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from syslog_check import Syslog, frames, parse

from gateway.demo.tls import ServerTls


def make_client_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate that signs itself and may be shown to servers, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a gateway")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate, private = directory / "client.crt", directory / "client.key"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private


def server_side(tls: ServerTls, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """The receiver's TLS; with `client_ca` it asks who comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


class SyslogReceiver:
    """Reads octet-counted messages over TLS (or plain TCP), strictly.

    `pace` is called before each read with how many bytes came so far and says how many to read now; 0 resets the
    connection. Messages of a connection that was reset in the midst of one are kept up to there.
    """

    def __init__(
        self, context: ssl.SSLContext | None, pace: Callable[[int], int] = lambda _: 65536, port: int = 0
    ) -> None:
        self.messages: list[Syslog] = []
        self.faults: list[BaseException] = []
        self.connections = 0
        self._context, self.pace = context, pace
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._lines: set[socket.socket] = set()
        self._stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def indices(self) -> list[int]:
        """Of which records the messages are, in the order in which they came."""
        return [int(message.data["index"]) for message in self.messages]

    def stop(self) -> None:
        """Close everything."""
        self._stopped = True
        self._listener.close()
        for line in list(self._lines):
            line.close()

    def _accept(self) -> None:
        while not self._stopped:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        stream, count = b"", 0
        try:
            if self._context is not None:
                line = self._context.wrap_socket(line, server_side=True)
            self._lines.add(line)
            while True:
                size = self.pace(count)
                if size == 0:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return
                data = line.recv(size)
                if not data:
                    return
                count += len(data)
                found, stream = frames(stream + data)
                self.messages += map(parse, found)
        except ValueError as error:
            self.faults.append(error)
        except OSError:
            return
        finally:
            self._lines.discard(line)
            line.close()


@dataclass
class Reply:
    """What a collector answers; `delay_s` between the bytes of the head when `drip` is set."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    take: bool = True
    cut: bool = False
    drip: bool = False


class Collector:
    """Takes what is posted: OTLP's requests decoded, lines of JSON as lines. `replies` are given first, in order.

    With `keep`, bodies are appended to that file and not remembered.
    """

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0, keep: Path | None = None) -> None:
        self.replies: list[Reply] = []
        self.always = Reply()
        self.paths: list[str] = []
        self.bodies: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = outer.replies.pop(0) if outer.replies else outer.always
                outer.times.append(time.monotonic())
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if keep is not None:
                    with keep.open("ab") as file:
                        file.write(body + b"\n")
                elif reply.take:
                    outer.paths.append(self.path)
                    outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                    outer.bodies.append((self.headers["content-type"], body))
                if reply.cut:
                    self.close_connection = True
                    self.connection.close()
                    return
                head = f"HTTP/1.1 {reply.status} Said\r\ncontent-length: {len(reply.body)}\r\n"
                head += "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items()) + "\r\n"
                data = head.encode() + reply.body
                for start in range(0, len(data), 1) if reply.drip else ():
                    self.wfile.write(data[start : start + 1])
                    time.sleep(0.02)
                if not reply.drip:
                    self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", port), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if context else 'http'}://localhost:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def logs(self) -> list[Any]:
        """The log records of all OTLP requests."""
        return [
            log
            for kind, body in self.bodies
            if kind == "application/x-protobuf"
            for of in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in of.scope_logs
            for log in scope.log_records
        ]

    @property
    def indices(self) -> list[int]:
        """Of which records those are."""
        return [values(log.attributes)["gateway.index"] for log in self.logs()]

    def spans(self) -> list[Any]:
        """The spans of all requests."""
        return [
            span
            for path, (_, body) in zip(self.paths, self.bodies, strict=True)
            if path.endswith("/v1/traces")
            for of in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        """The metrics of the last request, by name."""
        last = [body for path, (_, body) in zip(self.paths, self.bodies, strict=True) if path.endswith("/v1/metrics")]
        return {
            metric.name: metric
            for of in ExportMetricsServiceRequest.FromString(last[-1]).resource_metrics
            for scope in of.scope_metrics
            for metric in scope.metrics
        } if last else {}  # fmt: skip

    def stop(self) -> None:
        """Close everything."""
        self._server.shutdown()
        self._server.server_close()


def partial(rejected: int) -> bytes:
    """OTLP's partial success."""
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = rejected
    response.partial_success.error_message = "too old"
    return response.SerializeToString()


def values(attributes: Any) -> dict[str, Any]:
    """OTLP's attributes as Python has them."""
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
