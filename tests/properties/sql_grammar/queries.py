"""Whole queries: SELECT in all its parts, set operations, VALUES, TABLE, and the WITH clauses above them.

INVARIANT: the multiset of a query's rows is determined. A LIMIT stands behind an ORDER BY of every output column, an
aggregate that minds the order of its rows has one of its own, and so has a window that numbers them. `Made.ordered`
holds where the sequence of the rows is determined as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from sql_grammar.expressions import KINDS
from sql_grammar.productions import LEAVES
from sql_grammar.schema import SOURCES
from sql_grammar.scope import Column, Frame, written
from sql_grammar.sources import Sources, base
from sql_grammar.tape import Tape

_WITH_NAMES = ("x", "employees", "y", "companies", "Cte", "payslips", "secrets", "pg_class", "z")
_OUTPUTS = ("o", "id", "name", "Out Put", "status", "email", "order", "v")
_USUAL = ("int", "text", "int", "text", "date", "bool", "num", *KINDS)


@dataclass(frozen=True, slots=True)
class Made:
    """A query's text, its output columns, and whether the order of its rows is determined."""

    sql: str
    columns: tuple[Column, ...]
    ordered: bool = False
    closed: bool = False
    """Whether the text has a WITH, ORDER BY or LIMIT of its own, and so needs parentheses as a part of another."""


