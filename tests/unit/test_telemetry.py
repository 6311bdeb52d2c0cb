"""The technical log is lines that machines read; metrics are in a registry of their own."""

from __future__ import annotations

import io
import json

from prometheus_client import generate_latest

from gateway.telemetry import Metrics, configure_logging


def test_a_log_line_is_json_in_utc() -> None:
    stream = io.StringIO()
    configure_logging("auto", stream=stream).warning("target missing", target="payroll")
    line = json.loads(stream.getvalue())
    assert line["event"] == "target missing"
    assert line["target"] == "payroll"
    assert line["timestamp"].endswith("Z")


def test_a_person_gets_text() -> None:
    stream = io.StringIO()
    configure_logging("human", stream=stream).info("serving", port=1)
    assert "serving" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_gauges_are_read_when_somebody_asks() -> None:
    metrics = Metrics()
    numbers = {"payroll": 1.0}
    metrics.watch("gateway_test", "a test", lambda: 7.0)
    metrics.watch_labelled("gateway_test_by", "a test", "target", lambda: numbers)
    text = generate_latest(metrics.registry).decode()
    assert "gateway_test 7.0" in text
    assert 'gateway_test_by{target="payroll"} 1.0' in text
    numbers.clear()
    assert "payroll" not in generate_latest(metrics.registry).decode()
