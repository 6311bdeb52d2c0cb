"""A YAML or JSON file that people edit while the gateway runs: read with positions, watched by its state.

YAML 1.2 (JSON is a subset of it), composed to nodes and never constructed to objects, so that an id written `0042`
stays those four characters and every complaint has a file and a line.

Reading is slow (about 0.5 ms an entry), happens in the thread that asks, and only after a change.

INVARIANT: an answer is never older than `recheck_s` after the file changed, plus the time to read it.
FAIL CLOSED: a file that is missing, unreadable or invalid gives no answer at all; the last good one is not used.
"""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.errors import GatewayError

T = TypeVar("T")

MAX_BYTES = 1 << 20
"""About 6,000 people or tickets: reading more would take longer than the answers may be old."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + kind for kind in ("str", "int", "float", "bool", "timestamp"))


class DocumentError(ValueError):
    """The document is not what it must be; the text starts with file:line."""


class Entry:
    """One mapping of the document with its place; fields are taken by name and what is left over is an error."""

    def __init__(self, path: Path, node: Node, what: str) -> None:
        if not isinstance(node, MappingNode) or node.tag != _TAG + "map":
            raise DocumentError(f"{_place(path, node)}: {what} must be a mapping")
        self._path, self._node, self._what = path, node, what
        self._fields: dict[str, Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if not isinstance(key, ScalarNode) or name in self._fields:
                raise DocumentError(f"{_place(path, key)}: `{name}` is there twice or is no name")
            self._fields[name] = value

    def error(self, message: str, field: str = "") -> DocumentError:
        """A complaint about the entry, or about one of its fields while it has not been taken."""
        return DocumentError(f"{_place(self._path, self._fields.get(field, self._node))}: {message}")

    def text(self, field: str, default: str | None = None, *, limit: int = 4096) -> str:
        """A scalar as it is written; null and "" are like no field where there is a default. Raises `DocumentError`."""
        node = self._take(field, default is None)
        if node is None or (default is not None and isinstance(node, ScalarNode) and _is_empty(node)):
            return default or ""
        return self._scalar(node, field, limit)

    def flag(self, field: str, default: bool) -> bool:
        """`true` or `false`. Raises `DocumentError`."""
        node = self._take(field, False)
        if node is None:
            return default
        if node.tag != _TAG + "bool":
            raise DocumentError(f"{_place(self._path, node)}: `{field}` must be true or false")
        return bool(str(node.value).lower() == "true")

    def texts(self, field: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of scalars as they are written. Raises `DocumentError`."""
        node = self._take(field, default is None)
        if node is None:
            return default or ()
        if not _is_list(node):
            raise DocumentError(f"{_place(self._path, node)}: `{field}` must be a list")
        return tuple(self._scalar(item, field, 256) for item in node.value)

    def entries(self, field: str, what: str) -> list[Entry]:
        """A list of mappings. Raises `DocumentError`."""
        node = self._take(field, True)
        if node is None or not _is_list(node):
            raise self.error(f"`{field}` must be a list")
        return [Entry(self._path, item, what) for item in node.value]

    def has(self, field: str) -> bool:
        """Whether the field is there and was not taken yet."""
        return field in self._fields

    def finish(self) -> None:
        """Complain about the first field that nobody took."""
        for name, node in self._fields.items():
            raise DocumentError(f"{_place(self._path, node)}: {self._what} has no field `{name}`")

    def _take(self, field: str, required: bool) -> Node | None:
        if required and field not in self._fields:
            raise self.error(f"{self._what} needs `{field}`")
        return self._fields.pop(field, None)

    def _scalar(self, node: Node, field: str, limit: int) -> str:
        if not isinstance(node, ScalarNode) or node.tag not in _SCALARS:
            raise DocumentError(f"{_place(self._path, node)}: `{field}` must be a text or a number")
        text = str(node.value)
        if not text or len(text) > limit or any(ord(char) < 32 for char in text):
            raise DocumentError(
                f"{_place(self._path, node)}: `{field}` must have 1 to {limit} characters and no control characters"
            )
        return text


class Document(Generic[T]):
    """The parsed content of a file, re-read when its state changes. Safe to use from several threads; may block."""

    def __init__(
        self,
        path: Path,
        parse: Callable[[Entry], T],
        code: str,
        *,
        recheck_s: float = 0.1,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._parse, self._code = path, parse, code
        self._recheck_s, self._monotonic, self._wall = recheck_s, monotonic, wall
        self._lock = threading.Lock()
        self._checked = float("-inf")
        self._state: tuple[int, ...] = ()
        self._value: T | None = None
        self._problem = ""

    def get(self) -> T:
        """The content as the file has it now. Raises `GatewayError` with the document's code."""
        with self._lock:
            now = self._monotonic()
            if now - self._checked >= self._recheck_s:
                self._refresh()
                self._checked = now
            if self._value is None:
                raise GatewayError(
                    self._code, "a file that access depends on cannot be read", "tell an operator", self._problem
                )
            return self._value

    def _refresh(self) -> None:
        """Read the file again unless its state is the one that was read."""
        try:
            found = self._path.stat()
        except OSError as error:
            self._value, self._state, self._problem = None, (), str(error)
            return
        state = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)
        if state == self._state:
            return
        # A change within the clock's grain of the last one need not show in the state: such a file is read again.
        self._state = state if abs(self._wall() - found.st_mtime) > 0.05 else ()
        # FAIL CLOSED: nothing of the old content answers for a file that changed and cannot be read.
        self._value = None
        try:
            if not stat.S_ISREG(found.st_mode) or found.st_mode & stat.S_IWOTH or found.st_size > MAX_BYTES:
                raise DocumentError(
                    f"{self._path}: must be a regular file of at most {MAX_BYTES} bytes that not everybody may write"
                )
            self._value = read_document(self._path, self._parse)
        except DocumentError as error:
            self._problem = str(error)
        except OSError as error:
            self._state, self._problem = (), str(error)


def read_document(path: Path, parse: Callable[[Entry], T]) -> T:
    """What `parse` makes of the file's one mapping.

    Raises `DocumentError` with file:line, and `OSError`.
    """
    try:
        node = YAML(typ="safe", pure=True).compose(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError(f"{path}:{line}: {error.problem or 'not YAML'}") from error
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"{path}:1: not YAML in UTF-8") from error
    if node is None:
        raise DocumentError(f"{path}:1: the file is empty")
    entry = Entry(path, node, "the file")
    value = parse(entry)
    entry.finish()
    return value


def _is_list(node: Node) -> bool:
    return isinstance(node, SequenceNode) and node.tag == _TAG + "seq"


def _is_empty(node: ScalarNode) -> bool:
    return node.tag == _TAG + "null" or node.value == ""


def _place(path: Path, node: Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"
