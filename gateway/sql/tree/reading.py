"""A statement's text read into sqlglot's tree, within bounds that are checked before it is parsed.

INVARIANT: one SELECT comes out, or nothing. What two readers could cut into words differently is refused from the words
alone: comments that a server executes, blanks that are none, strings side by side or with odd escapes, numbers that run
into names. Nothing here says that a statement is allowed: `allowed.py` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from gateway.errors import GatewayError
from gateway.sql.statement import Limits
from gateway.sql.tree.grammar import Grammar

MOST_TOKENS = 2000
MOST_NESTED = 24
MOST_BARE_JOINS = 6
"""Joins without ON and USING: sqlglot reads what follows each of them twice, so each doubles the time."""

_NUMBER = re.compile(r"\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?")
_COMMENT = re.compile(r"/\*(?P<body>.*?)\*/|--(?P<dash>[^\n]*)(?:\n|\Z)|#(?P<hash>[^\n]*)(?:\n|\Z)", re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")
_STRINGS = frozenset({TokenType.STRING})
_JOINS = frozenset({TokenType.JOIN, TokenType.STRAIGHT_JOIN})
_WORDS = frozenset({"SELECT", "WITH"})
_BEGINNINGS = frozenset({
    "ALTER", "ANALYZE", "ATTACH", "BEGIN", "CALL", "CHECK", "COMMIT", "COPY", "CREATE", "DEALLOCATE", "DELETE", "DESC",
    "DESCRIBE", "DETACH", "DO", "DROP", "EXCHANGE", "EXECUTE", "EXISTS", "EXPLAIN", "FLUSH", "GRANT", "HANDLER",
    "INSERT", "INSTALL", "KILL", "LOAD", "LOCK", "MERGE", "MOVE", "OPTIMIZE", "PREPARE", "PURGE", "RENAME", "REPLACE",
    "RESET", "REVOKE", "ROLLBACK", "SAVEPOINT", "SET", "SHOW", "SHUTDOWN", "START", "SYSTEM", "TABLE", "TRUNCATE",
    "UNDROP", "UNLOCK", "UPDATE", "USE", "VALUES", "WATCH", "XA",
})  # fmt: skip
_THIS = ("this",)
_NEEDED: dict[type[exp.Expr], tuple[str, ...]] = {
    **dict.fromkeys(
        (exp.From, exp.Join, exp.Where, exp.Having, exp.Alias, exp.Paren, exp.Neg, exp.Not, exp.Subquery, exp.CTE,
         exp.Cast, exp.Ordered, exp.Exists, exp.Table, exp.Column, exp.In, exp.Window, exp.BitwiseNot, exp.Interval),
        _THIS,
    ),
    exp.Limit: ("expression",),
    exp.Offset: ("expression",),
    exp.Extract: ("this", "expression"),
    exp.Between: ("this", "low", "high"),
    exp.Union: ("this", "expression"),
}  # fmt: skip
"""The parts without which a node is none."""
_FAULTS = (SqlglotError, ValueError, TypeError, AttributeError, KeyError, IndexError)


@dataclass(frozen=True, slots=True)
class Read:
    """A statement: its tree, and its text cut into words, without a semicolon at the end."""

    text: str
    tree: exp.Expr
    tokens: tuple[Token, ...]


def read(text: str, grammar: Grammar, limits: Limits, *, ours: bool = False) -> Read:
    """The one SELECT of the text; `ours` is one that was written here, with more parentheses. Raises: GatewayError."""
    tokens = words(text, grammar, limits, ours=ours)
    begins = (one for one in tokens if not (grammar.own and one.token_type == TokenType.L_PAREN))
    first = next(begins, tokens[0]).text.upper()
    if first not in _WORDS:
        if first in _BEGINNINGS:
            raise GatewayError("statement-not-allowed", f"a statement that begins with `{first}` is not allowed here",
                               "only SELECT is read here")  # fmt: skip
        raise GatewayError("syntax-error", "the statement does not begin with SELECT or WITH")
    try:
        trees = grammar.dialect.parser(error_level=ErrorLevel.IMMEDIATE).parse(list(tokens), text)
    except RecursionError:
        raise GatewayError("statement-too-complex", "the statement is nested too deeply") from None
    except _FAULTS:
        raise GatewayError("syntax-error", "the statement cannot be read") from None
    if len(trees) == 1 and isinstance(trees[0], exp.Except | exp.Intersect):
        raise GatewayError("statement-not-allowed", "EXCEPT and INTERSECT are not supported",
                           "write: WHERE [NOT] EXISTS (SELECT ...)")  # fmt: skip
    if len(trees) != 1 or not isinstance(trees[0], exp.Select | exp.Union):
        raise GatewayError("statement-not-allowed", "the text is not one SELECT", "send one SELECT")
    if not all(_is_whole(node) for node in trees[0].walk()):
        raise GatewayError("syntax-error", "the statement cannot be read: something is missing")
    return Read(text, grammar.parts.settle(trees[0]) if grammar.parts is not None else trees[0], tokens)


def _is_whole(node: exp.Expr) -> bool:
    """Whether a node has what makes it one: the parser leaves holes where it expects words that are not there."""
    needed = ("this", "expression") if isinstance(node, exp.Binary) else _NEEDED.get(type(node), ())
    return all(node.args.get(name) is not None for name in needed)


def words(text: str, grammar: Grammar, limits: Limits, *, ours: bool = False) -> tuple[Token, ...]:
    """The words of a text, without semicolons at its end; at least one. Raises: GatewayError."""
    if len(text.encode("utf-8", "surrogatepass")) > limits.text:
        raise GatewayError("statement-too-long", f"the statement is longer than {limits.text} bytes")
    if any(c in text for c in "\0\ufeff") or any("\ud800" <= c <= "\udfff" for c in text):
        raise GatewayError("syntax-error", "the statement has a character that no statement has")
    try:
        tokens = list(grammar.dialect.tokenize(text))
    except _FAULTS:
        raise GatewayError("syntax-error", "the statement cannot be cut into words") from None
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise GatewayError("syntax-error", "the statement is empty")
    if len(tokens) > MOST_TOKENS * (4 if ours else 1):
        raise GatewayError("statement-too-complex", f"the statement has more than {MOST_TOKENS} words")
    _judge_nesting(tokens, MOST_NESTED * (2 if ours else 1))
    _judge_joins(tokens)
    _judge_gaps(text, tokens, grammar)
    for before, token in zip([None, *tokens], tokens, strict=False):
        _judge_token(text, before, token, grammar)
    return tuple(tokens)


def _judge_nesting(tokens: list[Token], most: int) -> None:
    depth = cases = 0
    for token in tokens:
        if token.token_type in {TokenType.L_BRACKET, TokenType.R_BRACKET, TokenType.L_BRACE, TokenType.R_BRACE}:
            # sqlglot takes seconds for three thousand characters of them
            raise GatewayError("statement-not-supported", "brackets and braces are not supported")
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        cases += (token.token_type == TokenType.CASE) - (token.token_type == TokenType.END)
        if max(depth, cases) > most:
            raise GatewayError("statement-too-complex", f"the statement is nested deeper than {most} levels")
        if token.token_type == TokenType.SEMICOLON:
            raise GatewayError("statement-not-allowed", "the text has several statements", "send one at a time")


def _judge_joins(tokens: list[Token]) -> None:
    bare = 0
    open_joins = [0]
    for token in tokens:
        kind = token.token_type
        if kind == TokenType.L_PAREN:
            open_joins.append(0)
        elif kind == TokenType.R_PAREN and len(open_joins) > 1:
            bare += open_joins.pop()
        elif kind in _JOINS:
            bare += open_joins[-1]
            open_joins[-1] = 1
        elif kind in {TokenType.ON, TokenType.USING}:
            open_joins[-1] = 0
    if bare + sum(open_joins) > MOST_BARE_JOINS:
        raise GatewayError("statement-too-complex", f"more than {MOST_BARE_JOINS} joins have no ON and no USING",
                           "give each its condition behind it, or write commas")  # fmt: skip


def _judge_gaps(text: str, tokens: list[Token], grammar: Grammar) -> None:
    """What stands between words is blanks and comments that everybody reads as such."""
    at = 0
    for token in tokens:
        _judge_gap(text[at : token.start], grammar)
        at = token.end + 1
    _judge_gap(text[at:].replace(";", " "), grammar)


def _judge_gap(gap: str, grammar: Grammar) -> None:
    at = 0
    while (at := _BLANK.match(gap, at).end()) < len(gap):  # type: ignore[union-attr]  # it always matches
        match = _COMMENT.match(gap, at)
        if match is None:
            raise GatewayError("syntax-error", "the statement has a character where none can be")
        body, dash, sharp = match["body"], match["dash"], match["hash"]
        if body is not None and (body[:1] in {"!", "+"} or body[:2] in {"M!", "m!"} or "/*" in body):
            raise GatewayError("statement-not-allowed", "a comment that a server may execute is not allowed",
                               "leave comments out")  # fmt: skip
        if dash and not dash[0].isspace() and grammar.own:
            raise GatewayError("syntax-error", "`--` begins a comment only before a blank", "write a blank behind `--`")
        if sharp is not None and not grammar.own:
            raise GatewayError("syntax-error", "`#` begins no comment here")
        at = match.end()


def _judge_token(text: str, before: Token | None, token: Token, grammar: Grammar) -> None:
    raw = text[token.start : token.end + 1]
    kind = token.token_type
    if kind == TokenType.STRING:
        if before is not None and before.token_type in _STRINGS:
            raise GatewayError("statement-not-supported", "strings side by side are not supported", "use concat()")
        if before is not None and before.end + 1 == token.start and before.text[-1:].isalnum():
            raise GatewayError("statement-not-supported", "a string with a prefix is not supported")
        if grammar.standard:
            return
        escapes = re.findall(r"\\(.)", raw[1:-1].replace("\\\\", ""), re.DOTALL)
        if raw[0] not in "'\"" or any(one not in grammar.escapes for one in escapes) or raw.count("\\0"):
            raise GatewayError("statement-not-supported", "the statement has an escape that is not supported")
    elif kind == TokenType.NUMBER and not _NUMBER.fullmatch(raw):
        raise GatewayError("statement-not-supported", "the statement has a number of another form than 12.5 or 1e3")
    elif (
        before is not None
        and before.token_type == TokenType.NUMBER
        and before.end + 1 == token.start
        and (raw[0].isalnum() or raw[0] in "_.$")
    ):
        raise GatewayError("syntax-error", "a number runs into a name")
    if grammar.own and raw in {"||", "&&", "!"}:
        # what they mean depends on a setting, or on a precedence of their own
        raise GatewayError("operator-not-allowed", f"the operator `{raw}` is not allowed", "write OR, AND, NOT")
    if grammar.own and kind != TokenType.STRING and raw.upper() == "NULLS":
        raise GatewayError("syntax-error", "there is no NULLS FIRST or LAST here")
