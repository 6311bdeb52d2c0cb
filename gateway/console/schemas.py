"""The bodies of the API: what may come in (everything else is refused) and what goes out.

INVARIANT: secrets come in as `SecretStr`, so that no representation of a body shows one; lengths are bounded here,
before any work is done. Secrets go out once, in the answers that make them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from gateway.access.values import LiveSession, Previewed, Shown, SignIn
from gateway.access.writing import MAX_STATEMENT
from gateway.model import AccessRequest, Grant, Write
from gateway.policy.schema import FIELD_OF_ROUTE, named
from gateway.ports import Mark

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Ticket = Annotated[str, StringConstraints(max_length=64)]
Reason = Annotated[str, StringConstraints(max_length=500)]
RevealedColumn = Annotated[
    str, StringConstraints(pattern=rf"^(?:[^.]{{1,63}}\.[^.]{{1,63}}\.[^.]{{1,63}}|{FIELD_OF_ROUTE})$", max_length=400)
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
Code = Annotated[SecretStr, Field(min_length=1, max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SignInBody(_Body):
    """Password and second factor together; `otp` is the code of the moment."""

    login: Name
    password: Password
    otp: Code


class RecoverBody(_Body):
    """Password and one of the recovery codes that were shown when the lost factor was enrolled."""

    login: Name
    password: Password
    recovery_code: Code


class OpenBody(_Body):
    """Which access is wanted. `target` may be left out when there is one; `duration_s` 0 is the policy's default.

    `write` is access to write in general; `statement` to run that one statement, once.
    `break_glass` is to do without an approval, in an emergency: it is told at once and reviewed.
    """

    ticket: Ticket
    target: Annotated[str, StringConstraints(max_length=64)] = ""
    reason: Reason = ""
    duration_s: int = Field(default=0, ge=0, le=7 * 86400)
    reveal: list[RevealedColumn] = Field(default_factory=list, max_length=64)
    write: bool = False
    statement: Annotated[str, StringConstraints(max_length=MAX_STATEMENT)] = ""
    break_glass: bool = False


class ReasonBody(_Body):
    """Why."""

    reason: Reason = ""


class DecisionBody(ReasonBody):
    """Why, and the login of the one in whose name it is decided, for a delegate who has the choice."""

    in_name_of: Annotated[str, StringConstraints(max_length=64)] = ""


class ExtendBody(ReasonBody):
    """By how much longer, and why."""

    seconds: int = Field(ge=1, le=7 * 86400)


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
    roles: list[Literal["administrator", "auditor", "custodian"]]
    factor: str
    factor_at: datetime
    expires_at: datetime


class SignInAnswer(WhoamiAnswer):
    """A new sign-in; `token` goes into `Authorization: Bearer`."""

    token: str


class OpenAnswer(_Body):
    """How to connect. `ca` is the PEM of the authority to verify the gateway with, empty for the system's.

    `write` says that the grant is for writing too; `statement` stands for the only statement that may write,
    as `digest` does in the trail. Of an API (`engine: http`), `user` and `password` are for HTTP's Basic or, as
    `gateway open` prints them, Bearer; `prefix` is what the paths of requests begin with.
    """

    target: str
    engine: Literal["postgres", "mysql", "http"] = "postgres"
    host: str
    port: int
    prefix: str
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
    write: bool
    statement: str


class RequestAnswer(_Body):
    """An access request; `login` and `decided_by` are empty for people whom the directory no longer knows.

    `digest` stands for the one statement that is asked for, as in the trail; empty where there is none. Who decided
    in another's name is `LOGIN for LOGIN`. `extends` is the grant that is to last longer.
    """

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
    write: bool
    digest: str
    extends: str = ""


class TicketAnswer(_Body):
    """A ticket as its source has it now."""

    id: str
    title: str
    status: str
    assignee: str
    customers: list[str]
    url: str


class WriteAnswer(_Body):
    """What a statement would write: at most `rows` rows of the relation. `canonical` is what would run."""

    verb: str
    relation: str
    columns: list[str]
    rows: int
    canonical: str


class ProblemAnswer(_Body):
    """Why nothing would come of a request as things are."""

    code: str
    message: str
    hint: str


class EarlierAnswer(_Body):
    """What the same person asked for before; `same_customer` when it was for the same customer, or the same ticket."""

    id: str
    created_at: datetime
    target: str
    ticket: str
    state: str
    reveal: list[str]
    write: bool
    reason: str
    same_customer: bool


class FiledAnswer(RequestAnswer):
    """A request as it was filed: who can approve it, as teams and as some people, and how many have to."""

    approvers: list[str]
    approvals_needed: int
    people: list[str]


class ShownAnswer(RequestAnswer):
    """A request with its ticket, its person, and what its statement would write now.

    `statement` is the text as it was filed, for its author and for who may decide about it; it may hold personal data.
    `people` are some who could approve it; `earlier` is what its person asked for in the 30 days before, and for the
    same customer in the year before.
    """

    people: list[str] = []
    earlier: list[EarlierAnswer] = []

    name: str
    teams: list[str]
    approvers: list[str]
    approvals_needed: int
    ticket_now: TicketAnswer | None
    statement: str
    would_write: WriteAnswer | None
    problem: ProblemAnswer | None


class PreviewAnswer(_Body):
    """The rows that a request's statement would meet, masked, as text; `more` when there are more than are shown.

    A statement that inserts meets none: `columns` is empty. Of a request without a statement, `rows` are the relations
    whose columns it asks to see in clear, with how many rows each has for the customer.
    """

    request: str
    would_write: WriteAnswer | None
    columns: list[str]
    rows: list[list[str | None]]
    more: bool


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
    write: bool
    statement: str
    spent: bool
    break_glass: bool


class GrantsAnswer(_Body):
    """Grants, newest first."""

    grants: list[GrantAnswer]


class SessionAnswer(_Body):
    """An open connection. `protection` is `none` where the target is only observed."""

    id: str
    login: str
    target: str
    ticket: str
    grant: str
    address: str
    application: str
    started_at: datetime
    protection: str


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
    """Audit records, newest first, how many fit in all, and what must be said of them."""

    records: list[dict[str, Any]]
    total: int
    notes: list[str] = []


class KeyAnswer(_Body):
    """The audit log's public key, as `gateway audit verify --key` takes it."""

    key: str


