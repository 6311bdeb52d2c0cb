"""One JSON text of an answer: whose it is, and what of it leaves.

INVARIANT: the text is read strictly (`json_text`), belongs to one of the ticket's customers where the rule says who it
belongs to, and leaves as its rule's `Tree` makes it anew.

`_leaving.pyx` does all of it in one go over the bytes, without an object for each value, and is taken when it has been
built. It says nothing of faults: a text that it does not take is read here, by its twin, which then says why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import ModuleType
from typing import Any

from gateway.http import json_text
from gateway.http.masking import Tree, belongs
from gateway.http.withheld import Withheld
from gateway.policy.http_rules import AnswerRule, JsonPath

try:
    from gateway.http import _leaving
except ImportError:
    _leaving = None  # type: ignore[assignment]  # it is optional

Left = tuple[bytes | None, int]
"""What leaves and how many records are in it; None for what is another customer's."""


class Leaving:
    """What leaves of texts under one rule.

    Raises: ValueError for a rule that contradicts itself.
    """

    def __init__(self, rule: AnswerRule, reveal: frozenset[str] = frozenset(), native: ModuleType | None = _leaving):
        self._tree, self._customer = Tree(rule, reveal), rule.customer
        self._program = _program(native, self._tree, rule) if native is not None else None

    def leave(
        self, text: bytes | bytearray, customers: Collection[str], key: bytes | None, depth: int, *, proven: bool
    ) -> Left:
        """What leaves of a text. `proven` says that it ended before its connection did.

        Raises: Withheld.
        """
        if self._program is not None and not json_text.has_too_many(text):
            left: Left | None = self._program.leave(text, customers, key, depth)
            if left is not None:
                return left
        return self.leave_python(text, customers, key, depth, proven=proven)

    def leave_python(
        self, text: bytes | bytearray, customers: Collection[str], key: bytes | None, depth: int, *, proven: bool
    ) -> Left:
        """The same in Python, for every text. Raises: Withheld."""
        try:
            document = json_text.read(text, depth)
        except json_text.Unreadable as why:
            raise Withheld.unread(why) from None
        if not proven and json_text.may_go_on(document):
            raise Withheld.unproven()
        if not self._tree.fits(document):
            raise Withheld.unreadable("its root is not what the policy says")
        if self._customer is not None and not belongs(document, self._customer, customers):
            return None, 0
        left, rows = self._tree.masked(document, customers, key)
        return json_text.write(left), rows


def leaving(rule: AnswerRule, reveal: frozenset[str] = frozenset()) -> Leaving:
    """What leaves under the rule; made once for as long as the rule lives.

    Raises: ValueError for a rule that contradicts itself.
    """
    known = _KNOWN.get((id(rule), reveal))
    if known is not None:
        return known[1]
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    made = Leaving(rule, reveal)
    # the rule is kept beside what is made of it: its identity cannot become another one's
    _KNOWN[id(rule), reveal] = rule, made
    return made


def forget(rules: Iterable[AnswerRule]) -> None:
    """Keep nothing of those rules any more."""
    gone = {id(rule) for rule in rules}
    for key in [key for key in _KNOWN if key[0] in gone]:
        del _KNOWN[key]


def _program(native: Any, made: Tree, rule: AnswerRule) -> Any:
    """The rule as the compiled module has it; None for one that it does not take."""
    names = [name for path in (*(of.path for of in rule.fields), *_paths(rule)) for name in path]
    if made.shape is None or any(json_text.write(name) != f'"{name}"'.encode() for name in names):
        return None
    try:
        whose = tuple(name.encode() for name in rule.customer) if rule.customer is not None else None
        return native.Program(made.described(native), whose, made.arrays, json_text.read, json_text.write)
    except OverflowError:
        # more names than it takes
        return None


def _paths(rule: AnswerRule) -> tuple[JsonPath, ...]:
    arrays = ((*of.path, *of.customer, *(of.count or ())) for of in rule.arrays)
    return (rule.customer or (), *arrays)


_MOST_KNOWN = 512
_KNOWN: dict[tuple[int, frozenset[str]], tuple[AnswerRule, Leaving]] = {}
