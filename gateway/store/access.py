"""Requests, grants and passes as rows.

INVARIANT: rows of requests and grants change state and are never deleted. A request's statement is kept as it was
filed and may hold personal data; who gets to read it is said in `access/writing.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.model import AccessRequest, Grant, GrantState, Pass, RequestState
from gateway.store import changes, schema
from gateway.store.database import Connection


@dataclass(frozen=True, slots=True)
class PassRow:
    """A pass with what its logins need to know: the login it was minted for and the factor that proved the person."""

    secret: Pass
    login: str
    factor: str
    factor_at: datetime
    superseded: bool = False


def load(connection: Connection, now: datetime) -> tuple[list[Grant], list[PassRow]]:
    """Active grants, and their passes, oldest first."""
    grants, passes = schema.grants, schema.passes
    live = connection.execute(sa.select(grants).where(grants.c.state == GrantState.ACTIVE.value))
    found = connection.execute(
        sa.select(passes)
        .join(grants, grants.c.id == passes.c.grant_id)
        .where(grants.c.state == GrantState.ACTIVE.value, passes.c.expires_at > now, ~passes.c.revoked)
        .order_by(passes.c.created_at)
    )
    return [_grant(row) for row in live], [_pass(row) for row in found]


def found(connection: Connection, grant_ids: Collection[str]) -> tuple[list[Grant], list[PassRow]]:
    """Those grants as they are, and the passes of the active ones, oldest first."""
    grants, passes = schema.grants, schema.passes
    rows = [_grant(row) for row in connection.execute(sa.select(grants).where(grants.c.id.in_(grant_ids)))]
    active = [grant.id for grant in rows if grant.state is GrantState.ACTIVE]
    kept = connection.execute(
        sa.select(passes).where(passes.c.grant_id.in_(active), ~passes.c.revoked).order_by(passes.c.created_at)
    )
    return rows, [_pass(row) for row in kept]


def admits(connection: Connection, pass_id: str, now: datetime) -> bool:
    """Whether that pass, and the grant that it is of, are good at this moment."""
    grants, passes = schema.grants, schema.passes
    row = connection.execute(
        sa.select(passes.c.id)
        .join(grants, grants.c.id == passes.c.grant_id)
        .where(
            passes.c.id == pass_id, ~passes.c.revoked, passes.c.expires_at > now,
            grants.c.state == GrantState.ACTIVE.value, grants.c.expires_at > now,
        )
    )  # fmt: skip
    return row.first() is not None


def lives(connection: Connection, grant_id: str, now: datetime) -> bool:
    """Whether that grant is good at this moment."""
    grants = schema.grants
    row = connection.execute(
        sa.select(grants.c.id).where(
            grants.c.id == grant_id, grants.c.state == GrantState.ACTIVE.value, grants.c.expires_at > now
        )
    )
    return row.first() is not None


def insert_request(connection: Connection, request: AccessRequest, grant: Grant | None = None) -> None:
    """Keep a request, and with it the grant that the policy gave at once."""
    connection.execute(
        schema.requests.insert().values(
            id=request.id,
            person=request.person,
            target=request.target,
            ticket_system=request.ticket_system,
            ticket_id=request.ticket_id,
            reason=request.reason,
            reveal=_pairs(request.reveal),
            write=request.write,
            duration_s=request.duration_s,
            state=request.state.value,
            created_at=request.created_at,
            decided_at=request.decided_at,
            decision_reason=request.decision_reason,
            statement=request.statement,
            digest=request.digest,
            extends=request.extends,
        )
    )
    if grant is not None:
        _insert_grant(connection, grant)


def find_request(connection: Connection, request_id: str) -> AccessRequest | None:
    """The request as it stands."""
    found = _requests(connection, schema.requests.c.id == request_id)
    return found[0] if found else None


def list_requests(
    connection: Connection, *, person: str | None = None, state: RequestState | None = None, limit: int = 500
) -> list[AccessRequest]:
    """Requests, newest first."""
    table = schema.requests
    where = [table.c.person == person] if person is not None else []
    if state is not None:
        where.append(table.c.state == state.value)
    return _requests(connection, sa.and_(sa.true(), *where), limit)


def add_approval(
    connection: Connection, request_id: str, person: str, at: datetime, seen: tuple[str, ...], in_name_of: str = ""
) -> bool:
    """Count one approver of a pending request, whose approvers until now were `seen`; False when anything changed.

    `in_name_of` is whose right it was, where it was not his own.
    """
    found = find_request(connection, request_id)
    if found is None or found.state is not RequestState.PENDING or set(found.decided_by) != set(seen) or person in seen:
        return False
    connection.execute(
        schema.approvals.insert().values(request_id=request_id, person=person, at=at, in_name_of=in_name_of)
    )
    return True


def move_request(
    connection: Connection,
    request_id: str,
    source: RequestState,
    to: RequestState,
    at: datetime,
    reason: str = "",
    grant: Grant | None = None,
    seen: tuple[str, ...] | None = None,
    in_name_of: str = "",
) -> bool:
    """Compare-and-swap the state; with a grant, its last approver is counted in the same transaction.

    `seen` are the approvers until now where not all of them are among the grant's.
    """
    table = schema.requests
    if grant is not None:
        *before, last = grant.approved_by
        known = tuple(before) if seen is None else seen
        if not add_approval(connection, request_id, last, at, known, in_name_of):
            return False
    moved = connection.execute(
        table.update()
        .where(table.c.id == request_id, table.c.state == source.value)
        .values(state=to.value, decided_at=at, decision_reason=reason)
    )
    if moved.rowcount != 1:
        return False
    if grant is not None:
        _insert_grant(connection, grant)
    return True


def extend_grant(
    connection: Connection, grant_id: str, before: datetime, until: datetime, request: AccessRequest,
    seen: tuple[str, ...] | None = None, in_name_of: str = "",
) -> bool:  # fmt: skip
    """Let a live grant that would end at `before` last `until` then, and its passes with it.

    `request` is the approved request for that: a new one, or with `seen` one that waited, whose approvers until now
    those are and whose last one is its last `decided_by`. False, and nothing is done, when anything has changed.
    """
    grants, requests = schema.grants, schema.requests
    with connection.begin_nested() as step:
        moved = connection.execute(
            grants.update()
            .where(
                grants.c.id == grant_id, grants.c.state == GrantState.ACTIVE.value, grants.c.expires_at == before,
                grants.c.expires_at > request.decided_at,
            )
            .values(expires_at=until)
        ).rowcount == 1  # fmt: skip
        if moved and seen is None:
            insert_request(connection, request)
        elif moved:
            assert request.decided_at is not None
            at, last = request.decided_at, request.decided_by[-1]
            waiting = sa.and_(requests.c.id == request.id, requests.c.state == RequestState.PENDING.value)
            decided = {"state": request.state.value, "decided_at": at, "decision_reason": request.decision_reason}
            moved = (
                add_approval(connection, request.id, last, at, seen or (), in_name_of)
                and connection.execute(requests.update().where(waiting).values(**decided)).rowcount == 1
            )
        if not moved:
            step.rollback()
            return False
        passes = schema.passes.update().where(schema.passes.c.grant_id == grant_id, ~schema.passes.c.revoked)
        connection.execute(passes.values(expires_at=until))
        changes.tell(connection, changes.GRANT, grant_id)
        return True


def earlier_requests(
    connection: Connection, person: str, since: datetime, before: datetime, limit: int = 500
) -> list[tuple[AccessRequest, tuple[str, ...]]]:
    """What a person asked for in that time, newest first, each with the customers that were opened by it."""
    table = schema.requests
    found = _requests(
        connection, sa.and_(table.c.person == person, table.c.created_at >= since, table.c.created_at < before), limit
    )
    given = sa.select(schema.grants.c.request_id, schema.grants.c.customers).where(
        schema.grants.c.request_id.in_([one.id for one in found])
    )
    opened = {row.request_id: tuple(row.customers) for row in connection.execute(given)}
    return [(one, opened.get(one.id, ())) for one in found]


def move_grant(connection: Connection, grant_id: str, source: GrantState, to: GrantState, reason: str) -> bool:
    """Compare-and-swap the state; passes of a grant that ends are revoked with it."""
    table = schema.grants
    moved = connection.execute(
        table.update()
        .where(table.c.id == grant_id, table.c.state == source.value)
        .values(state=to.value, ended_reason=reason)
    )
    if moved.rowcount != 1:
        return False
    connection.execute(schema.passes.update().where(schema.passes.c.grant_id == grant_id).values(revoked=True))
    changes.tell(connection, changes.GRANT, grant_id)
    return True


def claim_statement(connection: Connection, grant_id: str, digest: str, session: str, at: datetime) -> bool:
    """Mark a live grant's one statement as spent by that session; False when it is another one, spent, or over."""
    table = schema.grants
    moved = connection.execute(
        table.update()
        .where(
            table.c.id == grant_id,
            table.c.state == GrantState.ACTIVE.value,
            table.c.expires_at > at,
            table.c.write,
            table.c.statement != "",
            table.c.statement == digest,
            table.c.spent_at.is_(None),
        )
        .values(spent_by=session, spent_at=at)
    )
    if moved.rowcount == 1:
        changes.tell(connection, changes.GRANT, grant_id)
    return moved.rowcount == 1


