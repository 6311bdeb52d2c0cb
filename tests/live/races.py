"""One of several processes that move the same requests and grants at the same time; run by `test_store_races.py`.

    races.py STORE SEED SECONDS

It prints one line of JSON for each move that the store took: what, of which, by whom.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.model import AccessRequest, Grant, GrantState, Pass, RequestState
from gateway.store import access
from gateway.store.access import PassRow
from gateway.store.database import Database
from gateway.store.opening import open_store
from gateway.store_settings import Store

NEEDED = 2
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
APPROVERS = [f"a{number}" for number in range(5)]
DIGEST = "d1"


def request(id_: str) -> AccessRequest:
    """A request for one statement that writes."""
    return AccessRequest(
        id_, "p1", "payroll", "file", "SUP-1", "", frozenset(), True, 60, RequestState.PENDING, NOW, statement="s",
        digest=DIGEST,
    )  # fmt: skip


def grant(of: AccessRequest, by: tuple[str, ...]) -> Grant:
    """What its last approval makes."""
    return Grant(
        f"grant_{of.id}", of.id, of.person, of.target, "file", "SUP-1", ("42",), frozenset(), True, GrantState.ACTIVE,
        NOW, LATER, by, statement=DIGEST,
    )  # fmt: skip


def store_of(text: str) -> Database:
    """The store that an argument names."""
    given = json.loads(text)
    return open_store(Store.model_validate(given["settings"]), Path(given["state"]))


class Racer:
    """Moves at random until its time is over."""

    def __init__(self, store: Database, seed: int) -> None:
        self.store, self.random, self.name = store, random.Random(seed), f"n{seed}"
        self.held: list[tuple[str, str]] = []

    def run(self, until: float) -> None:
        """See the module."""
        moves = (self.approve, self.approve, self.approve, self.turn_down, self.end, self.mint, self.claim)
        while time.monotonic() < until:
            self.random.choice(moves)()

    def approve(self) -> None:
        """As the workflow does: on top of the approvals that were seen."""
        one = self._request()
        by = self.random.choice(APPROVERS)
        if one is None or by in one.decided_by:
            return
        if len(one.decided_by) + 1 < NEEDED:
            if self.store.run_now(access.add_approval, one.id, by, NOW, one.decided_by):
                self._took("counted", one.id, by)
            return
        made = grant(one, (*one.decided_by, by))
        args = (one.id, one.state, RequestState.APPROVED, NOW)
        if self.store.run_now(access.move_request, *args, grant=made):
            self._took("approved", one.id, by)

    def turn_down(self) -> None:
        """Deny, cancel or let run out."""
        one = self._request()
        to = self.random.choice((RequestState.DENIED, RequestState.CANCELLED, RequestState.EXPIRED))
        if (
            one is not None
            and self.random.random() < 0.2
            and self.store.run_now(access.move_request, one.id, one.state, to, NOW)
        ):
            self._took(to.value, one.id, self.name)

    def end(self) -> None:
        """Revoke, or let run out."""
        one = self._grant()
        to = self.random.choice((GrantState.REVOKED, GrantState.EXPIRED))
        if (
            one is not None
            and self.random.random() < 0.2
            and self.store.run_now(access.move_grant, one.id, GrantState.ACTIVE, to, "")
        ):
            self._took(to.value, one.id, self.name)

    def mint(self) -> None:
        """A pass, and a look whether it admits."""
        one = self._grant()
        if one is None:
            return
        id_ = f"pass_{self.name}_{self.random.getrandbits(60)}"
        minted = Pass(id_, one.id, one.person, one.target, one.ticket_id, "SCRAM", NOW, LATER)
        if self.store.run_now(access.insert_pass, PassRow(minted, "alice", "totp", NOW)):
            self._took("minted", one.id, id_)

    def claim(self) -> None:
        """Claim the statement; one that was claimed here is given back now and then."""
        if self.held and self.random.random() < 0.5:
            grant_id, session = self.held.pop()
            if self.store.run_now(access.release_statement, grant_id, DIGEST, session):
                self._took("released", grant_id, session)
            return
        one = self._grant()
        session = f"s_{self.name}_{self.random.getrandbits(60)}"
        if one is not None and self.store.run_now(access.claim_statement, one.id, DIGEST, session, NOW):
            self.held.append((one.id, session))
            self._took("claimed", one.id, session)

    def _request(self) -> AccessRequest | None:
        pending = self.store.run_now(access.list_requests, state=RequestState.PENDING)
        return self.random.choice(pending[:3]) if pending else None

    def _grant(self) -> Grant | None:
        grants = [one for one in self.store.run_now(access.list_grants) if one.state is GrantState.ACTIVE]
        return self.random.choice(grants[:3]) if grants else None

    def _took(self, what: str, of: str, by: str) -> None:
        sys.stdout.write(json.dumps([what, of, by]) + "\n")


def main() -> None:
    """See the module."""
    store = store_of(sys.argv[1])
    sys.stdin.readline()
    Racer(store, int(sys.argv[2])).run(time.monotonic() + float(sys.argv[3]))
    store.close()


if __name__ == "__main__":
    main()
