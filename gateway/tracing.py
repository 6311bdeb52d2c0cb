"""OpenTelemetry's traces and metrics, by OTLP/HTTP; for operators, like the technical log.

Spans are kept for a second or so and then posted; the figures of `/metrics` are posted as they stand. What a collector
does not take is dropped and counted: none of it is the trail, and nothing waits for it.

INVARIANT: no span names a person, a ticket or a customer, and none holds a literal, a secret or a value of a row: a
statement is its text without literals.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as figures
from opentelemetry.proto.trace.v1 import trace_pb2 as traces
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from gateway.otlp import PROTOBUF, SCOPE, Answer, Post, attributes, resource
from gateway.outgoing import Telemetry
from gateway.posting import post_to

INTERNAL, SERVER, CLIENT = (
    traces.Span.SPAN_KIND_INTERNAL,
    traces.Span.SPAN_KIND_SERVER,
    traces.Span.SPAN_KIND_CLIENT,
)
_HELD = 4_096
_FLUSH_S = 1.0
_END_S = 2.0
_CUMULATIVE = figures.AGGREGATION_TEMPORALITY_CUMULATIVE


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times in nanoseconds since 1970. `error` is a code of ours or a SQLSTATE, empty for what went well."""

    name: str
    trace: str
    id: bytes
    parent: bytes
    start_ns: int
    end_ns: int
    kind: Any = INTERNAL
    attributes: Mapping[str, Any] | None = None
    error: str = ""


def span_of(text: str) -> bytes:
    """The span id of something that has an id of its own, such as a session."""
    return blake2b(text.encode(), digest_size=8).digest()


