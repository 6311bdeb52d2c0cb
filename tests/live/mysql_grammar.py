"""Questions that a grammar makes up: SELECTs of MySQL's over the shop's tables, by a seed."""

from __future__ import annotations

from random import Random

from dialect_grammar import searching as plain_search
from dialect_world import SOUGHT

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
    if chosen.random() < 0.1:
        return _recursive(chosen)
    return _simple(chosen, width=chosen.randint(1, 3))


def _recursive(chosen: Random) -> str:
    tables = chosen.sample(list(COLUMNS), 2)
    first = [f"t0.{column}" for column in COLUMNS[tables[0]]]
    later = [f"t1.{column}" for column in COLUMNS[tables[1]]]
    head = f"select {chosen.choice(first)} as k, 1 as d from {tables[0]} t0 where {_plain(chosen, first)}"
    tail = f"select {chosen.choice(later)}, w.d + 1 from {tables[1]} t1 join w on {chosen.choice(later)} = w.k"
    more = f" and {_plain(chosen, later)}" if chosen.random() < 0.5 else ""
    union = chosen.choice(["union", "union all"])
    named = chosen.random() < 0.5
    text = f"with recursive w{' (k, d)' if named else ''} as ({head} {union} {tail} where w.d < 3{more})"
    return f"{text} {chosen.choice(['select k, d from w', 'select d, count(*) as n from w group by d'])}"


def searching(chosen: Random) -> str:
    """One SELECT that searches exactly, and shows nothing of what it searches by."""
    if chosen.random() < 0.5:
        return plain_search(chosen)
    text = plain_search(chosen)
    kind = chosen.randrange(4)
    if kind == 0:
        return f"with w as ({text}) select count(*) as n, max(id) as m from w"
    if kind == 1:
        return f"select c.id, x.id as k from companies c left join ({text}) as x on x.id > 0"
    if kind == 2:
        return f"select p.id from payslips p where p.employee_id in ({text})"
    return f"{text} union all {plain_search(chosen)}"


def joined_search(chosen: Random) -> tuple[str, int]:
    """A SELECT over a chain of joins that compares addresses somewhere in it, and how many it compares."""
    tables = ["employees", *chosen.sample(["employees", "payslips", "companies"], chosen.choice([1, 2]))]
    chosen.shuffle(tables)
    numbers = {"employees": "id", "payslips": "employee_id", "companies": "id"}
    searches = 0

    def condition(upto: int) -> str:
        nonlocal searches
        names = [f"t{at}" for at in range(upto + 1) if tables[at] == "employees"]
        parts = []
        for _ in range(chosen.choice([0, 1, 1, 2])):
            if names and chosen.random() < 0.6:
                parts.append(f"{chosen.choice(names)}.email = '{chosen.choice(SOUGHT)}'")
                searches += 1
            else:
                at = chosen.randint(0, upto)
                parts.append(f"t{at}.{numbers[tables[at]]} {chosen.choice(['=', '<>', '>'])} {chosen.choice('1234')}")
        return " and ".join(parts)

    text = f"from {tables[0]} t0"
    for at, table in enumerate(tables[1:], 1):
        left = chosen.randrange(at)
        link = f"t{left}.{numbers[tables[left]]} = t{at}.{numbers[table]}"
        extra = condition(at)
        text += f" {chosen.choice(['join', 'left join', 'right join'])} {table} t{at} on {link}"
        text += f" and {extra}" if extra else ""
    where = condition(len(tables) - 1)
    listed = ", ".join(f"t{at}.{numbers[table]} as c{at}" for at, table in enumerate(tables))
    return f"select {listed} {text}{f' where {where}' if where else ''}", searches


def summing(chosen: Random) -> str:
    """One SELECT of sums over a column that may have them."""
    table, column, keys = chosen.choice((
        ("employees", "salary", ("status", "year(birth_date)", "id", "mod(id, 2)", "salary", "left(iban, 4)")),
        ("payslips", "net", ("employee_id", "month(period)", "id", "mod(employee_id, 3)", "net")),
    ))  # fmt: skip
    functions = ("avg", "sum", "count", "std", "var_samp", "max", "min", "count(distinct", "sum(1 +")
    values = []
    for _ in range(chosen.randint(1, 3)):
        name = chosen.choice(functions)
        values.append(f"{name} {column})" if "(" in name else f"{name}({column})")
    key = chosen.choice(keys)
    text = ", ".join(f"{value} as c{number}" for number, value in enumerate(values, 1))
    names = COLUMNS[table]
    where = f" where {_plain(chosen, names)}" if chosen.random() < 0.6 else ""
    if chosen.random() < 0.3:
        return f"select {text} from {table}{where}"
    having = chosen.choice(("", "", " having count(*) < 5", f" having {values[0]} > 50000", " having c1 is not null"))
    order = chosen.choice(("", f" order by {values[-1]}, k"))
    return f"select {key} as k, {text} from {table}{where} group by k{having}{order}"


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
