"""The doctor's look at a target that is observed, of whatever engine: what that means, and what it undermines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from gateway.cli.finding import FAIL, WARN, Finding
from gateway.config import Config
from gateway.engines.targets import load_policies
from gateway.errors import GatewayError, Refusal
from gateway.policy.schema import Policy
from gateway.target_settings import MysqlTarget, Target


def loaded(name: str, config: Config) -> Policy | Refusal:
    """The target's policy, or what is wrong with it."""
    try:
        return load_policies(config)[name]
    except GatewayError as error:
        return error.refusal


def unprotected(
    check: str, warning: str, target: Target | MysqlTarget, others: Mapping[str, Target | MysqlTarget], config: Config
) -> Iterator[Finding]:
    """That the target is observed, where it is, and which protected `others` of its engine that opens a way to."""
    if warning:
        yield Finding(check, WARN, warning, "`mode: protect` in its policy, once you know what it would refuse")
        yield from _undermined(check, target, others, config)


def softened(warning: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What is observed is reached with a role that can do what its applications do: that is no fault, and is said."""
    for finding in findings:
        yield replace(finding, level=WARN) if warning and finding.level == FAIL else finding


def _undermined(
    check: str, target: Target | MysqlTarget, others: Mapping[str, Target | MysqlTarget], config: Config
) -> Iterator[Finding]:
    for name, other in others.items():
        policy = loaded(name, config)
        if not isinstance(policy, Policy) or policy.observed or (other.host, other.port) != (target.host, target.port):
            continue
        if other.database == target.database:
            message = f"it is the same database as `{name}`, which is protected there and shown in clear here"
            yield Finding(check, FAIL, message, f"observe `{name}` no longer under another name")
        elif other.user == target.user:
            message = f"it shares its server and role with `{name}`: who is in here sees and ends what runs there"
            yield Finding(check, FAIL, message, "give the two a role each")
