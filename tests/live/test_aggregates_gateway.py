"""Sums over hidden columns through the gateway: the notice, the record, the budget, and every way to run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import CUSTOMER, TICKET, House, awaited, open_house

from gateway.demo.postgres import EmbeddedPostgres

BUDGET = 12
SALARY = "public.employees.salary"
POLICY = (Path(__file__).parents[2] / "policies" / "payroll.yaml").read_text()
GROUPS = "select department, count(salary), sum(salary), avg(salary) from employees e where {} group by 1 order by 1"


@pytest.fixture(scope="module")
def summing(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    plain, rule = "{mask: bucket, size: 10000}", "{mask: bucket, size: 10000, aggregate: {min_group: 5, subject: id}}"
    assert POLICY.count(f"salary: {plain}") == 1
    policy = POLICY.replace(f"salary: {plain}", f"salary: {rule}").replace("tests: payroll_test.yaml", "")
    policy = policy.replace("limits:\n", f"limits:\n  aggregates_per_hour: {BUDGET}\n")
    with open_house(tmp_path_factory.mktemp("summing"), postgres, policy=policy) as house:
        house.opened()
        yield house


def notices(connection: psycopg.Connection[Any]) -> list[str]:
    heard: list[str] = []
    connection.add_notice_handler(lambda one: heard.append(one.message_primary or ""))
    return heard


def test_sums_are_true_where_they_may_be_counted_and_recorded_and_end_with_the_budget(summing: House) -> None:
    truth = summing.truth(GROUPS.format("company_id = %s"), CUSTOMER)
    wanted = [(name, *sums) if sums[0] >= 5 else (name, None, None, None) for name, *sums in truth]
    trail = summing.follow()
    with summing.connect() as connection:
        heard = notices(connection)
        assert connection.execute(GROUPS.format("true")).fetchall() == wanted
        assert heard == [f"`{SALARY}` is aggregated over its real values; groups with fewer than 5 are NULL"]
        record = awaited(trail, lambda one: one["kind"] == "statement.begin")
        assert record["columns_aggregated"] == [SALARY]
        assert record["columns_masked"] == [SALARY]
        assert "searches" not in record

        # by parameters, by a template that is filled again, by SQL's own names, by cursors
        somebody = summing.truth("select min(id) from employees where company_id = %s", CUSTOMER)[0][0]
        for condition in ("id = %s", "id <= %s"):
            text = f"select avg(salary) from employees where {condition}"
            assert connection.execute(text, [somebody]).fetchall() == [(None,)]
        for number in (1, 2):
            text = f"select stddev(salary) from employees where id = {somebody} and id > {number}"
            assert connection.execute(text).fetchall() == [(None,)]
        connection.execute("prepare p(int) as select avg(salary) from employees where id = $1")
        assert connection.execute(f"execute p({somebody})").fetchall() == [(None,)]
        with connection.transaction(), connection.cursor("c") as cursor:
            cursor.execute("select count(salary) from employees where email = 'nobody@x.example'")
            assert cursor.fetchall() == [(None,)]

        # what sees the mask is no use of raw values
        heard.clear()
        least = connection.execute("select min(salary), sum(distinct salary) from employees").fetchall()
        assert least[0][0] % 10_000 == 0
        assert heard == [f"`{SALARY}` is masked: an aggregate saw the masked values"]

        # eight uses were made: the groups, four with conditions, the name's two, the cursor
        twice = "select avg(salary) from employees union all select sum(salary) from employees"
        for _ in range((BUDGET - 8) // 2):
            connection.execute(twice)
        with pytest.raises(psycopg.Error) as refused:
            connection.execute("select avg(salary) from employees")
        assert refused.value.sqlstate == "53400"
        assert "aggregate-budget-exhausted" in str(refused.value.diag.message_detail)
        assert connection.execute("select 1 from employees limit 1").fetchall() == [(1,)]
    assert awaited(trail, lambda one: one["kind"] == "budget.warning")["budget"] == "aggregates_per_hour"
    assert awaited(trail, lambda one: one["kind"] == "statement.refused")["code"] == "aggregate-budget-exhausted"


def test_the_budget_is_the_persons_and_not_the_sessions(summing: House) -> None:
    with summing.connect() as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute("select avg(salary) from employees")

    assert refused.value.sqlstate == "53400"


def test_an_explanation_names_what_is_aggregated(summing: House) -> None:
    who = ("--person", "alice", "--ticket", TICKET)
    said = summing.command("alice", "policy", "explain", "select avg(salary) from employees", *who)

    assert said.returncode == 0, said.stderr
    assert [line.split() for line in said.stdout.splitlines() if line.startswith("aggregated")] == [
        ["aggregated", SALARY]
    ]
    assert "groups with fewer than 5 are NULL" in said.stdout
