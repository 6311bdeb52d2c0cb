"""The doctor's look at one API: whether this interpreter can serve it, its policy, credential and certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from gateway.cli.finding import FAIL, OK, WARN, Finding
from gateway.config import Config
from gateway.engines.http_support import unsupported
from gateway.engines.targets import load_policies
from gateway.errors import GatewayError
from gateway.http_settings import HttpTarget

_PATIENCE_S = 5.0


def examine(name: str, target: HttpTarget, config: Config) -> Iterator[Finding]:
    """All findings about one API. Nothing is asked of it: a handshake is all that it sees."""
    check = f"target {name}"
    problem = unsupported()
    if problem:
        yield Finding(
            check, FAIL, problem, "run the gateway on Python 3.12 or later: make PYTHON=/path/to/python3.13 install"
        )
        return
    try:
        load_policies(config)
        if target.credentials is not None:
            target.credentials.header()
    except GatewayError as error:
        yield Finding(check, FAIL, error.refusal.message, error.refusal.hint)
        return
    if target.credentials is None:
        yield Finding(
            check, WARN, "the gateway shows the API no credential: whoever reaches it otherwise needs none either"
        )
    try:
        with socket.create_connection((target.host, target.port), timeout=_PATIENCE_S) as sock:
            if target.tls:
                context = ssl.create_default_context(cafile=str(target.ca) if target.ca is not None else None)
                with context.wrap_socket(sock, server_hostname=target.host) as secured:
                    yield Finding(check, OK, f"{target.url} proved itself over {secured.version()}")
                    return
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "TLS failed"
        yield Finding(check, FAIL, f"{target.url} does not prove that it is it: {reason}", f"targets.{name}.ca")
        return
    except OSError as error:
        reason = error.strerror or str(error)
        yield Finding(check, FAIL, f"{target.url} cannot be reached: {reason}", "start it, or correct the address")
        return
    yield Finding(check, OK, f"{target.url} answers, on loopback without TLS")
