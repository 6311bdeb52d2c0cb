"""One value of an HTTP policy as a file writes it: what a client may send, or what is shown of an answer.

Read by `shapes.AnyValue`: plain Python in, ValueError in words for a person out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from gateway.policy import kinds, shapes, types
from gateway.policy.http_rules import VALUES, BodyField, FieldRule, JsonPath, Parameter, Value
from gateway.policy.schema import Mask

LONGEST_VALUE = 65_536
_LONGEST_MATCHED = 1024
_MOST_OPTIONAL = 4
_STEP = re.compile(r'\.([A-Za-z_][A-Za-z0-9_-]*)|\["([^"\\\x00-\x1f*][^"\\\x00-\x1f]*)"\]|(\[\*\])')
_PARAMETER_OPTIONS = frozenset({"type", "minimum", "maximum", "max_length", "pattern", "choices"})


def steps(text: str) -> JsonPath:
    """The steps of a path such as `$.employees[*].iban`. Raises: ValueError when it is none."""
    found, at = [], 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            break
        found.append(match[1] or match[2] or "*")
        at = match.end()
    if text[:1] != "$" or at != len(text):
        raise ValueError(f"wanted a path such as `$.employees[*].iban`, not `{text}`")
    return tuple(found)


def written(path: JsonPath) -> str:
    """A path as policies write it."""
    spelled = (
        "[*]" if step == "*" else f".{step}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", step) else f'["{step}"]'
        for step in path
    )  # fmt: skip
    return "$" + "".join(spelled)


def called(rule: FieldRule) -> str:
    """What grants and records call a field of an answer."""
    return rule.label or written(rule.path)


@dataclass(frozen=True, slots=True)
class Given:
    """One value that a client may send, as the file says it; `mask`, `category`, `nullable` are for bodies alone."""

    value: Value
    required: bool = False
    repeated: bool = False
    mask: Mask | None = None
    category: str = ""
    nullable: bool = False

    def parameter(self, name: str) -> Parameter:
        """The same as a parameter."""
        return Parameter(name, self.value, self.required, self.repeated)

    def body_field(self, path: JsonPath) -> BodyField:
        """The same as a field of a body."""
        return BodyField(path, self.value, self.required, self.mask, self.category, self.nullable)


@dataclass(frozen=True, slots=True)
class Shown:
    """One field of an answer, as the file says it."""

    mask: Mask
    type: str
    reveal: bool
    identifier: bool
    category: str = ""


def parameter(value: Any) -> Given:
    return _given(value, {"required", "repeated"})


def placeholder(value: Any) -> Given:
    return _given(value, set())


def argument(value: Any) -> Given:
    return _given(value, {"required", "nullable"})


def body_value(value: Any) -> Given:
    given = dict(value) if isinstance(value, dict) else {"type": value}
    mask, category = None, _category(given)
    if "mask" in given:
        others = {*_PARAMETER_OPTIONS, "required", "nullable"}
        kind, options = written_mask({name: one for name, one in given.items() if name not in others}, "a field")
        mask = kinds.checked(kind, options)
        given = {name: one for name, one in given.items() if name in others}
        given.setdefault("type", "string")
    read = _given(given, {"required", "nullable"})
    of = types.column_type(BODY_TYPES[read.value.type])
    problem = kinds.misfit(mask, of) if mask is not None else ""
    if problem:
        raise ValueError(problem)
    return replace(read, mask=mask, category=category)


def _category(given: dict[str, Any]) -> str:
    """Take the category out of what is given. Raises: ValueError."""
    category = given.pop("category", "")
    if not isinstance(category, str) or (category and not re.fullmatch(r"[^\x00-\x1f]{1,100}", category)):
        raise ValueError("`category` is the name of a category of data")
    return category


BODY_TYPES = {
    "string": "text", "integer": "bigint", "number": "numeric", "boolean": "boolean", "date": "date", "uuid": "uuid",
}  # fmt: skip
"""The column type that a mask reads each type of a body's value as."""


