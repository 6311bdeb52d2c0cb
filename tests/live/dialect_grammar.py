"""Random SELECTs over the shop's tables, of the forms that are allowed; the same seed gives the same ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

from dialect_world import SOUGHT

COLUMNS = {
    "companies": {"id": "n", "name": "s"},
    "employees": {
        "id": "n", "company_id": "n", "first_name": "s", "last_name": "s", "email": "s", "iban": "s", "salary": "n",
        "birth_date": "d", "phone": "s", "status": "s",
    },
    "payslips": {"id": "n", "employee_id": "n", "period": "d"},
    "accounts": {"id": "n", "company": "s"},
    "notes": {"id": "n", "customer": "s", "note": "s"},
    "countries": {"code": "s", "name": "s"},
}  # fmt: skip
_STRINGS = ("open", "closed", "Acme", "acme", "42", "7", "***", "FR%", "%a%", "", "O''Neil", "CANARY", "C.")
_DATES = ("1984-01-01", "1984-02-29", "1990-01-01", "2024-01-31", "2000-01-01")
_NUMBERS = ("0", "1", "2", "3", "5", "7", "42", "50000", "51234", "70000")


class Statements:
    """Statements of one dialect, one after the other."""

    def __init__(self, seed: int, dialect: str) -> None:
        self._random, self._dialect = random.Random(seed), dialect

    def statement(self) -> str:
        """One statement. Its result has no order of its own."""
        kind = self._random.randrange(10)
        if kind == 0:
            inner, outer = self._select(["a", "b"]), "q.a, count(*) as n"
            return f"select {outer} from ({inner}) as q group by q.a"
        if kind == 1:
            return f"with w as ({self._select(['a', 'b'])}) select w.b, w.a from w where w.a is not null"
        if kind == 2:
            word = "union all" if self._random.random() < 0.5 else "union distinct"
            return f"{self._select(['a'], plain='n')} {word} {self._select(['a'], plain='n')}"
        return self._select(["a", "b", "c"][: self._random.randint(1, 3)])

    def _select(self, names: Sequence[str], plain: str = "") -> str:
        sources = self._sources()
        text = self._from(sources)
        if self._random.random() < 0.75:
            text += f" where {self._condition(sources, 2)}"
        if self._random.random() < 0.3:
            group = self._column(sources, plain)
            made = [group, *(self._aggregate(sources) for _ in names[1:])]
            listed = ", ".join(f"{one} as {name}" for one, name in zip(made, names, strict=True))
            having = " having count(*) > 1" if self._random.random() < 0.3 else ""
            return f"select {listed} {text} group by {group}{having}"
        made = [self._value(sources, plain) for _ in names]
        listed = ", ".join(f"{one} as {name}" for one, name in zip(made, names, strict=True))
        distinct = "distinct " if self._random.random() < 0.2 else ""
        return f"select {distinct}{listed} {text}"

    def _sources(self) -> dict[str, str]:
        count = self._random.choice((1, 1, 1, 2, 2, 3))
        return {f"t{number}": self._random.choice(tuple(COLUMNS)) for number in range(count)}

    def _from(self, sources: dict[str, str]) -> str:
        text = ""
        for alias, table in sources.items():
            if not text:
                text = f"from {table} as {alias}"
                continue
            word = self._random.choice(("join", "left join", "right join"))
            left = {name: of for name, of in sources.items() if name < alias}
            on = f"{self._column(left, 'n')} = {self._column({alias: table}, 'n')}"
            if "countries" in (table, *left.values()):
                word, on = "cross join", ""
            text += f" {word} {table} as {alias}" + (f" on {on}" if on else "")
        return text

    def _column(self, sources: dict[str, str], kind: str = "") -> str:
        found = [
            f"{alias}.{name}"
            for alias, table in sources.items()
            for name, of in COLUMNS[table].items()
            if not kind or of == kind
        ]
        return self._random.choice(found) if found else {"n": "1", "s": "'x'", "d": "'2000-01-01'"}[kind]

    def _value(self, sources: dict[str, str], kind: str) -> str:
        kind = kind or self._random.choice("nsd")
        column = self._column(sources, kind)
        if self._random.random() < 0.4:
            return column
        if kind == "n":
            return self._random.choice((f"{column} + 1", f"-{column}", f"abs({column} - 3)", f"{column} * 2",
                                        f"coalesce({column}, 0)", f"nullif({column}, 42)"))  # fmt: skip
        if kind == "s":
            return self._random.choice((f"upper({column})", f"concat({column}, '-')", f"substring({column}, 1, 3)",
                                        f"coalesce({column}, 'none')", f"replace({column}, '*', '+')"))  # fmt: skip
        return self._random.choice((f"year({column})", f"month({column})", column))

    def _aggregate(self, sources: dict[str, str]) -> str:
        number, text = self._column(sources, "n"), self._column(sources, "s")
        return self._random.choice(("count(*)", f"sum({number})", f"max({number})", f"min({text})", f"max({text})",
                                    f"count(distinct {text})", f"count({text})"))  # fmt: skip

    def _condition(self, sources: dict[str, str], depth: int) -> str:
        roll = self._random.random()
        if depth and roll < 0.35:
            word = self._random.choice(("and", "or"))
            return f"({self._condition(sources, depth - 1)} {word} {self._condition(sources, depth - 1)})"
        if depth and roll < 0.45:
            return f"not ({self._condition(sources, depth - 1)})"
        if depth and roll < 0.55:
            table = self._random.choice([name for name, columns in COLUMNS.items() if "n" in columns.values()])
            inner = (
                f"select {self._column({'u': table}, 'n')} from {table} as u where {self._condition({'u': table}, 0)}"
            )
            return f"{self._column(sources, 'n')} in ({inner})"
        kind = self._random.choice("nnssd")
        column = self._column(sources, kind)
        if self._random.random() < 0.1:
            return f"{column} is {self._random.choice(('', 'not '))}null"
        operator = self._random.choice(("=", "<>", "<", ">=", "in", "between"))
        if kind == "s":
            value = f"'{self._random.choice(_STRINGS)}'"
            return f"{column} {self._random.choice(('=', '<>', 'like', 'not like'))} {value}"
        values = [
            f"'{self._random.choice(_DATES)}'" if kind == "d" else self._random.choice(_NUMBERS) for _ in range(2)
        ]
        if operator == "in":
            return f"{column} in ({', '.join(values)})"
        if operator == "between":
            return f"{column} between {values[0]} and {values[1]}"
        return f"{column} {operator} {values[0]}"


def searching(chosen: random.Random) -> str:
    """A SELECT of numbers of employees that searches exactly, by columns of which it shows nothing."""
    column = chosen.choice(("email", "last_name"))
    values = [f"'{one}'" for one in chosen.sample(SOUGHT, chosen.choice((1, 1, 2, 3)))]
    search = f"e.{column} = {values[0]}" if len(values) == 1 else f"e.{column} in ({', '.join(values)})"
    if chosen.random() < 0.2:
        search = f"{search} and {values[0]} = e.{column}"
    other = chosen.choice(("e.status = 'open'", "e.company_id = 42", "e.id > 1", "(e.status is null or e.salary > 0)"))
    kind = chosen.randrange(5)
    if kind == 0:
        return f"select e.id as id from employees e where {search}"
    if kind == 1:
        return f"select e.id as id from employees e where {other} and ({search})"
    if kind == 2:
        return f"select e.id as id from employees e join companies c on c.id = e.company_id and {search} where {other}"
    if kind == 3:
        return f"select p.id as id from payslips p join employees e on e.id = p.employee_id where {search} and {other}"
    return f"select p.id as id from payslips p left join employees e on e.id = p.employee_id and {search} and {other}"
