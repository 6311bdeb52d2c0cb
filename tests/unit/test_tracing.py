"""Spans and figures become OTLP; what a collector does not take is dropped and counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway import semantics
from gateway.otlp import Answer
from gateway.outgoing import Telemetry
from gateway.telemetry import Metrics
from gateway.tracing import CLIENT, Span, Tracer, span_of, tracer_of


class Posted:
    """A post that remembers, and answers as told."""

    def __init__(self, *answers: Answer | OSError) -> None:
        self.bodies: list[bytes] = []
        self.answers = list(answers)
        self.closed = False

    def __call__(self, body: bytes, content_type: str) -> Answer:
        assert content_type == "application/x-protobuf"
        answer = self.answers.pop(0) if self.answers else Answer(200, b"")
        if isinstance(answer, OSError):
            raise answer
        self.bodies.append(body)
        return answer

    def close(self) -> None:
        self.closed = True


def tracer(spans: Any = None, figures: Any = None, **settings: Any) -> Tracer:
    options = Telemetry.model_validate({"url": "http://localhost:1", **settings})
    posts = (spans or Posted(), figures or Posted())
    return Tracer("gateway.example/1", options, posts, clock_ns=lambda: 1_000)  # type: ignore[arg-type]


FACTS = {"db.namespace": "payroll"}
SPAN = Span("SELECT payroll", "ab" * 16, span_of("Q1"), span_of("S1"), 5, 9, CLIENT, FACTS, "42501")


def flushed(one: Tracer, seconds: float = 1.3, **options: Any) -> list[BaseException]:
    told: list[BaseException] = []

    async def live() -> None:
        task = asyncio.create_task(one.run(options.get("registry", Metrics().registry), lambda _, e: told.append(e)))
        await asyncio.sleep(seconds)
        task.cancel()
        await one.finish()

    asyncio.run(live())
    return told


def test_a_span_is_posted_as_it_is() -> None:
    posted = Posted()
    one = tracer(posted)
    one.add(SPAN)
    flushed(one)
    (of,) = ExportTraceServiceRequest.FromString(posted.bodies[0]).resource_spans
    (span,) = of.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.span_id, span.parent_span_id) == (
        "SELECT payroll", "ab" * 16, span_of("Q1"), span_of("S1"),
    )  # fmt: skip
    assert (span.start_time_unix_nano, span.end_time_unix_nano, span.status.message) == (5, 9, "42501")
    assert {one.key: one.value.string_value for one in span.attributes} == {"db.namespace": "payroll"}


def test_what_is_left_is_posted_at_the_end() -> None:
    posted = Posted()
    one = tracer(posted)
    one.add(SPAN)
    flushed(one, 0.0)
    assert len(posted.bodies) == 1


def test_too_many_spans_are_dropped_and_counted() -> None:
    one = tracer()
    for _ in range(5_000):
        one.add(SPAN)
    assert one.dropped == 5_000 - 4_096


@pytest.mark.parametrize("answer", [Answer(503, b""), OSError("connection refused")])
def test_what_a_collector_does_not_take_is_dropped_counted_and_told_once(answer: Any) -> None:
    posted = Posted(answer, answer, answer)
    one = tracer(posted, metrics=1.0)
    one.add(SPAN)
    told = flushed(one)
    assert one.dropped == 1
    assert len(told) == 1


@pytest.mark.parametrize(("fraction", "chosen"), [(0.0, 0), (1.0, 1_000)])
def test_a_fraction_of_statements_is_chosen(fraction: float, chosen: int) -> None:
    one = tracer(traces=fraction)
    assert sum(one.chosen() for _ in range(1_000)) == chosen


def test_the_figures_are_those_of_the_metrics_page() -> None:
    metrics = Metrics()
    metrics.faults.labels("target").inc(3)
    metrics.watch("gateway_sessions", "Sessions", lambda: 7.0)
    metrics.watch_labelled("gateway_lag", "Lag", "sink", lambda: {"siem": 2.0})
    for seconds in (0.0005, 0.002, 0.7, 5.0):
        metrics.lag.observe(seconds)
    posted = Posted()
    flushed(tracer(figures=posted, metrics=1.0), registry=metrics.registry)
    (of,) = ExportMetricsServiceRequest.FromString(posted.bodies[0]).resource_metrics
    found = {metric.name: metric for metric in of.scope_metrics[0].metrics}
    (faults,) = found["gateway_faults"].sum.data_points
    assert (faults.as_double, faults.attributes[0].value.string_value) == (3.0, "target")
    assert found["gateway_faults"].sum.is_monotonic
    assert found["gateway_sessions"].gauge.data_points[0].as_double == 7.0
    assert found["gateway_lag"].gauge.data_points[0].attributes[0].key == "sink"
    (lag,) = found["gateway_loop_lag_seconds"].histogram.data_points
    assert lag.count == 4
    assert list(lag.explicit_bounds) == [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]
    assert list(lag.bucket_counts) == [1, 1, 0, 0, 0, 0, 1, 1]
    assert sum(lag.bucket_counts) == lag.count


def test_off_is_no_tracer_at_all() -> None:
    assert tracer_of("o", Telemetry()) is None
    assert tracer_of("o", Telemetry(url="http://localhost:4318/")) is not None


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        ({"engine": "postgres", "verb": "SELECT"}, {"db.system.name": "postgresql", "db.operation.name": "SELECT"}),
        ({"verb": "SELECT"}, {"db.operation.name": "SELECT"}),
    ],
    ids=["of a database", "of an engine that nobody named"],
)
def test_a_database_is_named_by_its_engine(record: dict[str, Any], facts: dict[str, Any]) -> None:
    assert semantics.of_target({"target": "payroll", **record}) == {"db.namespace": "payroll", **facts}


def test_a_request_to_an_api_has_the_names_of_http() -> None:
    record = {
        "target": "office",
        "engine": "http",
        "verb": "GET",
        "sql": "GET /companies/{id}/employees?page",
        "rows": 1,
    }
    found = semantics.of_target({**record, "tag": "HTTP 200"})
    assert found == {
        "gateway.target": "office", "http.request.method": "GET", "http.route": "/companies/{id}/employees",
        "http.response.status_code": 200,
    }  # fmt: skip
    assert semantics.of_target({"engine": "http", "verb": "GET"}) == {}
