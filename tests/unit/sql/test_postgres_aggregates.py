# ruff: noqa: E501 - a query reads best on one line
"""Sums over hidden columns: which reach the raw values, what they become, and that the check believes nothing else."""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import suppress

import postgast
import pytest
from aggregate_view import POLICY, aggregate_view
from mutations import harmless, mutated, mutations
from sqlviews import CATALOG, cases

from gateway.errors import Refusal
from gateway.policy.load import parse_policy
from gateway.sql.cache import plan_fields
from gateway.sql.postgres import aggregates, analyse, check
from gateway.sql.postgres.tree import Refused
from gateway.sql.statement import Plan, RawUse

VIEW = aggregate_view(CATALOG)
SALARY, NET = "public.employees.salary", "public.payslips.net"
TEST = 'CASE WHEN pg_catalog.count(DISTINCT {0}."gateway subject {1}") OPERATOR(pg_catalog.>=) 5 THEN pg_catalog.{2}({0}."gateway raw {1}") END'
AVERAGE = "select status, avg(salary) from employees group by status"
ONE = "select avg(salary) from employees"

SUMMED = [
    ONE,
    AVERAGE,
    "select count(salary), sum(salary), stddev(salary), stddev_pop(salary), variance(salary), var_samp(salary) from employees",
    "select pg_catalog.avg(e.salary) from public.employees e where e.id > 5 and status in ('a', 'b')",
    "select status s, round(avg(salary), 2) as mean from employees group by s having count(*) > 7 and avg(salary) > 3 order by mean desc limit 3",
    "select avg(net) from payslips where employee_id = $1",
    "select coalesce(sum(salary), 0), sum(salary) / nullif(count(*), 0) from employees",
    "select lower(status), sum(salary) from only employees where status like 'a%' group by lower(status)",
    "select distinct avg(salary) from employees group by id % 10",
    "select avg(salary) from employees where email = 'a@x.fr'",
    "select (select avg(salary) from employees) - (select avg(net) from payslips)",
    "with a as (select status, avg(salary) m from employees group by status) select * from a join countries c on c.code = a.status",
    "explain select avg(salary) from employees",
    "declare c cursor for select avg(salary) from employees",
    "copy (select avg(salary) from employees) to stdout",
    "select min(salary), avg(salary) from employees",
    "select avg(salary) from employees union select avg(net) from payslips",
    "select case when count(*) > 3 then avg(salary) end from employees",
    "select 'gateway raw 5', avg(salary) from employees where status <> 'gateway subject 5'",
    'select avg("E".salary) from employees "E" group by "E".status',
]

MASKED = [
    "select min(salary), max(salary) from employees",
    "select percentile_cont(0.5) within group (order by salary) from employees",
    "select sum(salary) filter (where id > 3) from employees",
    "select sum(distinct salary) from employees",
    "select avg(salary + 1) from employees",
    "select avg(salary::int) from employees",
    "select avg((salary)::numeric) from employees",
    "select sum(salary) over () from employees",
    "select avg(e.salary) from employees e join companies c on true",
    "select avg(e.salary) from employees e, countries c",
    "select sum(salary) from employees group by rollup (status)",
    "select sum(salary) from employees where id in (select 1)",
    "select sum(salary) from employees where random() < 0.5",
    "select sum(salary) from employees where clock_timestamp() > now()",
    "select sum(salary) from employees where public.slugify(status) = 'a'",
    "select sum(salary), public.employees.id from employees group by 2",
    "select (select sum(salary) from employees where id > c.id) from companies c",
    "select sum(salary), mood from employees group by mood::public.mood, mood",
    "select sum(salary) from employees e(id, salary)",
    "select sum(salary), e from employees e group by e",
    "select sum(salary), row_to_json(e) from employees e group by e.*",
    'select sum(salary), id as "gateway raw 5" from employees group by "gateway raw 5"',
    'select sum(salary), max("gateway raw 5") from employees',
    "select sum(salary), generate_series(1, 3) from employees",
    "select string_agg(salary::text, ',') from employees",
    "select regr_slope(salary, id) from employees",
]


