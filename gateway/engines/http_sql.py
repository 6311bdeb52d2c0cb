"""SQL that a request brings: its statement is judged like that of any database, and what the server gets is made of it.

INVARIANT: what goes on is a POST whose body is a proven text, with the parameters that are written here and no others.
Among them are the keys of its masks, where it has some; they are put in last, and are in no record.

The server is told to answer when it has all rows, so that an error is never told in the midst of them; to write
nothing; to stop when nobody listens; and in which form the rows are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from gateway.errors import GatewayError, Refusal
from gateway.http import query
from gateway.http.message import HttpPlan
from gateway.http.sql_rows import OUTPUTS
from gateway.ports import Mark
from gateway.sql import tree
from gateway.sql.cache import Judgement, PlanCache, plan_fields, said_by
from gateway.sql.render import INNER_SETTING, OUTER_SETTING, mask_settings
from gateway.sql.said import in_text
from gateway.sql.statement import Plan, View
from gateway.sql.tree.clickhouse_masks import INNER, OUTER
from gateway.sql.tree.formats import without_format
from gateway.sql.worker import Workers, is_short

SETTINGS: Mapping[str, str] = {
    "wait_end_of_query": "1",
    "http_write_exception_in_output_format": "0",
    "readonly": "2",
    "cancel_http_readonly_queries_on_client_close": "1",
    # what one statement left in it made others find no rows (seen in 26.9)
    "use_query_condition_cache": "0",
}
"""What every statement runs under, whatever it is."""
_KEYS = {INNER: INNER_SETTING, OUTER: OUTER_SETTING}


class Ready(NamedTuple):
    """A request whose statement is proven: what goes on but for its keys, and what the gate needs to know."""

    plan: HttpPlan
    judgement: Judgement


class SqlRequests:
    """Judgements of statements in requests, remembered by text and view. The event loop's thread only."""

    def __init__(self, mark: Mark, workers: Workers) -> None:
        self._mark, self._workers = mark, workers
        self._plans = PlanCache(tree.analyse, _no_literals, mark)

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
        return Ready(forwarded(plan, found.text, output, view), found)

    def unread(self, plan: HttpPlan, view: View) -> Judgement:
        """What is known of a statement that is refused: its text, to be sealed, and that without its literals."""
        text = without_format(plan.sql.text)[0] if plan.sql is not None else ""
        # a long one is not read here: that could take long
        read = is_short(text)
        made = Plan("", (), ("SELECT",), tree.normalise(text, view.policy) if read else "", "", "")
        said = in_text(text, tree.telling(text, view.policy) if read else ())
        return Judgement(made, plan_fields(made, self._mark), "", said)


def judged(plan: HttpPlan, view: View) -> Ready | Refusal:
    """As `ready`, at once and with nothing remembered."""
    try:
        text, output = asked(plan, view)
    except GatewayError as error:
        return error.refusal
    view = meant(plan, view)
    made = tree.analyse(text, view)
    if isinstance(made, Refusal):
        return made
    judgement = Judgement(made, plan_fields(made, lambda value: value), made.rewritten, said_by(text, made))
    return Ready(forwarded(plan, made.rewritten, output, view), judgement)


def asked(plan: HttpPlan, view: View) -> tuple[str, str]:
    """The statement and the form of its answer. Raises: GatewayError."""
    sql = plan.sql
    if sql is None:
        raise GatewayError("request-invalid", "the request brings no statement")
    if sql.schema and sql.schema not in view.policy.schemas:
        raise GatewayError(
            "request-not-allowed", "the parameter `database` names a schema that the policy does not", "leave it out"
        )
    text, written = without_format(sql.text)
    if written and written not in OUTPUTS:
        raise GatewayError(
            "request-not-allowed", "the form that FORMAT names is not let through", f"ask for {', '.join(OUTPUTS)}"
        )
    return text, written or sql.output or OUTPUTS[0]


def meant(plan: HttpPlan, view: View) -> View:
    """The view through which the request's statement is read: in the schema that it names, if it names one."""
    schema = plan.sql.schema if plan.sql is not None else ""
    return replace(view, search_path=(schema,)) if schema else view


def forwarded(plan: HttpPlan, text: str, output: str, view: View) -> HttpPlan:
    """What goes to the server, but for the keys of its masks."""
    seconds = -(-view.policy.limits.statement_timeout_ms // 1000)
    pairs = [("default_format", output), *SETTINGS.items(), ("max_execution_time", str(seconds))]
    return replace(plan, query=query.join(pairs), body=text.encode())


def with_keys(plan: HttpPlan, key: bytes) -> HttpPlan:
    """The same with the keys of the masks that the statement has, if it has some."""
    settings: Mapping[str, str] = mask_settings(key)
    used = [(f"param_{name}", settings[of]) for name, of in _KEYS.items() if f"{{{name}:".encode() in plan.body]
    return replace(plan, query=f"{plan.query}&{query.join(used)}") if used else plan


def _no_literals(*_given: object) -> frozenset[int]:
    return frozenset()
