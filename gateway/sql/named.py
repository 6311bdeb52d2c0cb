"""What the names of cursors and prepared statements stand for, as far as SQL made them.

SQL's PREPARE and DECLARE share their names with the protocol's Parse and Bind, so EXECUTE and FETCH may run what either
made. Names made by SQL are never forgotten: whether a DEALLOCATE, a ROLLBACK TO or a transaction's end took one away
is for the target to know.

INVARIANT: what a record names is a superset of what the target can take its names for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.errors import Refusal
from gateway.sql.cache import Judgement, most, union
from gateway.sql.said import Said, Subject, either
from gateway.sql.statement import Plan, RawUse

Name = tuple[str, str]
"""`statement` or `cursor`, and the name as SQL knows it."""

_SUBJECTS = 100
"""How many values of one name are remembered, the newest ones; all parameters are."""
_READS = ("relations", "columns_clear", "columns_masked", "columns_revealed", "columns_aggregated", "scope")


@dataclass(frozen=True, slots=True)
class _Meaning:
    reads: dict[str, list[str]]
    raw_uses: tuple[RawUse, ...]
    subjects: tuple[Subject, ...] = ()


class SqlNames:
    """One session's. `wire_name` answers what a name may be that the engine's protocol made."""

    __slots__ = ("_known", "wire_name")

    def __init__(self) -> None:
        self._known: dict[Name, _Meaning] = {}
        self.wire_name: Callable[[Name], Judgement | None] = _nothing

    def forget(self) -> None:
        """The session has ended: nobody is asked any more."""
        self.wire_name = _nothing
        self._known.clear()

    def __contains__(self, name: Name) -> bool:
        return name in self._known

    def __len__(self) -> int:
        return len(self._known)

    def define(self, name: Name, judged: Judgement) -> None:
        """Remember what a cursor or prepared statement reads; a name that was used before may still mean that too."""
        known = self._known.get(name) or _Meaning({}, ())
        reads = {key: sorted({*known.reads.get(key, ()), *judged.fields.get(key, ())}) for key in _READS}
        searches = most(known.raw_uses, judged.plan.raw_uses)
        subjects: tuple[Subject, ...] = ()
        if name[0] == "statement":  # who a cursor is about stands in the record of its DECLARE
            subjects = _remembered(judged.said.subjects + known.subjects)
        self._known[name] = _Meaning({key: value for key, value in reads.items() if value}, searches, subjects)

    def resolve(self, judged: Judgement) -> Judgement | Refusal:
        """The same with all that its EXECUTE and FETCH may run; a name of which nothing is known is refused."""
        unknown: list[Name] = []
        text = judged.plan
        for name in judged.plan.uses:
            known, wired = self._known.get(name), self.wire_name(name)
            if known is None and wired is None:
                unknown.append(name)
            if wired is not None:
                if wired.plan.uses:
                    # FAIL CLOSED: what such a portal was begun with is not known
                    message = f"`{name[1]}` is itself an EXECUTE or a FETCH, and is not supported here"
                    return Refusal("statement-not-supported", message, "prepare the query itself", name=name[1])
                running = judged
                if name[0] == "statement":
                    # its parameters are what this EXECUTE brings
                    heard = Said(
                        wired.said.texts, _given(wired.said.subjects, text), more=wired.said.more, cut=wired.said.cut
                    )
                    wired = Judgement(wired.plan, wired.fields, wired.text, heard)
                judged = union(wired, judged)
                plan = replace(judged.plan, raw_uses=running.plan.raw_uses)
                judged = Judgement(plan, judged.fields, judged.text, judged.said)
            # Each EXECUTE of a text searches anew, for whatever its name stands for then; a cursor was opened once, by
            # the statement that declared it.
            again = wired.plan.raw_uses if wired is not None else ()
            if name[0] == "statement":
                again = most(again, known.raw_uses if known is not None else ())
                again = most(again, text.raw_uses if name in text.defines else ())
            plan = replace(judged.plan, raw_uses=judged.plan.raw_uses + again)
            judged = Judgement(plan, judged.fields, judged.text, judged.said)
            if known is not None:
                told = _given(known.subjects, text)
                if judged.said.bound:
                    # the protocol runs what SQL prepared: then its parameters are what was bound
                    told += tuple(one for one in known.subjects if isinstance(one, int))
                said = either(Said(subjects=told), judged.said)
                lists = {key: sorted({*judged.fields.get(key, ()), *value}) for key, value in known.reads.items()}
                judged = Judgement(judged.plan, {**judged.fields, **lists}, judged.text, said)
        for name in unknown:
            if name not in text.defines:
                # FAIL CLOSED: a name that the target knows and the gate does not would read unseen
                return missing(*name)
        return judged


def _remembered(subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
    numbers = dict.fromkeys(one for one in subjects if isinstance(one, int))
    values = dict.fromkeys(one for one in subjects if isinstance(one, str))
    return (*numbers, *list(values)[:_SUBJECTS])


def _given(subjects: tuple[Subject, ...], text: Plan) -> tuple[Subject, ...]:
    """The values that a prepared statement has itself, and those that any EXECUTE in that text brings for others."""
    found: dict[Subject, None] = {}
    for one in subjects:
        if isinstance(one, str):
            found[one] = None
        else:
            found.update((given[one - 1], None) for given in text.arguments if one <= len(given))
    found.pop("", None)
    return tuple(found)


def missing(kind: str, name: str) -> Refusal:
    """The refusal for a name that stands for nothing here; clients that prepare again on 26000 do so."""
    if kind == "cursor":
        hint = "cursors end with their transaction; declare it again, or WITH HOLD"
        return Refusal("cursor-not-found", f"the cursor `{name}` does not exist", hint, name=name)
    hint = "prepare it again; what was prepared ends with its session"
    return Refusal("prepared-statement-not-found", f"the prepared statement `{name}` does not exist", hint, name=name)


def _nothing(_: Name) -> None:
    return None
