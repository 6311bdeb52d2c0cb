"""An OpenAPI document, 3.0 or 3.1, as far as a policy is made of it: which requests there are, and what they hold.

INVARIANT: nothing outside the document is read, a reference that leads back to itself ends there, and what is looked at
is bounded: a document can be wrong, without end, or made to be.

https://spec.openapis.org/oas/v3.1.0; schemas are JSON Schema 2020-12, of 3.0 an older draft of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gateway.errors import GatewayError
from gateway.policy.http_load import METHODS

LARGEST = 16 << 20
MOST_SCHEMAS = 200_000
MOST_LEAVES = 2_000
DEEPEST = 12

_PARAMETERS = ("path", "query", "header")
_SCALARS = frozenset({"string", "integer", "number", "boolean"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of a schema: the steps to it, its schema, and the names around it that say what it is.

    `owner` is the name of the object that it is in, `siblings` are the names in there. `required` says that every
    object on the way has to have it. `why` is why it cannot be in a policy, empty when it can.
    """

    path: tuple[str, ...]
    schema: Mapping[str, Any]
    owner: str = ""
    siblings: tuple[str, ...] = ()
    required: bool = False
    why: str = ""

    @property
    def name(self) -> str:
        """The last name on the way."""
        return next((step for step in reversed(self.path) if step != "*"), self.owner)

    @property
    def nullable(self) -> bool:
        """Whether it may be null, as 3.0 or 3.1 says it."""
        given = self.schema.get("type")
        return self.schema.get("nullable") is True or (isinstance(given, list) and "null" in given)

    @property
    def type(self) -> str:
        """`string`, `integer`, `number`, `boolean`, or empty for something else."""
        return type_of(self.schema)


@dataclass(frozen=True, slots=True)
class Input:
    """One parameter of a request."""

    place: str
    name: str
    schema: Mapping[str, Any]
    required: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One request of the document. `body` and `answers` hold media types and their leaves."""

    name: str
    method: str
    path: str
    inputs: tuple[Input, ...]
    body: Mapping[str, tuple[Leaf, ...]]
    body_required: bool
    answers: Mapping[str, Mapping[str, tuple[Leaf, ...]]]


def type_of(schema: Mapping[str, Any]) -> str:
    """The one type of a scalar's schema that is not null; empty for anything else."""
    given = schema.get("type")
    types = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    found = [one for one in types if one != "null"]
    return found[0] if len(found) == 1 and found[0] in _SCALARS else ""