def release_statement(connection: Connection, grant_id: str, digest: str, session: str) -> bool:
    """Undo that session's claim of a grant that is not over; False when there is none."""
    table = schema.grants
    moved = connection.execute(
        table.update()
        .where(
            table.c.id == grant_id,
            table.c.state == GrantState.ACTIVE.value,
            table.c.statement == digest,
            table.c.spent_by == session,
            table.c.spent_at.is_not(None),
        )
        .values(spent_by="", spent_at=None)
    )
    if moved.rowcount == 1:
        changes.tell(connection, changes.GRANT, grant_id)
    return moved.rowcount == 1


def put_preview(connection: Connection, request_id: str, person: str, seen: str, at: datetime) -> bool:
    """Keep what a person saw of a pending request, in place of what he saw before; False when it is decided."""
    table = schema.previews
    pending = sa.select(schema.requests.c.id).where(
        schema.requests.c.id == request_id, schema.requests.c.state == RequestState.PENDING.value
    )
    if connection.execute(pending).first() is None:
        return False
    connection.execute(table.delete().where(table.c.request_id == request_id, table.c.person == person))
    connection.execute(table.insert().values(request_id=request_id, person=person, seen=seen, at=at))
    return True


def list_previews(connection: Connection, request_id: str) -> dict[str, tuple[str, datetime]]:
    """What each person saw of a request last, and when."""
    table = schema.previews
    rows = connection.execute(sa.select(table).where(table.c.request_id == request_id))
    return {row.person: (row.seen, row.at) for row in rows}


