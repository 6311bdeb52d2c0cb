"""Questions that a grammar makes up: SELECTs of MySQL's over the shop's tables, by a seed."""

from __future__ import annotations

from random import Random

COLUMNS = {
    "companies": ["id", "name"],
    "employees": ["id", "company_id", "first_name", "last_name", "email", "iban", "salary", "birth_date", "phone",
                  "status"],
    "payslips": ["id", "employee_id", "period", "net"],
    "accounts": ["id", "company", "balance"],
    "countries": ["code", "name"],
}  # fmt: skip
_LITERALS = [
    "1",
    "42",
    "7",
    "50000",
    "51234",
    "'open'",
    "'Acme'",
    "'FR76'",
    "'1984-01-01'",
    "'%1%'",
    "null",
    "0.5",
]
_ONE = ["upper({})", "length({})", "hex({})", "crc32({})", "md5({})", "abs({})", "({} is null)", "-{}", "reverse({})",
        "cast({} as char)", "cast({} as signed)", "ifnull({}, 'x')", "left({}, 3)", "year({})", "~({})",
        "convert({} using utf8mb4)", "({} collate utf8mb4_bin)", "floor({})", "({} regexp '^[0-9]')"]  # fmt: skip
_TWO = ["concat({}, {})", "({} + {})", "({} = {})", "({} < {})", "({} <=> {})", "if({} is null, 1, {})",
        "nullif({}, {})",        "({} & {})", "greatest({}, {})", "instr({}, {})", "({} like {})", "coalesce({}, {})",
        "({} and {})", "({} or {})",        "case when {} then {} end", "({} xor {})", "({} div {})"]  # fmt: skip
_AGGREGATES = ["count({})", "max({})", "min({})", "sum({})", "count(distinct {})", "bit_xor(crc32({}))",
               "group_concat({} order by 1)", "avg(length({}))"]  # fmt: skip


def question(chosen: Random) -> str:
    """One SELECT."""
    if chosen.random() < 0.1:
        sides = [_simple(chosen, width=2) for _ in range(2)]
        return f" union {chosen.choice(['', 'all '])}".join(sides)
    if chosen.random() < 0.1:
        return f"with w as ({_simple(chosen, width=2, named=True)}) select c1, count(*) as n from w group by c1"
    return _simple(chosen, width=chosen.randint(1, 3))


def _simple(chosen: Random, *, width: int, named: bool = False) -> str:
    tables = chosen.sample(list(COLUMNS), chosen.choice([1, 1, 1, 2]))
    names = [f"t{number}.{column}" for number, table in enumerate(tables) for column in COLUMNS[table]]
    source = f"{tables[0]} t0"
    if len(tables) > 1:
        kind = chosen.choice(["join", "left join", "right join"])
        source += f" {kind} {tables[1]} t1 on {_condition(chosen, names)}"
    grouped = chosen.random() < 0.3
    if grouped:
        key = chosen.choice(names)
        values = [key, *(chosen.choice(_AGGREGATES).format(chosen.choice(names)) for _ in range(width - 1))]
    else:
        values = [_value(chosen, names, 2) for _ in range(width)]
    if width > 1 or named:
        values = [f"{value} as c{number}" for number, value in enumerate(values, 1)]
    text = f"select {'distinct ' if chosen.random() < 0.15 else ''}{', '.join(values)} from {source}"
    if chosen.random() < 0.6:
        text += f" where {_condition(chosen, names)}"
    return text + (f" group by {key}" if grouped else "")


def _condition(chosen: Random, names: list[str]) -> str:
    kind = chosen.random()
    if kind < 0.2:
        table = chosen.choice(list(COLUMNS))
        inner = [f"s.{column}" for column in COLUMNS[table]]
        query = f"select {chosen.choice(inner)} from {table} s where {_plain(chosen, inner)}"
        return f"{_value(chosen, names, 1)} in ({query})"
    if kind < 0.3:
        table = chosen.choice(list(COLUMNS))
        inner = [*names, *(f"s.{column}" for column in COLUMNS[table])]
        return f"exists (select 1 from {table} s where {_plain(chosen, inner)})"
    if kind < 0.4:
        return f"({_plain(chosen, names)}) and not ({_plain(chosen, names)})"
    return _plain(chosen, names)


def _plain(chosen: Random, names: list[str]) -> str:
    left = _value(chosen, names, 1)
    shape = chosen.choice(["{} = {}", "{} <> {}", "{} < {}", "{} like {}", "{} in ({}, 1)", "{} between {} and 60000",
                           "{} regexp '^[A-F]' or {} is null"])  # fmt: skip
    return shape.format(left, chosen.choice(_LITERALS) if chosen.random() < 0.7 else chosen.choice(names))


def _value(chosen: Random, names: list[str], depth: int) -> str:
    kind = chosen.random()
    if depth == 0 or kind < 0.4:
        return chosen.choice(names) if chosen.random() < 0.8 else chosen.choice(_LITERALS)
    if kind < 0.7:
        return chosen.choice(_ONE).format(_value(chosen, names, depth - 1))
    return chosen.choice(_TWO).format(_value(chosen, names, depth - 1), _value(chosen, names, depth - 1))
