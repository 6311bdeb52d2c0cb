"""SQL that a request brings: its statement is judged like that of any database, and what the server gets is made of it.

INVARIANT: what goes on is a POST whose body is a proven text, with the parameters and headers that the module of its
server writes (`sql_clickhouse.py`, `sql_trino.py`) and no others. Among them are the keys of its masks, where it has
some; they are put in last, and are in no record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

from gateway.engines import sql_clickhouse, sql_search, sql_trino
from gateway.errors import GatewayError, Refusal
from gateway.http.message import HttpPlan, SqlAsked
from gateway.policy.dialects import SEARCH
from gateway.ports import Mark
from gateway.sql import rooms
from gateway.sql.cache import Judgement, PlanCache, plan_fields, said_by
from gateway.sql.said import in_text
from gateway.sql.statement import Plan, View
from gateway.sql.worker import Workers, is_short


class Server(Protocol):
    """What differs from server to server: how a request says what it wants, and what goes on of a proven statement."""

    SCHEMA: str
    PAGED: bool

    def plain(self, sql: SqlAsked, dialect: str) -> str: ...

    def asked(self, sql: SqlAsked, dialect: str) -> tuple[str, str]: ...

    def forwarded(self, plan: HttpPlan, text: str, output: str, view: View, made: Plan) -> HttpPlan: ...

    def page(self, plan: HttpPlan, found: str) -> HttpPlan: ...

    def with_keys(self, plan: HttpPlan, key: bytes) -> HttpPlan: ...


_SERVERS: dict[str, Server] = {"clickhouse": sql_clickhouse, "trino": sql_trino, **dict.fromkeys(SEARCH, sql_search)}


class Ready(NamedTuple):
    """A request whose statement is proven: what goes on but for its keys, and what the gate needs to know."""

    plan: HttpPlan
    judgement: Judgement


class SqlRequests:
    """Judgements of statements in requests, remembered by text and view. The event loop's thread only."""

    def __init__(self, mark: Mark, workers: Workers) -> None:
        self._mark, self._workers = mark, workers
        self._plans = PlanCache(rooms.analyse, _no_literals, mark)

    async def ready(self, plan: HttpPlan, view: View, person: str) -> Ready | Refusal:
        """The request with its statement rewritten and proven, or why there is none."""
        try:
            text, output = asked(plan, view)
        except GatewayError as error:
            return error.refusal
        view = meant(plan, view)
        number = self._plans.view_number(view)
        found: Judgement | Refusal | None = self._plans.find(number, text)
        if found is None and is_short(text):
            found = self._plans.judge(view, number, text)
        elif found is None:
            made = await self._workers.analyse(text, view, person)
            found = self._plans.keep(number, text, made) if isinstance(made, Plan) else made
        if isinstance(found, Refusal):
            return found
        return Ready(forwarded(plan, found.text, output, view, found.plan), found)

    def unread(self, plan: HttpPlan, view: View) -> Judgement:
        """What is known of a statement that is refused: its text, to be sealed, and that without its literals."""
        text = self._plain(plan)
        # a long one is not read here: that could take long
        read = is_short(text)
        made = Plan("", (), ("SELECT",), rooms.normalise(text, view.policy) if read else "", "", "")
        said = in_text(text, rooms.telling(text, view.policy) if read else ())
        return Judgement(made, plan_fields(made, self._mark), "", said)

    def _plain(self, plan: HttpPlan) -> str:
        try:
            return _SERVERS[plan.route.dialect].plain(plan.sql, plan.route.dialect) if plan.sql is not None else ""
        except GatewayError:
            # what cannot be put together has no text that is one
            return ""


def judged(plan: HttpPlan, view: View) -> Ready | Refusal:
    """As `ready`, at once and with nothing remembered."""
    try:
        text, output = asked(plan, view)
    except GatewayError as error:
        return error.refusal
    view = meant(plan, view)
    made = rooms.analyse(text, view)
    if isinstance(made, Refusal):
        return made
    judgement = Judgement(made, plan_fields(made, lambda value: value), made.rewritten, said_by(text, made))
    return Ready(forwarded(plan, made.rewritten, output, view, made), judgement)


def asked(plan: HttpPlan, view: View) -> tuple[str, str]:
    """The statement and the form of its answer. Raises: GatewayError."""
    sql, server = plan.sql, _SERVERS[plan.route.dialect]
    if sql is None:
        raise GatewayError("request-invalid", "the request brings no statement")
    if sql.schema and sql.schema not in view.policy.schemas:
        raise GatewayError(
            "request-not-allowed", f"the {server.SCHEMA} names a schema that the policy does not", "leave it out"
        )
    return server.asked(sql, plan.route.dialect)


def meant(plan: HttpPlan, view: View) -> View:
    """The view through which the request's statement is read: in the schema that it names, if it names one."""
    schema = plan.sql.schema if plan.sql is not None else ""
    return replace(view, search_path=(schema,)) if schema else view


def forwarded(plan: HttpPlan, text: str, output: str, view: View, made: Plan) -> HttpPlan:
    """What goes to the server, but for the keys of its masks."""
    return _SERVERS[plan.route.dialect].forwarded(plan, text, output, view, made)


def with_keys(plan: HttpPlan, key: bytes) -> HttpPlan:
    """The same with the keys of the masks that the statement has, if it has some."""
    return _SERVERS[plan.route.dialect].with_keys(plan, key)


def paged(plan: HttpPlan, found: str) -> HttpPlan:
    """The request for a further page, which the server calls so."""
    return _SERVERS[plan.route.dialect].page(plan, found)


def is_paged(plan: HttpPlan) -> bool:
    """Whether its answer may go on in further pages."""
    return _SERVERS[plan.route.dialect].PAGED


def _no_literals(*_given: object) -> frozenset[int]:
    return frozenset()
