"""What one policy lets be seen or done that another does not: the review that a change of a policy needs.

INVARIANT: no difference is left out. What cannot be ordered (another mask, another scope, the same functions in other
words) is `changed`, and has to be read by somebody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from gateway.policy import http_diff
from gateway.policy.difference import (
    CHANGED,
    NARROWER,
    WIDER,
    Difference,
    mask_text,
    of_sets,
    of_values,
    text_of,
    unmasking,
)
from gateway.policy.schema import (
    AccessRule,
    AggregateRule,
    BreakGlassRule,
    LimitRule,
    Policy,
    Scope,
    TableRule,
    TicketRule,
    WriteRule,
)

_GROWS = frozenset({"direct_login", "default_duration_s", "max_duration_s"})
_EXPOSURE = {"never": 0, "masked_reads": 1, "requester": 0, "team": 1}


def differences(old: Policy, new: Policy) -> list[Difference]:
    """All differences, what becomes wider first."""
    found = [*_mode(old, new), *_access(old.access, new.access), *_limits(old.limits, new.limits), *_tables(old, new)]
    found += of_sets("reveal", _reveals(old), _reveals(new))
    found += _writes(old, new)
    found += http_diff.differences(old.http, new.http)
    found += of_sets("functions", old.functions, new.functions)
    for name in ("target", "schemas", "purpose", "categories", "literals", "dialect"):
        found += of_values(name, getattr(old, name), getattr(new, name))
    # the mode before all else: what is observed is not protected, whatever the rest says
    return sorted(found, key=lambda one: ((WIDER, CHANGED, NARROWER).index(one.effect), one.what != "mode", one.what))


def _mode(old: Policy, new: Policy) -> Iterator[Difference]:
    if old.mode != new.mode:
        shown = [
            f"{policy.mode}: {'NOTHING IS PROTECTED' if policy.observed else 'protected'}" for policy in (old, new)
        ]
        yield Difference(WIDER if new.observed else NARROWER, "mode", *shown)


def _access(old: AccessRule, new: AccessRule) -> Iterator[Difference]:
    yield from of_sets("access.teams", old.teams, new.teams)
    # who may approve grows with the teams, but a request waits for them all the same: somebody should read it
    yield from of_values("access.approvers.teams", old.approver_teams, new.approver_teams)
    yield from _ticket(old.ticket, new.ticket)
    for field in fields(AccessRule):
        name, before, after = field.name, getattr(old, field.name), getattr(new, field.name)
        if before == after or name in ("teams", "ticket", "approver_teams"):
            continue
        if name in _GROWS:
            yield Difference(WIDER if after > before else NARROWER, f"access.{name}", text_of(before), text_of(after))
        elif name == "auto_approve":
            yield _ordered(f"access.{name}", before, after)
        elif name == "break_glass":
            yield from _break_glass(before, after)
        elif name == "approver_count":
            yield Difference(NARROWER if after > before else WIDER, "access.approvers.count", str(before), str(after))
        else:
            yield from of_values(f"access.{name}", before, after)


def _break_glass(old: BreakGlassRule | None, new: BreakGlassRule | None) -> Iterator[Difference]:
    none = BreakGlassRule(frozenset(), 0)
    before, after = old or none, new or none
    yield from of_sets("access.break_glass.teams", before.teams, after.teams)
    if before.duration_s != after.duration_s:
        effect = WIDER if after.duration_s > before.duration_s else NARROWER
        yield Difference(effect, "access.break_glass.duration_s", str(before.duration_s), str(after.duration_s))
    if before.write != after.write:
        effect = WIDER if after.write else NARROWER
        yield Difference(effect, "access.break_glass.write", text_of(before.write), text_of(after.write))


def _ticket(old: TicketRule, new: TicketRule) -> Iterator[Difference]:
    yield from of_sets("access.ticket.projects", old.projects, new.projects)
    yield from of_sets("access.ticket.states", old.states, new.states)
    if old.assigned_to != new.assigned_to:
        yield _ordered("access.ticket.assigned_to", old.assigned_to, new.assigned_to)


def _limits(old: LimitRule, new: LimitRule) -> Iterator[Difference]:
    for field in fields(LimitRule):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before != after:
            # 0 is without limit
            effect = WIDER if after == 0 or 0 < before < after else NARROWER
            shown = [str(value) if value else "unlimited" for value in (before, after)]
            yield Difference(effect, f"limits.{field.name}", *shown)


def _tables(old: Policy, new: Policy) -> Iterator[Difference]:
    for name in sorted(old.tables.keys() | new.tables.keys()):
        before, after = old.tables.get(name), new.tables.get(name)
        if before is None or after is None:
            effect = WIDER if before is None else NARROWER
            yield Difference(effect, f"tables.{name}", _relation(before), _relation(after))
        if before is not None and after is not None and before.scope != after.scope:
            effect = WIDER if after.scope.kind == "none" else NARROWER if before.scope.kind == "none" else CHANGED
            yield Difference(effect, f"tables.{name}.scope", _scope(before.scope), _scope(after.scope))
        yield from _columns(name, before, after)


def _columns(relation: str, old: TableRule | None, new: TableRule | None) -> Iterator[Difference]:
    before, after = (table.columns if table is not None else {} for table in (old, new))
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        what = f"tables.{relation}.{name}"
        masks = [rule.mask if rule is not None else None for rule in (one, other)]
        if masks[0] != masks[1]:
            yield Difference(unmasking(*masks), what, *map(mask_text, masks))
        searches = [rule.search if rule is not None else "" for rule in (one, other)]
        if searches[0] != searches[1]:
            yield Difference(WIDER if searches[1] else NARROWER, f"{what}.search", *searches)
        sums = [rule.aggregate if rule is not None else None for rule in (one, other)]
        if sums[0] != sums[1]:
            yield Difference(_summing(*sums), f"{what}.aggregate", *map(_aggregate, sums))
        kinds = [rule.type if rule is not None else "" for rule in (one, other)]
        if one is not None and other is not None and kinds[0] != kinds[1]:
            yield Difference(CHANGED, f"{what}.type", *kinds)
        marks = [rule.identifier if rule is not None else False for rule in (one, other)]
        if marks[0] != marks[1]:
            yield Difference(CHANGED, f"{what}.identifier", *map(text_of, marks))


def _writes(old: Policy, new: Policy) -> Iterator[Difference]:
    nothing = WriteRule(rows=0)
    for name in sorted(old.write.keys() | new.write.keys()):
        before, after = old.write.get(name, nothing), new.write.get(name, nothing)
        what = f"write.{name}"
        yield from of_sets(f"{what}.update", before.update, after.update)
        yield from of_sets(f"{what}.insert", before.insert, after.insert)
        if before.delete != after.delete:
            yield Difference(
                WIDER if after.delete else NARROWER, f"{what}.delete", *map(text_of, (before.delete, after.delete))
            )
        if before.rows != after.rows:
            yield Difference(
                WIDER if after.rows > before.rows else NARROWER, f"{what}.rows", str(before.rows), str(after.rows)
            )
        if before.approval != after.approval and before is not nothing and after is not nothing:
            yield Difference(
                WIDER if after.approval == "request" else NARROWER, f"{what}.approval", before.approval, after.approval
            )


def _summing(old: AggregateRule | None, new: AggregateRule | None) -> str:
    if old is None or new is None:
        return WIDER if old is None else NARROWER
    if old.subject != new.subject:
        return CHANGED
    if old.extremes != new.extremes:
        return WIDER if new.extremes else CHANGED if new.min_group < old.min_group else NARROWER
    return WIDER if new.min_group < old.min_group else NARROWER


def _ordered(what: str, old: str, new: str) -> Difference:
    return Difference(WIDER if _EXPOSURE[new] > _EXPOSURE[old] else NARROWER, what, old, new)


def _reveals(policy: Policy) -> Iterator[str]:
    return (f"{relation}.{column}" for relation, columns in policy.reveal.items() for column in columns)


def _relation(table: TableRule | None) -> str:
    return f"{len(table.columns)} columns, scope {_scope(table.scope)}" if table is not None else ""


def _scope(scope: Scope) -> str:
    if scope.kind == "none":
        return "none"
    wanted = "the ticket's customer" if scope.kind == "customer" else f"in {scope.other}.{scope.other_column}"
    return f"{scope.column} {'=' if scope.kind == 'customer' else ''} {wanted}".replace("  ", " ")


def _aggregate(rule: AggregateRule | None) -> str:
    if rule is None:
        return ""
    return f"groups of {rule.min_group} {rule.subject}" + (", extremes too" if rule.extremes else "")
