"""Text in, a plan or a refusal out: read, allowed, resolved, rewritten, and proven by `check.py`, in that order."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from gateway.errors import GatewayError, Refusal
from gateway.policy.schema import Policy
from gateway.sql.said import Subject
from gateway.sql.statement import Kind, Limits, Plan, View
from gateway.sql.tree import allowed, search, sums
from gateway.sql.tree.check import prove
from gateway.sql.tree.grammar import GRAMMARS, Grammar
from gateway.sql.tree.outputs import output_names
from gateway.sql.tree.reading import Read, read
from gateway.sql.tree.rewrite import RAW, ROWS, normalised, rewritten
from gateway.sql.tree.scopes import Names, resolve, take_catalog, visible
from gateway.sql.tree.writing import Writer, quoted


def analyse(text: str, view: View) -> Plan | Refusal:
    """A plan of the text for this view, or why there is none. Pure."""
    grammar = GRAMMARS[view.policy.dialect]
    try:
        asked = read(text, grammar, view.limits)
        take_catalog(asked.tree, view)
        allowed.judge(asked.tree, grammar)
        names = resolve(asked.tree, view, grammar)
        searches = search.find(asked.tree, names, view, grammar, RAW)
        summed = sums.find(asked.tree, names, view, grammar, ROWS, RAW)
        outgoing, order = rewritten(asked, names, searches, summed, view, grammar)
        prove(outgoing, asked, view, grammar, names.shown(view), order)
        plan = planned(asked, names, outgoing, view, grammar)
        return replace(
            plan,
            raw_uses=(*searches.uses, *summed.uses),
            notices=(*searches.notices.values(), *summed.notices.values()),
            parameters=() if order == tuple(sorted(order)) else order,
        )
    except GatewayError as error:
        return error.refusal
    except RecursionError:
        return Refusal("statement-too-complex", "the statement is nested too deeply")


def normalise(text: str, policy: Policy) -> str:
    """The text without its literals; of one that cannot be read, next to nothing."""
    asked, grammar = _read(text, policy), GRAMMARS[policy.dialect]
    try:
        return (
            Writer(grammar, partial(_written, grammar.mark), normalised=True).query(asked.tree)
            if asked is not None
            else ""
        )
    except (GatewayError, RecursionError):
        return ""


def telling(text: str, policy: Policy) -> tuple[Subject, ...]:
    """The values of a text that may tell who somebody is; nothing in one that cannot be read."""
    asked = _read(text, policy)
    return subjects_of(asked.tree, policy) if asked is not None else ()


def _read(text: str, policy: Policy) -> Read | None:
    grammar = GRAMMARS[policy.dialect]
    try:
        asked = read(text, grammar, Limits())
        allowed.judge(asked.tree, grammar)
    except (GatewayError, RecursionError):
        return None
    return asked


def _written(mark: str, table: exp.Table) -> str:
    name = ".".join(quoted(one, mark) for one in (table.db, table.name) if one)
    return f"{name} AS {quoted(table.alias, mark)}" if table.alias else name


def planned(asked: Read, names: Names, outgoing: str, view: View, grammar: Grammar, *, named: bool = True) -> Plan:
    """The plan of a statement that was proven, with what its records say of it; `named` as for `check.prove`."""
    text = normalised(asked.tree, names, grammar)
    relations = tuple(names.columns)
    clear: list[str] = []
    masked: list[str] = []
    revealed: list[str] = []
    for name, columns in names.columns.items():
        rules = view.policy.tables[name].columns
        for column in (one for one in visible(view, view.catalog.relations[name]) if one in columns):
            shown = (name, column) in view.reveal
            kind = revealed if shown else clear if rules[column].mask.kind == "clear" else masked
            kind.append(f"{name}.{column}")
    scoped = (f"{name}: {scope_text(view.policy, name)}" for name in relations)
    return Plan(
        rewritten=outgoing,
        kinds=(Kind.READ,),
        verbs=("SELECT",),
        normalised=text,
        rewritten_normalised=without_literals(
            outgoing, grammar, frozenset(output_names(asked, grammar) or () if named else ())
        ),
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
        relations=relations,
        columns_clear=tuple(clear),
        columns_masked=tuple(masked),
        columns_revealed=tuple(revealed),
        scope=tuple(scoped),
        conceals=any(True for _ in asked.tree.find_all(exp.Literal)),
        subjects=subjects_of(asked.tree, view.policy),
    )


def without_literals(text: str, grammar: Grammar, names: Collection[str] = ()) -> str:
    """The text with a question mark for every literal, and for `names`, which are made of the person's text."""
    parts, at = [], 0
    for token in grammar.dialect.tokenize(text):
        named = token.token_type == TokenType.IDENTIFIER and token.text in names
        if named or token.token_type in {TokenType.STRING, TokenType.NUMBER}:
            parts += [text[at : token.start], "?"]
            at = token.end + 1
    return "".join([*parts, text[at:]])


def scope_text(policy: Policy, name: str) -> str:
    """Which rows of a relation exist, as records say it."""
    scope = policy.tables[name].scope
    if scope.kind == "customer":
        return f"{scope.column} = ticket.customer"
    return f"{scope.column} in {scope.other}.{scope.other_column}" if scope.kind == "follows" else "none"


def subjects_of(tree: exp.Expr, policy: Policy) -> tuple[Subject, ...]:
    """What is compared with a column whose values tell who somebody is, whatever relation it is of."""
    named = {name.lower() for name in policy.identifiers}
    found: dict[Subject, None] = {}
    for node in tree.find_all(exp.EQ, exp.In, exp.NullSafeEQ):
        sides = [node.this, *node.expressions] if isinstance(node, exp.In) else [node.this, node.expression]
        columns = (one for side in sides for one in side.find_all(exp.Column))
        if any(column.name.lower() in named for column in columns):
            found |= dict.fromkeys(value for side in sides for value in _values(side))
    return tuple(found)


def _values(node: exp.Expr) -> Iterator[Subject]:
    for one in node.find_all(exp.Literal, exp.Placeholder):
        yield one.meta["number"] if isinstance(one, exp.Placeholder) else str(one.this)
