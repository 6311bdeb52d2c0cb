"""From settings to somebody who posts: the secrets of its headers read, its certificates loaded."""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.otlp import Post, client_context
from gateway.outgoing import Http


def post_to(settings: Http, url: str) -> Post:
    """Raises `GatewayError("configuration-invalid")`."""
    headers = {name: header_of(name, secret.read()) for name, secret in settings.headers.items()}
    context = client_context(settings.ca, settings.certificate, settings.key)
    return Post(url, headers, context, settings.timeout)


def header_of(name: str, value: bytes) -> str:
    """The secret as a header's value. Raises `GatewayError("configuration-invalid")`."""
    text = value.decode("ascii", "replace")
    if not text.isprintable() or not text.isascii():
        raise GatewayError("configuration-invalid", f"the secret of the header `{name}` is not one line of ASCII")
    return text
