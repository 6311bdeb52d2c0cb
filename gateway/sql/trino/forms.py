"""EXECUTE IMMEDIATE: how clients send parameters, and how the gateway sends the key of masks.

What comes in is read as the statement in the string, with each `?` replaced by its constant; it is that statement
which is judged, and rewritten. What goes out has the key of the masks as the value of each `?`: those of masks are the
only ones that a proven text has. INVARIANT: the text in the string is the proven one, to the letter.
"""

from __future__ import annotations

import re

from gateway.errors import GatewayError
from gateway.sql.statement import Limits
from gateway.sql.tree.grammar import TRINO
from gateway.sql.tree.parameters import MARK, spliced
from gateway.sql.tree.reading import words
from gateway.sql.tree.writing import string

_IMMEDIATE = re.compile(
    r"\s*EXECUTE\s+IMMEDIATE\s+'((?:[^']|'')*)'\s*(?:(?<=[\s'])USING\s+(\S.*?))?[\s;]*\Z", re.IGNORECASE | re.DOTALL
)
_CONSTANTS = frozenset({"STRING", "NUMBER", "NULL", "TRUE", "FALSE", "DASH", "DATE", "TIMESTAMP", "DECIMAL"})
_DECIMAL = re.compile(r"DECIMAL\s*'(-?\d{1,38}(?:\.\d{1,38})?)'", re.IGNORECASE)


def immediate(text: str, limits: Limits | None = None) -> str:
    """The statement that an EXECUTE IMMEDIATE carries out; any other text as it is. Raises: GatewayError."""
    limits = limits or Limits()
    if len(text) > limits.text or not text.lstrip()[:7].upper().startswith("EXECUTE"):
        return text
    match = _IMMEDIATE.match(text)
    if match is None:
        raise GatewayError("statement-not-supported", "EXECUTE of this kind is not supported",
                           "send the SELECT itself, or EXECUTE IMMEDIATE 'SELECT ...' USING constants")  # fmt: skip
    inner = match[1].replace("''", "'")
    return spliced(inner, _values(match[2] or "", limits), TRINO, limits)


def bound(text: str, key: bytes) -> str:
    """The proven text with the key of its masks as a parameter; the text itself where no mask needs it."""
    count = sum(one.token_type.name == MARK for one in TRINO.dialect.tokenize(text))
    if not count:
        return text
    values = ", ".join([f"X'{key.hex()}'"] * count)
    return f"EXECUTE IMMEDIATE {string(text, standard=True)} USING {values}"


def _values(text: str, limits: Limits) -> list[str]:
    """The constants between the commas. Raises: GatewayError for what is none."""
    if not text:
        return []
    values: list[list[tuple[str, int, int]]] = [[]]
    for one in words(text, TRINO, limits):
        kind = one.token_type.name
        if kind == "COMMA":
            values.append([])
            continue
        if kind not in _CONSTANTS:
            known = "numbers, strings, DATE, TIMESTAMP and DECIMAL constants, TRUE, FALSE and NULL are"
            raise GatewayError("statement-not-supported", "USING takes constants only", known)
        values[-1].append((kind, one.start, one.end + 1))
    if not all(values):
        raise GatewayError("syntax-error", "USING has an empty value")
    return [_value(text[one[0][1] : one[-1][2]], len(one)) for one in values]


def _value(text: str, count: int) -> str:
    decimal = _DECIMAL.fullmatch(text)
    if decimal is not None:
        return f"({decimal[1]})"
    # whatever stands in it, it is one value
    return text if count == 1 else f"({text})"
