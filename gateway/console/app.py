"""The HTTPS JSON API, version 1: OpenAPI at `/v1/openapi.json`, problems as RFC 9457, tokens as RFC 6750.

Routes parse, ask `access` or `audit`, and shape the answer. INVARIANT: every route but sign-in (here and at an identity
provider), enrolment, recovery, the page of security keys, the version and the description asks `signed_in` first; the
hashes of the trail accept the witnesses' token as well, and webhooks are proven by their signatures instead; what a
person may do or see is decided by `access`, never here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request

from gateway import __version__
from gateway.access.masters import Rekeying
from gateway.access.service import Access
from gateway.access.tickets.hooks import Hooks
from gateway.access.values import Opened
from gateway.alerts.cases import Cases
from gateway.audit.log import FileLog
from gateway.audit.search import Search
from gateway.config import Config
from gateway.console import acts as act_routes
from gateway.console import cases as case_routes
from gateway.console import custody as custody_routes
from gateway.console import hooks as hook_routes
from gateway.console import indexing as index_routes
from gateway.console import keys as key_routes
from gateway.console import literals as literal_routes
from gateway.console import passkeys as passkey_routes
from gateway.console import people as people_routes
from gateway.console import provider as provider_routes
from gateway.console import questions as question_routes
from gateway.console import recertifying as recertification_routes
from gateway.console import reconciling as reconciling_routes
from gateway.console import reports as report_routes
from gateway.console import requests as request_routes
from gateway.console import reviews as review_routes
from gateway.console import schemas
from gateway.console import trail as trail_routes
from gateway.console.acts import logins_of
from gateway.console.context import From, Id, Login, Me, Named, Of, Parts, Spending, given, peer, router
from gateway.console.me import me_fields
from gateway.console.problems import Refused, install
from gateway.console.requests import only_target, waiting
from gateway.console.serve import Guard
from gateway.custody.custody import Custody
from gateway.errors import GatewayError, Refusal
from gateway.listener_settings import DatabaseListener
from gateway.model import RequestState
from gateway.policy.schema import Policy
from gateway.ports import Clock, Directory

if TYPE_CHECKING:
    from gateway.access.directory.oidc.logins import Logins

DESCRIPTION = """
Sign in with password and second factor, open access for a ticket, decide requests, end grants, read the audit trail.
Refusals are `application/problem+json` with a stable `code` and a `hint`.
"""


def create_app(
    *,
    access: Access,
    trail: FileLog,
    search: Search,
    config: Config,
    directory: Directory,
    policies: Callable[[str], Policy | None],
    cases: Cases,
    custody: Custody,
    hooks: Hooks | None = None,
    key: str = "",
    address: tuple[str, int] | None = None,
    mysql_address: tuple[str, int] | None = None,
    clock: Clock = lambda: datetime.now(UTC),
    tokens: Callable[[str], list[str]] = lambda _: [],
    spent: Spending = lambda *_: [],
    logins: Logins | None = None,
    http: Mapping[str, int] | None = None,
    unserved: Callable[[str], Refusal | None] = lambda _: None,
) -> FastAPI:
    """The API over these parts; serve it with `serve.serve_app`. For the parameters see `Parts`."""
    app = _application("gateway", "/v1/openapi.json")
    witness = config.audit.witness_token.read() if config.audit.witness_token is not None else b""
    if witness and len(witness) < 32:
        raise GatewayError("configuration-invalid", "`audit.witness_token` must be at least 32 characters")
    app.state.parts = Parts(
        access, trail, search, config, directory, policies, cases, custody, key, address, clock, witness, tokens, hooks,
        spent, logins, http or {}, unserved, mysql_address,
    )  # fmt: skip
    app.include_router(_open_routes())
    app.include_router(provider_routes.routes())
    app.include_router(_access_routes())
    app.include_router(_people_routes())
    app.include_router(request_routes.routes())
    app.include_router(people_routes.routes())
    app.include_router(recertification_routes.routes())
    app.include_router(passkey_routes.routes())
    app.include_router(passkey_routes.page_routes())
    app.include_router(trail_routes.routes())
    app.include_router(question_routes.routes())
    app.include_router(index_routes.routes())
    app.include_router(report_routes.routes())
    app.include_router(reconciling_routes.routes())
    app.include_router(act_routes.routes())
    app.include_router(case_routes.routes())
    app.include_router(hook_routes.routes())
    app.include_router(custody_routes.routes())
    app.include_router(review_routes.routes())
    app.include_router(literal_routes.routes())
    return app


def create_local_app(
    *,
    access: Access,
    custody: Custody | None = None,
    logins: Logins | None = None,
    rekeying: Rekeying | None = None,
) -> FastAPI:
    """What whoever runs the gateway may do on its own machine, over `serve.local_socket`, without a sign-in.

    It is how the first administrator is invited, and how the last one gets a new factor, or back what he lost here;
    access records that as done by `local`.
    """
    app = _application("gateway local", None)

    @app.post("/v1/people/{login}/invite")
    async def invite(login: Login, request: Request) -> schemas.InvitationAnswer:
        return schemas.InvitationAnswer(login=login, invitation=given(await access.invite(None, login, peer(request))))

    @app.post("/v1/people/{login}/reset-factor")
    async def reset_factor(login: Login, request: Request) -> schemas.PersonAnswer:
        found = given(await access.reset_factor(None, login, peer(request)))
        return schemas.PersonAnswer(login=found.login, name=found.name, teams=sorted(found.teams))

    people_routes.add_local_routes(app, access)
    if custody is not None:
        custody_routes.add_local_routes(app, access, custody)
    if logins is not None:
        provider_routes.add_local_routes(app, logins)
    if rekeying is not None:
        key_routes.add_local_routes(app, rekeying)
    return app


def _application(title: str, openapi_url: str | None) -> FastAPI:
    app = FastAPI(
        title=title,
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=openapi_url,
        redirect_slashes=False,
    )
    install(app)
    app.add_middleware(Guard)
    return app


def _open_routes() -> APIRouter:
    routes = router("sign-in")

    @routes.get("/version")
    async def version(of: Of) -> schemas.VersionAnswer:
        """What runs here, and under which name its audit log is known."""
        return schemas.VersionAnswer(version=__version__, origin=of.config.origin)

    @routes.post("/sign-in")
    async def sign_in(body: schemas.SignInBody, of: Of, origin: From) -> schemas.SignInAnswer:
        """Prove password and second factor together; which of them was wrong is never told."""
        signin = given(
            await of.access.sign_in(body.login, body.password.get_secret_value(), body.otp.get_secret_value(), origin)
        )
        return schemas.SignInAnswer(**me_fields(of, signin), token=signin.token)

    @routes.post("/sign-out", status_code=204)
    async def sign_out(me: Me, of: Of) -> None:
        """End this sign-in."""
        await of.access.sign_out(me)

    @routes.get("/whoami")
    async def whoami(me: Me, of: Of) -> schemas.WhoamiAnswer:
        """The person behind the token."""
        return schemas.WhoamiAnswer(**me_fields(of, me))

    return routes


def _access_routes() -> APIRouter:
    routes = router("access")

    @routes.post("/open")
    async def open_(body: schemas.OpenBody, me: Me, of: Of, origin: From, request: Request) -> schemas.OpenAnswer:
        """A pass for a ticket; `approval-required` names the request that now waits."""
        target = body.target or only_target(of.config)
        if (unserved := of.unserved(target)) is not None:
            raise Refused(unserved)
        answer = await of.access.open(
            me,
            target=target,
            ticket=body.ticket,
            reason=body.reason,
            duration_s=body.duration_s,
            reveal=schemas.columns(body.reveal),
            write=body.write,
            statement=body.statement,
            break_glass=body.break_glass,
            peer=origin,
        )
        if isinstance(answer, Refusal):
            raise Refused(answer, await waiting(of, target, answer))
        return _opened(of, answer, request.url.hostname or "")

    @routes.get("/requests")
    async def requests(me: Me, of: Of, state: RequestState | None = None) -> schemas.RequestsAnswer:
        """Requests that one filed or may decide on."""
        found = given(await of.access.requests(me, state))
        people = await logins_of(of, (one for request in found for one in schemas.people_of(request)))
        return schemas.RequestsAnswer(requests=[schemas.request_answer(one, people, of.access.mark) for one in found])

    @routes.get("/requests/{id}")
    async def request_(id: Id, me: Me, of: Of) -> schemas.ShownAnswer:
        """One request with its ticket as it is now; its statement for its author and for who may decide about it."""
        shown = given(await of.access.request(me, id))
        policy = of.policies(shown.request.target)
        approvers, needed = (policy.access.approver_teams, policy.access.approver_count) if policy else (frozenset(), 0)
        logins, people = await logins_of(of, schemas.people_of(shown.request)), await of.access.approvers_of(id)
        return schemas.shown_answer(shown, logins, of.access.mark, approvers, needed, people)

    @routes.post("/requests/{id}/preview")
    async def preview(id: Id, me: Me, of: Of, origin: From, in_name_of: Named = "") -> schemas.PreviewAnswer:
        """Read, masked, the rows that a request's statement would meet; recorded, and needed before approving it."""
        return schemas.preview_answer(given(await of.access.preview(me, id, origin, in_name_of)))

    @routes.post("/requests/{id}/approve")
    async def approve(id: Id, body: schemas.DecisionBody, me: Me, of: Of, origin: From) -> schemas.RequestAnswer:
        """Agree to somebody else's request."""
        done = given(await of.access.approve(me, id, body.reason, origin, body.in_name_of))
        return schemas.request_answer(done, await logins_of(of, schemas.people_of(done)), of.access.mark)

    @routes.post("/requests/{id}/deny")
    async def deny(id: Id, body: schemas.DecisionBody, me: Me, of: Of, origin: From) -> schemas.RequestAnswer:
        """Turn a request down."""
        done = given(await of.access.deny(me, id, body.reason, origin, body.in_name_of))
        return schemas.request_answer(done, await logins_of(of, schemas.people_of(done)), of.access.mark)

    @routes.post("/requests/{id}/cancel")
    async def cancel(id: Id, me: Me, of: Of, origin: From) -> schemas.RequestAnswer:
        """Take one's own request back."""
        done = given(await of.access.cancel(me, id, origin))
        return schemas.request_answer(done, await logins_of(of, schemas.people_of(done)), of.access.mark)

    @routes.get("/grants")
    async def grants(me: Me, of: Of, live: bool = True) -> schemas.GrantsAnswer:
        """Grants that one holds or may end."""
        found = given(await of.access.grants(me, live=live))
        people = await logins_of(of, (one for grant in found for one in (grant.person, *grant.approved_by)))
        return schemas.GrantsAnswer(grants=[schemas.grant_answer(one, people, of.access.mark) for one in found])

    @routes.post("/grants/{id}/revoke")
    async def revoke(id: Id, body: schemas.ReasonBody, me: Me, of: Of, origin: From) -> schemas.GrantAnswer:
        """End a grant and cut its sessions."""
        over = given(await of.access.revoke(me, id, body.reason, origin))
        return schemas.grant_answer(over, await logins_of(of, (over.person, *over.approved_by)), of.access.mark)

    @routes.get("/sessions")
    async def sessions(me: Me, of: Of) -> schemas.SessionsAnswer:
        """Open connections of one's own, and those that one may end."""
        return schemas.SessionsAnswer(sessions=[schemas.session_answer(one) for one in of.access.sessions(me)])

    return routes