EXTREME = [
    "select min(salary), max(salary) from employees",
    "select status, max(salary) from employees group by status",
    "select percentile_cont(0.5) within group (order by salary) from employees",
    "select status, percentile_disc(0.9) within group (order by salary desc) from employees group by status",
    "select percentile_disc(1) within group (order by e.salary) from employees e where e.status = 'a'",
]
STILL_MASKED = [
    "select percentile_cont(array[0.1, 0.5]) within group (order by salary) from employees",
    "select percentile_cont($1) within group (order by salary) from employees",
    "select percentile_cont(0.5) within group (order by salary + 1) from employees",
    "select percentile_cont(0.5) within group (order by salary) filter (where id > 3) from employees",
    "select mode() within group (order by salary) from employees",
    "select max(salary) over () from employees",
    "select max(distinct salary) from employees",
    "select max(e.salary) from employees e, countries c",
    "select array_agg(salary) from employees",
    "select rank(5) within group (order by salary) from employees",
]
EXTREMES = aggregate_view(
    CATALOG,
    policy=parse_policy(POLICY.replace("min_group: 5, subject: id}", "min_group: 5, subject: id, extremes: true}")),
)


@pytest.fixture(autouse=True)
def faults_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    def see(error: Exception) -> Refusal:
        raise error

    monkeypatch.setattr("gateway.sql.postgres.analysis.fault", see)


def plan(sql: str) -> Plan:
    answer = analyse(sql, VIEW)
    assert isinstance(answer, Plan), answer
    return answer


def proven(sql: str, outgoing: str) -> bool:
    with suppress(Refused):
        check.prove(sql, outgoing, VIEW)
        return True
    return False


def test_a_sum_takes_raw_values_under_the_test_of_its_group() -> None:
    assert plan(AVERAGE).rewritten == (
        f"SELECT status, {TEST.format('employees', 5, 'avg')} AS avg FROM (SELECT {bucket()} AS salary, t.status AS status, "
        't.salary::int AS "gateway raw 5", CASE WHEN t.salary::int IS NOT NULL THEN t.id::int END AS "gateway subject 5" '
        "FROM public.employees t WHERE t.company_id OPERATOR(pg_catalog.=) '42'::int OFFSET 0) employees GROUP BY status"
    )


def bucket() -> str:
    shown = plan("select salary from employees").rewritten
    return shown.partition("(SELECT ")[2].partition(" AS salary")[0]


@pytest.mark.parametrize("sql", SUMMED)
def test_a_closed_select_sums_raw_values_and_says_which_groups_are_null(sql: str) -> None:
    made = plan(sql)

    assert made.aggregations
    assert '"gateway raw' in made.rewritten
    assert any("groups with fewer than 5 are NULL" in one.message for one in made.notices)


@pytest.mark.parametrize("sql", MASKED)
def test_every_other_aggregate_sees_the_mask_and_says_so(sql: str) -> None:
    answer = analyse(sql, VIEW)
    if isinstance(answer, Refusal):
        assert answer.code in {"function-not-allowed", "type-not-allowed"}
        return
    assert not answer.aggregations
    assert "t.salary::int AS" not in answer.rewritten
    assert any("an aggregate saw the masked values" in one.message for one in answer.notices)


@pytest.mark.parametrize("sql", EXTREME)
def test_extremes_are_told_of_large_groups_where_the_policy_says_so(sql: str) -> None:
    answer = analyse(sql, EXTREMES)
    assert isinstance(answer, Plan), answer

    assert answer.rewritten.count('"gateway subject 5") OPERATOR(pg_catalog.>=) 5 THEN') == len(answer.aggregations)
    assert not plan(sql).aggregations


@pytest.mark.parametrize("sql", STILL_MASKED)
def test_what_would_list_the_values_sees_the_mask_all_the_same(sql: str) -> None:
    answer = analyse(sql, EXTREMES)
    if isinstance(answer, Refusal):
        assert answer.code == "function-not-allowed"
        return
    assert not answer.aggregations
    assert "gateway raw" not in answer.rewritten


def test_each_extreme_is_a_use_of_its_own() -> None:
    answer = analyse("select min(salary), max(salary), avg(salary) from employees", EXTREMES)

    assert isinstance(answer, Plan)
    assert len(answer.aggregations) == 3
    assert len(plan("select avg(salary), sum(salary) from employees").aggregations) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (">=) 5 THEN", ">=) 4 THEN"),
        ("percentile_cont(0.5)", "percentile_cont(0.6)"),
        ('ORDER BY employees."gateway raw 5"', 'ORDER BY employees."gateway raw 5" DESC'),
        ("percentile_cont", "percentile_disc"),
        ('WITHIN GROUP (ORDER BY employees."gateway raw 5")', 'WITHIN GROUP (ORDER BY employees."gateway subject 5")'),
    ],
)
def test_a_percentile_that_is_not_what_it_should_be_is_caught(old: str, new: str) -> None:
    sql = "select percentile_cont(0.5) within group (order by salary) from employees"
    answer = analyse(sql, EXTREMES)
    assert isinstance(answer, Plan)
    assert old in answer.rewritten
    check.prove(sql, answer.rewritten, EXTREMES)

    with pytest.raises(Refused):
        check.prove(sql, answer.rewritten.replace(old, new), EXTREMES)
    with pytest.raises(Refused):
        check.prove(sql, answer.rewritten, VIEW)


