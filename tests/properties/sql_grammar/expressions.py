"""Expressions: productions filled in, with references to what is in sight."""

from __future__ import annotations

import re
from collections.abc import Callable

from sql_grammar.productions import AGGREGATES, LEAVES, VALUES, WINDOWS, table
from sql_grammar.scope import Frame, written
from sql_grammar.tape import Tape

KINDS = tuple(VALUES)
_HOLE = re.compile(r"\{(\w+)(?:#(\d))?\}")
_RARE = 5


class Expressions:
    """Writes expressions from a tape. `used` counts what was chosen, `sub_query` is given by the queries."""

    def __init__(self, tape: Tape, *, failing: bool) -> None:
        self.tape = tape
        self.failing = failing
        self.used: dict[str, int] = {}
        self.may_fail = False
        self.parameters: list[tuple[str, str]] | None = None
        self.room = 90
        self.sub_query: Callable[[str, Frame, int], str] = lambda kind, frame, depth: "select 1"

    def note(self, what: str) -> None:
        """Count a feature of the grammar."""
        self.used[what] = self.used.get(what, 0) + 1

    def value(self, kind: str, frame: Frame, depth: int) -> str:
        """An expression of a kind, evaluated for each row of the frame."""
        if depth <= 0 or self.room <= 0 or self.tape.pick(3) == 0:
            return self.leaf(kind, frame)
        return self._from_table("value", VALUES, kind, frame, depth) or self.leaf(kind, frame)

    def aggregate(self, kind: str, frame: Frame, depth: int) -> str:
        """An expression of a kind, evaluated for each group of rows of the frame."""
        made = self._from_table("aggregate", AGGREGATES, kind, frame, depth)
        return made or self.filled(f"(array_agg({{{kind}#1}} order by {{{kind}#1}}))[1]", frame, depth - 1)

    def window(self, kind: str, frame: Frame, depth: int) -> str:
        """An expression of a kind with a window over the rows of the frame, where there is one."""
        return self._from_table("window", WINDOWS, kind, frame, depth) or self.value(kind, frame, depth)

    def test(self, frame: Frame, depth: int) -> str:
        """A condition, more often one of the productions than a bare constant."""
        return self._from_table("value", VALUES, "bool", frame, depth) or self.value("bool", frame, depth)

    def leaf(self, kind: str, frame: Frame) -> str:
        """A column of the kind where there is one, else a constant."""
        if kind in LEAVES and (kind in {"small", "pattern", "regex"} or self.tape.pick(4) == 3):
            return self.constant(kind)
        found = [(ways, away) for column, ways, away in frame.columns() if column.kind == kind]
        if not found:
            return self.constant(kind)
        ways, away = self.tape.choose(found)
        if away:
            self.note("column: correlated")
        way = self.tape.choose(ways)
        self.note(f"column: {'bare' if '.' not in way else 'qualified' if way.count('.') == 1 else 'with schema'}")
        return self._cased(way)

    def constant(self, kind: str) -> str:
        """A constant of the kind."""
        made = self.tape.choose(LEAVES.get(kind, "null").split("|"))
        if self.parameters is not None and kind in _DECLARED and self.tape.one_in(3):
            return self.parameter(_DECLARED[kind], made)
        return made

    def parameter(self, kind: tuple[str, ...], value: str) -> str:
        """A place for a value of EXECUTE."""
        if self.parameters is None:
            return value
        self.note("parameter")
        self.parameters.append((self.tape.choose(kind), value))
        return f"${len(self.parameters)}"

    def total(self, frame: Frame, ending: str = "") -> str:
        """A window that orders the rows as far as they can be told apart."""
        keys = frame.total()
        if not keys:
            return f"({ending})"
        partition = f"partition by {self.value('text', frame, 0)} " if self.tape.one_in(4) else ""
        direction = self.tape.choose(("", " desc", " nulls first"))
        ordered = ", ".join([keys[0] + direction, *keys[1:]])
        return f"({partition}order by {ordered}{' ' + ending if ending else ''})"

    def _from_table(self, sort: str, tables: dict[str, str], kind: str, frame: Frame, depth: int) -> str:
        rows = table(tables.get(kind, ""))
        if not rows:
            return ""
        chosen = self.tape.choose(rows)
        if chosen.startswith("!"):
            if not self.failing or not self.tape.one_in(_RARE):
                return ""
            self.may_fail = True
        self.room -= 1
        self.note(f"{sort} {kind}: {chosen}")
        return self.filled(chosen.removeprefix("!"), frame, depth - 1)

    def filled(self, production: str, frame: Frame, depth: int) -> str:
        """A production with its holes filled."""
        same: dict[str, str] = {}

        def fill(match: re.Match[str]) -> str:
            kind, number = match[1], match[2]
            if number is None:
                return self._hole(kind, frame, depth)
            key = f"{kind}#{number}"
            if key not in same:
                same[key] = self._hole(kind, frame, depth)
            return same[key]

        return _HOLE.sub(fill, production)

    def _hole(self, kind: str, frame: Frame, depth: int) -> str:
        if kind == "row":
            rows = frame.rows()
            return self.tape.choose(rows) if rows else "row(1, 'a')"
        if kind == "stars":
            rows = frame.rows()
            return f"{self.tape.choose(rows)}.*" if rows else "1"
        if kind.startswith("field_"):
            return self._field(kind.removeprefix("field_"), frame)
        if kind == "total":
            return self.total(frame)
        if kind == "total_rows":
            return self.total(frame, self.tape.choose(_FRAMES))
        if kind.startswith(("one_", "list_", "many_")) or kind in {"any", "pairs"}:
            if depth < 0 or self.room <= 0:
                return _SMALLEST.get(kind, "select null")
            return self.sub_query(kind, frame, depth)
        return self.value(kind, frame, depth)

    def _field(self, kind: str, frame: Frame) -> str:
        """A field of a whole row, in the form that PostgreSQL takes for a column as well."""
        rows = frame.rows()
        named = {written(item.alias): item for item in frame.items}
        found = [(row, one.name) for row in rows for one in named[row].columns if one.kind == kind]
        if not found:
            return self.leaf(kind, frame)
        row, name = self.tape.choose(found)
        return f"({row}).{written(name)}"

    def _cased(self, way: str) -> str:
        # A name without quotes is folded to lower case.
        return way.upper() if '"' not in way and self.tape.one_in(12) else way


_DECLARED = {"int": ("int", "bigint", "numeric"), "text": ("text", "varchar")}
_FRAMES = (
    "rows between 1 preceding and current row",
    "rows between unbounded preceding and unbounded following",
    "rows 2 preceding exclude current row",
    "rows between current row and 1 following",
    "groups between 1 preceding and 1 following exclude group",
)
_SMALLEST = {
    "any": "select 1",
    "pairs": "select 1, 'a'",
    "one_int": "select 1",
    "list_int": "select 42",
    "many_int": "select 1",
    "one_text": "select 'a'",
    "list_text": "select 'a'",
    "many_text": "select 'a'",
    "one_num": "select 0.5",
    "one_date": "select date '2020-01-01'",
    "one_json": "select '{}'::jsonb",
}
