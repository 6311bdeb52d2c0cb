"""The parts of alerting put together from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from gateway.access.context import Context
from gateway.alerts.cases import DEPARTMENTS, Cases, CaseSettings
from gateway.alerts.engine import Event
from gateway.alerts.feed import Feed, Trail
from gateway.alerts.notify import Notifier
from gateway.alerts.rules import SEVERITIES, load_rules
from gateway.config import Config


class Alerting:
    """Rules over one log, cases, and who is told; `told` hears of each event at once.

    Raises `GatewayError("configuration-invalid")` for rules that cannot be read.
    """

    def __init__(self, config: Config, context: Context, trail: Trail, told: Callable[[Event], None]) -> None:
        self.notifier = Notifier(config.alerts.sinks, context, config.origin)
        self.cases = Cases(context, case_settings(config), self.notifier.notices)
        # a trail that beats seldom is not silent between two beats
        rules = tuple(
            rule.model_copy(update={"silent": max(rule.silent, 3 * config.audit.heartbeat)}) if rule.silent else rule
            for rule in load_rules(config.alerts.rules)
        )
        self.feed = Feed(trail, rules, self.cases, context, told)

    def work(self, report: Callable[[str, BaseException], None]) -> list[Coroutine[Any, Any, None]]:
        """What has to run for as long as the gateway does; `report` hears of outages."""
        return [self.feed.run(report), self.notifier.run(report)]


def case_settings(config: Config) -> CaseSettings:
    """Who is in which department, and who signs what."""
    named = config.alerts.departments or {"security": config.roles.administrators}
    departments = {name: frozenset(named.get(name, ())) for name in DEPARTMENTS}  # type: ignore[call-overload]
    sign_offs: dict[str, tuple[str, ...]] = {severity: config.alerts.needed(severity) for severity in SEVERITIES}
    return CaseSettings(departments, sign_offs, config.roles.auditors)