def list_grants(connection: Connection, *, person: str | None = None, limit: int = 500) -> list[Grant]:
    """Grants in any state, newest first."""
    query = sa.select(schema.grants).order_by(schema.grants.c.created_at.desc()).limit(limit)
    if person is not None:
        query = query.where(schema.grants.c.person == person)
    return [_grant(row) for row in connection.execute(query)]


def has_passes(connection: Connection, grant_id: str) -> bool:
    """Whether a pass was ever minted for that grant."""
    table = schema.passes
    return connection.execute(sa.select(table.c.id).where(table.c.grant_id == grant_id).limit(1)).first() is not None


def insert_pass(connection: Connection, row: PassRow) -> bool:
    """Keep a pass of an active grant; False when the grant is over.

    Older ones of the same person, target, ticket and purpose admit no new login from here on. The purposes are reading,
    writing, each with and without break-glass, and each statement approved by itself.
    """
    secret, table, grants = row.secret, schema.passes, schema.grants
    active = sa.select(grants.c.id).where(grants.c.id == secret.grant_id, grants.c.state == GrantState.ACTIVE.value)
    if connection.execute(active).first() is None:
        return False
    purpose = (grants.c.write, grants.c.statement, grants.c.break_glass)
    this = sa.select(*purpose).where(grants.c.id == secret.grant_id).subquery()
    alike = (
        sa.select(grants.c.id)
        .join(this, sa.and_(*(column == this.c[column.name] for column in purpose)))
        .where(grants.c.person == secret.person)
    )
    connection.execute(
        table.update()
        .where(
            table.c.person == secret.person,
            table.c.target == secret.target,
            table.c.ticket_id == secret.ticket_id,
            table.c.grant_id.in_(alike),
            ~table.c.superseded,
        )
        .values(superseded=True)
    )
    connection.execute(
        table.insert().values(
            id=secret.id,
            grant_id=secret.grant_id,
            person=secret.person,
            login=row.login,
            target=secret.target,
            ticket_id=secret.ticket_id,
            scram=secret.scram,
            factor=row.factor,
            factor_at=row.factor_at,
            created_at=secret.created_at,
            expires_at=secret.expires_at,
        )
    )
    changes.tell(connection, changes.GRANT, secret.grant_id)
    return True


