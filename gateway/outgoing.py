"""What `gateway.yaml` says about what leaves the gateway besides answers: copies of the trail, traces and metrics.

INVARIANT: nothing is sent in the clear but to this machine, and no certificate is taken unverified: there is no setting
for it.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gateway.record import KINDS
from gateway.settings import Bytes, Model, Seconds, Secret, is_loopback

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OURS = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "host", "connection"})


class Trust(Model):
    """Who is believed to be the other side, and what shows it who we are. `ca` None: the system's authorities."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _both(self) -> Trust:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` are given together")
        return self


class Http(Trust):
    """Where something is posted to. A secret belongs into a header, not into the address."""

    url: str | None = None
    headers: dict[str, Secret] = Field(default={})
    timeout: Seconds = 10.0

    @model_validator(mode="after")
    def _addressed(self) -> Http:
        for name in self.headers:
            if not _HEADER.fullmatch(name) or name.lower() in _OURS:
                raise ValueError(f"`{name}` is not a header that may be set")
        if self.url is None:
            return self
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("`url` is https://host:port/path")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("`url` is https, or http to a loopback host")
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("`url` has no user, query or fragment: a secret goes into `headers`")
        return self


class Sink(Model):
    """What all kinds of exports have: which records, in which form, from where on, and how late is too late."""

    kinds: tuple[str, ...] = ("*",)
    format: Literal["record", "ocsf"] = "record"
    start: Literal["beginning", "now"] = "beginning"
    late: Seconds = 300.0

    @model_validator(mode="after")
    def _known(self) -> Sink:
        for pattern in self.kinds:
            if not any(fnmatchcase(kind, pattern) for kind in KINDS):
                raise ValueError(f"no kind of record is `{pattern}`")
        if not self.kinds:
            raise ValueError("`kinds` names one kind at least")
        return self

    def takes(self, kind: str) -> bool:
        """Whether records of that kind go there."""
        return any(fnmatchcase(kind, pattern) for pattern in self.kinds)


class FileSink(Sink):
    """Lines of JSON in a file. `keep` older ones stay beside it; what is older still is removed."""

    kind: Literal["file"]
    path: Path
    rotate: Bytes = Field(default=64 * 1024**2, ge=64 * 1024)
    keep: int = Field(default=10, ge=1, le=10_000)


class SyslogSink(Sink, Trust):
    """RFC 5424 over TLS. `enterprise` is the private enterprise number of the structured data; 32473 is RFC 5612's."""

    kind: Literal["syslog"]
    host: str
    port: int = Field(default=6514, ge=1, le=65535)
    tls: Literal["verify-full", "off"] = "verify-full"
    facility: int = Field(default=13, ge=0, le=23)
    enterprise: int = Field(default=32473, ge=1, le=2**31 - 1)
    timeout: Seconds = 10.0

    @model_validator(mode="after")
    def _plain_stays_home(self) -> SyslogSink:
        if self.tls == "off" and not is_loopback(self.host):
            raise ValueError("`tls: off` is for a loopback host only")
        return self


class HttpsSink(Sink, Http):
    """Lines of JSON, posted."""

    kind: Literal["https"]
    url: str


class OtlpSink(Sink, Http):
    """OpenTelemetry's logs, posted as protobuf: `url` ends in `/v1/logs` by convention."""

    kind: Literal["otlp"]
    url: str


AnySink = Annotated[FileSink | SyslogSink | HttpsSink | OtlpSink, Field(discriminator="kind")]


class Telemetry(Http):
    """Traces and metrics by OTLP/HTTP: `/v1/traces` and `/v1/metrics` below `url`. Off without one.

    `traces` is the fraction of statements that get a span; `metrics` how often the figures are sent.
    """

    traces: float = Field(default=0.01, ge=0.0, le=1.0)
    metrics: Seconds = 60.0

    @model_validator(mode="after")
    def _paced(self) -> Telemetry:
        if self.metrics < 1:
            raise ValueError("metrics are sent once a second at the most")
        return self