def test_a_column_keeps_its_mask_beside_its_sum() -> None:
    text = plan("select salary, avg(salary), min(salary) from employees where salary > 5 group by salary").rewritten

    assert "SELECT salary, CASE" in text
    assert "pg_catalog.min(salary)" in text
    assert text.count("gateway raw 5") == 2


def test_each_select_and_column_is_counted_for_itself() -> None:
    one = plan("select avg(salary), sum(salary), stddev(salary) from employees")
    two = plan("select avg(salary) from employees union all select avg(salary) from employees where id > 3")

    assert one.raw_uses == (RawUse("public.employees", "salary", summed=True),)
    assert two.aggregations == one.raw_uses * 2
    assert two.columns_aggregated == (SALARY,)
    assert plan_fields(two, str)["columns_aggregated"] == [SALARY]
    assert "searches" not in plan_fields(two, str)


def test_an_exact_search_and_a_sum_are_counted_apart() -> None:
    made = plan("select avg(salary) from employees where email = 'a@x.fr'")

    assert made.exact_searches == (RawUse("public.employees", "email"),)
    assert made.aggregations == (RawUse("public.employees", "salary", summed=True),)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("avg(salary)", "avg"),
        ("avg(salary)::int", "avg"),
        ("case when true then 1 else sum(salary) end", "sum"),
        ("round(avg(salary))", None),
        ("avg(salary) + 1", None),
        ("avg(salary) as x", "x"),
    ],
)
def test_an_output_keeps_the_name_that_it_has_without_us(written: str, name: str | None) -> None:
    tree = postgast.parse(plan(f"select {written} from employees").rewritten)

    assert tree.stmts[0].stmt.select_stmt.target_list[0].res_target.name == (name or "")


def test_a_revealed_column_is_aggregated_as_it_is() -> None:
    answer = analyse(ONE, aggregate_view(CATALOG, reveal=frozenset({("public.employees", "salary")})))

    assert isinstance(answer, Plan)
    assert not answer.aggregations
    assert "gateway raw" not in answer.rewritten
    assert answer.columns_revealed == (SALARY,)


def test_an_aggregate_of_the_outer_query_sees_the_mask() -> None:
    assert not plan("select (select sum(e.salary)) from employees e").aggregations


def test_without_a_rule_nothing_changes() -> None:
    made = plan("select avg(id), count(status) from employees")

    assert not made.notices
    assert "gateway" not in made.rewritten


WRONG = [
    ("the test is missing", ONE, TEST.format("employees", 5, "avg"), 'pg_catalog.avg(employees."gateway raw 5")'),
    ("the group is smaller", ONE, ">=) 5", ">=) 4"),
    ("the group is larger", ONE, ">=) 5", ">=) 6"),
    ("the comparison is another", ONE, ">=) 5", "<>) 5"),
    ("the comparison is not qualified", ONE, "OPERATOR(pg_catalog.>=)", ">="),
    ("rows are counted", ONE, "count(DISTINCT employees", "count(employees"),
    ("values are counted", ONE, 'DISTINCT employees."gateway subject 5"', 'DISTINCT employees."gateway raw 5"'),
    ("something visible is counted", ONE, 'DISTINCT employees."gateway subject 5"', "DISTINCT employees.salary"),
    (
        "there is a way around the test",
        ONE,
        " END AS avg",
        ' ELSE pg_catalog.max(employees."gateway raw 5") END AS avg',
    ),
    ("the sum is another", ONE, "pg_catalog.avg(employees", "pg_catalog.max(employees"),
    ("the sum is of the subject", ONE, '"gateway raw 5") END', '"gateway subject 5") END'),
    ("the sum is filtered", ONE, '"gateway raw 5") END', '"gateway raw 5") FILTER (WHERE true) END'),
    ("the test is filtered", ONE, '"gateway subject 5") OP', '"gateway subject 5") FILTER (WHERE true) OP'),
    ("the subject is another column", ONE, "THEN t.id::int END", "THEN t.salary::int END"),
    (
        "the subject is there without a value",
        ONE,
        "CASE WHEN t.salary::int IS NOT NULL THEN t.id::int END",
        "t.id::int",
    ),
    ("the subject is each row", ONE, "THEN t.id::int END", "THEN t.ctid END"),
    ("the raw value is another column's", ONE, "t.salary::int AS", "t.company_id::int AS"),
    ("the raw value is a hidden column's", ONE, "t.salary::int AS", "t.notes AS"),
    ("the raw value goes by the column's name", ONE, '"gateway raw 5", CASE', "salary, CASE"),
    (
        "there is a raw value more",
        ONE,
        " FROM public.employees",
        ', t.salary::int AS "gateway raw 6" FROM public.employees',
    ),
    (
        "the raw value is there twice",
        ONE,
        '"gateway raw 5", CASE WHEN t',
        '"gateway raw 5", t.salary::int AS "gateway raw 5", CASE WHEN t',
    ),
    (
        "the subject is missing",
        ONE,
        ', CASE WHEN t.salary::int IS NOT NULL THEN t.id::int END AS "gateway subject 5"',
        "",
    ),
    ("the raw value is shown", AVERAGE, "SELECT status, CASE", 'SELECT "gateway raw 5", CASE'),
    ("the raw value groups", AVERAGE, "GROUP BY status", 'GROUP BY status, "gateway raw 5"'),
    ("the raw value is a condition", ONE, ") employees", ') employees WHERE "gateway raw 5" > 5'),
    ("the raw value orders", AVERAGE, "GROUP BY status", 'GROUP BY status ORDER BY min("gateway raw 5")'),
    ("the output has another name", ONE, "END AS avg", "END"),
    (
        "the mask takes the raw value",
        "select avg(salary), min(salary) from employees",
        "pg_catalog.min(salary)",
        'pg_catalog.min("gateway raw 5")',
    ),
    ("the fence is gone", ONE, " OFFSET 0", ""),
    ("the relation is lateral", ONE, "FROM (SELECT", "FROM LATERAL (SELECT"),
]