def _given(value: Any, also: set[str]) -> Given:
    given = dict(value) if isinstance(value, dict) else {"type": value}
    unknown = next((name for name in given if name not in _PARAMETER_OPTIONS | also), None)
    if unknown is not None:
        raise ValueError(f"unknown key `{unknown}`{shapes.nearest(unknown, (*_PARAMETER_OPTIONS, *also))}")
    kind = given.get("type")
    if kind not in VALUES:
        raise ValueError(f"wanted one of {', '.join(VALUES)} as the type, not `{kind}`")
    flags = {name: given.get(name, False) for name in also}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise ValueError(f"{' and '.join(f'`{name}`' for name in sorted(also))} can only be true or false")
    least, most, longest = given.get("minimum"), given.get("maximum"), given.get("max_length", 256)
    if any(bound is not None and not _whole(bound) for bound in (least, most)):
        raise ValueError("`minimum` and `maximum` are whole numbers")
    if (least is not None or most is not None) and kind not in {"integer", "number"}:
        raise ValueError("`minimum` and `maximum` are for numbers")
    if least is not None and most is not None and least > most:
        raise ValueError("`minimum` is greater than `maximum`")
    if not _whole(longest) or not 1 <= longest <= LONGEST_VALUE:
        raise ValueError(f"`max_length` is a whole number from 1 to {LONGEST_VALUE}")
    if "pattern" in given and longest > _LONGEST_MATCHED:
        raise ValueError(f"`max_length` of a text with a `pattern` is at most {_LONGEST_MATCHED}")
    if kind != "string" and given.keys() & {"max_length", "pattern"}:
        raise ValueError("`max_length` and `pattern` are for strings")
    found = Value(kind, least, most, longest, _pattern(given.get("pattern", "")), _choices(kind, given.get("choices")))
    return Given(found, **flags)


def _choices(kind: str, given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    if kind not in {"string", "integer"}:
        raise ValueError("`choices` are for strings and whole numbers")
    wanted = str if kind == "string" else int
    if not isinstance(given, list) or not given or any(type(one) is not wanted for one in given):
        raise ValueError(f"`choices` are a list of values of the type `{kind}`")
    if len(set(given)) != len(given):
        raise ValueError("`choices` names a value twice")
    return tuple(sorted(map(str, given)))


def _pattern(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError("`pattern` is a regular expression")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError):
        raise ValueError("`pattern` is not a regular expression") from None
    plain = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]", "c", text)
    endless = re.findall(r"[*+]|\{[0-9]*,\}", plain)
    varying = re.findall(r"[*+]|\{[0-9]*,[0-9]*\}", plain)
    # FAIL CLOSED: what repeats repetitions, or varies in many places, can take for ever on a text made for it.
    nested = re.search(r"\)[*+{]|\(\?[^:]|\\[1-9]", text)
    if nested or len(endless) > 1 or len(varying) > 2 or plain.count("?") - plain.count("(?") > _MOST_OPTIONAL:
        raise ValueError("`pattern` repeats too much: one repetition without end, two in all, no group; others can take"
                         " for ever")  # fmt: skip
    return text


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def written_mask(value: Any, what: str) -> tuple[str, dict[str, Any]]:
    """The kind and the other keys of a mask as it is written. Raises: ValueError when there is no such mask."""
    given = dict(value) if isinstance(value, dict) else {"mask": value}
    kind = given.pop("mask", None)
    if kind is None:
        raise ValueError(f"{what} needs a mask (for the mask that gives NULL write 'null' in quotes)")
    if not isinstance(kind, str) or kind not in kinds.KINDS:
        near = shapes.nearest(kind, kinds.KINDS) if isinstance(kind, str) else ""
        raise ValueError(f"there is no mask `{kind}`{near}")
    return kind, given


