"""A GraphQL schema (SDL), as far as a policy is made of it: which root fields there are, and what they take and give.

INVARIANT: nothing outside the document is read, a type that leads back to itself ends there, and what is looked at is
bounded: a document can be wrong, without end, or made to be.

GraphQL (October 2021), section 3; graphql-core reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
)

from gateway.cli.openapi import Leaf, text_of
from gateway.errors import GatewayError

LARGEST = 4 << 20
MOST_LEAVES = 400
"""Of one root field."""
DEEPEST = 6
"""Levels of fields below a root field."""
MOST_TYPES = 5_000
MOST_TOKENS = 400_000

_SCALARS: Mapping[str, Mapping[str, Any]] = {
    "ID": {"type": "string", "format": "id"},
    "String": {"type": "string"},
    "Int": {"type": "integer"},
    "Float": {"type": "number"},
    "Boolean": {"type": "boolean"},
    "Date": {"type": "string", "format": "date"},
    "DateTime": {"type": "string", "format": "date-time"},
    "UUID": {"type": "string", "format": "uuid"},
    "Decimal": {"type": "number"},
    "BigInt": {"type": "integer"},
    "Long": {"type": "integer"},
    "URL": {"type": "string"},
    "EmailAddress": {"type": "string"},
}
"""The scalars whose name says what they are; the custom ones are those of the usual libraries."""


@dataclass(frozen=True, slots=True)
class Given:
    """One value in the arguments of a root field, at `path`. `of` is its named type; `choices` are an enumeration's.

    `required` says that a request has to have it. `why` is why it cannot be in a policy, empty when it can.
    """

    path: tuple[str, ...]
    of: str
    choices: tuple[str, ...] = ()
    required: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class RootField:
    """One root field. `kind` is `queries` or `mutations`; `gives` is the named type of its value."""

    kind: str
    name: str
    gives: str
    arguments: tuple[Given, ...]
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """The root fields of a schema, and the names of its composite types."""

    fields: tuple[RootField, ...]
    types: frozenset[str]


def read(path: Path) -> Schema:
    """The schema at `path`. Raises `GatewayError("request-invalid")` when it is none."""
    text = text_of(path, LARGEST, _invalid)
    try:
        schema = build_schema(text, no_location=True, max_tokens=MOST_TOKENS)
    except (GraphQLError, TypeError, RecursionError):
        raise _invalid(path, "is no schema of GraphQL") from None
    if len(schema.type_map) > MOST_TYPES:
        raise _invalid(path, f"has more than {MOST_TYPES} types")
    fields = [
        RootField(kind, name, _named(field.type)[0].name, tuple(_arguments(field)), _leaves(schema, name, field))
        for kind, root in (("queries", schema.query_type), ("mutations", schema.mutation_type))
        for name, field in (root.fields.items() if root is not None else ())
        if not name.startswith("_")
    ]
    if not fields:
        raise _invalid(path, "is no schema of GraphQL: it has no root fields")
    composite = (GraphQLObjectType, GraphQLInterfaceType)
    types = {name for name, of in schema.type_map.items() if isinstance(of, composite) and not name.startswith("__")}
    return Schema(tuple(fields), frozenset(types))


def _invalid(path: Path, why: str) -> GatewayError:
    return GatewayError("request-invalid", f"`{path}` {why}", hint="name a schema in GraphQL's own language")


def _named(of: Any) -> tuple[Any, int]:
    """A type without its wrappers, and how many lists it is in."""
    stars = 0
    while isinstance(of, GraphQLNonNull | GraphQLList):
        stars += isinstance(of, GraphQLList)
        of = of.of_type
    return of, stars


def _needed(one: GraphQLArgument | GraphQLInputField) -> bool:
    return isinstance(one.type, GraphQLNonNull) and not _has_default(one)


def _has_default(one: GraphQLArgument | GraphQLInputField) -> bool:
    return one.ast_node is not None and one.ast_node.default_value is not None


def _arguments(field: GraphQLField) -> Iterator[Given]:
    for name, one in field.args.items():
        yield from _given((name,), one, (), required=True)


def _given(
    path: tuple[str, ...], one: GraphQLArgument | GraphQLInputField, above: tuple[str, ...], *, required: bool
) -> Iterator[Given]:
    of, stars = _named(one.type)
    required = required and _needed(one)
    path = (*path, *("*",) * stars)
    if isinstance(of, GraphQLInputObjectType):
        if of.name in above or len(path) > DEEPEST:
            yield Given(path, of.name, required=required, why=f"it refers back to {of.name}, or is nested too deeply")
            return
        for name, below in of.fields.items():
            yield from _given((*path, name), below, (*above, of.name), required=required)
    elif isinstance(of, GraphQLEnumType):
        yield Given(path, of.name, tuple(of.values), required)
    else:
        why = "" if of.name in _SCALARS else "the schema does not say what it holds"
        yield Given(path, of.name, (), required, why)


def _leaves(schema: GraphQLSchema, name: str, field: GraphQLField) -> tuple[Leaf, ...]:
    found: list[Leaf] = []
    _, stars = _named(field.type)
    for leaf in _below(schema, field, ("*",) * stars, name, (), ()):
        if len(found) == MOST_LEAVES:
            found.append(Leaf(("?",), {}, why=f"more than {MOST_LEAVES} fields are not looked at"))
            break
        found.append(leaf)
    return tuple(found)


def _below(
    schema: GraphQLSchema, field: GraphQLField, path: tuple[str, ...], owner: str, siblings: tuple[str, ...],
    above: tuple[str, ...],
) -> Iterator[Leaf]:  # fmt: skip
    of, _ = _named(field.type)
    if isinstance(of, GraphQLScalarType | GraphQLEnumType):
        yield _leaf(of, path, owner, siblings)
    elif of.name in above or sum(step[:1] not in "*<" for step in path) > DEEPEST:
        yield Leaf(path, {}, owner, siblings, why=f"it leads back to {of.name}, or too deep")
    elif isinstance(of, GraphQLUnionType):
        for one in schema.get_possible_types(of):
            yield from _members(schema, one, (*path, f"<{one.name}>"), (*above, of.name))
    else:
        yield from _members(schema, of, path, above)


def _members(
    schema: GraphQLSchema, of: Any, path: tuple[str, ...], above: tuple[str, ...]
) -> Iterator[Leaf]:  # fmt: skip
    for name, field in of.fields.items():
        _, stars = _named(field.type)
        at = (*path, name, *("*",) * stars)
        if any(_needed(one) for one in field.args.values()):
            yield Leaf(at, {}, of.name, tuple(of.fields), why="it needs arguments")
        else:
            yield from _below(schema, field, at, of.name, tuple(of.fields), (*above, of.name))


def _leaf(of: Any, path: tuple[str, ...], owner: str, siblings: tuple[str, ...]) -> Leaf:
    if isinstance(of, GraphQLEnumType):
        return Leaf(path, {"type": "string", "enum": list(of.values)}, owner, siblings)
    known = _SCALARS.get(of.name)
    why = "" if known is not None else "the schema does not say what it holds"
    return Leaf(path, known or {}, owner, siblings, why=why)