def text_of(path: Path, most: int, invalid: Callable[[Path, str], GatewayError]) -> str:
    """The text of a document of at most so many characters. Raises what `invalid` makes of why it is none."""
    try:
        text = path.read_bytes()[: most + 1].decode()
    except OSError as error:
        raise invalid(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise invalid(path, "is not UTF-8 text") from None
    if len(text) > most:
        raise invalid(path, f"is longer than {most} characters")
    return text


def read(path: Path) -> list[Operation]:
    """The requests of the document at `path`. Raises `GatewayError("request-invalid")` when it is none."""
    text = text_of(path, LARGEST, _invalid)
    try:
        root = json.loads(text) if text.lstrip()[:1] == "{" else YAML(typ="safe", pure=True).load(text)
    except (ValueError, YAMLError, RecursionError):
        raise _invalid(path, "is neither JSON nor YAML") from None
    version = root.get("openapi") if isinstance(root, dict) else None
    if not isinstance(version, str) or not re.match(r"3\.[01]\.", version) or not isinstance(root.get("paths"), dict):
        raise _invalid(path, "is no OpenAPI document of version 3.0 or 3.1 with paths")
    return list(_Document(root).operations())


def _invalid(path: Path, why: str) -> GatewayError:
    return GatewayError("request-invalid", f"`{path}` {why}", hint="name an OpenAPI document with --openapi")


@dataclass(slots=True)
class _Document:
    """A document being read; `seen` counts the schemas looked at."""

    root: dict[str, Any]
    seen: int = 0
    prefix: str = field(init=False)

    def __post_init__(self) -> None:
        servers = self.root.get("servers")
        first = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], dict) else {}
        try:
            self.prefix = urlsplit(str(first.get("url", ""))).path.rstrip("/")
        except ValueError:
            self.prefix = ""

    def operations(self) -> Iterator[Operation]:
        for path, item in self.root["paths"].items():
            found, _ = self._resolved(item)
            for method in METHODS:
                if isinstance(path, str) and isinstance(found.get(method), dict):
                    yield self._operation(f"{self.prefix}{path}", method, found, found[method])

    def _operation(self, path: str, method: str, item: dict[str, Any], given: dict[str, Any]) -> Operation:
        body, _ = self._resolved(given.get("requestBody"))
        answers = given.get("responses")
        return Operation(
            str(given.get("operationId", "")),
            method,
            path,
            tuple(self._inputs(item, given)),
            self._content(body),
            body.get("required") is True,
            {
                str(status): self._content(self._resolved(answer)[0])
                for status, answer in (answers if isinstance(answers, dict) else {}).items()
            },
        )

    def _inputs(self, item: dict[str, Any], given: dict[str, Any]) -> Iterator[Input]:
        found: dict[tuple[str, str], Input] = {}
        for one in [*_list(item.get("parameters")), *_list(given.get("parameters"))]:
            parameter, _ = self._resolved(one)
            place, name = str(parameter.get("in", "")), str(parameter.get("name", ""))
            schema, _ = self._resolved(parameter.get("schema"))
            if place in _PARAMETERS and name:
                found[place, name] = Input(place, name, self._flat(schema), parameter.get("required") is True)
        yield from found.values()

    def _content(self, holder: dict[str, Any]) -> dict[str, tuple[Leaf, ...]]:
        content = holder.get("content")
        found: dict[str, tuple[Leaf, ...]] = {}
        for media, one in content.items() if isinstance(content, dict) else ():
            essence = str(media).partition(";")[0].strip().lower()
            schema = one.get("schema") if isinstance(one, dict) else None
            found[essence] = _consistent(_bounded(self._leaves(schema, (), "", (), (), required=True)))
        return found

    def _leaves(
        self, given: Any, path: tuple[str, ...], owner: str, siblings: tuple[str, ...], above: tuple[str, ...],
        *, required: bool,
    ) -> Iterator[Leaf]:  # fmt: skip
        self.seen += 1
        schema, names = self._resolved(given)
        names += self._alternatives(schema)
        repeated = next((name for name in names if name in above), "")
        if repeated or len(path) > DEEPEST or self.seen > MOST_SCHEMAS:
            why = f"it refers back to {repeated}" if repeated else "it is nested too deeply, or too much of it"
            yield Leaf(path, {}, owner, siblings, required, why)
            return
        above = (*above, *names)
        schema = self._flat(schema)
        title = names[0] if names else str(schema.get("title", "")) or owner
        if isinstance(schema.get("properties"), dict):
            yield from self._members(schema, path, title, above, required=required)
        elif "items" in schema:
            yield from self._leaves(schema["items"], (*path, "*"), owner, siblings, above, required=required)
        else:
            why = "" if type_of(schema) else "its schema says nothing of what it holds"
            yield Leaf(path, schema, owner, siblings, required, why)

    def _alternatives(self, schema: dict[str, Any]) -> tuple[str, ...]:
        """The names that the alternatives of a schema refer to: what may lead back to where it came from."""
        parts = [*_list(schema.get("anyOf")), *_list(schema.get("oneOf"))]
        return tuple(name for part in parts for name in self._resolved(part)[1])

    def _members(
        self, schema: dict[str, Any], path: tuple[str, ...], title: str, above: tuple[str, ...], *, required: bool
    ) -> Iterator[Leaf]:
        members = {str(name): below for name, below in schema["properties"].items()}
        needed = set(map(str, _list(schema.get("required"))))
        for name, below in members.items():
            if not name or name == "*" or re.search(r'["\\\x00-\x1f]', name):
                yield Leaf((*path, "?"), {}, title, tuple(members), False, "a policy cannot write its name")
                continue
            owner = title if type_of(self._flat(self._resolved(below)[0])) else name
            yield from self._leaves(
                below, (*path, name), owner, tuple(members), above, required=required and name in needed
            )

    def _flat(self, schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
        """A schema with the parts of `allOf`, and of the alternatives of `anyOf` and `oneOf`, in one."""
        flat = dict(schema)
        parts = [(keyword, part) for keyword in ("allOf", "anyOf", "oneOf") for part in _list(schema.get(keyword))]
        for keyword, given in parts:
            self.seen += 1
            if depth > DEEPEST or self.seen > MOST_SCHEMAS:
                break
            part = self._flat(self._resolved(given)[0], depth + 1)
            if part.get("type") == "null":
                continue
            members = {**_dict(flat.get("properties")), **_dict(part.get("properties"))}
            needed = [*_list(flat.get("required")), *(_list(part.get("required")) if keyword == "allOf" else [])]
            flat = {**part, **{name: one for name, one in flat.items() if name not in {"properties", "required"}}}
            flat.pop("required", None)
            flat |= {"properties": members} if members else {}
            flat |= {"required": needed} if needed else {}
        return flat

    def _resolved(self, given: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What a reference leads to within the document, and the names passed on the way; nothing for anything else."""
        names: list[str] = []
        while isinstance(given, dict) and isinstance(given.get("$ref"), str):
            reference = given["$ref"]
            if not reference.startswith("#/") or len(names) > DEEPEST:
                return {}, tuple(names)
            given = self.root
            for part in reference[2:].split("/"):
                given = given.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(given, dict) else None
            names.append(reference.rpartition("/")[2])
        return (given if isinstance(given, dict) else {}), tuple(names)


def _bounded(leaves: Iterator[Leaf]) -> Iterator[Leaf]:
    for number, leaf in enumerate(leaves):
        if number == MOST_LEAVES:
            yield Leaf(("?",), {}, why=f"it and all behind it; more than {MOST_LEAVES} fields are not looked at")
            return
        yield leaf


def _consistent(leaves: Iterator[Leaf]) -> tuple[Leaf, ...]:
    """The leaves without those that say of a place something else than one before them."""
    found: dict[tuple[str, ...], Leaf] = {}
    places: dict[tuple[str, ...], str] = {}
    for leaf in leaves:
        kinds = {leaf.path[:depth]: "list" if step == "*" else "object" for depth, step in enumerate(leaf.path)}
        kinds[leaf.path] = "value"
        if all(places.get(place, kind) == kind for place, kind in kinds.items()) and leaf.path not in found:
            places |= kinds
            found[leaf.path] = leaf
    return tuple(found.values())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
