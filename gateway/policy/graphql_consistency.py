"""What must hold between the parts of a route that takes GraphQL, once each part is well-formed by itself.

INVARIANT: a field of the API has one rule, whatever fragments lead to it: what is named for a type is not named for all
types too. Whose data an operation is about is said by an argument that it always has, or by its answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from gateway.policy.graphql_load import KINDS, Given, typed, typed_steps
from gateway.policy.http_rules import JsonPath
from gateway.policy.http_values import Shown, steps
from gateway.policy.nesting import beside, misfits
from gateway.policy.shapes import Path, Reading

_ELSEWHERE = ("query", "body", "answers", "write", "reads", "websocket")
"""Keys of a route that the operations have in their stead."""


def judge(route: dict[str, Any], method: str, at: Path, outbound: bool, reading: Reading) -> None:
    """Note the faults of a route with `graphql`."""
    here, found = (*at, "graphql"), route["graphql"]
    for key in _ELSEWHERE:
        if key in route:
            reading.fault((*at, key), f"`{key}` is not for a route with `graphql`, whose operations say it")
    if method not in {"get", "post"}:
        reading.fault((*at, method), "GraphQL is asked with `post`, or with `get` for queries")
    if method == "get" and "mutations" in found:
        reading.fault((*here, "mutations"), "a GET only reads")
    if outbound:
        reading.fault(here, "GraphQL does not leave for a sub-processor")
    if any(one.place not in {"path", "header"} for one in route.get("customer", ())):
        reading.fault(
            (*at, "customer"), "beside `graphql`, it is `path.NAME` or `header.NAME`; operations say the rest"
        )
    if not any(key in found for key in KINDS):
        reading.fault(here, "`queries` or `mutations` is missing: nothing could be asked for")
    for name in sorted(found.get("queries", {}).keys() & found.get("mutations", {}).keys()):
        reading.fault((*here, "mutations", name), "a query has the same name: grants and records could not tell them")
    for key in KINDS:
        for name, operation in found.get(key, {}).items():
            _judge_operation(operation, (*here, key, name), reading)


def shown_fields(route: dict[str, Any]) -> Iterator[tuple[str, JsonPath, Shown]]:
    """The fields of a route's operations: each with what to call it, and its path."""
    for _, name, operation in operations(route):
        for text, shown in operation["fields"].items():
            path = typed_steps(text)
            yield typed((name, *path)), (name, *path), shown


