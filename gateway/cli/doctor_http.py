"""The doctor's look at one API: whether this interpreter can serve it, its policy, credentials and certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from gateway.cli.finding import FAIL, OK, WARN, Finding
from gateway.config import Config
from gateway.engines.http_identity import Identity, read_identity
from gateway.engines.http_support import unsupported
from gateway.engines.http_tokens import fetched
from gateway.engines.targets import load_policies
from gateway.errors import GatewayError
from gateway.http_settings import HttpTarget, OAuthCredential

_PATIENCE_S = 5.0
_SOON = timedelta(days=21)


def examine(name: str, target: HttpTarget, config: Config) -> Iterator[Finding]:
    """All findings about one API. Nothing is asked of it: a handshake is all that it sees. A token is fetched."""
    check = f"target {name}"
    problem = unsupported()
    if problem:
        yield Finding(
            check, FAIL, problem, "run the gateway on Python 3.12 or later: make PYTHON=/path/to/python3.13 install"
        )
        return
    try:
        load_policies(config)
        if target.credentials is not None and not isinstance(target.credentials, OAuthCredential):
            target.credentials.header()
        identity = read_identity(target.client_certificate) if target.client_certificate is not None else None
    except GatewayError as error:
        yield Finding(check, FAIL, error.refusal.message, error.refusal.hint)
        return
    if target.credentials is None and identity is None:
        yield Finding(
            check, WARN, "the gateway shows the API no credential: whoever reaches it otherwise needs none either"
        )
    if isinstance(target.credentials, OAuthCredential):
        yield _token(check, name, target.credentials)
    if target.listen.server_name:
        yield _named(check, name, target, config)
    if identity is not None:
        yield _lasting(
            check, "the certificate that the API is shown", identity.ends, f"targets.{name}.client_certificate"
        )
    yield _reached(check, name, target, identity)


def _token(check: str, name: str, settings: OAuthCredential) -> Finding:
    try:
        began = time.monotonic()
        found = asyncio.run(fetched(settings, began))
    except GatewayError as error:
        reason = error.refusal.detail or error.refusal.message
        return Finding(check, FAIL, f"no token from {settings.token_url}: {reason}", f"targets.{name}.credentials")
    return Finding(check, OK, f"{settings.token_url} gives a token, to be used for {found.until - began:.0f} s")


def _named(check: str, name: str, target: HttpTarget, config: Config) -> Finding:
    """Whether what TLS shows under the target's server name names it, and for how long."""
    listen = target.listen
    path = listen.certificate or config.tls.certificate
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        reason = getattr(error, "strerror", None) or "it is none, or names no host"
        return Finding(check, FAIL, f"the certificate `{path}` cannot be used: {reason}", f"targets.{name}.listen")
    known = names.get_values_for_type(x509.DNSName)
    above = listen.server_name.partition(".")[2]
    if listen.server_name not in known and (not above or f"*.{above}" not in known):
        return Finding(
            check, FAIL, f"the certificate `{path}` does not name `{listen.server_name}`",
            f"targets.{name}.listen.certificate, or a certificate of the gateway's that names it",
        )  # fmt: skip
    return _lasting(check, f"the certificate of `{listen.server_name}`", certificate.not_valid_after_utc, str(path))


def _lasting(check: str, what: str, ends: datetime, mend: str) -> Finding:
    left = ends - datetime.now(UTC)
    if left <= timedelta():
        return Finding(check, FAIL, f"{what} ended on {ends:%Y-%m-%d}", f"renew it: {mend}")
    if left < _SOON:
        return Finding(check, WARN, f"{what} ends on {ends:%Y-%m-%d}", f"renew it: {mend}")
    return Finding(check, OK, f"{what} is valid until {ends:%Y-%m-%d}")


def _reached(check: str, name: str, target: HttpTarget, identity: Identity | None) -> Finding:
    try:
        with socket.create_connection((target.host, target.port), timeout=_PATIENCE_S) as sock:
            if not target.tls:
                return Finding(check, OK, f"{target.url} answers, on loopback without TLS")
            context = ssl.create_default_context(cafile=str(target.ca) if target.ca is not None else None)
            if identity is not None:
                _show(context, identity)
            with context.wrap_socket(sock, server_hostname=target.host) as secured:
                if identity is not None:
                    _refusal_of(secured)
                return Finding(check, OK, f"{target.url} proved itself over {secured.version()}")
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message
        return Finding(check, FAIL, f"{target.url} does not prove that it is it: {reason}", f"targets.{name}.ca")
    except ssl.SSLError as error:
        return Finding(
            check, FAIL, f"{target.url} ended TLS: {error.reason or 'TLS failed'}",
            f"targets.{name}.ca, or targets.{name}.client_certificate if it asks for one",
        )  # fmt: skip
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(check, FAIL, f"{target.url} cannot be reached: {reason}", "start it, or correct the address")


def _show(context: ssl.SSLContext, identity: Identity) -> None:
    """Have TLS show that certificate, which may be known to a service manager only."""
    with tempfile.TemporaryDirectory() as directory:
        both = Path(directory) / "both.pem"
        both.touch(0o600)
        both.write_bytes(identity.chain + b"\n" + identity.key + b"\n")
        context.load_cert_chain(both)


def _refusal_of(secured: ssl.SSLSocket) -> None:
    """In TLS 1.3 a certificate is refused when the handshake is over already. Raises `ssl.SSLError`."""
    secured.settimeout(1.0)
    try:
        secured.recv(1)
    except TimeoutError:
        return
