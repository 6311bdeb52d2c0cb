"""What the columns of a result are called where the server names them by the text of their expressions."""

from __future__ import annotations

import re

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from gateway.errors import GatewayError
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.reading import Read

_LONGEST = 256


def output_names(asked: Read, grammar: Grammar) -> list[str] | None:
    """The name that each output of the first SELECT has to be given, empty where it has one; None for a server that
    names columns by itself as it did.

    Raises: GatewayError where a name cannot be told.
    """
    if not grammar.named_by_text:
        return None
    first = asked.tree
    while isinstance(first, exp.Union):
        first = first.this
    texts = [""] * len(first.expressions)
    if not all(_has_name(one) for one in first.expressions):
        texts = _texts(asked)
    if len(texts) != len(first.expressions):
        raise GatewayError("statement-not-supported", "the names of the columns cannot be told", "give them aliases")
    names = [_name(one, text) for one, text in zip(first.expressions, texts, strict=True)]
    if grammar.own:
        # the server keeps names in utf8mb3, and writes a question mark for what is not in it
        names = [re.sub(r"[^\u0000-\uffff]", "?", name) for name in names]
    for name in names:
        if len(name) > _LONGEST or any(c in name for c in "`\\") or not name.isprintable() or name != name.strip():
            raise GatewayError(
                "statement-not-supported", "a column's name would be too long or odd", "give it an alias"
            )
    return names


def _name(node: exp.Expr, text: str) -> str:
    if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star) and node.name != node.name.lower():
        # the derived table's column has the policy's letters, the output has those of the statement
        return str(node.name)
    inner = node
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Literal) and inner.this:
        # a constant names its column by its value
        return str(inner.this)
    if isinstance(inner, exp.Null | exp.Boolean):
        return "NULL" if isinstance(inner, exp.Null) else str(inner.this).upper()
    if inner is not node and isinstance(inner, exp.Column):
        return str(inner.name)
    return "" if _has_name(node) else text


def _has_name(node: exp.Expr) -> bool:
    return isinstance(node, exp.Alias | exp.Column | exp.Star)


def _texts(asked: Read) -> list[str]:
    """What is written between the commas of the first SELECT that no parentheses are around."""
    texts: list[str] = []
    depth, start, end = 0, -1, -1
    for token in asked.tokens:
        kind = token.token_type
        if start < 0:
            depth += (kind == TokenType.L_PAREN) - (kind == TokenType.R_PAREN)
            if kind == TokenType.SELECT and depth == 0:
                start = end = token.end + 1
            continue
        if depth == 0 and kind in {
            TokenType.COMMA,
            TokenType.FROM,
            TokenType.UNION,
            TokenType.LIMIT,
            TokenType.WHERE,
            TokenType.ORDER_BY,
        }:
            texts.append(asked.text[start:end].strip())
            if kind != TokenType.COMMA:
                return texts
            start = token.end + 1
        elif kind == TokenType.DISTINCT and not texts and not asked.text[start : token.start].strip():
            start = token.end + 1
        depth += (kind == TokenType.L_PAREN) - (kind == TokenType.R_PAREN)
        end = token.end + 1
    texts.append(asked.text[start:end].strip())
    return texts
