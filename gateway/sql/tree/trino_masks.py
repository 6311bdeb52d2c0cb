"""Masks as expressions of Trino (418 and later).

Keyed masks are `hmac_sha256()`; the key is a parameter of the statement, `?`, never in its text: the text goes on as
`EXECUTE IMMEDIATE '…' USING X'…'` (`trino_forms.bound`), and without a value for it the server refuses the statement.
A person's text has no parameters: they are refused.

Patterns are what Trino's two libraries for regular expressions, Joni and RE2J, read alike.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.policy import kinds, types
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType
from gateway.sql.tree.writing import string

KEY = "?"

_TYPES = {
    "text": "VARCHAR", "varchar": "VARCHAR", "int2": "SMALLINT", "int4": "INTEGER", "int8": "BIGINT",
    "float8": "DOUBLE", "date": "DATE", "timestamp": "TIMESTAMP(6)", "timestamptz": "TIMESTAMP(6) WITH TIME ZONE",
    "bool": "BOOLEAN", "uuid": "UUID",
}  # fmt: skip


def masked(mask: Mask, expression: str, of: ColumnType) -> str:
    """The expression under a mask that fits."""
    kind = f"DECIMAL({of.mods[0]}, {of.mods[1]})" if of.group == types.NUMERIC and of.mods else _TYPES.get(of.name, "")
    if mask.kind == "null":
        return f"CAST(NULL AS {kind})" if kind else "NULL"
    if mask.kind == "redact":
        return f"CAST({_string({'f': 'false'}.get(kinds.redacted(of), kinds.redacted(of)))} AS {kind})"
    made = _RENDER[mask.kind](mask, expression, of)
    return f"SUBSTR({made}, 1, {of.length})" if of.length is not None else made


def uuid(value: str) -> str:
    """A uuid as a constant."""
    return f"CAST({_string(value)} AS UUID)"


def _partial(mask: Mask, expression: str, _of: ColumnType) -> str:
    start, end = int(mask.option("keep_start", 0)), int(mask.option("keep_end", 0))
    text = _text(expression)
    length = f"LENGTH({text})"
    hidden = f"RPAD('', {length}, '*')"
    if not start + end:
        return hidden
    shown = [f"SUBSTR({text}, 1, {start})"] * bool(start)
    shown += [f"RPAD('', GREATEST({length} - {start + end}, 0), '*')"]
    shown += [f"SUBSTR({text}, {length} - {end - 1})"] * bool(end)
    return f"CASE WHEN {length} >= {2 * (start + end)} THEN {_joined(*shown)} ELSE {hidden} END"


def _email(mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _text(expression)
    domain = f"REGEXP_EXTRACT({text}, {_string(kinds.EMAIL_DOMAIN.removesuffix('$') + _END)})"
    if mask.option("domain", "keep") == "keyed":
        domain = _joined("'@'", f"SUBSTR({_hex('email-domain', domain)}, 1, 10)", "'.invalid'")
    return _joined(f"SUBSTR({_hex('email', text)}, 1, 16)", f"COALESCE({domain}, '')")


def _pseudonym(mask: Mask, expression: str, of: ColumnType) -> str:
    domain, text = str(mask.option("domain")), _text(expression)
    digits = _hex(domain, text)
    if domain == "first_name":
        number = f"BITWISE_AND(FROM_BASE(SUBSTR({digits}, 1, 2), 16), {len(kinds.FIRST_NAMES) - 1})"
        return f"SPLIT_PART({_string(','.join(kinds.FIRST_NAMES))}, ',', 1 + {number})"
    if domain in {"last_name", "company"}:
        number = f"FROM_BASE(SUBSTR({digits}, 1, 7), 16)"
        bits = f"BITWISE_AND(BITWISE_OR({number}, {kinds.CONSONANT_BITS}), {kinds.VOWEL_BITS})"
        letters = f"TRANSLATE(TO_BASE({bits}, 16), {_string(kinds.SYLLABLE_DIGITS)}, {_string(kinds.SYLLABLE_LETTERS)})"
        suffix = _string(kinds.COMPANY_SUFFIX if domain == "company" else "")
        return _joined(f"UPPER(SUBSTR({letters}, 1, 1))", f"SUBSTR({letters}, 2)", suffix)
    if domain == "token":
        return _joined("'t_'", f"SUBSTR({digits}, 1, 20)")
    if domain == "uuid":
        first, second, third, fourth, fifth = (
            f"SUBSTR({digits}, {at}, {count})" for at, count in ((1, 8), (9, 4), (14, 3), (18, 3), (21, 12))
        )
        value = _joined(first, "'-'", second, "'-8'", third, "'-a'", fourth, "'-'", fifth)
        return f"CAST({value} AS UUID)" if of.group == types.UUID else value
    if of.name == "int8":
        number = f"FROM_BIG_ENDIAN_64(SUBSTR({_hmac('integer', text)}, 1, 8))"
    else:
        number = f"FROM_BASE(SUBSTR({_hex('integer', text)}, 1, 8), 16)"
    return f"CAST(BITWISE_AND({number}, {types.INTEGER_MAX[of.name]}) AS {_TYPES[of.name]})"


def _truncated_time(mask: Mask, expression: str, of: ColumnType) -> str:
    # of the moment in UTC, whatever the session's time zone is
    value = f"({expression} AT TIME ZONE 'UTC')" if of.name == "timestamptz" else expression
    return f"CASE WHEN YEAR({value}) BETWEEN 1 AND 9999 THEN DATE_TRUNC('{mask.kind}', {value}) END"


def _bucket(mask: Mask, expression: str, of: ColumnType) -> str:
    precision, places = of.mods if of.group == types.NUMERIC else (19, 0)
    # of one type all along: none of its steps needs more digits than there are
    number, size, lowest = (
        f"CAST({value} AS DECIMAL(38, {places}))"
        for value in (expression, _string(str(mask.option("size"))), _string(format(kinds.lowest(of) or 0, "f")))
    )
    below = f"({number} - ((({number} % {size}) + {size}) % {size}))"
    kind = _TYPES[of.name] if of.group == types.INTEGER else f"DECIMAL({precision}, {places})"
    return f"CAST(GREATEST({below}, {lowest}) AS {kind})"


def _digits(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _text(expression)
    shape = f"REGEXP_REPLACE({text}, {_string(kinds.NOT_IN_SHAPE)}, 'x')"
    stream = f"TRANSLATE({_hex('digits', text)}, 'abcdef', '012345')"
    before = f"LENGTH(REGEXP_REPLACE(SUBSTR({shape}, 1, place), '[^0-9]', ''))"
    here = f"SUBSTR({shape}, place, 1)"
    pick = f"place -> CASE WHEN REGEXP_LIKE({here}, '[0-9]') THEN SUBSTR({stream}, {before}, 1) ELSE {here} END"
    # the stream has as many digits as there are places, and a sequence of more is not made
    count = f"LEAST(LENGTH({text}), {kinds.LONGEST_DIGITS})"
    made = f"ARRAY_JOIN(TRANSFORM(SEQUENCE(1, {count}), {pick}), '')"
    return (
        f"CASE WHEN {text} = '' THEN '' WHEN LENGTH({text}) <= {kinds.LONGEST_DIGITS} THEN {made} "
        f"WHEN {text} IS NOT NULL THEN {_string(kinds.STARS)} END"
    )


def _initials(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _text(expression)
    breaks = "[ .'-]+"
    trimmed = f"REGEXP_REPLACE({text}, {_string(f'^{breaks}|{breaks}{_END}')}, '')"
    letters = f"REGEXP_REPLACE({trimmed}, {_string(kinds.WORD)}, '$1.')"
    shown = f"SUBSTR({letters}, 1, {2 * kinds.MOST_INITIALS})"
    return f"CASE WHEN LENGTH({letters}) <= LENGTH({text}) THEN {shown} WHEN {text} IS NOT NULL THEN '*' END"


def _truncate_ip(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text, pattern = _text(expression), _string(kinds.IPV4_TEXT.removesuffix("$") + _END)
    value = f"REGEXP_REPLACE({text}, {pattern}, '$1.0')"
    return (
        f"CASE WHEN REGEXP_LIKE({text}, {pattern}) THEN {value} WHEN {text} IS NOT NULL THEN {_string(kinds.STARS)} END"
    )


def _text(expression: str) -> str:
    return f"CAST({expression} AS VARCHAR)"


def _hmac(label: str, text: str) -> str:
    return f"HMAC_SHA256(TO_UTF8({_joined(_string(label + ':'), text)}), {KEY})"


def _hex(label: str, text: str) -> str:
    return f"LOWER(TO_HEX({_hmac(label, text)}))"


def _joined(*parts: str) -> str:
    return f"({' || '.join(parts)})"


def _string(value: str) -> str:
    return string(value, standard=True)


_END = "\\z"
_RENDER: dict[str, Callable[[Mask, str, ColumnType], str]] = {
    "partial": _partial,
    "email": _email,
    "pseudonym": _pseudonym,
    "year": _truncated_time,
    "month": _truncated_time,
    "bucket": _bucket,
    "digits": _digits,
    "initials": _initials,
    "truncate_ip": _truncate_ip,
}
