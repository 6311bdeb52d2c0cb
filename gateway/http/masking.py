"""What of a decoded document leaves: the fields that the policy names, each under its mask, of the ticket's customers.

INVARIANT: a document is built anew from the rule, never cut down: what the rule does not name has no way into it. A
value of another shape than the rule's (an object where a scalar is named) is null. Elements of an array with an
`ArrayRule` leave only when they name one of the ticket's customers; what counts them is what is left.

An `AnswerRule` becomes a tree of functions once. Names leave in the rule's order. A missing field stays missing, unless
its mask makes the same of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.http.json_text import write
from gateway.http.values import Leaf, direct, is_constant, leaf, scalar_text
from gateway.policy.http_rules import AnswerRule, ArrayRule, FieldRule, JsonPath
from gateway.policy.http_values import called

EVERY = "*"


@dataclass(slots=True)
class _Run:
    """One document on its way. `counts` has what is left of each filtered array, `open` the members that tell it."""

    customers: Collection[str]
    key: bytes | None
    counts: list[int]
    rows: int = 0
    open: list[tuple[dict[str, Any], str, int]] = field(default_factory=list)


_Masked = Callable[[Any, _Run], Any]


class _Member(NamedTuple):
    """What an object does with one of its members: one of the three; a scalar as it is where there is none.

    `always` is for a value that is there even where the member is missing; `counts` is which array it counts, or -1.
    """

    name: str
    below: _Masked | None = None
    value: Leaf | None = None
    counts: int = -1
    always: bool = False


class Tree:
    """An `AnswerRule`, with the fields that a grant reveals, ready for documents.

    Raises: ValueError for a rule that contradicts itself.
    """

    def __init__(self, rule: AnswerRule, reveal: frozenset[str] = frozenset()) -> None:
        root = _Node()
        for of in rule.fields:
            root.at(of.path).be("value")
            root.at(of.path).rule = of
        for index, array in enumerate(rule.arrays):
            _put_array(root, array, index)
        self._root, self._reveal, self.arrays = root, reveal, len(rule.arrays)
        self._masked = _in_scope(root.scope, root.function(reveal))
        self.shape = {"array": list, "value": None}.get(root.kind, dict)

    def fits(self, document: Any) -> bool:
        """Whether the document is of the kind that the rule's root is."""
        if self.shape is None:
            return type(document) not in _NESTED
        return type(document) is self.shape

    def described(self, maker: Any) -> Any:
        """The same tree as `maker` (`_leaving.pyx`) has it: of its `plain`, `leaf`, `members`, `elements`, `count`."""
        return self._root.described(maker, self._reveal)

    def masked(self, document: Any, customers: Collection[str], key: bytes | None) -> tuple[Any, int]:
        """What leaves of a document that fits, and how many records that is: what is in its arrays, or itself."""
        run = _Run(customers, key, [0] * self.arrays)
        left = self._masked(document, run)
        return left, run.rows if self.shape is list else max(run.rows, 1)


def belongs(value: Any, path: JsonPath, customers: Collection[str]) -> bool:
    """Whether what stands at `path` is one of the customers: the same text, digit by digit.

    FAIL CLOSED: what is missing, null or no scalar belongs to somebody else.
    """
    for name in path:
        if type(value) is not dict:
            return False
        value = value.get(name)
    text = scalar_text(value)
    return text is not None and text in customers


_NESTED = frozenset({dict, list})
_MISSING = object()


class _Node:
    """A place in documents while a tree is made. `kind` is `value`, `object`, `array`, or empty while unknown."""

    def __init__(self) -> None:
        self.kind = ""
        self.members: dict[str, _Node] = {}
        self.element: _Node | None = None
        self.rule: FieldRule | None = None
        self.array: ArrayRule | None = None
        self.index = -1
        self.counts = -1
        self.scope: list[int] = []

    def be(self, kind: str) -> None:
        """Take that kind.

        Raises: ValueError where the place has another one.
        """
        if self.kind not in {"", kind} or (kind == "value" and self.rule is not None):
            raise ValueError("a field lies below another one, or is named twice")
        self.kind = kind

    def at(self, path: JsonPath) -> _Node:
        """The place at `path` from here, made where there is none."""
        node = self
        for step in path:
            if step == EVERY:
                node.be("array")
                node.element = node.element or _Node()
                node = node.element
            else:
                node.be("object")
                node = node.members.setdefault(step, _Node())
        return node

    def function(self, reveal: frozenset[str], *, inside: bool = False) -> _Masked:
        """The function for what stands here; `inside` for what is in an array, whose elements are counted already."""
        if self.rule is not None:
            masked = leaf(self.rule, revealed=_is_revealed(self.rule, reveal))
            if masked is None:
                return lambda value, _run: None if type(value) in _NESTED else value
            return lambda value, run: masked(value, run.key)
        if self.element is not None:
            element = _in_scope(self.element.scope, self.element.function(reveal, inside=True))
            return _array(element, self.array, self.index, counted=self._counts_elements(inside=inside))
        return _object(tuple(node.member(name, reveal, inside=inside) for name, node in self.members.items()))

    def _counts_elements(self, *, inside: bool) -> bool:
        # scalars of a record are a part of it; where they are in none they are the records
        return self.element is not None and (self.element.kind != "value" or self.array is not None or not inside)

    def described(self, maker: Any, reveal: frozenset[str], *, inside: bool = False) -> Any:
        """What `function` and `member` do, in the words of `maker`: see `Tree.described`."""
        if self.counts >= 0:
            return maker.count(self.counts)
        if self.rule is not None:
            return _described_leaf(maker, self.rule, revealed=_is_revealed(self.rule, reveal))
        scope = tuple(self.scope)
        if self.element is not None:
            element = self.element.described(maker, reveal, inside=True)
            whose = tuple(name.encode() for name in self.array.customer) if self.array is not None else None
            return maker.elements(element, whose, self.index, self._counts_elements(inside=inside), scope)
        below = tuple(node.described(maker, reveal, inside=inside) for node in self.members.values())
        return maker.members(tuple(name.encode() for name in self.members), below, scope)

    def member(self, name: str, reveal: frozenset[str], *, inside: bool) -> _Member:
        """What an object does with its member of that name."""
        if self.counts >= 0:
            return _Member(name, counts=self.counts)
        if self.rule is None:
            return _Member(name, self.function(reveal, inside=inside))
        revealed = _is_revealed(self.rule, reveal)
        return _Member(name, value=leaf(self.rule, revealed=revealed), always=_is_always(self.rule, revealed=revealed))


