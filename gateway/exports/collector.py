"""Posting to collectors: lines of JSON, or OpenTelemetry's logs. An answer of 2xx is the acknowledgement.

Everything else is tried again, for ever: a wrong token or address is mended by a person, and until then the trail keeps
what was not taken. Only what the protocol itself takes from us is counted as rejected: OTLP's partial success, after
which a client must not send again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber as Severity

from gateway import semantics
from gateway.exports.sink import Message, SendFailed
from gateway.otlp import PROTOBUF, SCOPE, Answer, Post, attributes, resource, value_of

_TOO_LARGE = (400, 413)


class HttpsOut:
    """Lines of JSON. See `sink.Out`."""

    holdback_s = 0.0

    def __init__(self, post: Post) -> None:
        self._post = post

    def send(self, messages: Sequence[Message]) -> int:
        """Post them as one body."""
        _posted(self._post, b"".join(part for one in messages for part in (one.body, b"\n")), "application/x-ndjson")
        return 0

    def settle(self) -> None:
        """Nothing: what was answered is taken."""

    def close(self) -> None:
        """Close the connection."""
        self._post.close()


class OtlpOut:
    """OpenTelemetry's logs. See `sink.Out`."""

    holdback_s = 0.0

    def __init__(self, post: Post) -> None:
        self._post = post

    def send(self, messages: Sequence[Message]) -> int:
        """Post them as one request."""
        answer = _posted(self._post, request_of(messages).SerializeToString(), PROTOBUF)
        try:
            rejected = ExportLogsServiceResponse.FromString(answer.body).partial_success.rejected_log_records
        except DecodeError:
            # some collectors answer 200 with a body of another kind; the status is what counts
            return 0
        return max(0, min(int(rejected), len(messages)))

    def settle(self) -> None:
        """Nothing: what was answered is taken."""

    def close(self) -> None:
        """Close the connection."""
        self._post.close()


def request_of(messages: Sequence[Message]) -> ExportLogsServiceRequest:
    """The messages, which are of one trail, as one request."""
    origin = str(messages[0].record.get("origin", "")) if messages else ""
    logs = [_log(message) for message in messages]
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=resource(origin), scope_logs=[ScopeLogs(scope=SCOPE, log_records=logs)])]
    )


def _log(message: Message) -> LogRecord:
    record = message.record
    moment = _nanoseconds(str(record.get("time", "")))
    denied = record.get("decision") == "deny"
    log = LogRecord(
        time_unix_nano=moment,
        observed_time_unix_nano=moment,
        severity_number=Severity.SEVERITY_NUMBER_WARN if denied else Severity.SEVERITY_NUMBER_INFO,
        severity_text="WARN" if denied else "INFO",
        event_name=f"gateway.{record.get('kind', '')}",
        body=value_of(message.body.decode()),
        attributes=attributes(_attributes(record)),
    )
    trace = str(record.get("trace", ""))
    if len(trace) == 32:
        log.trace_id = bytes.fromhex(trace)
    return log


def _attributes(record: Any) -> dict[str, Any]:
    found = {f"gateway.{name}": record[name] for name in _PLAIN if name in record}
    found["log.record.uid"] = record.get("id")
    return found | semantics.of_target(record) | semantics.peer(record)


_PLAIN = (
    "origin", "index", "kind", "decision", "code", "ticket", "customers", "grant", "request", "statement", "rows",
    "bytes", "duration_us", "status", "policy",
)  # fmt: skip


def _nanoseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1_000


def _posted(post: Post, body: bytes, content_type: str) -> Answer:
    try:
        answer = post(body, content_type)
    except OSError as error:
        raise SendFailed(str(error)) from error
    if answer.taken:
        return answer
    raise SendFailed(
        f"it answered {answer.status}", retry_after_s=answer.retry_after_s, smaller=answer.status in _TOO_LARGE
    )
