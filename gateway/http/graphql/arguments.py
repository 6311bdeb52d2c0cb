"""The arguments of a field, with the variables in their places: held to the policy, and written anew.

INVARIANT: what goes on is written from the values that the policy names, in the order of their names, each canonical;
there are no variables any more. An argument that it does not name is refused, never dropped.

GraphQL (October 2021), 2.9 for values, 3.13 and 5.8 for variables and their types.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql.language import (
    ArgumentNode,
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    IntValueNode,
    ListTypeNode,
    ListValueNode,
    NamedTypeNode,
    NonNullTypeNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    TypeNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
)
from graphql.language.print_string import print_string

from gateway.http.json_text import Number, number_text
from gateway.http.refusing import malformed, not_allowed, shown
from gateway.policy.http_rules import Argument, JsonPath, Value
from gateway.policy.http_values import canonical, written

_MISSING = object()
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_INT = Value("integer", -(1 << 31), (1 << 31) - 1)
_WHOLE = Value("integer")


class Name(str):
    """A name that stands for a value: one of an enumeration."""

    __slots__ = ()


@dataclass(slots=True)
class Tree:
    """A place in the arguments: a value by a rule, or what lies below it (under `*` for a list)."""

    below: dict[str, Tree] = field(default_factory=dict)
    rule: Argument | None = None
    required: bool = False


def tree(rules: tuple[Argument, ...]) -> Tree:
    """The arguments of one field."""
    root = Tree()
    for one in rules:
        at = root
        for step in one.path:
            at = at.below.setdefault(step, Tree())
            at.required = at.required or one.required
        at.rule = one
    return root


class Variables:
    """The variables of an operation, with what the request says that they are. Raises: GatewayError."""

    def __init__(self, declared: Mapping[str, VariableDefinitionNode], given: Mapping[str, Any]) -> None:
        for name in given:
            if name not in declared:
                raise not_allowed(f"{shown('variable', name)} is not declared by the operation", "leave it out")
        self._values: dict[str, Any] = {}
        for name, one in declared.items():
            value = given.get(name, _MISSING)
            if value is _MISSING and one.default_value is not None:
                value = self.of(one.default_value)
            if value is _MISSING and isinstance(one.type, NonNullTypeNode):
                raise not_allowed(f"{shown('variable', name)} has no value", "send it along")
            if value is not _MISSING and not _is_of(one.type, value):
                raise not_allowed(f"{shown('variable', name)} is not of the type that the operation declares")
            self._values[name] = value

    def of(self, node: ValueNode, *, top: bool = False) -> Any:
        """The value of a node; of an argument that stands alone (`top`) none for a variable without one."""
        if isinstance(node, VariableNode):
            if node.name.value not in self._values:
                raise malformed(f"{shown('variable', node.name.value)} is not declared")
            value = self._values[node.name.value]
            if value is _MISSING and not top:
                raise not_allowed(f"{shown('variable', node.name.value)} has no value", "send it along")
            return value
        if isinstance(node, ListValueNode):
            return [self.of(one) for one in node.values]
        if isinstance(node, ObjectValueNode):
            made: dict[str, Any] = {}
            for one in node.fields:
                if one.name.value in made:
                    raise malformed("a name stands twice in a value")
                value = self.of(one.value, top=True)
                if value is not _MISSING:
                    made[one.name.value] = value
            return made
        return _scalar(node)


def judged(
    rules: Tree, given: tuple[ArgumentNode, ...], variables: Variables
) -> tuple[str, tuple[str, ...], dict[JsonPath, list[str]]]:
    """The arguments as they go on (`(id: 7)`, empty for none), the names given, and the texts under each path.

    Raises: GatewayError.
    """
    values: dict[str, Any] = {}
    for one in given:
        if one.name.value in values:
            raise malformed("an argument stands twice")
        value = variables.of(one.value, top=True)
        if value is not _MISSING:
            values[one.name.value] = value
    reading = _Reading()
    made = reading.members(values, rules, ())
    text = ", ".join(f"{name}: {value}" for name, value in made.items())
    return f"({text})" if text else "", tuple(made), reading.values


class _Reading:
    """The arguments of one field being read: what was found so far."""

    def __init__(self) -> None:
        self.values: dict[JsonPath, list[str]] = {}

    def members(self, value: dict[str, Any], at: Tree, path: JsonPath) -> dict[str, str]:
        for name in value:
            if name not in at.below or name == "*":
                raise not_allowed(f"{shown('argument', name)} is not in the policy", "leave out those it does not name")
        for name, node in at.below.items():
            if name not in value and node.required:
                raise not_allowed(f"the argument `{written((*path, name))}` is missing", "send it along")
        return {
            name: self._judged(value[name], node, (*path, name)) for name, node in at.below.items() if name in value
        }

    def _judged(self, value: Any, at: Tree, path: JsonPath) -> str:
        if at.rule is not None:
            return self._leaf(value, at.rule)
        if "*" in at.below:
            if type(value) is not list:
                raise not_allowed(f"the argument `{written(path)}` is not a list", "send a list")
            return "[" + ", ".join(self._judged(one, at.below["*"], (*path, "*")) for one in value) + "]"
        if type(value) is not dict:
            raise not_allowed(f"the argument `{written(path)}` is not an object", "send an object")
        made = self.members(value, at, path)
        return "{" + ", ".join(f"{name}: {one}" for name, one in made.items()) + "}"

    def _leaf(self, value: Any, rule: Argument) -> str:
        if value is None and rule.nullable:
            return "null"
        text = _text(value, rule)
        found = canonical(rule.value, text, lines=True) if text is not None else None
        if found is None:
            raise not_allowed(f"the argument `{written(rule.path)}` is not of the form that the policy allows")
        self.values.setdefault(rule.path, []).append(found)
        return found if rule.kind == "enum" or rule.value.type in {"integer", "number", "boolean"} else quoted(found)


def quoted(text: str) -> str:
    """A string of GraphQL, in which nothing that a screen hides or turns around is left unescaped."""
    made = print_string(text)
    if made.isprintable():
        return made
    return "".join(_escaped(one) if unicodedata.category(one) in _HIDDEN else one for one in made)


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04X}"
    return f"\\u{0xD800 + (code - 0x10000 >> 10):04X}\\u{0xDC00 + (code - 0x10000 & 0x3FF):04X}"


def _text(value: Any, rule: Argument) -> str | None:
    """The text of a value of the kind that the rule wants; None for another kind."""
    if rule.kind == "enum":
        return str(value) if isinstance(value, str) else None
    if rule.kind == "id" and type(value) is Number:
        return canonical(_WHOLE, number_text(value))
    if rule.value.type in {"integer", "number"}:
        return number_text(value) if type(value) is Number else None
    if rule.value.type == "boolean":
        return ("false", "true")[value] if type(value) is bool else None
    return value if type(value) is str else None


def _scalar(node: ValueNode) -> Any:
    if isinstance(node, IntValueNode | FloatValueNode):
        return Number(node.value)
    if isinstance(node, StringValueNode):
        try:
            node.value.encode()
        except UnicodeEncodeError:
            raise malformed("a string has half of a surrogate pair") from None
        return node.value
    if isinstance(node, BooleanValueNode):
        return node.value
    if isinstance(node, EnumValueNode):
        return Name(node.value)
    if isinstance(node, NullValueNode):
        return None
    raise malformed("the document has a value of no known kind")


def _is_of(of: TypeNode, value: Any) -> bool:
    """Whether a value is of a declared type, as far as it is known here: built in, or made of what is."""
    if isinstance(of, NonNullTypeNode):
        return value is not None and _is_of(of.type, value)
    if value is None:
        return True
    if isinstance(of, ListTypeNode):
        return type(value) is list and all(_is_of(of.type, one) for one in value)
    assert isinstance(of, NamedTypeNode)
    name = of.name.value
    if name == "String":
        return type(value) is str
    if name == "Boolean":
        return type(value) is bool
    if name == "Float":
        return type(value) is Number
    if name in {"Int", "ID"}:
        if name == "ID" and type(value) is str:
            return True
        return type(value) is Number and canonical(_INT if name == "Int" else _WHOLE, number_text(value)) is not None
    return type(value) is not list
