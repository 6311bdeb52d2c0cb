"""FROM clauses: relations under every form of name, joins of every kind, sub-queries, functions and rows in place.

INVARIANT: what a FROM clause yields does not depend on the order in which the server reads rows.
"""

from __future__ import annotations

from collections.abc import Callable

from sql_grammar.expressions import Expressions
from sql_grammar.schema import BY_NAME, SOURCES, quote
from sql_grammar.scope import Column, Frame, Item, written
from sql_grammar.tape import Tape

ALIASES = ("e", "t", "c", "p", "E", "x y", "employees", "countries", "public", "q", "t1", "n", "id", "lower")
_INHERITED = frozenset({"people", "staff"})
_WITHOUT_ONLY = frozenset({"events"})


class Sources(Expressions):
    """Writes FROM clauses. `withs` are the WITH items in sight, the innermost last."""

    def __init__(self, tape: Tape, *, failing: bool) -> None:
        super().__init__(tape, failing=failing)
        self.withs: list[tuple[str, tuple[Column, ...]]] = []
        self.searches: list[str] = []
        self.may_search = True
        self.nested: Callable[[Frame | None, int], tuple[str, tuple[Column, ...]]] = lambda frame, depth: (
            "select 1 as v",
            (Column("v", "int"),),
        )

    def from_clause(self, frame: Frame, depth: int) -> str:
        """A FROM clause; its items are put into the frame."""
        count = self.tape.choose((1, 1, 1, 2, 1, 2, 3, 0))
        if not count:
            self.note("from: nothing")
            return ""
        parts = []
        while len(parts) < count and not (parts and self._full(frame, depth)):
            parts.append(self._tree(frame, depth))
        if len(parts) > 1:
            self.note("from: comma")
        return " from " + ", ".join(parts)

    @staticmethod
    def _full(frame: Frame, depth: int) -> bool:
        """Whether more items could make more rows than are worth waiting for."""
        weight = sum(1 if item.source else 2 for item in frame.items if item.whole)
        return weight >= (3 if depth > 1 else 2)

    def condition(self, frame: Frame, depth: int, reach: list[Item]) -> str:
        """A condition of conjuncts; those that search exactly do so in one of the items of `reach`."""
        conjuncts = [self.test(frame, depth)]
        while len(conjuncts) < 3 and self.tape.one_in(3):
            conjuncts.append(self.value("bool", frame, depth - 1))
        if self.tape.one_in(3):
            conjuncts.insert(self.tape.pick(2), self._plain_comparison(frame))
        # Below a join's alias an address is compared with masked ones.
        searched = [item for item in reach if self.may_search and item.searchable and item.source == "employees"]
        if searched and self.tape.one_in(3):
            conjuncts.append(self._search(self.tape.choose(searched)))
        return " and ".join(conjuncts)

    def _plain_comparison(self, frame: Frame) -> str:
        """A column against constants, the form that the rewriting copies inside."""
        kind = self.tape.choose(("int", "text", "date", "int"))
        left, right = self.leaf(kind, frame), self.constant(kind)
        form = self.tape.choose(("{} = {}", "{} > {}", "{} <> {}", "{} between {} and {}", "{} in ({}, {})"))
        self.note(f"comparison: {form}")
        return form.format(left, right, self.constant(kind))

    def _search(self, item: Item) -> str:
        """An exact search; the literal is put in later, because the copy has another one."""
        column = f"{written(item.alias)}.email"

        def literal() -> str:
            number = len(self.searches)
            self.searches.append("")
            return self.parameter(("text", "varchar"), f"\x01{number}:{self.tape.pick(5)}\x02")

        form = self.tape.pick(3)
        self.note(f"search: {('column = value', 'value = column', 'in a list')[form]}")
        if form == 0:
            return f"{column} = {literal()}"
        return f"{literal()} = {column}" if form == 1 else f"{column} in ({literal()}, {literal()})"

    def _tree(self, frame: Frame, depth: int) -> str:
        first = len(frame.items)
        text = self._primary(frame, depth, lateral=True)
        for _ in range(self.tape.choose((0, 0, 1, 1, 2))):
            if self.room <= 0 or self._full(frame, depth):
                break
            text = self._joined(text, frame, first, depth)
        return text

    def _joined(self, left: str, frame: Frame, first: int, depth: int) -> str:
        kind = self.tape.choose(
            ("join", "inner join", "left join", "right join", "full join", "cross join", "left outer join")
        )
        lateral = kind in {"join", "inner join", "left join", "cross join"}
        middle = len(frame.items)
        right = self._primary(frame, depth, lateral=lateral)
        lefts, rights = frame.items[first:middle], frame.items[middle:]
        before_left, before_right = [i for i in lefts if i.searchable], [i for i in rights if i.searchable]
        if "right" in kind or "full" in kind:
            self._not_searchable(lefts)
        if "left" in kind or "full" in kind:
            self._not_searchable(rights)
        if kind == "cross join":
            self.note("join: cross")
            return f"{left} cross join {right}"
        common = self._common(frame, lefts, rights)
        form = self.tape.pick(4) if common else 0
        if form in {1, 2} and common:
            return self._using(left, right, kind, frame, common, lefts + rights, natural=form == 2)
        self.note(f"join: {kind} on")
        local = Frame(lefts + rights, frame.outer, dict(frame.merged))
        if kind == "full join":
            condition = self._equality(local, lefts, rights)
        else:
            reach = (before_left if "left" not in kind else []) + (before_right if "right" not in kind else [])
            condition = self.condition(local, min(depth, 1), reach)
            if self.tape.pick(2):
                condition = f"{self._equality(local, lefts, rights)} and {condition}"
        return f"{left} {kind} {right} on {condition}"

    @staticmethod
    def _not_searchable(items: list[Item]) -> None:
        for item in items:
            item.searchable = False

    def _equality(self, local: Frame, lefts: list[Item], rights: list[Item]) -> str:
        pairs = [
            (a, x, b, y)
            for a in lefts
            for b in rights
            for x in a.columns
            for y in b.columns
            if a.alias and b.alias and x.kind == y.kind and x.kind in {"int", "text", "date"}
        ]
        likely = [one for one in pairs if one[1].name.endswith("id") and one[3].name.endswith("id")]
        if not pairs:
            return "true"
        a, x, b, y = self.tape.choose(likely[:200] if likely and self.tape.pick(3) < 2 else pairs[:200])
        return f"{written(a.alias)}.{written(x.name)} = {written(b.alias)}.{written(y.name)}"

    def _common(self, frame: Frame, lefts: list[Item], rights: list[Item]) -> dict[str, str]:
        """Columns that both sides have exactly once and of one kind; nothing when NATURAL could not be written."""
        left, right = self._once(frame, lefts), self._once(frame, rights)
        if left is None or right is None:
            return {}
        shared = {name: kind for name, kind in left.items() if name in right}
        return shared if all(right[name] == kind for name, kind in shared.items()) else {}

    @staticmethod
    def _once(frame: Frame, items: list[Item]) -> dict[str, str] | None:
        found: dict[str, str] = {}
        for item in items:
            for column in item.columns:
                if column.name in found and not frame.merges(column.name, items):
                    return None
                found[column.name] = column.kind
        return found

    def _using(
        self,
        left: str,
        right: str,
        kind: str,
        frame: Frame,
        common: dict[str, str],
        items: list[Item],
        *,
        natural: bool,
    ) -> str:
        names = list(common)
        chosen = names if natural or self.tape.one_in(3) else [self.tape.choose(names)]
        for name in chosen:
            covered = [item for item in items if any(column.name == name for column in item.columns)]
            frame.merged[name] = (common[name], covered)
        if natural:
            self.note(f"join: natural {kind}")
            return f"{left} natural {kind} {right}"
        text = f"{left} {kind} {right} using ({', '.join(map(written, chosen))})"
        if self.tape.one_in(3):
            self.note("join: using with an alias")
            alias = self._alias(frame)
            frame.items.append(Item(alias, (), whole=False))
            # Its columns are the merged ones; they are reached as such.
            return f"{text} as {written(alias)}"
        self.note(f"join: {kind} using")
        return text

    def _alias(self, frame: Frame) -> str:
        taken = {item.alias for item in frame.items}
        wanted = self.tape.choose(ALIASES)
        while wanted in taken:
            wanted += "1"
        return wanted

    def _primary(self, frame: Frame, depth: int, *, lateral: bool) -> str:
        choice = self.tape.pick(12)
        if depth > 0 and self.room > 10:
            if choice in {7, 8}:
                return self._sub_query(frame, depth, lateral=lateral)
            if choice == 9:
                return self._function(frame, lateral=lateral)
            if choice == 10:
                return self._rows(frame)
            if choice == 11:
                return self._parenthesised(frame, depth)
        return self._relation(frame)

    def _relation(self, frame: Frame) -> str:
        if self.withs and self.tape.pick(2):
            name, columns = self.tape.choose(self.withs[::-1])
            # The innermost item of that name is the one that is seen.
            columns = next(cols for other, cols in reversed(self.withs) if other == name)
            self.note("from: with item")
            return self._named(frame, written(name), Item(name, columns))
        source = self.tape.choose(SOURCES)
        hidden_by_with = any(name == source.name for name, _ in self.withs)
        columns = tuple(Column(one.name, one.kind) for one in source.shown)
        item = Item(source.name, columns, (source.key,), source.name, searchable=True)
        text = written(source.name)
        if text == source.name and self.tape.one_in(6):
            text = text.title() if self.tape.pick(2) else text.upper()
            self.note("from: folded name")
        elif self.tape.one_in(6):
            text = quote(source.name)
        if hidden_by_with or self.tape.one_in(6):
            text = f"public.{text}"
            item.schema = "public"
            self.note("from: with schema")
        if source.name in _INHERITED and self.tape.one_in(2):
            text = f"only {text}"
            self.note("from: only")
        elif self.tape.one_in(20):
            text = f"{text} *"
        self.note(f"from: {source.name}")
        return self._named(frame, text, item)

    def _named(self, frame: Frame, text: str, item: Item) -> str:
        """A relation under its own name or another one, its columns perhaps renamed."""
        taken = {one.alias for one in frame.items}
        if item.alias in taken or self.tape.pick(2):
            item.alias, item.schema = self._alias(frame), ""
            text += f"{' as' if self.tape.pick(2) else ''} {written(item.alias)}"
            if item.alias in {"public", "lower"} and " as " not in text:
                self.note("from: odd alias")
            if self.tape.one_in(7):
                count = 1 + self.tape.pick(min(4, len(item.columns))) if item.columns else 0
                new = tuple(Column(f"r{n}", column.kind) for n, column in enumerate(item.columns[:count]))
                renames = {old.name: column.name for old, column in zip(item.columns, new, strict=False)}
                item.columns = new + item.columns[count:]
                item.key = tuple(renames.get(name, name) for name in item.key)
                # The row of a table keeps the names of its type whatever its alias says; a derived table's does not.
                item.source, item.searchable, item.whole = "", False, not item.source
                text += f"({', '.join(column.name for column in new)})"
                self.note("from: renamed columns")
        frame.items.append(item)
        return text

    def _sub_query(self, frame: Frame, depth: int, *, lateral: bool) -> str:
        lateral = lateral and bool(frame.items) and self.tape.pick(2) == 1
        outer = Frame(list(frame.items), frame.outer, dict(frame.merged)) if lateral else frame.outer
        self.note("from: lateral sub-query" if lateral else "from: sub-query")
        sql, columns = self.nested(outer, depth - 1)
        alias = self._alias(frame)
        text = f"{'lateral ' if lateral else ''}({sql}) {written(alias)}"
        if self.tape.one_in(3):
            columns = tuple(Column(f"s{n}", column.kind) for n, column in enumerate(columns))
            text += f"({', '.join(column.name for column in columns)})"
        frame.items.append(Item(alias, columns))
        return text

    def _function(self, frame: Frame, *, lateral: bool) -> str:
        outer = Frame(list(frame.items), frame.outer, dict(frame.merged)) if lateral else Frame(outer=frame.outer)
        calls = (
            ("generate_series(1, 3)", ("int",)),
            (f"generate_series(1, least({self.leaf('int', outer)}, 3))", ("int",)),
            (f"unnest({self.value('ints', outer, 1)})", ("int",)),
            (f"unnest({self.value('texts', outer, 1)})", ("text",)),
            (f"unnest({self.leaf('ints', outer)}, {self.leaf('texts', outer)})", ("int", "text")),
            (f"regexp_split_to_table({self.leaf('text', outer)}, '-')", ("text",)),
            (f"jsonb_each_text(jsonb_build_object('a', {self.leaf('int', outer)}))", ("text", "text")),
            (f"jsonb_array_elements_text(jsonb_build_array({self.leaf('text', outer)}, 'z'))", ("text",)),
            (f"rows from (generate_series(1, 2), unnest({self.leaf('texts', outer)}))", ("int", "text")),
            ("generate_series(timestamptz '2020-01-01 00:00+00', '2020-01-03 00:00+00', '1 day')", ("ts",)),
            ("""jsonb_to_recordset('[{"f1": 1, "f2": "x"}, {"f1": null}]')""", ("int", "text")),
        )
        call, kinds = self.tape.choose(calls)
        self.note(f"from: function {call.partition('(')[0]}")
        names = [f"f{n}" for n, _ in enumerate(kinds, 1)]
        alias = self._alias(frame)
        if call.startswith("jsonb_to_recordset"):
            frame.items.append(Item(alias, tuple(map(Column, names, kinds)), whole=False))
            return f"{call} as {written(alias)}(f1 int, f2 text)"
        if self.tape.one_in(3):
            call, names, kinds = f"{call} with ordinality", [*names, "ord"], (*kinds, "int")
        frame.items.append(Item(alias, tuple(map(Column, names, kinds)), whole=False))
        spoken = "lateral " if lateral and not call.startswith("rows") and self.tape.one_in(3) else ""
        return f"{spoken}{call} as {written(alias)}({', '.join(names)})"

    def _rows(self, frame: Frame) -> str:
        self.note("from: values")
        alias = self._alias(frame)
        frame.items.append(Item(alias, (Column("v1", "int"), Column("v2", "text"))))
        rows = ", ".join(f"({self.constant('int')}, {self.constant('text')})" for _ in range(1 + self.tape.pick(3)))
        return f"(values {rows}) as {written(alias)}(v1, v2)"

    def _parenthesised(self, frame: Frame, depth: int) -> str:
        """A join in parentheses, perhaps under an alias that hides what is inside."""
        inner = Frame(outer=frame.outer)
        hiding, self.may_search = self.may_search, self.tape.pick(2) == 0
        taken = [Item(item.alias, ()) for item in frame.items]
        inner.items = list(taken)
        tree = self._joined(self._primary(inner, depth - 1, lateral=False), inner, len(taken), depth - 1)
        items, renamed = inner.items[len(taken) :], not self.may_search
        self.may_search = hiding
        names = [column.name for item in items for column in item.columns]
        if inner.merged or len(names) != len(set(names)) or not renamed:
            self.note("from: parentheses")
            frame.items += items
            frame.merged.update(inner.merged)
            return f"({tree})"
        self.note("from: alias of a join")
        alias = self._alias(Frame(frame.items + items))
        columns = tuple(column for item in items for column in item.columns)
        text = f"({tree}) as {written(alias)}"
        if self.tape.one_in(2):
            columns = tuple(Column(f"j{n}", column.kind) for n, column in enumerate(columns))
            text += f"({', '.join(column.name for column in columns)})"
        frame.items.append(Item(alias, columns))
        return text


def base(name: str) -> tuple[Column, ...]:
    """The columns of a relation of the schema."""
    return tuple(Column(one.name, one.kind) for one in BY_NAME[name].shown)
