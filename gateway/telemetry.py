"""Technical events and metrics: for operators, never for auditors, and never with a person's data in them.

INVARIANT: nothing here receives a statement's text, a literal, a secret or a value of a row. The audit trail is
elsewhere.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

Log = Any
"""A structlog logger: `log.info("event", key=value)`."""


def configure_logging(style: str, *, stream: Any = None) -> Log:
    """A logger to standard error: `json` lines, `human` text, or `auto` by whether it is a terminal. UTC throughout."""
    stream = sys.stderr if stream is None else stream
    human = style == "human" or (style == "auto" and stream.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer(colors=human) if human else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    return structlog.get_logger()


def way_to(error: BaseException) -> list[str]:
    """Where an exception came from, outermost first, as `file:line function`; nothing of what it says."""
    return [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in traceback.extract_tb(error.__traceback__)]


class Metrics:
    """The gateway's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.faults = Counter("gateway_faults", "Faults reported by part", ["part"], registry=self.registry)
        self.reloads = Counter("gateway_reloads", "Reloads by outcome", ["outcome"], registry=self.registry)
        self.alerts = Counter(
            "gateway_security_events", "Events that alert rules found", ["rule"], registry=self.registry
        )
        self.lag = Histogram(
            "gateway_loop_lag_seconds",
            "How late the event loop runs its timers",
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
            registry=self.registry,
        )

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge that is read when somebody asks."""
        gauge = Gauge(name, meaning, registry=self.registry)
        gauge.set_function(read)

    def watch_labelled(self, name: str, meaning: str, label: str, read: Callable[[], dict[str, float]]) -> None:
        """A family of gauges that is read when somebody asks, by one label."""
        self.registry.register(_Labelled(name, meaning, label, read))


class _Labelled(Collector):
    def __init__(self, name: str, meaning: str, label: str, read: Callable[[], dict[str, float]]) -> None:
        self._name, self._meaning, self._label, self._read = name, meaning, label, read

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._meaning, labels=[self._label])
        for value, number in self._read().items():
            family.add_metric([value], number)
        return [family]