def _people_routes() -> APIRouter:
    routes = router("people")

    @routes.post("/people/{login}/invite")
    async def invite(login: Login, me: Me, of: Of, origin: From) -> schemas.InvitationAnswer:
        """Let a person enrol a second factor. For administrators."""
        return schemas.InvitationAnswer(login=login, invitation=given(await of.access.invite(me, login, origin)))

    @routes.post("/people/{login}/reset-factor")
    async def reset_factor(login: Login, me: Me, of: Of, origin: From) -> schemas.PersonAnswer:
        """Take a person's second factor away with all that it opened. For administrators."""
        found = given(await of.access.reset_factor(me, login, origin))
        return schemas.PersonAnswer(login=found.login, name=found.name, teams=sorted(found.teams))

    @routes.post("/recover")
    async def recover(body: schemas.RecoverBody, of: Of, origin: From) -> schemas.InvitationAnswer:
        """Give up a factor that was lost, and everything that it opened, for an invitation to enrol a new one."""
        password, code = body.password.get_secret_value(), body.recovery_code.get_secret_value()
        invitation = given(await of.access.recover(body.login, password, code, origin))
        return schemas.InvitationAnswer(login=body.login, invitation=invitation)

    @routes.post("/enrol/begin")
    async def enrol_begin(body: schemas.EnrolBeginBody, of: Of, origin: From) -> schemas.EnrolBeginAnswer:
        """Prove the password and the invitation; the answer is a new secret that waits for its first code."""
        begun = given(
            await of.access.enrol_begin(
                body.login, body.password.get_secret_value(), body.invitation.get_secret_value(), origin
            )
        )
        return schemas.EnrolBeginAnswer(uri=begun.uri, secret=begun.secret, expires_at=begun.expires_at)

    @routes.post("/enrol/finish")
    async def enrol_finish(body: schemas.EnrolFinishBody, of: Of, origin: From) -> schemas.EnrolFinishAnswer:
        """Show that the new factor works."""
        codes = given(
            await of.access.enrol_finish(
                body.login,
                body.password.get_secret_value(),
                body.invitation.get_secret_value(),
                body.otp.get_secret_value(),
                origin,
            )
        )
        return schemas.EnrolFinishAnswer(recovery_codes=list(codes))

    return routes


