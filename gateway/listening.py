"""What clients meet first: listening sockets, and the TLS that each protocol's clients get."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.config import Config
from gateway.console.serve import server_context
from gateway.errors import GatewayError
from gateway.http_settings import HttpListener
from gateway.listener_settings import Listener
from gateway.wire.auth import tls_server_end_point

_BACKLOG = 1024


def database_context(config: Config) -> ssl.SSLContext:
    """The TLS that clients of MySQL's protocol get: the API's, without names of protocols."""
    context = server_context(config.tls)
    context.set_alpn_protocols([])
    context.num_tickets = 0
    return context


def postgres_context(config: Config) -> ssl.SSLContext:
    """The TLS that PostgreSQL clients get: the API's, with the ALPN name of PostgreSQL's direct TLS."""
    context = server_context(config.tls)
    context.set_alpn_protocols(["postgresql"])
    # database clients do not resume: a ticket each would only cost, and in TLS 1.2 its key opens what was recorded
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def certificate_binding(path: Path) -> bytes | None:
    """The channel binding of the gateway's own certificate (RFC 5929); None when its signature has no single hash."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise GatewayError("configuration-invalid", f"the certificate `{path}` cannot be read: {error}") from error
    return tls_server_end_point(certificate.public_bytes(Encoding.DER))


def reachable(listener: Listener) -> str:
    """What clients are told to connect to: this machine's name where the gateway listens on every address."""
    return socket.getfqdn() if listener.host in ("0.0.0.0", "::") else listener.host  # noqa: S104 (compared, not bound)


def bound(listener: Listener | HttpListener) -> socket.socket:
    """A socket that listens there, and blocks nobody. Raises `GatewayError("configuration-invalid")`."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((listener.host, listener.port))
    except OSError as error:
        sock.close()
        raise GatewayError(
            "configuration-invalid",
            f"cannot listen on {listener.host}:{listener.port}: {error.strerror}",
            hint="choose another port, or stop what holds it",
        ) from error
    sock.listen(_BACKLOG)
    sock.setblocking(False)
    return sock
