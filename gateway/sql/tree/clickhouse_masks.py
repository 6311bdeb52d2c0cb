"""Masks as ClickHouse expressions.

Keyed masks are HMAC-SHA256 (RFC 2104) as two calls of `SHA256()`; the padded key blocks come as parameters of the
request (`param_gateway_inner`, `param_gateway_outer`), never in the text. Without them the server refuses the
statement. A person's text has no parameters: `{` is no word that is read.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from gateway.policy import kinds, types
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType
from gateway.sql.tree.writing import string

INNER, OUTER = "gateway_inner", "gateway_outer"

_TYPES = {
    "text": "String", "varchar": "String", "int2": "Int16", "int4": "Int32", "int8": "Int64", "float8": "Float64",
    "date": "Date32", "timestamp": "DateTime64(0)", "timestamptz": "DateTime64(0, 'UTC')", "bool": "Bool",
    "uuid": "UUID",
}  # fmt: skip


def masked(mask: Mask, expression: str, of: ColumnType) -> str:
    """The expression under a mask that fits: NULL where it is NULL, unless the mask makes the same of everything."""
    kind = _type(of)
    if mask.kind == "null":
        return f"CAST(NULL AS Nullable({kind}))" if kind else "NULL"
    raw = f"toString({expression})" if of.group == types.TEXT else expression
    if mask.kind == "redact":
        value = kinds.redacted(of)
        # INVARIANT: it is Nullable where the column is: of rows that an outer join adds, the server makes NULL or ''
        return f"arrayElement([CAST({string({'f': 'false'}.get(value, value))} AS {kind}), {raw}], 1)"
    made = _RENDER[mask.kind](mask, f"assumeNotNull({expression})", of)
    if of.length is not None:
        made = f"substringUTF8({made}, 1, {of.length})"
    return f"if(isNull({expression}), {raw}, {made})"


def _type(of: ColumnType) -> str:
    if of.group == types.NUMERIC:
        return f"Decimal({of.mods[0]}, {of.mods[1]})" if of.mods else ""
    return _TYPES.get(of.name, "")


def _partial(mask: Mask, expression: str, _of: ColumnType) -> str:
    start, end = int(mask.option("keep_start", 0)), int(mask.option("keep_end", 0))
    text = f"toString({expression})"
    length = f"lengthUTF8({text})"
    hidden = f"repeat('*', toUInt32(least({length}, 1000000)))"
    if not start + end:
        return hidden
    middle = f"repeat('*', toUInt32(least(greatest({length}, {start + end}) - {start + end}, 1000000)))"
    shown = [f"substringUTF8({text}, 1, {start})"] * bool(start) + [middle]
    shown += [f"substringUTF8({text}, toInt64({length}) - {end - 1})"] * bool(end)
    return f"if({length} >= {2 * (start + end)}, concat({', '.join([*shown, string('')])}), {hidden})"


def _email(mask: Mask, expression: str, _of: ColumnType) -> str:
    text = f"toString({expression})"
    domain = f"extract({text}, {string(kinds.EMAIL_DOMAIN)})"
    if mask.option("domain", "keep") == "keyed":
        domain = f"if({domain} = '', '', concat('@', substring({_hex('email-domain', domain)}, 1, 10), '.invalid'))"
    return f"concat(substring({_hex('email', text)}, 1, 16), {domain})"


def _pseudonym(mask: Mask, expression: str, of: ColumnType) -> str:
    domain, text = str(mask.option("domain")), f"toString({expression})"
    if domain == "first_name":
        names = ", ".join(string(name) for name in kinds.FIRST_NAMES)
        first = f"reinterpretAsUInt8(substring({_hmac(domain, text)}, 1, 1))"
        return f"arrayElement([{names}], 1 + bitAnd({first}, {len(kinds.FIRST_NAMES) - 1}))"
    if domain in {"last_name", "company"}:
        number = f"bitShiftRight(reinterpretAsUInt32(reverse(substring({_hmac(domain, text)}, 1, 4))), 4)"
        bits = f"toUInt32(bitAnd(bitOr({number}, {kinds.CONSONANT_BITS}), {kinds.VOWEL_BITS}))"
        digits = f"substring(lower(hex({bits})), 2)"
        letters = f"translate({digits}, {string(kinds.SYLLABLE_DIGITS)}, {string(kinds.SYLLABLE_LETTERS)})"
        name = f"upper(substring({letters}, 1, 1)), substring({letters}, 2)"
        return f"concat({name}, {string(kinds.COMPANY_SUFFIX if domain == 'company' else '')})"
    if domain == "token":
        return f"concat('t_', substring({_hex(domain, text)}, 1, 20))"
    if domain == "uuid":
        digits = _hex(domain, text)
        parts = (f"substring({digits}, {at}, {count})" for at, count in ((1, 8), (9, 4), (14, 3), (18, 3), (21, 12)))
        first, second, third, fourth, fifth = parts
        value = f"concat({first}, '-', {second}, '-8', {third}, '-a', {fourth}, '-', {fifth})"
        return f"toUUID({value})" if of.group == types.UUID else value
    size = 8 if of.name == "int8" else 4
    number = f"reinterpretAsUInt{8 * size}(reverse(substring({_hmac('integer', text)}, 1, {size})))"
    return f"CAST(bitAnd({number}, {types.INTEGER_MAX[of.name]}) AS {_type(of)})"


def _truncated_time(mask: Mask, expression: str, of: ColumnType) -> str:
    value = f"toTimeZone({expression}, 'UTC')" if of.name == "timestamptz" else expression
    month = f"toMonth({value})" if mask.kind == "month" else "1"
    if of.group == types.DATE:
        return f"makeDate32(toYear({value}), {month}, 1)"
    zone = ", 'UTC'" if of.name == "timestamptz" else ""
    return f"makeDateTime64(toYear({value}), {month}, 1, 0, 0, 0, 0, 0{zone})"


def _bucket(mask: Mask, expression: str, of: ColumnType) -> str:
    # in whole units of the last place, wider than any value
    places = of.mods[1] if of.group == types.NUMERIC else 0
    size, lowest = (int(value * 10**places) for value in (Decimal(mask.option("size")), kinds.lowest(of) or Decimal()))
    units = f"toInt256({expression})"
    if places:
        units = f"toInt256(toDecimal256({expression}, {places}) * toInt256('{10**places}'))"
    below = f"({units} - (({units} % {size}) + {size}) % {size})"
    value = f"greatest({below}, toInt256('{lowest}'))"
    if places:
        value = f"toDecimal256({value}, {places}) / toInt256('{10**places}')"
    return f"CAST({value} AS {_type(of)})"


def _digits(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text = f"toString({expression})"
    shape = f"replaceRegexpAll({text}, {string(kinds.NOT_IN_SHAPE)}, 'x')"
    stream = f"translate({_hex('digits', text)}, 'abcdef', '012345')"
    places = f"arrayMap(c -> toUInt8(c >= '0' AND c <= '9'), splitByString('', {shape}))"
    pick = f"(c, n) -> if(c >= '0' AND c <= '9', substring({stream}, n, 1), c)"
    made = f"arrayStringConcat(arrayMap({pick}, splitByString('', {shape}), arrayCumSum({places})))"
    return f"if(lengthUTF8({text}) <= {kinds.LONGEST_DIGITS}, {made}, {string(kinds.STARS)})"


def _initials(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text = f"toString({expression})"
    breaks = "[ .'-]+"
    trimmed = f"replaceRegexpAll({text}, {string(f'^{breaks}|{breaks}$')}, '')"
    letters = f"replaceRegexpAll({trimmed}, {string(kinds.WORD)}, {string(_FIRST + '.')})"
    shown = f"substringUTF8({letters}, 1, {2 * kinds.MOST_INITIALS})"
    return f"if(lengthUTF8({letters}) <= lengthUTF8({text}), {shown}, '*')"


def _truncate_ip(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text, pattern = f"toString({expression})", string(kinds.IPV4_TEXT)
    value = f"replaceRegexpOne({text}, {pattern}, {string(_FIRST + '.0')})"
    return f"if(match({text}, {pattern}), {value}, {string(kinds.STARS)})"


def _hmac(label: str, text: str) -> str:
    inner = f"SHA256(concat(unhex({{{INNER}:String}}), {string(label + ':')}, {text}))"
    return f"SHA256(concat(unhex({{{OUTER}:String}}), {inner}))"


def _hex(label: str, text: str) -> str:
    return f"lower(hex({_hmac(label, text)}))"


_FIRST = "\\1"
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
