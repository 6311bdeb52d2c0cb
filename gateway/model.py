"""The facts that every part of the gateway speaks about.

Frozen values only: nothing here has behaviour beyond reading its own fields, and nothing here imports
another module of the gateway. What is made for each statement is a named tuple: it is made in a quarter of the time of
a frozen dataclass.

INVARIANT: a `Permit` is constructed by `gate.py` and nowhere else (the layer test holds it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol


class RequestState(StrEnum):
    """Where an access request stands; the transitions are in `access/request.py`."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class GrantState(StrEnum):
    """Where a grant stands. Only `ACTIVE` gives access."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Principal:
    """A person, as the directory answered. `id` is stable and never reused; `login` may change.

    `inactive_because` says why somebody is not active, where the directory tells. `human` is what all accounts of one
    human being have in common, where the directory has such a thing.
    """

    id: str
    login: str
    name: str
    teams: frozenset[str]
    email: str = ""
    active: bool = True
    inactive_because: str = ""
    human: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A justification as its source stated it at `updated_at`. `assignee` is a login of the directory.

    `assignee_email` stands in its place where the source knows people by address only. `in_project` is the project
    where the id does not say it.
    """

    id: str
    system: str
    title: str
    status: str
    assignee: str
    customers: tuple[str, ...]
    url: str = ""
    team: str = ""
    updated_at: datetime | None = None
    in_project: str = ""
    assignee_email: str = ""

    @property
    def project(self) -> str:
        """The part of the id before its last hyphen: `SUP` of `SUP-1423`; the id itself when it has none."""
        if self.in_project:
            return self.in_project
        head, hyphen, _ = self.id.rpartition("-")
        return head if hyphen else self.id


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """What a person asked for and what became of it. Kept for ever, never overwritten.

    `statement` is the one writing statement that is asked for, as it was filed, and `digest` its digest (see `Write`);
    both are empty for access in general. It may hold personal data: only its author and who may decide about it get
    to read it. `in_name_of` says, for each of `decided_by`, whose right it was where it was not his own. `extends` is
    the grant that is to last longer, by `duration_s`.
    """

    id: str
    person: str
    target: str
    ticket_system: str
    ticket_id: str
    reason: str
    reveal: frozenset[tuple[str, str]]
    write: bool
    duration_s: int
    state: RequestState
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: tuple[str, ...] = ()
    decision_reason: str = ""
    statement: str = ""
    digest: str = ""
    in_name_of: tuple[str, ...] = ()
    extends: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission for one person on one target for one ticket's customers, until `expires_at`.

    `reveal` holds (qualified relation, column) pairs whose mask the approval turned off. `statement` is the digest of
    the one writing statement that was approved, if one was; `spent` once it was let run. `break_glass` is access that
    its holder took without anybody's approval; somebody else reviews it.
    """

    id: str
    request_id: str
    person: str
    target: str
    ticket_system: str
    ticket_id: str
    customers: tuple[str, ...]
    reveal: frozenset[tuple[str, str]]
    write: bool
    state: GrantState
    created_at: datetime
    expires_at: datetime
    approved_by: tuple[str, ...] = ()
    ended_reason: str = ""
    statement: str = ""
    spent: bool = False
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """The stored form of a secret that proves a grant to an ordinary client; verifiers only.

    `scram` is PostgreSQL's own stored form: `SCRAM-SHA-256$<iterations>:<salt>$<stored>:<server>`.
    """

    id: str
    grant_id: str
    person: str
    target: str
    ticket_id: str
    scram: str
    created_at: datetime
    expires_at: datetime
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a connection comes from. `address` is host:port; `application` is what the client calls itself."""

    address: str
    application: str = ""
    engine: str = "postgres"
    tls: str = ""
    user: str = ""

    @property
    def host(self) -> str:
        """The address without its port."""
        return self.address.rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class Session:
    """An authenticated connection of a person to a target under one grant; `trace` is its trace's id, if it has one."""

    id: str
    principal: Principal
    grant: Grant
    ticket: Ticket
    pass_id: str | None
    factor: str
    factor_at: datetime
    peer: Peer
    started_at: datetime
    trace: str = ""


class Statement(NamedTuple):
    """One client message that asks for something: its text as it came, and how it came.

    `protocol` is `simple`, `prepare` or `execute`. `parameters` counts bound values (their contents are not
    kept). `max_rows` is the client's own row limit, 0 for none.
    """

    id: str
    text: str
    protocol: str = "simple"
    parameters: int = 0
    max_rows: int = 0


class Outcome(NamedTuple):
    """How a permitted statement ended. `status` is `ok`, `error`, `cancelled`, `cut` or `unknown`.

    `rows` and `bytes` are what was released to the client; `code` is the SQLSTATE of an error. `rows_in` is what the
    target says that it took of the `bytes_in` that the client sent in for a COPY FROM STDIN; of a WebSocket they are
    the client's messages, and `digest` is of all that passed.
    """

    status: str
    rows: int = 0
    bytes: int = 0
    code: str = ""
    duration_us: int = 0
    tag: str = ""
    rows_in: int = 0
    bytes_in: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """What a statement that writes would do, as its analysis found it.

    `verb` is `INSERT`, `UPDATE` or `DELETE`; `columns` are those of the qualified `relation` that it sets; `rows` is
    how many rows it may meet. `approval` is `statement` when this very statement must be approved, `request` when a
    grant for writing is enough. `canonical` is the statement in one form, whatever its spacing, case and comments;
    `digest` is the SHA-256 of that, in hexadecimal. `preview` is a SELECT, to be analysed like anybody's, of the rows
    that it would meet and of what it would set; empty for an INSERT. `parameters` says that it has placeholders.
    """

    verb: str
    relation: str
    columns: tuple[str, ...]
    rows: int
    approval: str
    canonical: str
    digest: str
    preview: str = ""
    parameters: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """The rows that a statement would meet, as text; None is NULL. `more` when there are more than were fetched."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    more: bool = False


class Receipt(Protocol):
    """The promise that a record will be durable.

    `index` is the record's place in its log. `durable` turns true once the record is on stable storage;
    `failed` once it can never be. Callbacks run on the thread that appended, at once when already decided.
    """

    index: int
    durable: bool
    failed: bool

    def add_done_callback(self, callback: Callable[[Receipt], Any]) -> None:
        """Call `callback(self)` once `durable` or `failed` is true."""
        ...


class Permit(NamedTuple):
    """The only thing that `upstream` takes. Made by the gate after its begin record was appended.

    `text` is what the target gets. `window_rows` and `window_bytes` bound what may be released before the gate
    extends the announcement. `receipt` must be durable before a byte of a result leaves (reads) or before the
    text is forwarded (writes).
    """

    statement: Statement
    session: Session
    text: str
    plan: Any
    receipt: Receipt
    window_rows: int
    window_bytes: int
    started_ns: int
    notices: tuple[Any, ...] = ()