def _opened(of: Parts, opened: Opened, hostname: str) -> schemas.OpenAnswer:
    api = of.config.apis.get(opened.grant.target)
    mysql = opened.grant.target in of.config.mysql
    listener: DatabaseListener = of.config.listen.mysql if mysql else of.config.listen.postgres
    host, port = (of.mysql_address if mysql else of.address) or (listener.host, listener.port)
    if api is not None:
        # under a name of its own TLS and requests have to name that
        host = api.listen.server_name or api.listen.host
        port = of.http.get(opened.grant.target, api.listen.port)
    if _everywhere(host):
        # reached under the name that led to the API, which the certificate has to name anyway
        host = hostname
    ca = of.config.tls.ca
    try:
        pem = ca.read_text(encoding="utf-8") if ca is not None else ""
    except OSError as error:
        raise GatewayError(
            "configuration-invalid", "the gateway's authority cannot be read", "tell an operator", str(error)
        ) from error
    return schemas.OpenAnswer(
        target=opened.grant.target,
        host=host,
        port=port,
        prefix=api.listen.prefix if api is not None else "",
        # to a client the target's name is the database; what it is called behind the gateway is nobody's business
        database=opened.grant.target,
        user=opened.user,
        password=opened.secret,
        sslmode="disable" if listener.tls == "off" and api is None else "verify-full",
        engine="http" if api is not None else "mysql" if mysql else "postgres",
        ca=pem,
        ticket=opened.ticket_id,
        customers=list(opened.customers),
        grant=opened.grant.id,
        request=opened.request.id,
        expires_at=opened.expires_at,
        write=opened.grant.write,
        statement=of.access.mark(opened.grant.statement),
    )


def _everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
