"""Shapes of a YAML document: one table that reads it, finds its faults with line and column, and describes it.

INVARIANT: nothing is converted silently. A key that is unknown or written twice, a value of another type, an alias, a
tag or a second document is a problem; problems are collected, and a value with a problem is never used.

YAML 1.2 (https://yaml.org/spec/1.2.2/) by ruamel.yaml's composer: nodes are judged, nothing is constructed.
Descriptions for editors are JSON Schema 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.errors import GatewayError

LARGEST = 1_048_576

Path = tuple[str | int, ...]
_TAG = "tag:yaml.org,2002:"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault of a document; line and column count from 1."""

    line: int
    column: int
    message: str


class DocumentInvalid(GatewayError):
    """All faults of one document at once; the message has a line `source:line:column: fault` for each."""

    def __init__(self, source: str, problems: list[Problem], code: str = "policy-invalid") -> None:
        self.problems = tuple(sorted(problems))
        lines = (f"{source}:{one.line}:{one.column}: {one.message}" for one in self.problems)
        super().__init__(code, "\n".join(lines), "correct the file; `gateway policy check` reads it again")


@dataclass(slots=True)
class Reading:
    """What was found while a document is read: its faults, and where each path of it stands."""

    problems: list[Problem] = field(default_factory=list)
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def fault(self, path: Path, message: str) -> None:
        """Note a fault at the nearest path that has a place."""
        while path and path not in self.marks:
            path = path[:-1]
        self.problems.append(Problem(*self.marks.get(path, (1, 1)), message))


class Shape(Protocol):
    """What a value must look like."""

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        """The plain value, or None after noting a fault."""
        ...

    def schema(self) -> dict[str, Any]:
        """The shape in JSON Schema."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string, of a pattern or passed by `check` (which raises ValueError)."""

    wanted: str = "text"
    pattern: str = r"(?s:.+)"
    check: Callable[[str], Any] | None = None
    described: str = ""

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        if not _is(node, "str") or not re.fullmatch(self.pattern, node.value):
            return reading.fault(path, f"wanted {self.wanted}, not {_shown(node)}")
        if self.check is None:
            return node.value
        try:
            return self.check(node.value)
        except ValueError as problem:
            return reading.fault(path, str(problem))

    def schema(self) -> dict[str, Any]:
        pattern = self.described or (f"^(?:{self.pattern})$" if self.pattern != r"(?s:.+)" else "")
        return {"type": "string", "minLength": 1, "description": self.wanted} | (
            {"pattern": pattern} if pattern else {}
        )