class Tracer:
    """Holds spans and posts them, with the figures of a registry. The event loop's thread only."""

    def __init__(
        self,
        origin: str,
        settings: Telemetry,
        posts: tuple[Post, Post],
        chance: Callable[[], float] = random.random,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.fraction = settings.traces
        self.dropped = 0
        self.now = clock_ns
        self._chance = chance
        self._interval_s = settings.metrics
        self._resource = resource(origin)
        self._traces, self._metrics = posts
        self._spans: list[Span] = []
        self._begun_ns = clock_ns()
        self._failing = False

    def new_trace(self) -> str:
        """An id for a trace."""
        return secrets.token_hex(16)

    def new_span(self) -> bytes:
        """An id for a span."""
        return secrets.token_bytes(8)

    def chosen(self) -> bool:
        """Whether this statement gets a span."""
        return self._chance() < self.fraction

    def add(self, span: Span) -> None:
        """Post that span, unless there are too many."""
        if len(self._spans) >= _HELD:
            self.dropped += 1
        else:
            self._spans.append(span)

    def measure(self, watch: Callable[[str, str, Callable[[], float]], None]) -> None:
        """Show what was dropped."""
        watch("gateway_spans_dropped", "Spans that no collector took", lambda: float(self.dropped))

    async def run(self, registry: CollectorRegistry, report: Callable[[str, BaseException], None]) -> None:
        """Post until cancelled."""
        due = time.monotonic() + self._interval_s
        while True:
            await asyncio.sleep(_FLUSH_S)
            if self._spans:
                await self._flush(report)
            if time.monotonic() >= due:
                due += self._interval_s
                await self._post(self._metrics, self._figures(registry), report)

    async def finish(self) -> None:
        """Post what is left, if that goes quickly, and let go."""
        try:
            async with asyncio.timeout(_END_S):
                await self._flush(lambda *_: None)
        except TimeoutError:
            pass  # a collector that does not answer now loses some spans, and the stop no time

    async def _flush(self, report: Callable[[str, BaseException], None]) -> None:
        spans, self._spans = self._spans, []
        if spans and not await self._post(self._traces, lambda: _traces_of(self._resource, spans), report):
            self.dropped += len(spans)

    async def _post(self, post: Post, body: Callable[[], bytes], report: Callable[[str, BaseException], None]) -> bool:
        try:
            answer = await _apart(lambda: post(body(), PROTOBUF))
        except OSError as error:
            return self._failed(str(error), report)
        if not answer.taken:
            return self._failed(f"it answered {answer.status}", report)
        self._failing = False
        return True

    def _failed(self, reason: str, report: Callable[[str, BaseException], None]) -> bool:
        if not self._failing:
            # once for as long as it lasts
            report("telemetry", OSError(None, f"the collector took nothing: {reason}"))
        self._failing = True
        return False

    def _figures(self, registry: CollectorRegistry) -> Callable[[], bytes]:
        # read here, on the loop's thread, where the figures belong
        found = list(registry.collect())
        return lambda: _metrics_of(self._resource, found, self._begun_ns, self.now())


async def _apart(work: Callable[[], Answer]) -> Answer:
    """The work's result, from a thread that nobody waits for at the end: a collector may never finish its answer."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()

    def settle(result: Answer | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: it was the end
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="telemetry", daemon=True).start()
    return await done


def tracer_of(origin: str, settings: Telemetry) -> Tracer | None:
    """None when telemetry is off. Raises `GatewayError("configuration-invalid")`."""
    if settings.url is None:
        return None
    base = settings.url.rstrip("/")
    return Tracer(origin, settings, (post_to(settings, f"{base}/v1/traces"), post_to(settings, f"{base}/v1/metrics")))


def _traces_of(of: Any, spans: list[Span]) -> bytes:
    scope = traces.ScopeSpans(scope=SCOPE, spans=[_span(span) for span in spans])
    return bytes(
        ExportTraceServiceRequest(
            resource_spans=[traces.ResourceSpans(resource=of, scope_spans=[scope])]
        ).SerializeToString()
    )


def _span(span: Span) -> traces.Span:
    status = traces.Status(code=traces.Status.STATUS_CODE_ERROR, message=span.error) if span.error else None
    return traces.Span(
        trace_id=bytes.fromhex(span.trace),
        span_id=span.id,
        parent_span_id=span.parent,
        name=span.name,
        kind=span.kind,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=max(span.start_ns, span.end_ns),
        attributes=attributes(span.attributes or {}),
        status=status,
    )


def _metrics_of(of: Any, families: list[Metric], begun_ns: int, now_ns: int) -> bytes:
    found = [metric for family in families if (metric := _metric(family, begun_ns, now_ns)) is not None]
    scope = figures.ScopeMetrics(scope=SCOPE, metrics=found)
    return bytes(
        ExportMetricsServiceRequest(
            resource_metrics=[figures.ResourceMetrics(resource=of, scope_metrics=[scope])]
        ).SerializeToString()
    )


def _metric(family: Metric, begun_ns: int, now_ns: int) -> figures.Metric | None:
    """One family of Prometheus as one metric of OTLP; what has no samples is left out."""
    times: dict[str, Any] = {"start_time_unix_nano": begun_ns, "time_unix_nano": now_ns}
    metric = figures.Metric(name=family.name, description=family.documentation)
    if family.type == "histogram":
        points = _histograms(family, times)
        metric.histogram.aggregation_temporality = _CUMULATIVE
        metric.histogram.data_points.extend(points)
        return metric if points else None
    suffix = "_total" if family.type == "counter" else ""
    numbers = [
        figures.NumberDataPoint(attributes=attributes(sample.labels), as_double=sample.value, **times)
        for sample in family.samples
        if sample.name == family.name + suffix
    ]
    if family.type == "counter":
        metric.sum.aggregation_temporality = _CUMULATIVE
        metric.sum.is_monotonic = True
        metric.sum.data_points.extend(numbers)
    else:
        metric.gauge.data_points.extend(numbers)
    return metric if numbers else None


def _histograms(family: Metric, times: Mapping[str, Any]) -> list[figures.HistogramDataPoint]:
    """Prometheus counts up to each bound, OTLP between the bounds."""
    by_labels: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        one = by_labels.setdefault(labels, {"bounds": [], "counts": [], "count": 0, "sum": 0.0})
        if sample.name.endswith("_bucket"):
            if sample.labels["le"] != "+Inf":
                one["bounds"].append(float(sample.labels["le"]))
            one["counts"].append(int(sample.value))
        elif sample.name.endswith("_count"):
            one["count"] = int(sample.value)
        elif sample.name.endswith("_sum"):
            one["sum"] = sample.value
    return [
        figures.HistogramDataPoint(
            attributes=attributes(dict(labels)),
            count=one["count"],
            sum=one["sum"],
            explicit_bounds=one["bounds"],
            bucket_counts=[above - below for below, above in zip([0, *one["counts"]], one["counts"], strict=False)],
            **times,
        )
        for labels, one in by_labels.items()
    ]
