"""What the policy says of a statement that runs all the same: the plan of a text that came to an observed target.

The verdict is the ordinary one, of `analyse`. Where it is a refusal, the plan says what the text alone can tell: its
words without literals, its verbs, the names that it mentions. Nothing of such a plan is ever sent; an observed target
gets the client's own bytes.

INVARIANT: a plan with a `would` has no outgoing text, so that nothing could run where it came by mistake.
"""

from __future__ import annotations

import re
from dataclasses import replace

import postgast
from postgast import pg_query_pb2 as pb

from gateway.errors import Refusal
from gateway.sql.postgres.analysis import analyse, fault
from gateway.sql.postgres.parse import fingerprint, normalised, parse
from gateway.sql.postgres.subjects import arguments, conceals, subjects
from gateway.sql.postgres.tree import Message, Refused, concrete, parts, walk
from gateway.sql.statement import Plan, View

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
_MOST_RELATIONS = 100


def judged(text: str, view: View) -> Plan | Refusal:
    """What the view's target makes of a text: `observed_plan` where it is observed, and everywhere else `analyse`."""
    return observed_plan(text, view) if view.policy.observed else analyse(text, view)


def observed_plan(text: str, view: View) -> Plan:
    """The plan of a text that will run whatever the plan says. Pure, and never raises."""
    plan = analyse(text, view)
    if isinstance(plan, Refusal):
        return _described(text, view, plan)
    # none of these happens here: no notice is shown, no search is counted, and the rewritten text is not what runs
    return replace(plan, rewritten_normalised="", notices=(), raw_uses=(), copies=may_copy(text))


def may_copy(text: str) -> bool:
    """Whether the text can be a COPY at all: a keyword has no other spelling, however strings are quoted."""
    return "copy" in text.lower()


def _described(text: str, view: View, refusal: Refusal) -> Plan:
    unread = Plan("", (), (), "", "", "", would=refusal, copies=may_copy(text))
    try:
        parsed = parse(text, view.limits)
        statements = [concrete(statement.stmt) for statement in parsed.tree.stmts]
        return replace(
            unread,
            verbs=tuple(_verb(statement) for statement in statements),
            normalised="; ".join(map(_verb, statements)) if _hides_values(statements) else normalised(parsed),
            fingerprint=fingerprint(text),
            relations=mentioned(statements),
            defines=tuple(pair for statement in statements for pair in _defined(statement)),
            uses=tuple(pair for statement in statements for pair in _used(statement)),
            conceals=conceals(parsed),
            subjects=subjects(parsed.tree, view.policy),
            arguments=arguments(parsed.tree),
        )
    except (Refused, postgast.PgQueryError):
        return unread
    except Exception as error:
        # what it does not know how to describe must not end the session; that it would be refused is certain
        return replace(unread, would=replace(refusal, detail=fault(error).detail))


def _verb(statement: Message) -> str:
    """`INSERT` for an InsertStmt, `CREATE FUNCTION` for a CreateFunctionStmt."""
    return _WORD.sub(" ", type(statement).__name__.removesuffix("Stmt")).upper()


def _hides_values(statements: list[Message]) -> bool:
    """Whether a setting is given a value inside another statement (ALTER ROLE … SET): it may be a bare word."""
    inner = (message for statement in statements for part in parts(statement) for message in walk(part))
    return any(type(message) is pb.VariableSetStmt and message.args for message in inner)


def mentioned(statements: list[Message]) -> tuple[str, ...]:
    """The relations that the text names, as it names them; what WITH names is among them."""
    found: dict[str, None] = {}
    for statement in statements:
        for message in walk(statement):
            if type(message) is pb.RangeVar and message.relname and len(found) < _MOST_RELATIONS:
                found[f"{message.schemaname}.{message.relname}" if message.schemaname else message.relname] = None
    return tuple(found)


def _defined(statement: Message) -> tuple[tuple[str, str], ...]:
    if type(statement) is pb.PrepareStmt:
        return (("statement", statement.name),)
    return (("cursor", statement.portalname),) if type(statement) is pb.DeclareCursorStmt else ()


def _used(statement: Message) -> tuple[tuple[str, str], ...]:
    if type(statement) is pb.ExecuteStmt:
        return (("statement", statement.name),)
    return (("cursor", statement.portalname),) if type(statement) is pb.FetchStmt else ()