@dataclass(frozen=True, slots=True)
class Whole:
    """A decimal whole number in a range."""

    least: int
    most: int

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        if _is(node, "int") and re.fullmatch(r"[0-9]{1,18}", node.value) and self.least <= int(node.value) <= self.most:
            return int(node.value)
        return reading.fault(path, f"wanted a whole number from {self.least} to {self.most}, not {_shown(node)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        if _is(node, "bool") and node.value in {"true", "false"}:
            return bool(node.value == "true")
        return reading.fault(path, f"wanted true or false, not {_shown(node)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        if _is(node, "str") and node.value in self.words:
            return node.value
        near = nearest(node.value, self.words) if isinstance(node, ScalarNode) else ""
        return reading.fault(path, f"wanted one of {', '.join(self.words)}, not {_shown(node)}{near}")

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Duration:
    """`30s`, `15m`, `8h` or `1d` in a range of seconds; read as seconds."""

    least: int
    most: int

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        match = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", node.value) if _is(node, "str") else None
        seconds = int(match[1]) * _UNITS[match[2]] if match else 0
        if self.least <= seconds <= self.most:
            return seconds
        limits = f"from {self.least}s to {self.most}s"
        return reading.fault(path, f"wanted a duration such as 30s, 15m, 8h or 1d ({limits}), not {_shown(node)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[1-9][0-9]{0,6}[smhd]$", "description": "a duration: 30s, 15m, 8h, 1d"}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list without repetitions; read as a tuple."""

    item: Shape
    least: int = 1

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        if not isinstance(node, SequenceNode):
            return reading.fault(path, f"wanted a list, not {_shown(node)}")
        if len(node.value) < self.least:
            reading.fault(path, "the list is empty")
        items = []
        for index, below in enumerate(node.value):
            value = read_node(self.item, below, (*path, index), reading)
            if value is not None and value in items:
                reading.fault((*path, index), f"{_shown(below)} is in the list already")
            items.append(value)
        return tuple(items)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "minItems": self.least, "uniqueItems": True}


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping from names of the document's own to values of one shape."""

    key: Shape
    value: Shape
    least: int = 1

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        if not isinstance(node, MappingNode):
            return reading.fault(path, f"wanted a mapping, not {_shown(node)}")
        if len(node.value) < self.least:
            reading.fault(path, "the mapping is empty")
        read: dict[str, Any] = {}
        for name, key, below in _members(node, path, reading):
            if self.key.read(key, (*path, name), reading) is not None:
                read[name] = read_node(self.value, below, (*path, name), reading)
        return read

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.value.schema(),
            "minProperties": self.least,
        }


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record. A `refused` field is known, and wrong for the reason given."""

    shape: Shape
    about: str
    required: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping of fixed keys; keys that are absent and not required are absent from what is read."""

    fields: Mapping[str, Field]

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        if not isinstance(node, MappingNode):
            return reading.fault(path, f"wanted a mapping with {', '.join(self.fields)}, not {_shown(node)}")
        read: dict[str, Any] = {}
        for name, _, below in _members(node, path, reading):
            known = self.fields.get(name)
            if known is None:
                reading.fault((*path, name), f"unknown key `{name}`{nearest(name, self.fields)}")
            elif known.refused:
                reading.fault((*path, name), known.refused)
            else:
                value = read_node(known.shape, below, (*path, name), reading)
                if value is not None:
                    read[name] = value
        written = {key.value for key, _ in node.value if isinstance(key, ScalarNode)}
        for name, known in self.fields.items():
            if known.required and name not in written:
                reading.fault(path, f"`{name}` is missing: {known.about}")
        return read

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                name: one.shape.schema() | {"description": one.about}
                for name, one in self.fields.items()
                if not one.refused
            },
            "required": [name for name, one in self.fields.items() if one.required],
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Any plain value; for `judge`, which sees it as Python and raises ValueError."""

    judge: Callable[[Any], Any]
    described: Callable[[], dict[str, Any]]

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        before = len(reading.problems)
        value = _plain(node, path, reading)
        if len(reading.problems) > before:
            return None
        try:
            return self.judge(value)
        except ValueError as problem:
            return reading.fault(path, str(problem))

    def schema(self) -> dict[str, Any]:
        return self.described()


def read_document(shape: Shape, text: str, source: str, reading: Reading) -> Any:
    """The document's value by `shape`; faults go to `reading`.

    Raises: DocumentInvalid when the text is no single YAML document at all.
    """
    try:
        if len(text) > LARGEST:
            raise DocumentInvalid(source, [Problem(1, 1, f"the file is longer than {LARGEST} characters")])
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reason = error.problem or error.context
        raise DocumentInvalid(source, [Problem(line, column, f"not valid YAML: {reason}")]) from None
    except (YAMLError, RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise DocumentInvalid(source, [Problem(1, 1, f"not valid YAML: {reason}")]) from None
    if node is None:
        raise DocumentInvalid(source, [Problem(1, 1, "the file is empty")])
    return read_node(shape, node, (), reading)


def read_node(shape: Shape, node: Node, path: Path, reading: Reading) -> Any:
    """One node's value by `shape`, its place noted; an alias is a fault, since one text would mean two things."""
    reading.marks.setdefault(path, _place(node))
    if node.anchor is not None or id(node) in reading.seen:
        return reading.fault(path, "anchors and aliases (`&`, `*`) are not allowed: write the value out")
    reading.seen.add(id(node))
    return shape.read(node, path, reading)


def nearest(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """A suggestion to append to a message about an unknown name; empty when nothing is near."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{found[0]}`?" if found else ""


def _members(node: MappingNode, path: Path, reading: Reading) -> list[tuple[str, Node, Node]]:
    members: dict[str, tuple[str, Node, Node]] = {}
    for key, below in node.value:
        if not isinstance(key, ScalarNode) or key.anchor is not None:
            reading.problems.append(Problem(*_place(key), f"a key must be a plain name, not {_shown(key)}"))
        elif key.value in members:
            reading.problems.append(Problem(*_place(key), f"`{key.value}` is written twice"))
        else:
            members[key.value] = (key.value, key, below)
            reading.marks[(*path, key.value)] = _place(key)
    return list(members.values())


def _plain(node: Node, path: Path, reading: Reading) -> Any:
    if isinstance(node, MappingNode):
        return {
            name: read_node(AnyValue(lambda value: value, dict), below, (*path, name), reading)
            for name, _, below in _members(node, path, reading)
        }
    if isinstance(node, SequenceNode):
        return [
            read_node(AnyValue(lambda value: value, dict), below, (*path, index), reading)
            for index, below in enumerate(node.value)
        ]
    if _is(node, "int") and re.fullmatch(r"-?[0-9]{1,18}", node.value):
        return int(node.value)
    if _is(node, "bool"):
        return node.value == "true"
    if _is(node, "null"):
        return None
    if _is(node, "str") or _is(node, "float"):
        return node.value
    return reading.fault(path, f"{_shown(node)} is not a plain value")


def _is(node: Node, tag: str) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag) == _TAG + tag


def _place(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _shown(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if _is(node, "null"):
        return "nothing (for the word null, write 'null' in quotes)"
    text = node.value if len(node.value) <= 40 else node.value[:37] + "..."
    kinds = {"str": "", "int": "the number ", "float": "the number ", "bool": "the truth value "}
    return f"{kinds.get(str(node.tag).removeprefix(_TAG), f'the tagged value {node.tag} ')}`{text}`"