class Queries(Sources):
    """Writes queries."""

    def __init__(self, tape: Tape, *, failing: bool = False) -> None:
        super().__init__(tape, failing=failing)
        self.sub_query = self._for_expression
        self.nested = self._for_source

    def query(self, outer: Frame | None, depth: int, kinds: tuple[str, ...] = (), *, named: bool = False) -> Made:
        """A query with outputs of these kinds, of any when there are none; `named` gives each a name of its own."""
        known = len(self.withs)
        head = self._with(outer, depth) if depth >= 2 and self.tape.one_in(4) else ""
        made = self._body(outer, depth, kinds, named=named)
        made = self._sorted(made, outer, depth)
        del self.withs[known:]
        return Made(head + made.sql, made.columns, made.ordered, made.closed or bool(head))

    def _body(self, outer: Frame | None, depth: int, kinds: tuple[str, ...], *, named: bool) -> Made:
        choice = self.tape.pick(14)
        if depth >= 1 and choice in {10, 11} and self.room > 20:
            return self._set_operation(outer, depth, kinds, named=named)
        if choice == 12:
            return self._values(kinds or self._kinds(), named=named)
        if choice == 13 and not kinds:
            source = self.tape.choose(SOURCES)
            if not any(name == source.name for name, _ in self.withs):
                self.note("query: table")
                return Made(f"table {written(source.name)}", base(source.name), closed=True)
        return self._select(outer, depth, kinds, named=named)

    def _kinds(self) -> tuple[str, ...]:
        return tuple(self.tape.choose(_USUAL) for _ in range(1 + self.tape.pick(4)))

    def _sorted(self, made: Made, outer: Frame | None, depth: int) -> Made:
        """The query with ORDER BY and LIMIT, or as it is."""
        if made.closed or not self.tape.one_in(3):
            return made
        places = [
            f"{n}{self.tape.choose(('', ' desc', ' nulls first', ' asc'))}" for n, _ in enumerate(made.columns, 1)
        ]
        if not places:
            return made
        self.note("query: order by")
        sql = f"{made.sql} order by {', '.join(places)}"
        limits = (
            "",
            " limit 3",
            " limit 2 offset 1",
            " offset 2",
            " fetch first 2 rows only",
            " offset 1 row fetch next row only",
            " limit all",
            f" limit (select count(*) - 1 from {'public.' if self._hidden('countries') else ''}countries)",
            " limit 1 + 2 offset (select 1)",
            " ties",
        )
        limit = self.tape.choose(limits)
        if limit == " ties":
            keep = 1 + self.tape.pick(len(places))
            sql, limit = f"{made.sql} order by {', '.join(places[:keep])}", " fetch first 2 rows with ties"
            self.note("query: with ties")
            return Made(sql + limit, made.columns, ordered=keep == len(places), closed=True)
        if limit:
            self.note(f"query:{limit.partition('from')[0]}")
        return Made(sql + limit, made.columns, ordered=True, closed=True)

    def _hidden(self, name: str) -> bool:
        return any(other == name for other, _ in self.withs)

    def _set_operation(self, outer: Frame | None, depth: int, kinds: tuple[str, ...], *, named: bool) -> Made:
        kinds = kinds or self._kinds()
        parts = [self.query(outer, depth - 1, kinds, named=named) for _ in range(self.tape.choose((2, 2, 3)))]
        texts = [f"({part.sql})" if part.closed or self.tape.one_in(5) else part.sql for part in parts]
        sql = texts[0]
        for text in texts[1:]:
            operator = self.tape.choose(("union all", "union", "intersect", "except", "except all", "intersect all"))
            self.note(f"query: {operator}")
            sql = f"{sql} {operator} {text}"
        return Made(sql, parts[0].columns)

    def _values(self, kinds: tuple[str, ...], *, named: bool) -> Made:
        self.note("query: values")
        rows = [", ".join(self.constant(kind) for kind in kinds) for _ in range(1 + self.tape.pick(3))]
        names = tuple(Column(f"column{n}", kind) for n, kind in enumerate(kinds, 1))
        return Made("values " + ", ".join(f"({row})" for row in rows), names)

    def _select(self, outer: Frame | None, depth: int, kinds: tuple[str, ...], *, named: bool) -> Made:
        frame = Frame(outer=outer)
        source = self.from_clause(frame, depth)
        where = ""
        if self.tape.pick(3):
            where = f" where {self.condition(frame, min(depth, 2), frame.items)}"
        shape = self.tape.pick(12)
        if shape in {6, 7} and depth >= 0:
            return self._grouped(frame, depth, kinds or self._kinds(), source + where, named=named)
        if shape == 8 and frame.items:
            return self._distinct_on(frame, depth, kinds or self._kinds(), source + where, named=named)
        if not kinds and frame.items and shape in {9, 10}:
            stars = self._starred(frame, source + where, named=named)
            if stars is not None:
                return stars
        kinds = kinds or self._kinds()
        windows = shape == 11 and bool(frame.items)
        made = [
            self.window(kind, frame, depth) if windows and self.tape.pick(2) else self.value(kind, frame, depth)
            for kind in kinds
        ]
        tail = self._window_clause(frame, made) if windows else ""
        distinct = "distinct " if self.tape.one_in(8) else "all " if self.tape.one_in(20) else ""
        if distinct:
            self.note(f"query: {distinct}")
        result = self._output(made, kinds, distinct, source + where + tail, named=named)
        if not distinct and depth > 0 and self.tape.one_in(7):
            # By what is not among the outputs, and by those after it.
            self.note("query: order by an expression")
            first = self.value(self.tape.choose(("int", "text", "date", "num")), frame, 1)
            if first not in _CONSTANTS and "$" not in first:
                places = ", ".join([first, *(str(n) for n, _ in enumerate(made, 1))])
                limit = self.tape.choose(("", " limit 2", " offset 1"))
                return Made(f"{result.sql} order by {places}{limit}", result.columns, ordered=True, closed=True)
        return result

    def _window_clause(self, frame: Frame, made: list[str]) -> str:
        if not any("over w" in text or "over (w)" in text for text in made):
            return ""
        self.note("query: window clause")
        return f" window w as (partition by {self.leaf('text', frame)} order by {self.leaf('int', frame)})"

    def _output(self, made: list[str], kinds: tuple[str, ...], distinct: str, rest: str, *, named: bool) -> Made:
        """A SELECT of these expressions."""
        texts, columns, taken = [], [], set()
        for expression, kind in zip(made, kinds, strict=True):
            if named or self.tape.pick(2):
                name = self.tape.choose(_OUTPUTS)
                while name in taken:
                    name += "1"
                taken.add(name)
                spelled = written(name)
                # A name without AS must not be a keyword; quotes make it none.
                texts.append(f"{expression} as {spelled}")
                columns.append(Column(name, kind))
            else:
                texts.append(expression)
                columns.append(Column("", kind))
        return Made(f"select {distinct}{', '.join(texts)}{rest}", tuple(columns))

    def _starred(self, frame: Frame, rest: str, *, named: bool) -> Made | None:
        names = [column.name for item in frame.items for column in item.columns]
        if frame.merged or (named and len(names) != len(set(names))) or not names:
            return None
        columns = tuple(column for item in frame.items for column in item.columns)
        if self.tape.pick(2) and all(item.whole for item in frame.items):
            self.note("query: alias.*")
            star = self.tape.choose(("{}.*", "({}).*"))
            listed = ", ".join(star.format(written(item.alias)) for item in frame.items)
            return Made(f"select {listed}{rest}", columns)
        self.note("query: *")
        return Made(f"select *{rest}", columns)

    def _distinct_on(self, frame: Frame, depth: int, kinds: tuple[str, ...], rest: str, *, named: bool) -> Made:
        self.note("query: distinct on")
        made = [self.value(kind, frame, depth - 1) for kind in kinds]
        select = self._output(made, kinds, "distinct on (1) ", rest, named=named)
        order = ", ".join(str(n) for n, _ in enumerate(made, 1))
        return Made(f"{select.sql} order by {order}", select.columns, ordered=True, closed=True)

    def _grouped(self, frame: Frame, depth: int, kinds: tuple[str, ...], rest: str, *, named: bool) -> Made:
        keys = [
            self.tape.choose(("text", "int", "date", "bool", "mood")) for _ in range(self.tape.choose((1, 0, 2, 1)))
        ]
        groups = [self.value(kind, frame, 1) for kind in keys]
        taken, made = [], []
        for kind in kinds:
            at = keys.index(kind) if kind in keys and self.tape.pick(2) else -1
            made.append(groups[at] if at >= 0 else self.aggregate(kind, frame, min(depth, 2)))
            taken.append(at)
        having = f" having {self.aggregate('bool', frame, 1)}" if self.tape.one_in(4) else ""
        plain = [f"({text})" if text not in _CONSTANTS else None for text in groups]
        terms = [text for text in plain if text is not None]
        if not terms or len(terms) != len(groups):
            self.note("query: aggregate without groups")
            # A constant in GROUP BY would be a place.
            made = [
                self.aggregate(kind, frame, 1) if at >= 0 else text
                for kind, text, at in zip(kinds, made, taken, strict=True)
            ]
            return self._output(made, kinds, "", rest + having, named=named)
        places = [str(taken.index(n) + 1) for n, _ in enumerate(groups) if n in taken]
        joined = ", ".join(places if len(places) == len(groups) and self.tape.pick(2) else terms)
        forms = [joined, joined, f"rollup ({joined})", f"cube ({joined})", f"grouping sets (({joined}), ())"]
        forms += [f"grouping sets (({terms[0]}), rollup ({joined}))", f"distinct rollup ({joined}), ({terms[0]})"]
        form = self.tape.pick(len(forms))
        self.note(
            f"query: group by {('plain', 'plain', 'rollup', 'cube', 'grouping sets', 'nested sets', 'distinct')[form]}"
        )
        if form >= 2 and "int" in kinds and self.tape.pick(2):
            at = kinds.index("int")
            made[at] = f"grouping({groups[0]})"
            self.note("query: grouping()")
        return self._output(made, kinds, "", f"{rest} group by {forms[form]}{having}", named=named)

    def _with(self, outer: Frame | None, depth: int) -> str:
        recursive = self.tape.one_in(3)
        items: list[str] = []
        for _ in range(self.tape.choose((1, 1, 2))):
            name = self.tape.choose(_WITH_NAMES)
            if any(text.startswith(f"{written(name)} ") or text.startswith(f"{written(name)}(") for text in items):
                continue
            if recursive and not items:
                items.append(self._recursive(name, outer))
                continue
            self.note("with: shadows a relation" if name in {"employees", "companies", "payslips"} else "with: item")
            if recursive:
                # Under RECURSIVE the item is visible in itself, where it must not be read a second time.
                name = f"{name}_r"
            made = self.query(outer, depth - 1, self._kinds(), named=True)
            names = tuple(Column(f"w{n}", column.kind) for n, column in enumerate(made.columns, 1))
            hint = self.tape.choose(("", " materialized", " not materialized"))
            if hint:
                self.note(f"with:{hint}")
            items.append(f"{written(name)} ({', '.join(one.name for one in names)}) as{hint} ({made.sql})")
            self.withs.append((name, names))
        return f"with {'recursive ' if recursive else ''}{', '.join(items)} "

    def _recursive(self, name: str, outer: Frame | None) -> str:
        spelled = written(name)
        if self.tape.pick(2):
            self.note("with: recursive counter")
            frame = Frame([], None)
            columns = (Column("n", "int"), Column("v", "text"))
            start = self.value("text", frame, 1)
            step = self.tape.choose((f"{spelled}.v || 'x'", f"left({spelled}.v, n)", "v"))
            union = self.tape.choose(("union all", "union"))
            text = (
                f"{spelled} (n, v) as (select 1, ({start})::text {union} select n + 1, ({step})::text from {spelled}"
                f" where n < {2 + self.tape.pick(3)})"
            )
        else:
            self.note("with: recursive tree")
            columns = (Column("id", "int"), Column("boss", "int"), Column("name", "text"))
            more = self.tape.choose(
                (
                    "",
                    " search depth first by id set place",
                    " search breadth first by name, id set place",
                    " cycle id set again using path",
                )
            )
            if more:
                self.note(f"with:{more[:13]}")
            text = (
                f"{spelled} (id, boss, name) as (select e.id, e.manager_id, e.name from public.employees e"
                f" where e.manager_id is null union all select e.id, e.manager_id, e.name from public.employees as e"
                f" join {spelled} on e.manager_id = {spelled}.id){more}"
            )
        self.withs.append((name, columns))
        return text

    def _for_source(self, outer: Frame | None, depth: int) -> tuple[str, tuple[Column, ...]]:
        made = self.query(outer, depth, self._kinds() if self.tape.pick(3) else (), named=True)
        return made.sql, made.columns

    def _for_expression(self, kind: str, frame: Frame, depth: int) -> str:
        if kind == "any":
            return self.query(frame, depth).sql
        if kind == "pairs":
            return self.query(frame, depth, ("int", "text")).sql
        form, _, of = kind.partition("_")
        if form in {"list", "many"}:
            return self.query(frame, depth, (of,)).sql
        inner = Frame(outer=frame)
        way = self.tape.pick(3)
        if way == 0:
            return f"select {self.value(of, inner, depth)}"
        source = self.from_clause(inner, depth)
        where = f" where {self.condition(inner, 1, inner.items)}" if self.tape.pick(2) else ""
        if way == 1:
            self.note("scalar sub-query: aggregate")
            return f"select {self.aggregate(of, inner, 1)}{source}{where}"
        self.note("scalar sub-query: first row")
        return f"select {self.value(of, inner, depth)}{source}{where} order by 1 limit 1"


_CONSTANTS = frozenset(text for texts in LEAVES.values() for text in texts.split("|")) | {"null"}
