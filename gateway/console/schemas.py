"""The bodies of the API: what may come in (everything else is refused) and what goes out.

INVARIANT: secrets come in as `SecretStr`, so that no representation of a body shows one; lengths are bounded here,
before any work is done. Secrets go out once, in the answers that make them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from gateway.access.values import LiveSession, SignIn
from gateway.model import AccessRequest, Grant

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Ticket = Annotated[str, StringConstraints(max_length=64)]
Reason = Annotated[str, StringConstraints(max_length=500)]
RevealedColumn = Annotated[str, StringConstraints(pattern=r"^[^.]{1,63}\.[^.]{1,63}\.[^.]{1,63}$")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
Code = Annotated[SecretStr, Field(min_length=1, max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SignInBody(_Body):
    """Password and second factor together; `otp` is the code of the moment or a recovery code."""

    login: Name
    password: Password
    otp: Code


class OpenBody(_Body):
    """Which access is wanted. `target` may be left out when there is one; `duration_s` 0 is the policy's default."""

    ticket: Ticket
    target: Annotated[str, StringConstraints(max_length=64)] = ""
    reason: Reason = ""
    duration_s: int = Field(default=0, ge=0, le=7 * 86400)
    reveal: list[RevealedColumn] = Field(default_factory=list, max_length=64)


class ReasonBody(_Body):
    """Why."""

    reason: Reason = ""


class EnrolBeginBody(_Body):
    """Proof of the password, with an invitation."""

    login: Name
    password: Password
    invitation: Code


class EnrolFinishBody(EnrolBeginBody):
    """The same again, with the first code of the new factor."""

    otp: Code


class PersonAnswer(_Body):
    """A person."""

    login: str
    name: str
    teams: list[str]


class WhoamiAnswer(_Body):
    """The sign-in under which the question was asked."""

    person: PersonAnswer
    roles: list[Literal["administrator", "auditor"]]
    factor: str
    factor_at: datetime
    expires_at: datetime


class SignInAnswer(WhoamiAnswer):
    """A new sign-in; `token` goes into `Authorization: Bearer`."""

    token: str


class OpenAnswer(_Body):
    """How to connect. `ca` is the PEM of the authority to verify the gateway with, empty for the system's."""

    target: str
    host: str
    port: int
    database: str
    user: str
    password: str
    sslmode: Literal["verify-full", "disable"]
    ca: str
    ticket: str
    customers: list[str]
    grant: str
    request: str
    expires_at: datetime


class RequestAnswer(_Body):
    """An access request; `login` and `decided_by` are empty for people whom the directory no longer knows."""

    id: str
    login: str
    target: str
    ticket: str
    reason: str
    reveal: list[str]
    duration_s: int
    state: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: list[str]
    decision_reason: str


class RequestsAnswer(_Body):
    """Access requests, newest first."""

    requests: list[RequestAnswer]


class GrantAnswer(_Body):
    """A grant."""

    id: str
    request: str
    login: str
    target: str
    ticket: str
    customers: list[str]
    reveal: list[str]
    state: str
    created_at: datetime
    expires_at: datetime
    approved_by: list[str]
    ended_reason: str


class GrantsAnswer(_Body):
    """Grants, newest first."""

    grants: list[GrantAnswer]


class SessionAnswer(_Body):
    """An open connection."""

    id: str
    login: str
    target: str
    ticket: str
    grant: str
    address: str
    application: str
    started_at: datetime


class SessionsAnswer(_Body):
    """Open connections, oldest first."""

    sessions: list[SessionAnswer]


class InvitationAnswer(_Body):
    """An invitation to enrol a second factor, shown this once."""

    login: str
    invitation: str


class EnrolBeginAnswer(_Body):
    """A new factor that waits for its first code; `uri` is its `otpauth://` form."""

    uri: str
    secret: str
    expires_at: datetime


class EnrolFinishAnswer(_Body):
    """Single-use codes for the day on which the factor is lost, shown this once."""

    recovery_codes: list[str]


class VersionAnswer(_Body):
    """What runs here."""

    version: str
    origin: str


class RecordsAnswer(_Body):
    """Audit records, newest first, and how many fit in all."""

    records: list[dict[str, Any]]
    total: int


class KeyAnswer(_Body):
    """The audit log's public key, as `gateway audit verify --key` takes it."""

    key: str


def columns(reveal: list[str]) -> frozenset[tuple[str, str]]:
    """`schema.table.column` texts as (relation, column) pairs."""
    pairs = (text.rpartition(".") for text in reveal)
    return frozenset((relation, column) for relation, _, column in pairs)


def person(signin: SignIn) -> PersonAnswer:
    """The person of a sign-in."""
    who = signin.principal
    return PersonAnswer(login=who.login, name=who.name, teams=sorted(who.teams))


def request_answer(request: AccessRequest, logins: dict[str, str]) -> RequestAnswer:
    """A request with its people by login."""
    return RequestAnswer(
        id=request.id,
        login=logins.get(request.person, ""),
        target=request.target,
        ticket=request.ticket_id,
        reason=request.reason,
        reveal=_dotted(request.reveal),
        duration_s=request.duration_s,
        state=request.state.value,
        created_at=request.created_at,
        decided_at=request.decided_at,
        decided_by=[logins.get(one, "") for one in request.decided_by],
        decision_reason=request.decision_reason,
    )


def grant_answer(grant: Grant, logins: dict[str, str]) -> GrantAnswer:
    """A grant with its people by login."""
    return GrantAnswer(
        id=grant.id,
        request=grant.request_id,
        login=logins.get(grant.person, ""),
        target=grant.target,
        ticket=grant.ticket_id,
        customers=list(grant.customers),
        reveal=_dotted(grant.reveal),
        state=grant.state.value,
        created_at=grant.created_at,
        expires_at=grant.expires_at,
        approved_by=[logins.get(one, "") for one in grant.approved_by],
        ended_reason=grant.ended_reason,
    )


def session_answer(live: LiveSession) -> SessionAnswer:
    """An open connection."""
    return SessionAnswer(
        id=live.id,
        login=live.login,
        target=live.target,
        ticket=live.ticket_id,
        grant=live.grant_id,
        address=live.peer.address,
        application=live.peer.application,
        started_at=live.started_at,
    )


def _dotted(reveal: frozenset[tuple[str, str]]) -> list[str]:
    return sorted(f"{relation}.{column}" for relation, column in reveal)