def shown(value: Any) -> Shown:
    kind, given = written_mask(value, "a field")
    category = _category(given)
    flags = [given.pop(name, False) for name in ("reveal", "identifier")]
    if not all(isinstance(flag, bool) for flag in flags):
        raise ValueError("`reveal` and `identifier` can only be true or false")
    if flags[0] and kind == "clear":
        raise ValueError("`reveal` is for masked fields; this one is clear already")
    declared = given.pop("type", None)
    mask = kinds.checked(kind, given)
    if declared is None:
        declared = "date" if kind in {"year", "month"} else kinds.json_leaf_type(mask).name
        declared = "jsonb" if kind == "json" else declared
    of = types.column_type(declared) if isinstance(declared, str) else None
    if of is None or of.group == types.OTHER:
        raise ValueError(f"`type` is a type as PostgreSQL spells it, not `{declared}`")
    problem = kinds.misfit(mask, of)
    if problem:
        raise ValueError(problem)
    return Shown(mask, declared, flags[0], flags[1], category)


def given_schema(*also: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "type": {"enum": list(VALUES)},
        "minimum": {"type": "integer"},
        "maximum": {"type": "integer"},
        "max_length": {"type": "integer", "minimum": 1, "maximum": LONGEST_VALUE},
        "pattern": {"type": "string", "description": "what the whole text must match"},
        "choices": {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1, "uniqueItems": True},
    }
    options |= {name: {"type": "boolean"} for name in also}
    return {
        "oneOf": [
            {"enum": list(VALUES)},
            {"type": "object", "properties": options, "required": ["type"], "additionalProperties": False},
        ]
    }


def body_schema() -> dict[str, Any]:
    found = given_schema("required", "nullable")
    masks: dict[str, Any] = {"mask": {"enum": list(kinds.KINDS)}, "category": {"type": "string"}}
    for kind in kinds.KINDS.values():
        masks |= {name: {} for name in kind.options}
    found["oneOf"][1]["properties"] |= masks
    del found["oneOf"][1]["required"]
    return found


def shown_schema() -> dict[str, Any]:
    def beside(name: str) -> dict[str, Any]:
        own: dict[str, Any] = {
            "identifier": {"type": "boolean"}, "type": {"type": "string"}, "category": {"type": "string"}
        }  # fmt: skip
        return own if name == "clear" else own | {"reveal": {"type": "boolean"}}

    return kinds.mask_schema(beside)


_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,63})(?:\.[0-9]{1,64})?(?:[eE][+-]?[0-9]{1,3})?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LARGEST_INTEGER = types.INTEGER_MAX["int8"]


def fits(value: Value, text: str) -> bool:
    """Whether `text` is the one way to write a value that `value` allows; a uuid may be in capital letters."""
    return canonical(value, text) is not None


def canonical(value: Value, text: str, *, lines: bool = False) -> str | None:
    """The text of a value as it goes on; None when `value` does not allow it. `lines` lets a string have several.

    Integers are those of `bigint`, without a sign or noughts before them; dates are those of RFC 3339.
    """
    if value.type == "uuid":
        return text.lower() if _UUID.fullmatch(text) else None
    judged = text.translate(_WITHOUT_LINES) if lines and value.type == "string" and not value.pattern else text
    return text if _TESTS[value.type](value, judged) and (not value.choices or text in value.choices) else None


def _is_string(value: Value, text: str) -> bool:
    if len(text) > value.max_length:
        return False
    if not text.isprintable() and any(unicodedata.category(c) in _UNPRINTABLE for c in text):
        return False
    return not value.pattern or re.fullmatch(value.pattern, text) is not None


def _is_integer(value: Value, text: str) -> bool:
    if not _INTEGER.fullmatch(text) or not -_LARGEST_INTEGER - 1 <= int(text) <= _LARGEST_INTEGER:
        return False
    return _within(value, Decimal(text))


def _is_number(value: Value, text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and _within(value, Decimal(text))


def _is_date(_value: Value, text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _within(value: Value, number: Decimal) -> bool:
    return (value.minimum is None or number >= value.minimum) and (value.maximum is None or number <= value.maximum)


_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_WITHOUT_LINES = str.maketrans("\t\r\n", "   ")
_TESTS: dict[str, Callable[[Value, str], bool]] = {
    "string": _is_string,
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda _value, text: text in {"true", "false"},
    "date": _is_date,
}
