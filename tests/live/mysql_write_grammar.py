"""A grammar of statements that the policy of `mysql_write_view.py` allows, deep enough for its rules to meet."""

from __future__ import annotations

import random

_WORDS = ("active", "left", "x", "IT", "Sales", "often")


def statement(chance: random.Random) -> str:
    """One statement."""
    kind = chance.random()
    if kind < 0.55:
        return _update(chance)
    return _delete(chance) if kind < 0.75 else _insert(chance)


def _update(chance: random.Random) -> str:
    alias = chance.choice(("", "e", "`E e`"))
    name = alias or "employees"
    columns = chance.sample(
        ("status", "visits", "since", "department_id", "country", "phone"), chance.choice((1, 1, 2, 3))
    )
    sets = ", ".join(f"{chance.choice(('', f'{name}.'))}{one} = {_value(chance, one, name)}" for one in columns)
    return f"update employees {alias} set {sets} where {_condition(chance, name, 2)}{_end(chance, name)}"


def _end(chance: random.Random, name: str) -> str:
    pick = chance.random()
    if pick < 0.75:
        return ""
    # a LIMIT without an order that tells all rows apart may mean other rows on the copy
    return f" order by {chance.choice((f'{name}.visits desc, ', ''))}{name}.id limit {chance.randrange(4)}"


def _delete(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return f"delete from payslips where employee_id {chance.choice(('=', '>', '<>'))} {chance.randrange(6)}"
    return f"delete from employees where {_condition(chance, 'employees', 2)}{_end(chance, 'employees')}"


def _insert(chance: random.Random) -> str:
    if chance.random() < 0.4:
        rows = ", ".join(
            f"({chance.choice(('1', '2', '3', '4', '99', 'null', '(select max(id) from employees)'))},"
            f" '20{chance.randrange(10, 30)}-01-01', {chance.randrange(9)})"
            for _ in range(chance.choice((1, 1, 2)))
        )
        return f"insert into payslips (employee_id, period, net) values {rows}"
    columns = chance.sample(
        ("status", "visits", "since", "department_id", "country", "phone"), chance.choice((1, 2, 3))
    )
    if chance.random() < 0.3:
        columns.append("company_id")
    if chance.random() < 0.2:
        return f"insert into employees set {', '.join(f'{one} = {_plain(chance, one)}' for one in columns)}"
    rows = ", ".join(
        "("
        + ", ".join(
            "default" if one in {"status", "since"} and chance.random() < 0.2 else _plain(chance, one)
            for one in columns
        )
        + ")"
        for _ in range(chance.choice((1, 1, 2)))
    )
    return f"insert into employees ({', '.join(columns)}) values {rows}"


def _plain(chance: random.Random, column: str) -> str:
    return {
        "status": lambda: f"'{chance.choice(_WORDS)}'",
        "visits": lambda: str(chance.randrange(9)),
        "since": lambda: f"'20{chance.randrange(10, 30)}-03-01'",
        "department_id": lambda: chance.choice(("1", "2", "3", "null", "77", "(select min(id) from departments)")),
        "country": lambda: chance.choice(("'FR'", "'BE'", "null", "'XX'", "'fr'")),
        "phone": lambda: chance.choice(("'0612'", "null", "'01234567890123'")),
        "company_id": lambda: chance.choice(("42", "42", "7", "21 * 2")),
    }[column]()


def _value(chance: random.Random, column: str, name: str) -> str:
    if chance.random() < 0.5:
        return _plain(chance, column)
    return {
        "status": lambda: chance.choice((
            f"lower({name}.status)", "concat(status, '-', visits)", f"coalesce({name}.badge, 'none')", "default",
            f"(select max(d.label) from departments d where d.id = {name}.department_id)",
            f"case when {name}.visits > 1 then 'often' else {name}.status end",
        )),
        "visits": lambda: chance.choice((
            "visits + 1", f"{name}.visits * 2 - 1",
            f"(select count(*) from payslips p where p.employee_id = {name}.id)",
            "length(status)", "visits div 2", "default", "visits / 2",
        )),
        "since": lambda: chance.choice((
            "since + interval 1 day", f"coalesce({name}.since, '2020-01-01')", "cast('2020-01-01' as date)",
        )),
        "department_id": lambda: chance.choice(("department_id", "department_id + 1", "3 - department_id")),
        "country": lambda: chance.choice(("country", "upper(country)", "(select min(code) from countries)")),
        "phone": lambda: chance.choice(("concat('06', visits)", "badge")),
    }[column]()  # fmt: skip


def _condition(chance: random.Random, name: str, depth: int) -> str:
    if depth and chance.random() < 0.5:
        one, other = _condition(chance, name, depth - 1), _condition(chance, name, depth - 1)
        form = chance.choice(("{} and {}", "({} or {})", "not ({} and {})", "({} and {}) is not null"))
        return form.format(one, other)
    return chance.choice((
        f"{name}.id = {chance.randrange(6)}", f"{name}.id in ({chance.randrange(6)}, {chance.randrange(6)})",
        f"status = '{chance.choice(_WORDS)}'", f"{name}.visits > {chance.randrange(4)}", f"{name}.since < '2021-06-01'",
        "true", "false", f"{name}.badge like 'B%'", f"{name}.department_id = {chance.randrange(4)}",
        f"exists (select 1 from payslips p where p.employee_id = {name}.id)",
        f"{name}.department_id in (select d.id from departments d where d.label = 'IT')",
        f"{name}.country = (select min(c.code) from countries c)", f"{name}.company_id = {chance.choice((42, 7))}",
        f"{name}.visits = (select max(o.visits) from employees o)",
    ))  # fmt: skip
