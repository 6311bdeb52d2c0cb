"""Masks and customers as PostgreSQL expressions (13 and later).

INVARIANT: an expression made here keeps the column's type, never faults whatever the value, and is NULL when it needs a
key that the session does not hold. Everything in it is qualified, so nothing in a search path can take its place.

`policy.masks.render` is the same function of the same input in Python; `tests/corpus/masks` holds both to one table.
Keyed masks are HMAC-SHA256 (RFC 2104) as two calls of `sha256()`: the session holds the two padded key blocks, made
once by `mask_settings`, so that the server neither needs pgcrypto nor pads per value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal

from gateway.errors import GatewayError
from gateway.policy import kinds, types
from gateway.policy.masks import KEY_BYTES
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType, column_type
from gateway.sql.catalog import Column

INNER_SETTING = "gateway.mask_inner"
OUTER_SETTING = "gateway.mask_outer"

_BLOCK = 64
_LONGEST_TEXT = 1000
_INITIAL = r"\1."
_NETWORK = r"\1.0"


def mask_settings(key: bytes) -> dict[str, str]:
    """The session settings that keyed masks read, for a key of `policy.masks.derive_key`: name to hexadecimal value.

    Raises: ValueError for a key that is not of 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a mask key has {KEY_BYTES} bytes")
    block = key.ljust(_BLOCK, b"\0")
    return {
        INNER_SETTING: bytes(byte ^ 0x36 for byte in block).hex(),
        OUTER_SETTING: bytes(byte ^ 0x5C for byte in block).hex(),
    }


def mask_sql(mask: Mask, expression: str, column: Column) -> str:
    """`expression` (a reference to `column`, such as `t.email`) under `mask`, of the column's own type.

    Raises: GatewayError `policy-invalid` when the mask does not fit the column's type.
    """
    of = column_type(column.type, column.base)
    problem = kinds.misfit(mask, of)
    if problem:
        raise GatewayError("policy-invalid", f"column `{column.name}`: {problem}", "run `gateway policy check`")
    if mask.kind == "clear":
        return expression
    return _masked(mask, expression, of)


def summable_type(column: Column) -> types.ColumnType:
    """The type of a column that sums are made of. Raises: GatewayError `policy-invalid` when it cannot be summed."""
    of = column_type(column.type, column.base)
    if not types.is_summable(of):
        raise GatewayError(
            "policy-invalid", f"column `{column.name}` cannot be aggregated", "run `gateway policy check`"
        )
    return of


def summable_sql(expression: str, column: Column) -> str:
    """The raw value of `column` as sums take it: of its built-in type, NULL where it is so large that one could fail.

    Raises: GatewayError `policy-invalid` when the type cannot be summed.
    """
    of = summable_type(column)
    value = _cast(expression, f"pg_catalog.{of.name}")
    if of.group == types.INTEGER:
        return value
    edge = kinds.LARGEST_BUCKETED
    low, high = (_cast(f"'{sign}{edge}'", f"pg_catalog.{of.name}") for sign in ("-", ""))
    return f"CASE WHEN {_op(value, '>', low)} AND {_op(value, '<', high)} THEN {value} END"


def subject_sql(value: str, expression: str, column: Column) -> str:
    """Whose the summable `value` is: the subject `expression` of `column`, NULL where there is no value to sum."""
    of = column_type(column.type, column.base)
    return f"CASE WHEN ({value}) IS NOT NULL THEN {_cast(expression, of.sql)} END"


def literal_sql(value: str, column: Column) -> str:
    """A ticket's customer as a constant of the column's type: integers, uuid, text and varchar.

    Raises: GatewayError `customer-invalid` when the text is not the canonical form of a value that the column can hold.
    """
    of = column_type(column.type, column.base)
    if of.name in types.INTEGER_MAX:
        largest = types.INTEGER_MAX[of.name]
        if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value) and -largest - 1 <= int(value) <= largest:
            return f"CAST('{value}' AS {of.sql})"
        reason = f"is not a whole number that `{column.type}` holds"
    elif of.group == types.UUID:
        if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
            return f"CAST('{value.lower()}' AS {of.sql})"
        reason = "is not a uuid"
    elif of.name in {"text", "varchar"}:
        printable = bool(value) and not any(unicodedata.category(c) in {"Cc", "Cs"} for c in value)
        if printable and len(value) <= min(of.length or _LONGEST_TEXT, _LONGEST_TEXT):
            return f"CAST({_quoted(value)} AS {of.sql})"
        reason = f"is empty, has control characters, or is longer than `{column.type}` allows"
    else:
        reason = f"cannot be compared with a column of type `{column.type}`"
    raise GatewayError(
        "customer-invalid",
        f"the ticket's customer {reason} (column `{column.name}`)",
        "correct the customer on the ticket, or the `scope` in the policy",
    )


