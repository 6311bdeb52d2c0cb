"""Every way of saying no: one table from stable code to what each engine puts on its wire.

A denial inside the policy or the SQL rooms is a value (`Refusal`); on the roads where Python needs an
exception it travels inside a `GatewayError`. Messages are lower case, without a full stop, names in
backticks, and never carry an internal; `detail` is for operators only and never leaves the technical log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Code:
    """What one stable code means: `sqlstate` (PostgreSQL), `errno` (MySQL), `http` status, and a sentence."""

    sqlstate: str
    errno: int
    http: int
    meaning: str


CODES: dict[str, Code] = {
    # authentication: all of these look alike on the wire until the person has proven who they are
    "authentication-failed": Code("28P01", 1045, 401, "The person, the secret or the second factor was not accepted."),
    "too-many-attempts": Code("28P01", 1045, 429, "Sign-in is locked for a while after repeated failures."),
    "second-factor-required": Code("28P01", 1045, 401, "A second factor, or a newer one, is needed."),
    "session-expired": Code("28000", 1045, 401, "The sign-in is over; sign in again."),
    "credentials-ambiguous": Code("28000", 1045, 400, "The request proves in several ways who sends it."),
    "cross-site-request": Code("28000", 1045, 403, "A request by cookie did not come from this address's own pages."),
    "enrolment-invalid": Code("28000", 1045, 400, "The invitation is unknown, used or expired, or the code is wrong."),
    "sign-in-elsewhere": Code("28000", 1045, 403, "People sign in at the company's identity provider, not here."),
    "sign-in-refused": Code("28000", 1045, 403, "What the identity provider says of the person gives no sign-in."),
    # who may ask
    "not-in-team": Code("42501", 1142, 403, "The person is in no team that the policy admits to this target or role."),
    "person-inactive": Code("28000", 1045, 403, "The directory says that the person is not active."),
    "person-suspended": Code("28000", 1045, 403, "An administrator has suspended the person."),
    "right-withdrawn": Code(
        "42501", 1142, 403, "A review of access withdrew the right, or nobody confirmed it in time."
    ),
    "target-not-available": Code("3D000", 1049, 404, "There is no such target for this person."),
    "ticket-required": Code("42501", 1142, 403, "Access needs a justification ticket."),
    "ticket-not-found": Code("42501", 1142, 403, "The ticket does not exist in its source."),
    "ticket-closed": Code("42501", 1142, 403, "The ticket is not in a state that justifies access."),
    "ticket-not-yours": Code("42501", 1142, 403, "The ticket is assigned to somebody else."),
    "ticket-project-not-allowed": Code("42501", 1142, 403, "The ticket is in a project that does not justify access."),
    "ticket-without-customer": Code("42501", 1142, 403, "The ticket names no customer."),
    "ticket-ambiguous": Code("42501", 1142, 403, "Several grants are live; name the ticket in the user name."),
    "ticket-source-unavailable": Code("57P03", 1053, 503, "The ticket source cannot be asked; access fails closed."),
    "directory-unavailable": Code("57P03", 1053, 503, "The directory cannot be asked; access fails closed."),
    "store-unavailable": Code("57P03", 1053, 503, "The gateway's own store cannot be used; access fails closed."),
    "shared-state-unavailable": Code(
        "57P03", 1053, 503, "What gateways share in Redis cannot be asked; new access fails closed."
    ),
    "archive-unavailable": Code("57P03", 1053, 503, "The archive of the trail cannot be used; work goes on."),
    "approval-required": Code("42501", 1142, 403, "The request waits for an approver."),
    "preview-required": Code(
        "42501", 1142, 409, "Who approves a statement must have seen, just before, what it would change."
    ),
    "review-overdue": Code(
        "42501", 1142, 403, "A break-glass access of the person waits for its review; nothing is approved at once."
    ),
    "request-invalid": Code("22023", 1210, 400, "The request is malformed or its state does not allow this."),
    "not-found": Code("42704", 1146, 404, "There is no such object, or it is not yours to see."),
    # the end of access
    "grant-expired": Code("57P01", 1317, 403, "The grant has run out."),
    "grant-revoked": Code("57P01", 1317, 403, "The grant was revoked."),
    "access-ended": Code(
        "57P01", 1317, 403, "The reason for the access has ended: the ticket, the team or the person."
    ),
    "policy-changed": Code("57P01", 1317, 403, "The target's policy changed; connect again."),
    "shutting-down": Code("57P01", 1053, 503, "The gateway is stopping."),
    # SQL
    "statement-not-allowed": Code("42501", 1142, 403, "This kind of statement is not allowed here."),
    "read-only": Code("25006", 1792, 403, "The grant is for reading; this would write."),
    "relation-not-available": Code("42P01", 1146, 404, "The relation does not exist for this person."),
    "column-not-available": Code("42703", 1054, 404, "The column does not exist for this person."),
    "function-not-allowed": Code("42501", 1142, 403, "The function is not on the allow-list."),
    "type-not-allowed": Code("42501", 1142, 403, "The type or cast is not on the allow-list."),
    "operator-not-allowed": Code("42501", 1142, 403, "The operator is not allowed on this target."),
    "setting-not-allowed": Code("42501", 1142, 403, "The setting may not be shown or changed."),
    "column-not-writable": Code("42501", 1143, 403, "The column may not be written."),
    "column-masked": Code("42501", 1143, 403, "A masked column stands where its real value would count."),
    "row-out-of-scope": Code("44000", 1369, 403, "A written row would belong to, or refer to, another customer."),
    "write-too-large": Code("53400", 1226, 403, "The statement meets more rows than one statement may write."),
    "prepared-statement-not-found": Code("26000", 1243, 404, "The session has no prepared statement of that name."),
    "cursor-not-found": Code("34000", 1243, 404, "The session has no cursor or portal of that name."),
    "syntax-error": Code("42601", 1064, 400, "The statement cannot be read."),
    "statement-not-supported": Code(
        "0A000", 1235, 400, "The construct is not supported yet; it is refused, not guessed."
    ),
    "statement-too-long": Code("54000", 1153, 413, "The statement is longer than the limit."),
    "statement-too-complex": Code("54001", 1153, 413, "The statement is nested too deeply or has too many parts."),
    "scope-not-provable": Code("42501", 1142, 403, "The rewriting could not be proven safe; nothing was sent."),
    "customer-invalid": Code("22023", 1210, 403, "The ticket's customer does not fit the column that scopes the rows."),
    # HTTP
    "route-not-available": Code("42P01", 1146, 404, "No request of that method and path exists for this person."),
    "request-not-allowed": Code("42501", 1142, 403, "The request has something that the policy does not name."),
    "misdirected-request": Code("42P01", 1146, 421, "The request names a host that its connection is not for."),
    # budgets
    "row-budget-exhausted": Code("53400", 1226, 429, "More rows than the policy allows."),
    "byte-budget-exhausted": Code("53400", 1226, 429, "More bytes than the policy allows."),
    "search-budget-exhausted": Code("53400", 1226, 429, "More exact searches than the policy allows in an hour."),
    "aggregate-budget-exhausted": Code(
        "53400", 1226, 429, "More aggregations of real values than the policy allows in an hour."
    ),
    "too-many-refusals": Code(
        "53400", 1226, 429, "Too many statements were refused; the person is kept out for a while."
    ),
    # wire
    "protocol-violation": Code("08P01", 1835, 400, "The client sent something that the protocol does not allow."),
    "message-too-large": Code("08P01", 1153, 413, "A message is larger than the limit."),
    "tls-required": Code("28000", 3159, 403, "The connection must use TLS."),
    "handshake-timeout": Code("08P01", 1159, 408, "The handshake was not finished in time."),
    "too-many-connections": Code("53300", 1040, 503, "All connection slots are in use."),
    "feature-not-supported": Code("0A000", 1235, 501, "The protocol feature is not supported."),
    "cancelled": Code("57014", 1317, 409, "The statement was cancelled."),
    # the target
    "target-unavailable": Code("08006", 2013, 502, "The target cannot be reached or stopped answering."),
    "target-error": Code(
        "XX000", 1105, 502, "The target refused; its own text is withheld because it may quote hidden values."
    ),
    "target-refused": Code(
        "XX000", 1105, 400, "The target refused the request; its status is told, its own text is withheld."
    ),
    "credential-unavailable": Code(
        "08006", 2013, 503, "The gateway has no credential for the target at the moment; nothing was sent."
    ),
    "credential-refused": Code("08006", 2013, 502, "The target did not accept the gateway's own credential."),
    "answer-not-allowed": Code("42501", 1142, 502, "The target's answer is of a kind that the policy does not name."),
    "answer-unreadable": Code(
        "XX000", 1105, 502, "The target's answer cannot be read strictly; nothing of it is shown."
    ),
    "answer-too-large": Code("54000", 1153, 502, "The target's answer, or a line of it, is larger than the limit."),
    # ourselves
    "audit-not-writable": Code("58030", 1026, 503, "The audit trail cannot be written; work is refused."),
    "audit-damaged": Code("58030", 1026, 503, "The audit trail is damaged; see `gateway audit verify`."),
    "configuration-invalid": Code("F0000", 1105, 500, "The configuration cannot be used."),
    "policy-invalid": Code("F0000", 1105, 500, "The policy cannot be used."),
    "gateway-unavailable": Code("08006", 2013, 503, "The gateway's own API cannot be reached from here."),
    "internal-error": Code("XX000", 1105, 500, "A fault of the gateway; the work was refused."),
}


STEPS: dict[str, str] = {
    "authentication-failed": "gateway login, with the code of the moment",
    "too-many-attempts": "wait some minutes, then try once",
    "second-factor-required": "gateway login",
    "session-expired": "gateway login",
    "sign-in-elsewhere": "gateway login --browser, or --device where there is none",
    "sign-in-refused": "gateway login begins another one; the owner of the identity provider knows what it says of you",
    "credentials-ambiguous": "show one pass, or one browser's cookie, and nothing beside it",
    "cross-site-request": "open the page again, and begin from there",
    "enrolment-invalid": "ask an administrator for a new invitation: gateway people invite LOGIN",
    "not-in-team": "ask the owner of your directory for the team that the policy names",
    "person-inactive": "ask the owner of your directory",
    "person-suspended": "ask an administrator: gateway people unsuspend LOGIN",
    "right-withdrawn": "ask an administrator: gateway access restore LOGIN RIGHT",
    "target-not-available": "look at the target's name again; gateway open TICKET --target NAME",
    "ticket-required": "gateway open TICKET",
    "ticket-not-found": "look at the ticket's id again; gateway open TICKET",
    "ticket-closed": "open the ticket again in its source, or use another one",
    "ticket-not-yours": "have the ticket assigned to you in its source",
    "ticket-project-not-allowed": "use a ticket of a project that the policy names",
    "ticket-without-customer": "enter the customer on the ticket in its source",
    "ticket-ambiguous": "connect as LOGIN+TICKET",
    "ticket-source-unavailable": "try again in a moment; an operator sees more in gateway doctor",
    "directory-unavailable": "try again in a moment; an operator sees more in gateway doctor",
    "store-unavailable": "tell an operator: gateway doctor",
    "shared-state-unavailable": "try again in a moment; an operator sees more in gateway doctor",
    "archive-unavailable": "tell an operator: gateway doctor",
    "approval-required": "gateway request show ID says who can approve it: gateway approve ID",
    "preview-required": "gateway approve ID shows it, and asks",
    "review-overdue": "ask an approver to review it: gateway reviews",
    "request-invalid": "look at what was given; gateway COMMAND --help says what is taken",
    "not-found": "look at the name or id again",
    "grant-expired": "gateway open TICKET",
    "grant-revoked": "ask whoever revoked it; gateway open TICKET asks for a new one",
    "access-ended": "gateway open TICKET, with a ticket that justifies it",
    "policy-changed": "connect again",
    "shutting-down": "connect again in a moment",
    "statement-not-allowed": "ask for what the policy allows: gateway policy explain, or its owner",
    "read-only": "gateway open TICKET --statement 'UPDATE ...' --reason WHY",
    "relation-not-available": "see the relations that exist for you with \\d",
    "column-not-available": "see the columns that exist for you with \\d and the table's name",
    "function-not-allowed": "use another function, or ask the owner of the policy to vouch for it",
    "type-not-allowed": "use another type, or ask the owner of the policy",
    "operator-not-allowed": "write the condition without it",
    "setting-not-allowed": "leave it out",
    "column-not-writable": "leave the column out, or ask the owner of the policy",
    "column-masked": "use columns that are shown in clear",
    "row-out-of-scope": "write rows of the ticket's customer only",
    "write-too-large": "narrow the condition, or write in several statements",
    "prepared-statement-not-found": "prepare it again",
    "cursor-not-found": "declare it again, in this transaction",
    "syntax-error": "correct the statement",
    "statement-not-supported": "write it in another way",
    "statement-too-long": "split it up",
    "statement-too-complex": "split it up",
    "scope-not-provable": "write it in a simpler way",
    "customer-invalid": "correct the customer on the ticket, or ask the owner of the policy",
    "route-not-available": "look at the method and the path again, or ask the owner of the policy",
    "misdirected-request": "name the host that gateway open printed, for TLS and in the request alike",
    "request-not-allowed": "send what the policy names: gateway policy explain --request, or ask its owner",
    "row-budget-exhausted": "gateway status shows what is left; narrow the condition, or wait until tomorrow",
    "byte-budget-exhausted": "gateway status shows what is left; take fewer columns, or wait until tomorrow",
    "search-budget-exhausted": "gateway status shows what is left; wait up to an hour",
    "aggregate-budget-exhausted": "gateway status shows what is left; wait up to an hour",
    "too-many-refusals": "wait a while; see what exists for you with \\d",
    "protocol-violation": "use a client of this protocol's version",
    "message-too-large": "send it in parts",
    "tls-required": "connect with TLS: sslmode=verify-full",
    "handshake-timeout": "connect again",
    "too-many-connections": "close some connections: gateway sessions",
    "feature-not-supported": "do without it",
    "cancelled": "run it again",
    "target-unavailable": "try again in a moment; an operator sees more in gateway doctor",
    "target-error": "tell an operator; the target's own log has the text",
    "credential-unavailable": "try again in a moment; an operator sees why in the technical log and in gateway doctor",
    "credential-refused": "send the request again in a moment, if it may be done twice; or tell an operator",
    "target-refused": "look at the request again; the target's own log has the text",
    "answer-not-allowed": "ask the owner of the policy whether the route should name it",
    "answer-unreadable": "tell an operator; the target answers in a form that is not safe to mask",
    "answer-too-large": "ask for less at once",
    "audit-not-writable": "tell an operator: gateway doctor",
    "audit-damaged": "tell an operator: gateway audit verify",
    "configuration-invalid": "gateway doctor",
    "policy-invalid": "gateway policy check",
    "gateway-unavailable": "look at the address: --url; or start it: gateway serve",
    "internal-error": "tell an operator what you did, and when",
}
"""What to do next, by code, where a refusal itself says nothing better."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A denial as a value. `code` is a key of `CODES`; `name` is the offending name, already shown in `message`.

    `hint` says what to do next: the code's own step where it is left empty.

    `position` is a 1-based character offset into the statement, 0 for none. `fatal` ends the session.
    """

    code: str
    message: str
    hint: str = ""
    detail: str = ""
    name: str = ""
    position: int = 0
    fatal: bool = False

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"unknown error code {self.code!r}")
        if not self.hint:
            object.__setattr__(self, "hint", STEPS.get(self.code, ""))

    @property
    def meaning(self) -> Code:
        """The row of the table."""
        return CODES[self.code]


class GatewayError(Exception):
    """A refusal on a road that needs an exception."""

    def __init__(self, code: str, message: str, hint: str = "", detail: str = "", *, fatal: bool = False) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message, hint, detail, fatal=fatal)

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        """The same refusal as an exception."""
        error = cls(refusal.code, refusal.message, refusal.hint, refusal.detail, fatal=refusal.fatal)
        error.refusal = refusal
        return error

    @property
    def code(self) -> str:
        """The stable code."""
        return self.refusal.code
