"""OTLP/HTTP with protobuf (OpenTelemetry Protocol 1.x): posting, and the values that logs, spans and metrics share.

Bounds hold for what comes back: a collector is somebody else's program. No text of an answer is ever passed on, for it
may quote what was sent.
"""

from __future__ import annotations

import gzip
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from gateway import __version__
from gateway.errors import GatewayError

PROTOBUF = "application/x-protobuf"
_ANSWER_BYTES = 64 * 1024
_COMPRESSED_FROM = 1_024
_MOST_WAIT_S = 300.0
_TOTAL = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """What a collector answered: the status, the first bytes of the body, and how long it wants to be left alone."""

    status: int
    body: bytes
    retry_after_s: float | None = None

    @property
    def taken(self) -> bool:
        """Whether it took what was posted."""
        return 200 <= self.status < 300


class Post:
    """Posts to one address. Blocks; each call has a deadline of a few times `timeout_s`."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        context: ssl.SSLContext,
        timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._timeout_s, self._monotonic = url, timeout_s, monotonic
        agent = {"user-agent": f"gateway/{__version__}"}
        # no proxy of the environment and no redirect: what is sent goes where the settings say
        self._client = httpx2.Client(
            headers={**agent, **headers}, verify=context, timeout=timeout_s, trust_env=False, follow_redirects=False
        )

    def __call__(self, body: bytes, content_type: str) -> Answer:
        """Raises `OSError` with a reason of ours when there is no answer."""
        headers = {"content-type": content_type}
        if len(body) >= _COMPRESSED_FROM:
            body = gzip.compress(body, 1)
            headers["content-encoding"] = "gzip"
        deadline = self._monotonic() + _TOTAL * self._timeout_s
        try:
            with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                found = bytearray()
                for chunk in response.iter_raw():
                    found += chunk
                    if len(found) > _ANSWER_BYTES or self._monotonic() > deadline:
                        break
                retry = _retry_after(response.headers.get("retry-after", ""))
                return Answer(response.status_code, bytes(found[:_ANSWER_BYTES]), retry)
        except httpx2.TimeoutException as error:
            raise OSError("no answer in time") from error
        except (httpx2.HTTPError, ssl.SSLError, OSError, ValueError) as error:
            raise OSError(why(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def client_context(
    ca: Path | None, certificate: Path | None, key: Path | None, alpn: list[str] | None = None
) -> ssl.SSLContext:
    """TLS 1.2 or newer towards somebody who must be verified. Raises `GatewayError("configuration-invalid")`."""
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        place = certificate if ca is None or ca.exists() else ca
        message = f"the certificate `{place}` cannot be used: {why(error)}"
        raise GatewayError("configuration-invalid", message, "see `gateway doctor`") from error
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def value_of(value: Any) -> AnyValue:
    """Text, integers, booleans, floats, and lists of those."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list | tuple):
        return AnyValue(array_value=ArrayValue(values=[value_of(one) for one in value]))
    return AnyValue(string_value=str(value))


def attributes(values: Mapping[str, Any]) -> Iterable[KeyValue]:
    """Attributes; what is None is left out."""
    return [KeyValue(key=name, value=value_of(value)) for name, value in values.items() if value is not None]


def resource(origin: str) -> Resource:
    """This gateway, as the semantic conventions name a service."""
    return Resource(
        attributes=attributes(
            {"service.name": "gateway", "service.version": __version__, "service.instance.id": origin}
        )
    )


SCOPE = InstrumentationScope(name="gateway", version=__version__)


def _retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), bounded; a date is answered like no header."""
    return min(float(text), _MOST_WAIT_S) if text.isascii() and text.isdigit() and len(text) < 10 else None


def why(error: BaseException) -> str:
    """Why a connection failed, in words that quote nothing of what was sent."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {seen.verify_message}"
        if isinstance(seen, ssl.SSLError):
            return f"TLS failed: {seen.reason or 'closed'}"
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    return f"the connection failed ({type(error).__name__})"
