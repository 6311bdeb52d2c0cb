"""The kinds of masks: what each does, its options, and the column types that it fits.

INVARIANT: an option that is not in the table, or not of its form, is refused with what is wanted; nothing is guessed.

The renderings are `policy.masks` (Python) and `sql.render` (PostgreSQL); the constants that both must share are here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

from gateway.policy import types
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType

STARS = "***"

_NAMES = """
    Adele Alban Alix Ambre Anouk Armel Axel Basile Berthe Blaise Brune Camille Cesar Claude Colin Dana
    Denis Diane Edgar Elie Eloi Emma Erwan Esther Fleur Flora Gilda Hugo Ines Iris Jade Jonas
    Judith Jules Kim Lazare Leon Lila Loris Lou Luce Lucas Mael Maia Malo Marin Mathis Mila
    Naya Nils Noe Odile Oscar Paul Perle Quentin Remi Rose Sacha Simon Solal Theo Yael Zoe
"""
FIRST_NAMES = tuple(_NAMES.split())
# Seven hexadecimal digits, made to alternate between 8-f and 0-7, and read as consonants and vowels: `Malodir`.
CONSONANT_BITS = 0x8080808
VOWEL_BITS = 0xF7F7F7F
SYLLABLE_DIGITS = "89abcdef01234567"
SYLLABLE_LETTERS = "bdlmnrtvaeiouaei"
COMPANY_SUFFIX = " SA"

FIRST_DAY = "0001-01-01"
LAST_DAY = "10000-01-01"
LARGEST_BUCKETED = "1e100"
EMAIL_DOMAIN = "@(?:[A-Za-z0-9-]+[.])+[A-Za-z]+$"
LONGEST_DIGITS = 64
NOT_IN_SHAPE = "[^0-9 +()./:-]"
WORD_BREAKS = " .'-"
WORD = "([^ .'-])[^ .'-]*[ .'-]*"
MOST_INITIALS = 3
IPV4_BITS, IPV6_BITS = 24, 48
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4_TEXT = rf"^({_OCTET}[.]{_OCTET}[.]{_OCTET})[.]{_OCTET}$"

_REDACTED = {
    types.TEXT: STARS,
    types.INTEGER: "0",
    types.NUMERIC: "0",
    types.FLOAT: "0",
    types.DATE: "1970-01-01",
    types.BOOLEAN: "f",
    types.UUID: "00000000-0000-0000-0000-000000000000",
    types.IP: "0.0.0.0",  # noqa: S104 - a value, not an address to bind
    types.JSONB: "{}",
    types.JSON: "{}",
    types.BYTES: r"\x",
    types.ARRAY: "{}",
    "timestamp": "1970-01-01 00:00:00",
    "timestamptz": "1970-01-01 00:00:00+00",
    "time": "00:00:00",
    "timetz": "00:00:00+00",
    "interval": "00:00:00",
    "cidr": "0.0.0.0/32",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a kind. `check` returns the canonical value or raises ValueError saying what is wanted."""

    check: Callable[[Any], Any]
    wanted: str
    schema: Mapping[str, Any]
    default: Any = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of mask does, its options, and the type groups that it fits (None for every type)."""

    about: str
    groups: frozenset[str] | None
    options: Mapping[str, Option]
    keyed: bool = False


JsonTree = dict[str, "Mask | JsonTree"]


def checked(kind: str, given: Mapping[str, Any]) -> Mask:
    """A mask of that kind with canonical options, defaults filled in.

    Raises: ValueError naming the option and what is wanted.
    """
    table = KINDS[kind].options
    unknown = next((name for name in given if name not in table), None)
    if unknown is not None:
        raise ValueError(f"mask `{kind}` has no option `{unknown}`")
    options: dict[str, Any] = {}
    for name, option in table.items():
        if name not in given:
            if option.required:
                raise ValueError(f"mask `{kind}` needs `{name}`: {option.wanted}")
            options[name] = option.default
            continue
        try:
            options[name] = option.check(given[name])
        except (ValueError, TypeError) as problem:
            raise ValueError(f"`{name}` of mask `{kind}` must be {str(problem) or option.wanted}") from None
    return Mask(kind, tuple(sorted(options.items())))


def misfit(mask: Mask, of: ColumnType) -> str:
    """Why `mask` cannot be put on a column of that type; empty when it can."""
    kind = KINDS.get(mask.kind)
    if kind is None:
        return f"there is no mask `{mask.kind}`"
    groups = kind.groups
    if mask.kind == "pseudonym":
        groups = _PSEUDONYM_GROUPS[mask.option("domain")]
    if groups is None or of.group in groups:
        return ""
    spelled = of.sql.removeprefix("pg_catalog.")
    return f"mask `{mask.kind}` does not fit type `{spelled}`; it fits {', '.join(sorted(groups))}"


def redacted(of: ColumnType) -> str:
    """The fixed value that `redact` puts in the place of everything, NULL included."""
    text = _REDACTED.get(of.name) or _REDACTED[of.group]
    return text[: of.length] if of.length else text


@cache
def lowest(of: ColumnType) -> Decimal | None:
    """The least number of the type, for types whose range a rounding down could leave."""
    if of.group == types.INTEGER:
        return Decimal(-types.INTEGER_MAX[of.name] - 1)
    if of.group == types.NUMERIC and of.mods:
        return Decimal((1, (9,) * of.mods[0], -of.mods[1]))
    return None


def json_tree(mask: Mask) -> JsonTree:
    """The paths of a `json` mask as nested members in their order."""
    tree: JsonTree = {}
    for path, below in mask.option("paths"):
        *above, last = path.split(".")
        at = tree
        for name in above:
            at = at.setdefault(name, {})  # type: ignore[assignment]
        at[last] = below
    return tree


def json_leaf_type(mask: Mask) -> ColumnType:
    """The type that a JSON value is masked as: numbers for masks of numbers, text for all others."""
    numeric = mask.kind == "bucket" or (mask.kind == "pseudonym" and mask.option("domain") == "integer")
    return ColumnType("numeric", types.NUMERIC) if numeric else ColumnType("text", types.TEXT)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:
        raise ValueError
    return value


def _size(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError
    try:
        size = Decimal(str(value))
    except InvalidOperation:
        raise ValueError from None
    if not size.is_finite() or not Decimal("1e-9") <= size <= Decimal("1e15") or len(size.as_tuple().digits) > 30:
        raise ValueError
    return format(size.normalize(), "f")


def _one_of(*words: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value not in words:
            raise ValueError
        return value

    return check


def _paths(value: Any) -> tuple[tuple[str, Mask], ...]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError
    paths: list[tuple[str, Mask]] = []
    for path, rule in value.items():
        if not isinstance(path, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*", path):
            raise ValueError(f"paths such as `address.city` (member names and dots), not `{path}`")
        given = dict(rule) if isinstance(rule, Mapping) else {"mask": rule}
        kind = given.pop("mask", None)
        if kind not in KINDS or kind == "json":
            raise ValueError(f"a mask other than `json` for each path; `{path}` has `{kind}`")
        mask = checked(kind, given)
        of = json_leaf_type(mask)
        if kind not in {"clear", "null", "redact"} and misfit(mask, of):
            raise ValueError(f"masks that fit strings or numbers; `{kind}` at `{path}` does not")
        paths.append((path, mask))
    for path, _ in paths:
        if any(other.startswith(path + ".") for other, _ in paths):
            raise ValueError(f"paths of which none lies below another; `{path}` has some below it")
    return tuple(sorted(paths, key=lambda pair: pair[0]))


def _option(check: Callable[[Any], Any], wanted: str, schema: Mapping[str, Any], default: Any = None) -> Option:
    return Option(check, wanted, schema, default, required=default is None)


def _choice(default: str | None, *words: str) -> Option:
    return _option(_one_of(*words), f"one of {', '.join(words)}", {"enum": list(words)}, default)


_TEXT = frozenset({types.TEXT})
_NUMBERS = frozenset({types.INTEGER, types.NUMERIC})
_PSEUDONYM_GROUPS = {
    "first_name": _TEXT,
    "last_name": _TEXT,
    "company": _TEXT,
    "token": _TEXT,
    "uuid": _TEXT | {types.UUID},
    "integer": _NUMBERS,
}
_COUNT = ("a whole number from 0 to 1000", {"type": "integer", "minimum": 0, "maximum": 1000})
_REDACTABLE = frozenset({
    types.TEXT, types.INTEGER, types.NUMERIC, types.FLOAT, types.DATE, types.TIMESTAMP, types.TIME, types.BOOLEAN,
    types.UUID, types.IP, types.JSONB, types.JSON, types.BYTES, types.ARRAY,
})  # fmt: skip

KINDS: dict[str, Kind] = {
    "clear": Kind("the value itself", None, {}),
    "null": Kind("NULL", None, {}),
    "redact": Kind("a fixed value of the type, for NULL too", _REDACTABLE, {}),
    "partial": Kind(
        "the first and last characters, stars between; stars only unless at least half stays hidden",
        _TEXT,
        {"keep_start": _option(_whole, *_COUNT, default=0), "keep_end": _option(_whole, *_COUNT, default=0)},
    ),
    "email": Kind(
        "a keyed local part; the domain kept, or keyed under `.invalid`",
        _TEXT,
        {"domain": _choice("keep", "keep", "keyed")},
        keyed=True,
    ),
    "pseudonym": Kind(
        "a keyed stand-in that reads like the real thing and is the same for the same value",
        _TEXT | _NUMBERS | {types.UUID},
        {"domain": _choice(None, *_PSEUDONYM_GROUPS)},
        keyed=True,
    ),
    "year": Kind("the first day of the year", frozenset({types.DATE, types.TIMESTAMP}), {}),
    "month": Kind("the first day of the month", frozenset({types.DATE, types.TIMESTAMP}), {}),
    "bucket": Kind(
        "the number rounded down to a multiple of `size`",
        _NUMBERS | {types.FLOAT},
        {
            "size": _option(
                _size, "a number from 1e-9 to 1e15", {"type": "number", "exclusiveMinimum": 0, "maximum": 1e15}
            )
        },
    ),
    "digits": Kind(
        "the same shape with keyed digits; other characters than usual punctuation become x", _TEXT, {}, keyed=True
    ),
    "initials": Kind("at most three initials", _TEXT, {}),
    "truncate_ip": Kind("the network: 24 bits of an IPv4 address, 48 of an IPv6 address", _TEXT | {types.IP}, {}),
    "json": Kind(
        "an object of the paths named, each under its mask; everything else is dropped",
        frozenset({types.JSONB}),
        {"paths": _option(_paths, "paths, each with a mask", {"type": "object", "minProperties": 1})},
        keyed=True,
    ),
}


def mask_schema(beside: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of a mask as policies write it; `beside` gives what may stand beside the options of a kind."""

    def one(name: str, kind: Kind) -> dict[str, Any]:
        options = {option: dict(table.schema) for option, table in kind.options.items()}
        required = ["mask", *(option for option, table in kind.options.items() if table.required)]
        return {
            "type": "object", "description": kind.about,
            "properties": {"mask": {"const": name}} | beside(name) | options,
            "required": required, "additionalProperties": False,
        }  # fmt: skip

    simple = [name for name, kind in KINDS.items() if not any(option.required for option in kind.options.values())]
    return {"oneOf": [{"enum": simple}, *(one(name, kind) for name, kind in KINDS.items())]}