def _requests(connection: Connection, where: sa.ColumnElement[bool], limit: int = 1) -> list[AccessRequest]:
    table, approvals = schema.requests, schema.approvals
    rows = connection.execute(sa.select(table).where(where).order_by(table.c.created_at.desc()).limit(limit)).all()
    by: dict[str, list[tuple[str, str]]] = {}
    given = (
        sa.select(approvals)
        .where(approvals.c.request_id.in_([row.id for row in rows]))
        .order_by(approvals.c.at, approvals.c.person)
    )
    for approval in connection.execute(given):
        by.setdefault(approval.request_id, []).append((approval.person, approval.in_name_of))
    return [
        AccessRequest(
            id=row.id,
            person=row.person,
            target=row.target,
            ticket_system=row.ticket_system,
            ticket_id=row.ticket_id,
            reason=row.reason,
            reveal=_unpairs(row.reveal),
            write=row.write,
            duration_s=row.duration_s,
            state=RequestState(row.state),
            created_at=row.created_at,
            decided_at=row.decided_at,
            decided_by=tuple(person for person, _ in by.get(row.id, ())),
            in_name_of=tuple(name for _, name in by.get(row.id, ())),
            decision_reason=row.decision_reason,
            statement=row.statement,
            digest=row.digest,
            extends=row.extends,
        )
        for row in rows
    ]


def _insert_grant(connection: Connection, grant: Grant) -> None:
    connection.execute(
        schema.grants.insert().values(
            id=grant.id,
            request_id=grant.request_id,
            person=grant.person,
            target=grant.target,
            ticket_system=grant.ticket_system,
            ticket_id=grant.ticket_id,
            customers=list(grant.customers),
            reveal=_pairs(grant.reveal),
            write=grant.write,
            state=grant.state.value,
            created_at=grant.created_at,
            expires_at=grant.expires_at,
            approved_by=list(grant.approved_by),
            statement=grant.statement,
            break_glass=grant.break_glass,
        )
    )
    changes.tell(connection, changes.GRANT, grant.id)


def _grant(row: sa.Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        request_id=row.request_id,
        person=row.person,
        target=row.target,
        ticket_system=row.ticket_system,
        ticket_id=row.ticket_id,
        customers=tuple(row.customers),
        reveal=_unpairs(row.reveal),
        write=row.write,
        state=GrantState(row.state),
        created_at=row.created_at,
        expires_at=row.expires_at,
        approved_by=tuple(row.approved_by),
        ended_reason=row.ended_reason,
        statement=row.statement,
        spent=row.spent_at is not None,
        break_glass=row.break_glass,
    )


def _pass(row: sa.Row[Any]) -> PassRow:
    secret = Pass(
        id=row.id,
        grant_id=row.grant_id,
        person=row.person,
        target=row.target,
        ticket_id=row.ticket_id,
        scram=row.scram,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked=row.revoked,
    )
    return PassRow(secret, row.login, row.factor, row.factor_at, row.superseded)


def _pairs(reveal: frozenset[tuple[str, str]]) -> list[list[str]]:
    return sorted([relation, column] for relation, column in reveal)


def _unpairs(stored: list[list[str]]) -> frozenset[tuple[str, str]]:
    return frozenset((relation, column) for relation, column in stored)
