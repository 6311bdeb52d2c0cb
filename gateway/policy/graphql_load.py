"""The key `graphql` of a route: the operations that may be asked for, read into `GraphqlRules`.

A root field of the API's schema is an operation of the policy. Its paths begin at the root field's value, and are those
of answers (`$.employees[*].iban`) with one step more: what stands behind `<Employee>` exists where the object is of
that type. INVARIANT: as in `load.py`: a fault gives no rules at all, and what is not named does not exist.

Names are those of GraphQL (October 2021), 2.1.9. What must hold between the parts is in `graphql_consistency.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from gateway.policy import http_values
from gateway.policy.http_rules import (
    Argument,
    CustomerOf,
    FieldArguments,
    FieldRule,
    GraphqlOperation,
    GraphqlRules,
    JsonPath,
    OwnedRule,
)
from gateway.policy.http_values import given_schema, shown, shown_schema, steps
from gateway.policy.shapes import AnyValue, Choice, Field, ListOf, MapOf, Record, Text, Whole

KINDS = {"queries": "query", "mutations": "mutation"}
"""The keys of operations, and what each of theirs is."""
LARGEST = 1 << 18
NAME = r"(?!__)[_A-Za-z][_0-9A-Za-z]{0,99}"

_STEP = re.compile(rf"\.({NAME})|(\[\*\])|(<{NAME}>)")
_TYPED = r"^\$(?:\.[_A-Za-z][_0-9A-Za-z]*|\[\*\]|<[_A-Za-z][_0-9A-Za-z]*>)*$"
_CUSTOMER_WANTED = "`argument.$.PATH`, `answer.$.PATH`, `answer` or `none`"


def typed_steps(text: str) -> JsonPath:
    """The steps of a path such as `$.people[*]<Employee>.iban`. Raises: ValueError when it is none."""
    found, at = [], 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            break
        found.append(match[1] or match[3] or "*")
        at = match.end()
    if text[:1] != "$" or at != len(text):
        raise ValueError(f"wanted a path such as `$.people[*]<Employee>.iban`, not `{text}`")
    return tuple(found)


def typed(path: JsonPath) -> str:
    """A path as policies write it."""
    return "$" + "".join("[*]" if step == "*" else step if step[:1] == "<" else f".{step}" for step in path)


def rules(read: dict[str, Any]) -> GraphqlRules:
    """What the key says, once it was read and judged."""
    operations = tuple(
        _operation(kind, name, one)
        for key, kind in sorted(KINDS.items())
        for name, one in sorted(read.get(key, {}).items())
    )
    bounds = {name: read[name] for name in ("root_fields", "selections", "depth", "max_bytes") if name in read}
    return GraphqlRules(operations, tuple(sorted(read.get("types", ()))), **bounds)


def content(found: GraphqlRules) -> GraphqlRules:
    """The same whatever the order of the fields: what a digest is of."""
    operations = (
        replace(one, fields=tuple(sorted(one.fields, key=lambda rule: rule.path))) for one in found.operations
    )
    return replace(found, operations=tuple(operations))


def revealed(found: GraphqlRules) -> frozenset[str]:
    """What grants call the fields that an approved request may see in clear."""
    return frozenset(rule.label for one in found.operations for rule in one.fields if rule.reveal)


def _operation(kind: str, name: str, read: dict[str, Any]) -> GraphqlOperation:
    own = {"$": read["arguments"]} if "arguments" in read else {}
    fields = own | read.get("field_arguments", {})
    return GraphqlOperation(
        kind,
        name,
        read.get("write", ""),
        tuple(one for one in read["customer"] if one.place == "argument"),
        tuple(one.path for one in read["customer"] if one.place == "answer" and one.path),
        tuple(
            FieldArguments(
                typed_steps(path), tuple(one.argument(steps(at)) for at, one in sorted(arguments.items()))
            )
            for path, arguments in sorted(fields.items())
        ),
        tuple(
            FieldRule(
                typed_steps(path), one.mask, one.type, one.reveal, one.identifier,
                typed((name, *typed_steps(path))), one.category,
            )
            for path, one in read["fields"].items()
        ),
        _owned(read.get("arrays", {})),
        _owned(read.get("objects", {})),
    )  # fmt: skip


def _owned(read: dict[str, Any]) -> tuple[OwnedRule, ...]:
    return tuple(OwnedRule(typed_steps(path), one["customer"], one.get("count")) for path, one in sorted(read.items()))


@dataclass(frozen=True, slots=True)
class Given:
    """One value of an argument, as the file says it."""

    of: http_values.Given
    kind: str

    def argument(self, path: JsonPath) -> Argument:
        """The same at its place."""
        return Argument(path, self.of.value, self.kind, self.of.required, self.of.nullable)


def _argument(value: Any) -> Given:
    given = dict(value) if isinstance(value, dict) else {"type": value}
    kind = given["type"] if given.get("type") in {"id", "enum"} else ""
    if kind:
        given["type"] = "string"
    if kind == "enum" and not (isinstance(given.get("choices"), list) and all(map(_is_enum, given["choices"]))):
        raise ValueError("an `enum` has `choices`, which are names")
    return Given(http_values.argument(given), kind)


def _is_enum(name: Any) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(NAME, name)) and name not in {"true", "false", "null"}


def _argument_schema() -> dict[str, Any]:
    found = given_schema("required", "nullable")
    found["oneOf"][0]["enum"].append("id")
    found["oneOf"][1]["properties"]["type"]["enum"] += ["id", "enum"]
    return found


def _customers(value: Any) -> tuple[CustomerOf, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"wanted where the customer is: {_CUSTOMER_WANTED}, or a list of several")
    found = tuple(_customer(text) for text in texts)
    alone = any(one.place == "none" or (one.place == "answer" and not one.path) for one in found)
    if len(set(found)) != len(found) or (len(found) > 1 and alone):
        raise ValueError("several places are written once each, and `none` and `answer` stand alone")
    return found


def _customer(text: str) -> CustomerOf:
    place, dot, path = text.partition(".")
    if text in {"none", "answer"}:
        return CustomerOf(text)
    if place == "argument" and dot:
        return CustomerOf(place, path=steps(path))
    if place == "answer" and dot:
        return CustomerOf(place, path=_to_customer(path))
    raise ValueError(f"wanted where the customer is: {_CUSTOMER_WANTED}, not `{text}`")


def _customers_schema() -> dict[str, Any]:
    one = {"type": "string", "pattern": r"^(?:none|answer|(?:argument|answer)\.\$.*)$"}
    return {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]}


def _to_customer(text: str) -> JsonPath:
    path = typed_steps(text)
    if "*" in path or not path or path[-1][:1] == "<":
        raise ValueError(f"wanted the path of one value, without `[*]`, not `{text}`")
    return path


def _owners(value: Any) -> tuple[JsonPath, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("wanted the path of the field that says whose it is, or a list of them, one for each type")
    found = tuple(_to_customer(text) for text in texts)
    if len(found) > 1 and not all(path[0][:1] == "<" for path in found):
        raise ValueError("of several paths, each begins with a type: `$<Employee>.company_id`")
    if len({path[0] for path in found}) != len(found) or len({_names(path) for path in found}) != 1:
        raise ValueError("several paths are of different types, and have equally many names")
    return found


def _names(path: JsonPath) -> int:
    return sum(step[:1] != "<" for step in path)


def _owners_schema() -> dict[str, Any]:
    one = {"type": "string", "pattern": _TYPED}
    return {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]}


def _key(text: str) -> str:
    typed_steps(text)
    return text


def _argument_key(text: str) -> str:
    if any(step != "*" and not re.fullmatch(NAME, step) for step in steps(text)):
        raise ValueError(f"wanted a path in the arguments, of names of GraphQL, not `{text}`")
    return text


_PATH = Text("a path such as `$.people[*]<Employee>.iban`", check=_key, described=_TYPED)
_IN_ARGUMENTS = Text("a path such as `$.input.iban`", check=_argument_key, described=_TYPED)
_COUNT = Text("a path such as `$.total`", check=typed_steps, described=_TYPED)
_ARGUMENTS = MapOf(_IN_ARGUMENTS, AnyValue(_argument, _argument_schema))
_OWNERS = Field(AnyValue(_owners, _owners_schema), "in an element, the field that says whose it is", True)
_OPERATION: dict[str, Field] = {
    "customer": Field(
        AnyValue(_customers, _customers_schema), "where it says whose data it is about; all, of several", True
    ),
    "arguments": Field(_ARGUMENTS, "the arguments that may be sent"),
    "field_arguments": Field(MapOf(_PATH, _ARGUMENTS), "the arguments of fields below"),
    "fields": Field(MapOf(_PATH, AnyValue(shown, shown_schema)), "the fields that may be asked for", True),
    "arrays": Field(MapOf(_PATH, Record({
        "customer": _OWNERS,
        "count": Field(_COUNT, "the field that counts the elements: becomes the number of those that are left"),
    })), "arrays of which only the customer's elements are shown"),
    "objects": Field(
        MapOf(_PATH, Record({"customer": _OWNERS})), "single objects that are null when they are another customer's"
    ),
}  # fmt: skip
_WRITE = Field(
    Choice(("statement", "request")), "somebody else approves this very request, or a grant that may write", True
)
_ROOT = Text("the name of a root field", NAME)
GRAPHQL = Record({
    "queries": Field(MapOf(_ROOT, Record(_OPERATION)), "the root fields that may be read"),
    "mutations": Field(MapOf(_ROOT, Record({"write": _WRITE, **_OPERATION})), "the root fields that change something"),
    "types": Field(ListOf(Text("the name of a type", NAME)), "further types that fragments may be on"),
    "root_fields": Field(Whole(1, 20), "how many root fields a request may have (4)"),
    "selections": Field(Whole(1, 1000), "how many fields a request may have, fragments in their places (200)"),
    "depth": Field(Whole(1, 20), "how many levels of fields a request may have (8)"),
    "max_bytes": Field(Whole(1, LARGEST), "how long the request's body may be (65536)"),
})  # fmt: skip