def _masked(mask: Mask, expression: str, of: ColumnType) -> str:
    if mask.kind == "null":
        return _cast("NULL", of.sql)
    # The cast stands outside of everything else: CASE and COLLATE lose the type's length.
    return _cast(_RENDER[mask.kind](mask, expression, of), of.sql)


def _redact(_mask: Mask, _expression: str, of: ColumnType) -> str:
    return _quoted(kinds.redacted(of))


def _partial(mask: Mask, expression: str, _of: ColumnType) -> str:
    start, end = mask.option("keep_start", 0), mask.option("keep_end", 0)
    text = _text(expression)
    length = f"pg_catalog.char_length({text})"
    hidden = f"pg_catalog.repeat('*', {length})"
    if not start + end:
        return hidden
    middle = f"pg_catalog.repeat('*', {_op(length, '-', str(start + end))})"
    shown = [middle]
    if start:
        shown.insert(0, f"pg_catalog.left({text}, {start})")
    if end:
        shown.append(f"pg_catalog.right({text}, {end})")
    enough = _op(length, ">=", str(2 * (start + end)))
    return f"CASE WHEN {enough} THEN {_joined(*shown)} ELSE {hidden} END"


def _email(mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _text(expression)
    domain = f"pg_catalog.substring({_plain(text)}, {_quoted(kinds.EMAIL_DOMAIN)})"
    if mask.option("domain", "keep") == "keyed":
        domain = _joined("'@'", f"pg_catalog.left({_hex('email-domain', domain)}, 10)", "'.invalid'")
    local = f"pg_catalog.left({_hex('email', text)}, 16)"
    return _keyed(_collated(_joined(local, f"COALESCE({domain}, '')")))


def _pseudonym(mask: Mask, expression: str, of: ColumnType) -> str:
    domain = mask.option("domain")
    subject = f"pg_catalog.trim_scale({expression})" if of.group == types.NUMERIC else expression
    text = _text(subject)
    if domain == "first_name":
        words = _quoted("{" + ",".join(kinds.FIRST_NAMES) + "}")
        index = _op(
            "1", "+", _op(f"pg_catalog.get_byte({_hmac(domain, text)}, 0)", "&", str(len(kinds.FIRST_NAMES) - 1))
        )
        value = f"({_cast(words, 'pg_catalog.text[]')})[{index}]"
    elif domain in {"last_name", "company"}:
        bits = _op(_op(_integer(_hex(domain, text), 7), "|", str(kinds.CONSONANT_BITS)), "&", str(kinds.VOWEL_BITS))
        letters = (
            f"pg_catalog.translate(pg_catalog.to_hex({bits}), '{kinds.SYLLABLE_DIGITS}', '{kinds.SYLLABLE_LETTERS}')"
        )
        value = f"pg_catalog.initcap({letters})"
        if domain == "company":
            value = _joined(value, _quoted(kinds.COMPANY_SUFFIX))
    elif domain == "token":
        value = _joined("'t_'", f"pg_catalog.left({_hex(domain, text)}, 20)")
    elif domain == "uuid":
        digits = f"pg_catalog.left({_hex(domain, text)}, 32)"
        versioned = f"pg_catalog.overlay(pg_catalog.overlay({digits}, '8', 13), 'a', 17)"
        value = _cast(versioned, "pg_catalog.uuid")
    else:
        value = _pseudonym_integer(_hex("integer", text), of)
    return _keyed(value)


def _pseudonym_integer(digits: str, of: ColumnType) -> str:
    if of.name in {"int2", "int4"}:
        return _op(_integer(digits, 8), "&", str(types.INTEGER_MAX[of.name]))
    wide = _op(_integer(digits, 16), "&", str(types.INTEGER_MAX["int8"]))
    if of.group == types.NUMERIC and of.mods:
        return _op(wide, "%", str(10 ** max(0, min(18, of.mods[0] - of.mods[1]))))
    return wide


def _truncated_time(mask: Mask, expression: str, of: ColumnType) -> str:
    low, high = kinds.FIRST_DAY, kinds.LAST_DAY
    if of.group == types.DATE:
        subject, kind, zone = _cast(expression, "pg_catalog.timestamp"), "date", ""
    elif of.name == "timestamptz":
        subject, kind, zone = expression, "timestamptz", ", 'UTC'"
        low, high = f"{low} 00:00:00+00", f"{high} 00:00:00+00"
    else:
        subject, kind, zone = expression, "timestamp", ""
    inside = " AND ".join(
        (
            _op(expression, ">=", _cast(_quoted(low), f"pg_catalog.{kind}")),
            _op(expression, "<", _cast(_quoted(high), f"pg_catalog.{kind}")),
        )
    )
    truncated = f"pg_catalog.date_trunc('{mask.kind}', {subject}{zone})"
    return f"CASE WHEN {inside} THEN {truncated} END"


def _bucket(mask: Mask, expression: str, of: ColumnType) -> str:
    size = _cast(_quoted(str(mask.option("size"))), "pg_catalog.numeric")
    number = expression if of.group == types.NUMERIC else _cast(expression, "pg_catalog.numeric")
    below = f"CASE WHEN {_op(f'pg_catalog.mod({number}, {size})', '<', '0')} THEN 1 ELSE 0 END"
    value = _op(_op(f"pg_catalog.div({number}, {size})", "-", below), "*", size)
    lowest = kinds.lowest(of)
    if lowest is not None:
        value = f"GREATEST({value}, {_cast(_quoted(_plain_decimal(lowest)), 'pg_catalog.numeric')})"
    if of.group == types.INTEGER:
        # GREATEST passes over NULL.
        return f"CASE WHEN {expression} IS NOT NULL THEN {value} END"
    kind = "pg_catalog.numeric" if of.group == types.NUMERIC else "pg_catalog.float8"
    subject = expression if of.group == types.NUMERIC else _cast(expression, kind)
    edge = kinds.LARGEST_BUCKETED
    low, high = _cast(f"'-{edge}'", kind), _cast(f"'{edge}'", kind)
    return f"CASE WHEN {_op(subject, '>', low)} AND {_op(subject, '<', high)} THEN {value} END"


def _digits(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _text(expression)
    shape = f"pg_catalog.regexp_replace({_plain(text)}, {_quoted(kinds.NOT_IN_SHAPE)}, 'x', 'g')"
    shape = f"pg_catalog.regexp_replace({shape}, '[0-9]', '%s', 'g')"
    stream = f"pg_catalog.translate({_hex('digits', text)}, 'abcdef', '012345')"
    value = f"pg_catalog.format({shape}, VARIADIC pg_catalog.string_to_array({stream}, NULL))"
    fits = _op(f"pg_catalog.char_length({text})", "<=", str(kinds.LONGEST_DIGITS))
    chosen = f"CASE WHEN {fits} THEN {value} WHEN {expression} IS NOT NULL THEN '{kinds.STARS}' END"
    return _keyed(_collated(chosen))


def _initials(_mask: Mask, expression: str, _of: ColumnType) -> str:
    text = _plain(_text(expression))
    trimmed = f"pg_catalog.btrim({text}, {_quoted(kinds.WORD_BREAKS)})"
    letters = f"pg_catalog.regexp_replace({trimmed}, {_quoted(kinds.WORD)}, {_quoted(_INITIAL)}, 'g')"
    fits = _op(f"pg_catalog.char_length({letters})", "<=", f"pg_catalog.char_length({text})")
    shown = f"pg_catalog.left({letters}, {2 * kinds.MOST_INITIALS})"
    return _collated(f"CASE WHEN {fits} THEN {shown} WHEN {expression} IS NOT NULL THEN '*' END")


def _truncate_ip(_mask: Mask, expression: str, of: ColumnType) -> str:
    if of.group == types.TEXT:
        text = _plain(_text(expression))
        value = f"pg_catalog.regexp_replace({text}, {_quoted(kinds.IPV4_TEXT)}, {_quoted(_NETWORK)})"
        match = _op(text, "~", _quoted(kinds.IPV4_TEXT))
        chosen = f"CASE WHEN {match} THEN {value} WHEN {expression} IS NOT NULL THEN '{kinds.STARS}' END"
        return _collated(chosen)
    version = _op(f"pg_catalog.family({expression})", "=", "4")
    kept = f"CASE WHEN {version} THEN {kinds.IPV4_BITS} ELSE {kinds.IPV6_BITS} END"
    bits = f"LEAST(pg_catalog.masklen({expression}), {kept})"
    return f"pg_catalog.network(pg_catalog.set_masklen({_cast(expression, 'pg_catalog.inet')}, {bits}))"


def _json(mask: Mask, expression: str, _of: ColumnType) -> str:
    built = _json_object(kinds.json_tree(mask), expression, ())
    return f"CASE WHEN {expression} IS NOT NULL THEN {built} END"


def _json_object(tree: kinds.JsonTree, expression: str, above: tuple[str, ...]) -> str:
    members = []
    for name, below in tree.items():
        path = (*above, name)
        made = _json_leaf(below, expression, path) if isinstance(below, Mask) else _json_object(below, expression, path)
        members.append(f"{_quoted(name)}, {made}")
    return f"pg_catalog.jsonb_build_object({', '.join(members)})"


def _json_leaf(mask: Mask, expression: str, path: tuple[str, ...]) -> str:
    keys = _cast(_quoted("{" + ",".join(path) + "}"), "pg_catalog.text[]")
    leaf = f"pg_catalog.jsonb_extract_path({expression}, VARIADIC {keys})"
    kind = f"pg_catalog.jsonb_typeof({leaf})"
    if mask.kind == "clear":
        scalar = " OR ".join(_op(kind, "=", _quoted(one)) for one in ("string", "number", "boolean"))
        return f"CASE WHEN {scalar} THEN {leaf} END"
    of = kinds.json_leaf_type(mask)
    text = f"pg_catalog.jsonb_extract_path_text({expression}, VARIADIC {keys})"
    masked = _masked(mask, _cast(text, of.sql), of)
    if mask.kind in {"null", "redact"}:
        return f"pg_catalog.to_jsonb({masked})"
    wanted = "number" if of.group == types.NUMERIC else "string"
    return f"CASE WHEN {_op(kind, '=', _quoted(wanted))} THEN pg_catalog.to_jsonb({masked}) END"


_RENDER: dict[str, Callable[[Mask, str, ColumnType], str]] = {
    "redact": _redact,
    "partial": _partial,
    "email": _email,
    "pseudonym": _pseudonym,
    "year": _truncated_time,
    "month": _truncated_time,
    "bucket": _bucket,
    "digits": _digits,
    "initials": _initials,
    "truncate_ip": _truncate_ip,
    "json": _json,
}


def _hmac(label: str, text: str) -> str:
    message = f"pg_catalog.convert_to({_op(_quoted(label + ':'), '||', text)}, 'UTF8')"
    inner = f"pg_catalog.sha256({_op(_setting_bytes(INNER_SETTING), '||', message)})"
    return f"pg_catalog.sha256({_op(_setting_bytes(OUTER_SETTING), '||', inner)})"


def _hex(label: str, text: str) -> str:
    return f"pg_catalog.encode({_hmac(label, text)}, 'hex')"


def _keyed(value: str) -> str:
    # FAIL CLOSED: a setting that was reset is the empty string, and an HMAC without a key is a hash for everybody.
    present = " AND ".join(_op(_setting(name), "<>", "''") for name in (INNER_SETTING, OUTER_SETTING))
    return f"CASE WHEN {present} THEN {value} END"


def _setting(name: str) -> str:
    return f"pg_catalog.current_setting('{name}', true)"


def _setting_bytes(name: str) -> str:
    return f"pg_catalog.decode({_setting(name)}, 'hex')"


def _integer(digits: str, count: int) -> str:
    kind = "int4" if count <= 8 else "int8"
    bits = _cast(_op("'x'", "||", f"pg_catalog.left({digits}, {count})"), f"pg_catalog.bit({4 * count})")
    return _cast(bits, f"pg_catalog.{kind}")


def _text(expression: str) -> str:
    return _cast(expression, "pg_catalog.text")


def _plain(text: str) -> str:
    # Regular expressions refuse nondeterministic collations, and their classes follow the locale in others.
    return f'({text} COLLATE pg_catalog."C")'


def _collated(value: str) -> str:
    return f'({value} COLLATE pg_catalog."default")'


def _cast(value: str, kind: str) -> str:
    return f"CAST({value} AS {kind})"


def _op(left: str, operator: str, right: str) -> str:
    return f"({left} OPERATOR(pg_catalog.{operator}) {right})"


def _joined(*parts: str) -> str:
    joined = parts[0]
    for part in parts[1:]:
        joined = _op(joined, "||", part)
    return joined


def _quoted(text: str) -> str:
    # E'' reads the same whatever standard_conforming_strings says.
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def _plain_decimal(number: Decimal) -> str:
    return format(number, "f")
