"""The clause FORMAT of ClickHouse, which stands behind a statement and says nothing of what it reads."""

from __future__ import annotations

from gateway.sql.statement import Limits
from gateway.sql.tree.grammar import GRAMMARS
from gateway.sql.tree.reading import words

_NOT_BEFORE = frozenset({"FROM", "JOIN", "AS", ",", ".", "SELECT", "("})


def without_format(text: str, dialect: str, limits: Limits) -> tuple[str, str]:
    """The statement without its clause FORMAT, and the form that it names; empty for none. Raises: GatewayError."""
    tokens = words(text, GRAMMARS[dialect], limits)
    if len(tokens) < 4 or tokens[-2].text.upper() != "FORMAT" or tokens[-3].text.upper() in _NOT_BEFORE:
        return text, ""
    return text[: tokens[-2].start].rstrip(), tokens[-1].text
