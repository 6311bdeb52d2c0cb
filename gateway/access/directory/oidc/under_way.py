"""What a login at the identity provider is while it is under way; the rules are in `logins.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gateway.access.directory.oidc.claims import Facts
from gateway.errors import Refusal
from gateway.model import Peer, Principal


class State(StrEnum):
    """How a login stands; the transitions are in the text of `logins.py`."""

    WAITING = "waiting"
    CONFIRMING = "confirming"
    PROVED = "proved"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Begun:
    """What a command line shows: where to go, and the code for the provider's page (device) or for ours (browser)."""

    token: str = field(repr=False)
    flow: str
    uri: str
    code: str
    life_s: float
    interval_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a login stands. Once it is proved: for whom, and what `finish` needs: `code`, `nothing` or `enrolment`."""

    state: State
    interval_s: float
    login: str = ""
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Asking:
    """What the page that asks for the code shows: who, for a terminal where."""

    login: str
    address: str


@dataclass(slots=True)
class UnderWay:
    """One login: what it shows, what it waits for, and what came of it."""

    flow: str
    peer: Peer
    until: float
    key: bytes = field(repr=False)
    code: str = field(default="", repr=False)
    go: str = field(default="", repr=False)
    oauth_state: str = field(default="", repr=False)
    nonce: str = field(default="", repr=False)
    verifier: str = field(default="", repr=False)
    browser: bytes = field(default=b"", repr=False)
    form: str = field(default="", repr=False)
    device: str = field(default="", repr=False)
    interval_s: float = 1.0
    next_at: float = 0.0
    asking: bool = False
    tries: int = 0
    state: State = State.WAITING
    facts: Facts | None = None
    refresh: str = field(default="", repr=False)
    factor_at: datetime | None = None
    person: Principal | None = None
    refusal: Refusal | None = None

    @property
    def method(self) -> str:
        """How records call it."""
        return f"oidc-{self.flow}"
