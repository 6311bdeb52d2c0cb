"""What the access rooms are told (settings) and what they hand out (challenges, sign-ins, opened grants).

Values only; the rules are in the modules beside this one, and `service.py` is the one door to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from gateway.model import AccessRequest, Grant, Peer, Principal


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """The timings and roles of access; seconds unless the name says otherwise.

    `master_key` is at least 32 bytes; every key of this package derives from it by HKDF. `administrators`, `auditors`
    and `approvers` are team names. `watch_interval_s` is how often live sessions are compared with the directory, the
    tickets and the policies; `grace_s` is the greatest age of an answer that still gives access: when a source
    cannot be read, new logins fail at once and live sessions are cut after it.

    Lock-out: `lock_free` failures cost nothing, the next one `lock_base_s`, each further one twice as much up to
    `lock_max_s`; `lock_forget_s` without a failure clears the count. Addresses have their own, more patient, count.
    `workers` threads check passwords; `waiting` sign-ins may wait for them, `waiting_per_address` from one address.
    """

    master_key: bytes = field(repr=False)
    administrators: frozenset[str] = frozenset()
    auditors: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()
    issuer: str = "gateway"
    factor_fresh_s: int = 900
    token_life_s: int = 8 * 3600
    invitation_life_s: int = 72 * 3600
    pending_life_s: int = 24 * 3600
    watch_interval_s: float = 0.25
    grace_s: float = 5.0
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
class Challenge:
    """How an engine must authenticate the client that connects.

    `method` is `scram` or `cleartext`. `verifier` is the stored SCRAM form to prove against, real or mock, "" for
    cleartext. `pass_id` None means mock: the proof must be taken as failed whatever the client sends.
    """

    method: str
    login: str
    ticket_id: str | None
    target: str
    verifier: str = field(repr=False)
    pass_id: str | None


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
class Enrolling:
    """A TOTP secret that waits for its first code. `uri` is the `otpauth://` form for a QR code."""

    uri: str = field(repr=False)
    secret: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One open connection, as `gateway sessions` shows it."""

    id: str
    person: str
    login: str
    target: str
    ticket_id: str
    grant_id: str
    peer: Peer
    started_at: datetime
