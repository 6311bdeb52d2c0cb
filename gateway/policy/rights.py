"""What a person may ask for, as recertifications list it: rights at a target, and at the gateway itself.

A right is what a policy, or a role of the configuration, gives to the members of a team. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gateway.model import Principal
from gateway.policy.schema import Policy


class Right(StrEnum):
    """What may be asked for, or done."""

    READ = "read"
    WRITE = "write"
    REVEAL = "reveal"
    BREAK_GLASS = "break-glass"
    APPROVE = "approve"
    ADMINISTER = "administer"
    AUDIT = "audit"
    CUSTODY = "custody"


ROLES: Mapping[str, Right] = {
    "administrators": Right.ADMINISTER,
    "auditors": Right.AUDIT,
    "custodians": Right.CUSTODY,
}
"""The rights that are not at a target, by the role that gives them."""


def rights_at(policy: Policy, person: Principal) -> dict[Right, frozenset[str]]:
    """What the policy lets that person ask for at its target, each with the teams that give it."""
    rule = policy.access
    found: dict[Right, frozenset[str]] = {}
    asking = person.teams & rule.teams
    if asking:
        found[Right.READ] = asking
        if policy.write:
            found[Right.WRITE] = asking
        if any(policy.reveal.values()):
            found[Right.REVEAL] = asking
        if rule.break_glass is not None and person.teams & rule.break_glass.teams:
            found[Right.BREAK_GLASS] = person.teams & rule.break_glass.teams
    if person.teams & rule.approver_teams:
        found[Right.APPROVE] = person.teams & rule.approver_teams
    return found
