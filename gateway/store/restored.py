"""What is done with a store that went back in time: an old backup, or a standby that had not got everything.

Which moves it has lost nobody can tell, so everything in it that gives access, or could, ends. What the holders lose
is a new request or sign-in; what is kept is kept for the record. Factors stay, but no code up to now is taken.
"""

from __future__ import annotations

from datetime import datetime

from gateway.model import GrantState, RequestState
from gateway.store import changes, schema
from gateway.store.acts import ActState
from gateway.store.changes import Mark
from gateway.store.database import Connection

REASON = "the store had gone back in time"


def settle(connection: Connection, known: Mark, known_at: datetime, now: datetime, step: int) -> bool | None:
    """End what gives access where the store has not had the change `known`, seen in it at `known_at`.

    `step` is the newest time step whose code may have been used. None for a store that went on from there, False when
    another gateway has dealt with it since, True when it was done now.
    """
    if changes.knows(connection, known):
        return None
    if changes.restored_after(connection, known_at):
        return False
    grants, requests, acts, factors = schema.grants, schema.requests, schema.acts, schema.factors
    active, pending = grants.c.state == GrantState.ACTIVE.value, requests.c.state == RequestState.PENDING.value
    connection.execute(grants.update().where(active).values(state=GrantState.REVOKED.value, ended_reason=REASON))
    connection.execute(schema.passes.update().where(~schema.passes.c.revoked).values(revoked=True))
    over = {"state": RequestState.EXPIRED.value, "decided_at": now, "decision_reason": REASON}
    connection.execute(requests.update().where(pending).values(**over))
    live = acts.c.state.in_((ActState.WAITING.value, ActState.CONFIRMED.value))
    connection.execute(acts.update().where(live).values(state=ActState.EXPIRED.value, sealed=None, done_at=now))
    given = schema.delegations
    connection.execute(given.update().where(given.c.ended_at.is_(None)).values(ended_at=now))
    connection.execute(schema.tokens.delete())
    connection.execute(schema.invitations.delete().where(schema.invitations.c.used_at.is_(None)))
    connection.execute(factors.update().where(factors.c.last_step < step).values(last_step=step))
    changes.tell(connection, changes.RESTORED, str(known))
    return True
