"""What the access rooms are told (settings), what they ask each other, and what they hand out (challenges, sign-ins,
opened grants).

Values only; the rules are in the modules beside this one, and `service.py` is the one door to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.errors import Refusal
from gateway.factor_settings import Fresh, WebAuthn
from gateway.model import AccessRequest, Grant, Peer, Preview, Principal, Ticket, Write
from gateway.policy.schema import Policy

Reveal = frozenset[tuple[str, str]]
"""(qualified relation, column) pairs to be shown in clear."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """The timings and roles of access; seconds unless the name says otherwise.

    `master_key` is at least 32 bytes; every key of this package derives from it by HKDF, or from `root` where there is
    one; `former_keys` open what is not yet sealed under it. `administrators`, `auditors`,
    `custodians` and `approvers` are team names. `watch_interval_s` is how often live sessions are compared with the
    directory, the tickets and the policies; `preview_life_s` is how long an approver may rely on having seen what a
    statement would change, `act_life_s` how long what two people agreed on may be carried out. `grace_s` is the
    greatest age of an answer that keeps a live session going: when a source cannot be read, new logins fail at once
    and live sessions are cut after it. `fresh_s` is that of an answer that keeps a sign-in to the API going, which can
    open more; and how long the watcher may stand still. `store_grace_s` is how old what is known of the store may be,
    which other gateways change: sessions and sign-ins end after it.

    Lock-out: `lock_free` failures cost nothing, the next one `lock_base_s`, each further one twice as much up to
    `lock_max_s`; `lock_forget_s` without a failure clears the count. Addresses have their own, more patient, count.
    `workers` threads check passwords; `waiting` sign-ins may wait for them, `waiting_per_address` from one address.
    """

    master_key: bytes = field(repr=False)
    former_keys: tuple[bytes, ...] = field(default=(), repr=False, kw_only=True)
    root: bytes = field(default=b"", repr=False, kw_only=True)
    administrators: frozenset[str] = frozenset()
    auditors: frozenset[str] = frozenset()
    custodians: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()
    issuer: str = "gateway"
    fresh: Fresh = field(default_factory=Fresh)
    webauthn: WebAuthn = field(default_factory=WebAuthn)
    token_life_s: int = 8 * 3600
    invitation_life_s: int = 72 * 3600
    pending_life_s: int = 24 * 3600
    unused_life_s: int = 8 * 3600
    preview_life_s: int = 900
    act_life_s: int = 3600
    watch_interval_s: float = 0.25
    grace_s: float = 300.0
    fresh_s: float = 5.0
    store_grace_s: float = 5.0
    lock_free: int = 5
    lock_base_s: float = 2.0
    lock_max_s: float = 900.0
    lock_forget_s: float = 3600.0
    address_free: int = 30
    address_max_s: float = 60.0
    workers: int = 2
    waiting: int = 64
    waiting_per_address: int = 8

    def __post_init__(self) -> None:
        if len(self.master_key) < 32:
            raise ValueError("the master key must be at least 32 bytes")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for. `duration_s` 0 means the policy's default; `direct` is a login without a pass.

    `write` is access to write: to run `statement`, once, where there is one, else in general. `digest` is its digest,
    once it was studied. `break_glass` asks to do without approval.
    """

    person: Principal
    target: str
    ticket_id: str
    factor_at: datetime
    reason: str = ""
    duration_s: int = 0
    reveal: Reveal = frozenset()
    direct: bool = False
    write: bool = False
    statement: str = field(default="", repr=False)
    digest: str = ""
    break_glass: bool = False
    factor: str = "totp"


@dataclass(frozen=True, slots=True)
class Judged:
    """A request that the rules allow to be made, and whether the policy approves it by itself."""

    policy: Policy
    ticket: Ticket
    approve: bool


@dataclass(frozen=True, slots=True)
class Challenge:
    """How an engine must authenticate the client that connects.

    `method` is `scram` or `cleartext`. `verifier` is the stored SCRAM form to prove against, real or mock, "" for
    cleartext. `pass_id` None means mock: the proof must be taken as failed whatever the client sends. `others` are
    further passes of the ticket that the client may prove instead, each with its verifier.
    """

    method: str
    login: str
    ticket_id: str | None
    target: str
    verifier: str = field(repr=False)
    pass_id: str | None
    others: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def proven(self, place: int) -> Challenge:
        """The challenge as if the pass at that place had been its only one; 0 is the first."""
        passes = ((self.verifier, self.pass_id), *self.others)
        verifier, pass_id = passes[place]
        return replace(self, verifier=verifier, pass_id=pass_id, others=())


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person who proved password and second factor to the API. `token` is set only when it was just made."""

    id: str
    principal: Principal
    factor: str
    factor_at: datetime
    started_at: datetime
    expires_at: datetime
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """Access that was opened: `secret` is the pass and is shown this once; `user` is the database user name."""

    grant: Grant
    request: AccessRequest
    ticket_id: str
    customers: tuple[str, ...]
    user: str
    secret: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Earlier:
    """A request that was made before another one by the same person; `same` says that it was for the same customer."""

    request: AccessRequest
    same: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A request with its ticket as it stands now, for who may see it.

    `write` is what its statement would write now; `problem` is why nothing would come of the request now. `readable`
    says that the viewer may read the statement; the request is without it otherwise. `earlier` is what its person
    asked for before, newest first.
    """

    request: AccessRequest
    requester: Principal | None
    ticket: Ticket | None
    readable: bool
    write: Write | None = None
    problem: Refusal | None = None
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True)
class Previewed:
    """What a request's statement would write, and the rows that it would meet, masked as the requester sees them.

    Without a statement: how many rows each relation has whose columns would be seen in clear.
    """

    request: AccessRequest
    write: Write | None
    preview: Preview


@dataclass(frozen=True, slots=True)
class Enrolling:
    """A TOTP secret that waits for its first code. `uri` is the `otpauth://` form for a QR code."""

    uri: str = field(repr=False)
    secret: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One open connection, as `gateway sessions` shows it. `protected` unless its target is only observed."""

    id: str
    person: str
    login: str
    target: str
    ticket_id: str
    grant_id: str
    peer: Peer
    started_at: datetime
    protected: bool = True


@dataclass(frozen=True, slots=True)
class Holding:
    """A live grant, and the sessions of this process under it."""

    grant: Grant
    sessions: tuple[LiveSession, ...] = ()