def _is_revealed(rule: FieldRule, reveal: frozenset[str]) -> bool:
    return rule.reveal and called(rule) in reveal


def _is_always(rule: FieldRule, *, revealed: bool) -> bool:
    # in an answer of GraphQL, what is missing is a field of another type
    return is_constant(rule.mask) and not revealed and not rule.label


def _described_leaf(maker: Any, rule: FieldRule, *, revealed: bool) -> Any:
    masked = leaf(rule, revealed=revealed)
    if masked is None:
        return maker.plain()
    reader, most, render = direct(rule, revealed=revealed) or ("", 0, None)
    fixed = write(masked(None, None)) if is_constant(rule.mask) and not revealed else None
    return maker.leaf(masked, reader, most, render, fixed, _is_always(rule, revealed=revealed))


def _put_array(root: _Node, array: ArrayRule, index: int) -> None:
    node = root.at((*array.path, EVERY))
    if node.kind == "":
        node.be("object")
    above = root.at(array.path)
    if above.array is not None:
        raise ValueError("an array has two rules")
    above.array, above.index = array, index
    if array.count is None:
        return
    stars = [place for place, step in enumerate(array.count) if step == EVERY]
    scope = array.count[: stars[-1] + 1] if stars else ()
    if (*array.path, EVERY)[: len(scope)] != scope or len(scope) > len(array.path):
        raise ValueError("a count is not beside its array")
    if not array.count or array.count[-1] == EVERY:
        raise ValueError("a count is no member of an object")
    counting = root.at(array.count)
    if counting.kind not in {"", "value"} or counting.counts >= 0:
        raise ValueError("a count is an object or an array, or counts two arrays")
    counting.kind, counting.counts = "value", index
    root.at(scope).scope.append(index)


def _object(members: tuple[_Member, ...]) -> _Masked:
    parts = _parts(members)

    def run_object(value: Any, run: _Run) -> Any:
        if type(value) is not dict:
            return None
        left: dict[str, Any] = {}
        get = value.get
        for plain, member in parts:
            for name in plain:
                given = get(name, _MISSING)
                if given is not _MISSING:
                    left[name] = None if type(given) in _NESTED else given
            if member is None:
                break
            name, below, masked, counts, always = member
            given = get(name, _MISSING)
            if given is _MISSING:
                if always and masked is not None:
                    left[name] = masked(None, run.key)
            elif masked is not None:
                left[name] = masked(given, run.key)
            elif below is not None:
                left[name] = below(given, run)
            else:
                left[name] = 0
                run.open.append((left, name, counts))
        return left

    return run_object


def _parts(members: tuple[_Member, ...]) -> tuple[tuple[tuple[str, ...], _Member | None], ...]:
    """The members in their order: names of those that pass as they are, each time up to one that does not."""
    parts: list[tuple[tuple[str, ...], _Member | None]] = []
    plain: list[str] = []
    for member in members:
        if member.value is None and member.below is None and member.counts < 0:
            plain.append(member.name)
            continue
        parts.append((tuple(plain), member))
        plain.clear()
    return (*parts, (tuple(plain), None))


def _array(element: _Masked, rule: ArrayRule | None, index: int, *, counted: bool) -> _Masked:
    def run_array(value: Any, run: _Run) -> Any:
        if type(value) is not list:
            return None
        if rule is not None:
            value = [below for below in value if belongs(below, rule.customer, run.customers)]
            run.counts[index] += len(value)
        if counted:
            run.rows += len(value)
        return [element(below, run) for below in value]

    return run_array


def _in_scope(indexes: list[int], masked: _Masked) -> _Masked:
    """The same function; afterwards the members that count one of these arrays tell what it left of them here."""
    if not indexes:
        return masked

    def run_scope(value: Any, run: _Run) -> Any:
        for index in indexes:
            run.counts[index] = 0
        left = masked(value, run)
        waiting = []
        for member in run.open:
            holder, name, index = member
            if index in indexes:
                holder[name] = run.counts[index]
            else:
                waiting.append(member)
        run.open = waiting
        return left

    return run_scope