def columns(reveal: list[str]) -> frozenset[tuple[str, str]]:
    """`schema.table.column` and `route.$.path` texts as (relation or route, column or path) pairs."""
    return frozenset(map(named, reveal))


def person(signin: SignIn) -> PersonAnswer:
    """The person of a sign-in."""
    who = signin.principal
    return PersonAnswer(login=who.login, name=who.name, teams=sorted(who.teams))


def request_answer(request: AccessRequest, logins: dict[str, str], mark: Mark) -> RequestAnswer:
    """A request with its people by login."""
    return RequestAnswer(**_request(request, logins, mark))


def people_of(request: AccessRequest) -> tuple[str, ...]:
    """The ids of everybody whom a request names."""
    return (request.person, *request.decided_by, *(name for name in request.in_name_of if name))


def filed_answer(
    request: AccessRequest, logins: dict[str, str], mark: Mark, approvers: frozenset[str], needed: int,
    people: list[str],
) -> FiledAnswer:  # fmt: skip
    """A request that was just filed."""
    return FiledAnswer(
        **_request(request, logins, mark), approvers=sorted(approvers), approvals_needed=needed, people=people
    )


def shown_answer(
    shown: Shown, logins: dict[str, str], mark: Mark, approvers: frozenset[str], needed: int, people: list[str]
) -> ShownAnswer:
    """A request as it stands now."""
    ticket, problem, requester = shown.ticket, shown.problem, shown.requester
    return ShownAnswer(
        **_request(shown.request, logins, mark),
        name=requester.name if requester else "",
        teams=sorted(requester.teams) if requester else [],
        approvers=sorted(approvers),
        approvals_needed=needed,
        people=people,
        earlier=[
            EarlierAnswer(
                id=one.request.id,
                created_at=one.request.created_at,
                target=one.request.target,
                ticket=one.request.ticket_id,
                state=one.request.state.value,
                reveal=_dotted(one.request.reveal),
                write=one.request.write,
                reason=one.request.reason,
                same_customer=one.same,
            )
            for one in shown.earlier
        ],
        ticket_now=TicketAnswer(
            id=ticket.id,
            title=ticket.title,
            status=ticket.status,
            assignee=ticket.assignee or ticket.assignee_email,
            customers=list(ticket.customers),
            url=ticket.url,
        )
        if ticket
        else None,
        statement=shown.request.statement,
        would_write=_would_write(shown.write) if shown.write else None,
        problem=ProblemAnswer(code=problem.code, message=problem.message, hint=problem.hint) if problem else None,
    )


def preview_answer(previewed: Previewed) -> PreviewAnswer:
    """What a request's statement would change."""
    preview = previewed.preview
    return PreviewAnswer(
        request=previewed.request.id,
        would_write=_would_write(previewed.write) if previewed.write else None,
        columns=list(preview.columns),
        rows=[list(row) for row in preview.rows],
        more=preview.more,
    )


def grant_answer(grant: Grant, logins: dict[str, str], mark: Mark) -> GrantAnswer:
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
        write=grant.write,
        statement=mark(grant.statement),
        spent=grant.spent,
        break_glass=grant.break_glass,
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
        protection="masked" if live.protected else "none",
    )


def _request(request: AccessRequest, logins: dict[str, str], mark: Mark) -> dict[str, Any]:
    return {
        "id": request.id,
        "login": logins.get(request.person, ""),
        "target": request.target,
        "ticket": request.ticket_id,
        "reason": request.reason,
        "reveal": _dotted(request.reveal),
        "duration_s": request.duration_s,
        "state": request.state.value,
        "created_at": request.created_at,
        "decided_at": request.decided_at,
        "decided_by": _deciders(request, logins),
        "decision_reason": request.decision_reason,
        "write": request.write,
        "digest": mark(request.digest),
        "extends": request.extends,
    }


def _deciders(request: AccessRequest, logins: dict[str, str]) -> list[str]:
    names = request.in_name_of or ("",) * len(request.decided_by)
    return [
        f"{logins.get(by, '')} for {logins.get(name, name)}" if name else logins.get(by, "")
        for by, name in zip(request.decided_by, names, strict=True)
    ]


def _would_write(write: Write) -> WriteAnswer:
    return WriteAnswer(
        verb=write.verb,
        relation=write.relation,
        columns=list(write.columns),
        rows=write.rows,
        canonical=write.canonical,
    )


def _dotted(reveal: frozenset[tuple[str, str]]) -> list[str]:
    return sorted(f"{relation}.{column}" for relation, column in reveal)
