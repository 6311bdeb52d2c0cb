"""Parameters of a statement: constants in the places of its question marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import GatewayError
from gateway.sql.statement import Limits
from gateway.sql.tree.grammar import GRAMMARS, Grammar
from gateway.sql.tree.reading import words
from gateway.sql.tree.writing import string

MARK = "PLACEHOLDER"
"""What the words are called that stand for parameters."""


def spliced(text: str, values: Sequence[str], grammar: Grammar, limits: Limits) -> str:
    """The text with those constants, as they are written, in the places of its parameters. Raises: GatewayError."""
    places = [one for one in words(text, grammar, limits) if one.token_type.name == MARK]
    if len(places) != len(values):
        raise GatewayError("syntax-error", "there are more or fewer values than the statement has `?`")
    for place, value in reversed([*zip(places, values, strict=True)]):
        text = f"{text[: place.start]} {value} {text[place.end + 1 :]}"
    return text


def filled(text: str, values: Sequence[Any], dialect: str) -> str:
    """The same with JSON's scalars, numbers as the bytes of their digits. Raises: GatewayError."""
    grammar = GRAMMARS[dialect]
    return spliced(text, [_written(one, standard=grammar.standard) for one in values], grammar, Limits())


def _written(value: Any, *, standard: bool) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return string(value, standard=standard)
    if isinstance(value, bytes):
        return value.decode("ascii")
    raise GatewayError("request-not-allowed", "a parameter is no scalar", "send strings, numbers, booleans and null")