def operations(route: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The key, the name and the content of each operation."""
    for key in KINDS:
        for name, operation in route.get("graphql", {}).get(key, {}).items():
            yield key, name, operation


def argument_paths(operation: dict[str, Any]) -> Iterator[tuple[Path, JsonPath]]:
    """Where each argument of an operation stands in the file, and its path."""
    for text in operation.get("arguments", {}):
        yield ("arguments", text), steps(text)
    for field, arguments in operation.get("field_arguments", {}).items():
        for text in arguments:
            yield ("field_arguments", field, text), steps(text)


def _judge_operation(operation: dict[str, Any], at: Path, reading: Reading) -> None:
    fields = {typed_steps(text): text for text in operation["fields"]}
    _judge_fields(fields, len(operation["fields"]), (*at, "fields"), reading)
    _judge_arguments(operation.get("arguments", {}), (*at, "arguments"), reading)
    for text, arguments in operation.get("field_arguments", {}).items():
        path = typed_steps(text)
        if not path or path[-1] == "*" or path[-1][:1] == "<" or not _leads(path, fields):
            reading.fault(
                (*at, "field_arguments", text), "it is no field of `fields`; the root field's are `arguments`"
            )
        _judge_arguments(arguments, (*at, "field_arguments", text), reading)
    _judge_owned(operation, fields, at, reading)
    _judge_customers(operation, at, reading)


def _judge_fields(fields: dict[JsonPath, str], written: int, at: Path, reading: Reading) -> None:
    if len(fields) != written:
        reading.fault(at, "a field is named twice")
    for text, fault in misfits(fields):
        reading.fault((*at, text), fault)
    for path, text in fields.items():
        for length, step in enumerate(path):
            if step[:1] != "<":
                continue
            if length + 1 == len(path) or path[length + 1] == "*" or path[length + 1][:1] == "<":
                reading.fault((*at, text), f"behind `{step}` stands the name of a field")
            elif path[length + 1] in beside(fields, path, length):
                # FAIL CLOSED: asked for without a fragment, it would leave by the other rule
                reading.fault((*at, text), f"`{path[length + 1]}` is named for all types too")


def _judge_arguments(arguments: dict[str, Given], at: Path, reading: Reading) -> None:
    known = {steps(text): text for text in arguments}
    if len(known) != len(arguments):
        reading.fault(at, "an argument is named twice")
    for path, text in known.items():
        if not path or path[0] == "*":
            reading.fault((*at, text), "wanted the path of an argument, such as `$.id`")
    for text, fault in misfits(known, "list"):
        reading.fault((*at, text), fault)


def _judge_owned(
    operation: dict[str, Any], fields: Collection[JsonPath], at: Path, reading: Reading
) -> None:  # fmt: skip
    counts: set[JsonPath] = set()
    for text, rule in operation.get("arrays", {}).items():
        path, here, count = typed_steps(text), (*at, "arrays", text), rule.get("count")
        if not _leads((*path, "*"), fields):
            reading.fault(here, "it is no array of `fields`: wanted its path, without `[*]` at its end")
        if (*path, "*") in fields or _leads((*path, "*", "*"), fields):
            # FAIL CLOSED: nothing could be asked of its elements
            reading.fault(here, "its elements are no objects, which could say whose they are")
        if count is not None and (count not in fields or not _is_beside(count, path)):
            reading.fault(here, "`count` is no value of `fields` beside the array that it counts, or around it")
        if count in counts:
            reading.fault(here, "`count` counts another array already")
        counts |= {count} if count is not None else set()
    for text in operation.get("objects", {}):
        path = typed_steps(text)
        is_object = bool(path) and path[-1] != "*" and path[-1][:1] != "<" and path not in fields
        if not is_object or not _leads(path, fields) or _leads((*path, "*"), fields):
            reading.fault((*at, "objects", text), "it is no single object of `fields`; the whole's is `customer`")


def _is_beside(count: JsonPath, array: JsonPath) -> bool:
    """Whether there is one such count for one such array."""
    last = max((place for place, step in enumerate(count) if step == "*"), default=-1)
    scope = count[: last + 1]
    return bool(count) and count[-1] != "*" and count[: len(array)] != array and array[: len(scope)] == scope


def _judge_customers(operation: dict[str, Any], at: Path, reading: Reading) -> None:
    here, arguments = (*at, "customer"), {steps(text): one for text, one in operation.get("arguments", {}).items()}
    by_argument = any(customer.place == "argument" for customer in operation["customer"])
    for customer in operation["customer"]:
        if customer.place == "argument":
            given = arguments.get(customer.path)
            if given is None:
                reading.fault(here, "there is no such argument")
            elif given.kind == "enum" or given.of.value.type not in {"string", "integer", "uuid"}:
                reading.fault(here, "a customer is an id, a string, an integer or a uuid")
            elif not given.of.required or given.of.nullable:
                reading.fault(here, "it says whose data it is about: it must be `required: true`, and never be null")
        elif customer.place == "answer" and "write" in operation and not by_argument:
            reading.fault(here, "whose data a mutation changes must be known before: name the argument that says it")
        elif customer.place == "answer" and not customer.path and not (operation.keys() & {"arrays", "objects"}):
            reading.fault(here, "nothing says whose this is: name the field, or `arrays`")
        elif customer.path and any(path[:1] == ("*",) or not path for path in map(typed_steps, operation["fields"])):
            reading.fault(here, "the root field is no single object: name its `arrays`")


def _leads(path: JsonPath, fields: Collection[JsonPath]) -> bool:
    return any(field[: len(path)] == path for field in fields)
