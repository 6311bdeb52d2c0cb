"""Masks as expressions of MySQL 8 and MariaDB 10.6 and later.

Keyed masks are HMAC-SHA256 (RFC 2104) as two calls of `SHA2()`; the padded key blocks are in two variables of the
session, `@gateway_inner` and `@gateway_outer`, in hexadecimal. Without them, or with empty ones, a mask is NULL. A
person's text has no variables: they are refused.

The session's character set is utf8mb4, and its sql_mode has no NO_BACKSLASH_ESCAPES and no ANSI_QUOTES.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.policy import kinds, types
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType
from gateway.sql.tree.writing import string

INNER, OUTER = "@gateway_inner", "@gateway_outer"

_TYPES = {
    "text": "CHAR", "varchar": "CHAR", "int2": "SIGNED", "int4": "SIGNED", "int8": "SIGNED", "float8": "DOUBLE",
    "date": "DATE", "timestamp": "DATETIME", "timestamptz": "DATETIME", "uuid": "CHAR", "bool": "SIGNED",
}  # fmt: skip


def masked(mask: Mask, expression: str, of: ColumnType) -> str:
    """The expression under a mask that fits."""
    kind = f"DECIMAL({of.mods[0]}, {of.mods[1]})" if of.group == types.NUMERIC and of.mods else _TYPES.get(of.name, "")
    if mask.kind == "null":
        return f"CAST(NULL AS {kind})" if kind else "NULL"
    if mask.kind == "redact":
        return f"CAST({string({'f': '0'}.get(kinds.redacted(of), kinds.redacted(of)))} AS {kind})"
    made = _RENDER[mask.kind](mask, expression, of)
    made = f"LEFT({made}, {of.length})" if of.length is not None else made
    # letters compare as they do in any column, not by their bytes as here
    return f"CONVERT({made} USING utf8mb4)" if of.group == types.TEXT else made


def _partial(mask: Mask, expression: str, _of: ColumnType) -> str:
    start, end = int(mask.option("keep_start", 0)), int(mask.option("keep_end", 0))
    text = _text(expression)
    length = f"CHAR_LENGTH({text})"
    hidden = f"REPEAT('*', {length})"
    if not start + end:
        return hidden
    shown = f"CONCAT(LEFT({text}, {start}), REPEAT('*', {length} - {start + end}), RIGHT({text}, {end}))"
    return f"CASE WHEN {length} >= {2 * (start + end)} THEN {shown} ELSE {hidden} END"


def _email(mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _text(expression)
    # the last character but a line feed may be one for `$`
    domain = f"REGEXP_SUBSTR({text}, {string(kinds.EMAIL_DOMAIN.removesuffix('$') + _END)})"
    if mask.option("domain", "keep") == "keyed":
        keyed = f"CONCAT('@', LEFT({_hex('email-domain', domain)}, 10), '.invalid')"
        domain = f"CASE WHEN {domain} <> '' THEN {keyed} ELSE '' END"
    return f"CONCAT(LEFT({_hex('email', text)}, 16), COALESCE({domain}, ''))"


def _pseudonym(mask: Mask, expression: str, of: ColumnType) -> str:
    domain, text = str(mask.option("domain")), _text(expression)
    digits = _hex(domain, text)
    if domain == "first_name":
        names = ", ".join(string(name) for name in kinds.FIRST_NAMES)
        return f"ELT(1 + (CONV(LEFT({digits}, 2), 16, 10) & {len(kinds.FIRST_NAMES) - 1}), {names})"
    if domain in {"last_name", "company"}:
        number = f"CAST(CONV(LEFT({digits}, 7), 16, 10) AS UNSIGNED)"
        letters = f"HEX(({number} | {kinds.CONSONANT_BITS}) & {kinds.VOWEL_BITS})"
        # capital digits become small letters: none is replaced twice
        for digit, letter in zip(kinds.SYLLABLE_DIGITS.upper(), kinds.SYLLABLE_LETTERS, strict=True):
            letters = f"REPLACE({letters}, '{digit}', '{letter}')"
        suffix = string(kinds.COMPANY_SUFFIX if domain == "company" else "")
        return f"CONCAT(UPPER(LEFT({letters}, 1)), SUBSTRING({letters}, 2), {suffix})"
    if domain == "token":
        return f"CONCAT('t_', LEFT({digits}, 20))"
    if domain == "uuid":
        value = f"INSERT(INSERT(LEFT({digits}, 32), 13, 1, '8'), 17, 1, 'a')"
        for place in (21, 17, 13, 9):
            value = f"INSERT({value}, {place}, 0, '-')"
        return value
    count = 16 if of.name == "int8" else 8
    number = f"CAST(CONV(LEFT({digits}, {count}), 16, 10) AS UNSIGNED)"
    return f"CAST({number} & {types.INTEGER_MAX[of.name]} AS SIGNED)"


def _truncated_time(mask: Mask, expression: str, of: ColumnType) -> str:
    month = "%m" if mask.kind == "month" else "01"
    if of.group == types.DATE:
        return f"CAST(DATE_FORMAT({expression}, '%Y-{month}-01') AS DATE)"
    if of.name == "timestamptz":
        # of the moment in UTC: a session that moves its time zone would see which side of a month it is on
        expression = f"('1970-01-01' + INTERVAL UNIX_TIMESTAMP({expression}) SECOND)"
    return f"CAST(DATE_FORMAT({expression}, '%Y-{month}-01 00:00:00') AS DATETIME)"


def _bucket(mask: Mask, expression: str, of: ColumnType) -> str:
    precision, places = of.mods if of.group == types.NUMERIC else (19, 0)
    number, size = f"CAST({expression} AS DECIMAL({precision + 1}, {places}))", mask.option("size")
    below = f"({number} - MOD(MOD({number}, {size}) + {size}, {size}))"
    kind = "SIGNED" if of.group == types.INTEGER else f"DECIMAL({precision}, {places})"
    return f"CAST(GREATEST({below}, {format(kinds.lowest(of) or 0, 'f')}) AS {kind})"


def _initials(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _text(expression)
    breaks = "[ .'-]+"
    trimmed = f"REGEXP_REPLACE({text}, {string(f'^{breaks}|{breaks}{_END}')}, '')"
    letters = f"REGEXP_REPLACE({trimmed}, {string(kinds.WORD)}, {string(_FIRST + '.')})"
    shown = f"LEFT({letters}, {2 * kinds.MOST_INITIALS})"
    return f"CASE WHEN CHAR_LENGTH({letters}) <= CHAR_LENGTH({text}) THEN {shown} WHEN {text} IS NOT NULL THEN '*' END"


def _truncate_ip(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _text(expression)
    pattern = string(kinds.IPV4_TEXT.removesuffix("$") + _END)
    value = f"CONCAT(SUBSTRING_INDEX({text}, '.', 3), '.0')"
    return f"CASE WHEN {text} REGEXP {pattern} THEN {value} WHEN {text} IS NOT NULL THEN {string(kinds.STARS)} END"


def _text(expression: str) -> str:
    return f"CONVERT({expression} USING utf8mb4) COLLATE utf8mb4_bin"


def _hex(label: str, text: str) -> str:
    # FAIL CLOSED: an HMAC without a key is a hash for everybody
    keys = [f"UNHEX(NULLIF({name}, ''))" for name in (INNER, OUTER)]
    inner = f"UNHEX(SHA2(CONCAT({keys[0]}, CAST(CONCAT({string(label + ':')}, {text}) AS BINARY)), 256))"
    return f"SHA2(CONCAT({keys[1]}, {inner}), 256)"


_END = "\\z"
_FIRST = "\\1"
_RENDER: dict[str, Callable[[Mask, str, ColumnType], str]] = {
    "partial": _partial,
    "email": _email,
    "pseudonym": _pseudonym,
    "year": _truncated_time,
    "month": _truncated_time,
    "bucket": _bucket,
    "initials": _initials,
    "truncate_ip": _truncate_ip,
}