@pytest.mark.parametrize(("sql", "old", "new"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_a_sum_that_is_not_what_it_should_be_is_unproven(sql: str, old: str, new: str) -> None:
    right = plan(sql).rewritten
    assert right.count(old) >= 1, right
    wrong = right.replace(old, new)

    assert proven(sql, right)
    assert not proven(sql, wrong), wrong


@pytest.mark.parametrize("sql", [sql for sql in MASKED if " join " not in sql])
def test_the_check_refuses_raw_values_wherever_the_rewriting_should_not_give_them(
    monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """A rewriting that takes every SELECT for a closed one is caught by rules of the check's own."""
    monkeypatch.setattr(aggregates, "_closed", lambda *_: True)
    monkeypatch.setattr(aggregates, "_summed", lambda call, relation: relation[1].columns["salary"])
    answer = analyse(sql, VIEW)

    assert isinstance(answer, Refusal)


@pytest.mark.parametrize("sql", SUMMED)
def test_what_goes_out_is_proven_again(sql: str) -> None:
    assert proven(sql, plan(sql).rewritten)


def test_what_was_proven_for_one_select_is_not_for_another() -> None:
    """Texts of target lists are remembered by the check, but not those that have raw values in them."""
    made = plan(ONE).rewritten
    derived = made[made.index("FROM (") : made.index(" employees", made.index("OFFSET"))]
    check.prove(ONE, made, VIEW)

    assert not proven("select id from employees", f"SELECT id {derived} employees")
    assert not proven("select * from employees", f"SELECT * {derived} employees")


def test_every_single_change_of_what_goes_out_is_unproven() -> None:
    found = defaultdict(list)
    texts = [sql for sql in SUMMED if "explain" not in sql]
    plans = {sql: plan(sql).rewritten for sql in texts}
    for sql, text in plans.items():
        for one in mutations(postgast.parse(text)):
            found[one.kind, one.action, one.detail].append((sql, one))
    chance = random.Random(5)
    wanted = [one for some in found.values() for one in chance.sample(some, min(3, len(some)))]
    changed = mutated([(plans[sql], one) for sql, one in wanted])
    clear = frozenset({"id", "status", "employee_id", "code", "label"})
    passed = [
        (one, sql, text)
        for (sql, one), text in zip(wanted, changed, strict=True)
        if text and proven(sql, text) and not harmless(plans[sql], text, clear)
    ]

    assert not passed, passed[0]
    assert sum(map(bool, changed)) > 500


@pytest.mark.parametrize(
    "case", [one for one in cases("attacks") if one["id"].startswith("aggregate-")], ids=lambda one: one["id"]
)
def test_an_attack_on_one_person_is_masked_or_tested(case: dict[str, str]) -> None:
    answer = analyse(case["sql"], VIEW)

    assert isinstance(answer, Plan), answer
    assert set(answer.columns_aggregated) <= {SALARY, NET}
    assert answer.rewritten.count(".salary::int AS ") + answer.rewritten.count(".net::int AS ") == len(
        answer.aggregations
    )
