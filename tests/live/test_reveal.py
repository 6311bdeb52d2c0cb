"""An approved request turns masks off for its own grant, for what was named, and for as long as the policy lets it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from api_client import Api
from gateway_fixture import CUSTOMER, TICKET, House, awaited, open_house

from gateway.demo.company import SECOND_TICKET, TARGET
from gateway.demo.postgres import EmbeddedPostgres

EMAIL, SALARY = "public.employees.email", "public.employees.salary"
POLICY = (Path(__file__).parents[2] / "policies" / "payroll.yaml").read_text()
COLUMNS = "select id, email, salary, iban from employees order by id"


@pytest.fixture
def house(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[House]:
    plain, rule = "{mask: bucket, size: 10000}", "{mask: bucket, size: 10000, aggregate: {min_group: 5, subject: id}}"
    policy = POLICY.replace(f"salary: {plain}", f"salary: {rule}").replace("tests: payroll_test.yaml", "")
    policy = policy.replace("limits:\n", "limits:\n  aggregates_per_hour: 50\n")
    policy = policy.replace("[email, phone, iban, birth_date]", "[email, phone, iban, birth_date, salary]")
    assert (rule in policy, "salary]" in policy) == (True, True)
    with open_house(tmp_path, postgres, policy=policy) as house:
        yield house


@pytest.fixture
def api(house: House) -> Iterator[Api]:
    made = Api(house)
    yield made
    made.client.close()


def connected(house: House, opened: dict[str, Any]) -> psycopg.Connection[Any]:
    return psycopg.connect(**house.login_as(opened["user"], opened["password"]), autocommit=True)


def reload(house: House, old: str, new: str) -> None:
    path = house.company.directory / "policies" / f"{TARGET}.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    trail = house.follow()
    assert house.gateway.pid is not None
    os.kill(house.gateway.pid, signal.SIGHUP)
    awaited(trail, lambda one: one["kind"] == "policy.change")


def told(house: House, column: str) -> list[Any]:
    return [
        row[0] for row in house.truth(f"select {column} from employees where company_id = %s order by id", CUSTOMER)
    ]


def column(rows: list[tuple[Any, ...]], place: int) -> list[Any]:
    return [row[place] for row in rows]


def test_masks_are_off_for_the_grant_and_the_columns_that_were_approved_and_for_nothing_else(
    house: House, api: Api
) -> None:
    with house.connect() as before, house.connect("alice", SECOND_TICKET) as elsewhere:
        masked = before.execute(COLUMNS).fetchall()
        opened = api.revealed(TICKET, EMAIL, SALARY)
        trail = house.follow()
        with connected(house, opened) as inside:
            shown = inside.execute(COLUMNS).fetchall()
            record = awaited(trail, lambda one: one["kind"] == "statement.begin")
            assert record["columns_revealed"] == [EMAIL, SALARY]
            assert record["grant"] == opened["grant"]
            assert record["approvers"] == ["p-003"]
            assert record["columns_masked"] == ["public.employees.iban"]
            assert (column(shown, 1), column(shown, 2)) == (told(house, "email"), told(house, "salary"))
            assert column(shown, 3) == column(masked, 3) != told(house, "iban")

            # the same texts, by turns, by names and by templates, in sessions of other grants
            one = shown[0]
            for _ in range(3):
                for session, expected in ((before, masked), (inside, shown), (before, masked)):
                    assert session.execute(COLUMNS).fetchall() == expected
                    text = f"select email, salary from employees where id = {one[0]}"
                    assert session.execute(text).fetchall() == [expected[0][1:3]]
                    assert session.execute(COLUMNS, prepare=True).fetchall() == expected
            assert not set(column(elsewhere.execute(COLUMNS).fetchall(), 1)) & set(column(shown, 1))

    # who opens the same ticket without asking is masked, though the other grant lives
    with connected(house, house.opened("alice", again=True)) as plain:
        trail = house.follow()
        assert plain.execute(COLUMNS).fetchall() == masked
        assert "columns_revealed" not in awaited(trail, lambda one: one["kind"] == "statement.begin")


def test_what_is_revealed_is_searched_and_summed_as_what_is_clear(house: House, api: Api) -> None:
    email = told(house, "email")[0]
    with house.connect() as masked, connected(house, api.revealed(TICKET, EMAIL, SALARY)) as inside:
        trail = house.follow()
        found = inside.execute("select email from employees where email = %s", [email]).fetchall()
        assert found == [(email,)]
        record = awaited(trail, lambda one: one["kind"] == "statement.begin")
        assert (record["columns_revealed"], record.get("searches")) == ([EMAIL], None)
        partly = inside.execute("select count(*) from employees where email like %s", [f"%{email[1:]}"]).fetchone()
        assert partly is not None
        assert partly[0] >= 1

        person = inside.execute("select id from employees order by id limit 1").fetchall()[0][0]
        trail = house.follow()
        truth = house.truth("select avg(salary), max(salary) from employees where id = %s", person)
        assert inside.execute(f"select avg(salary), max(salary) from employees where id = {person}").fetchall() == truth
        record = awaited(trail, lambda one: one["kind"] == "statement.begin")
        assert record["columns_revealed"] == [SALARY]
        assert {"columns_aggregated", "aggregations"}.isdisjoint(record)

        # elsewhere both are what they were
        trail = house.follow()
        other = masked.execute("select email from employees where email = %s", [email]).fetchall()
        assert len(other) == 1
        assert other != found
        assert awaited(trail, lambda one: one["kind"] == "search.exact")["column"] == "email"
        assert masked.execute(f"select avg(salary) from employees where id = {person}").fetchall() == [(None,)]
        assert awaited(trail, lambda one: "aggregations" in one)["columns_aggregated"] == [SALARY]


def test_what_the_policy_takes_back_is_masked_at_once_and_the_rest_stays(house: House, api: Api) -> None:
    opened = api.revealed(TICKET, EMAIL, SALARY)
    with connected(house, opened) as inside:
        shown = inside.execute(COLUMNS, prepare=True).fetchall()
        inside.execute("prepare kept as select email from employees order by id")
        reload(house, "[email, phone,", "[phone,")
        for text in (COLUMNS, "execute kept", "select 1"):
            with pytest.raises(psycopg.OperationalError):
                inside.execute(text.encode())
    with connected(house, opened) as again:
        trail = house.follow()
        rows = again.execute(COLUMNS).fetchall()
        assert column(rows, 2) == column(shown, 2)
        assert not set(column(rows, 1)) & set(column(shown, 1))
        record = awaited(trail, lambda one: one["kind"] == "statement.begin")
        assert record["columns_revealed"] == [SALARY]
        assert EMAIL in record["columns_masked"]
    # a new request for it is refused, and gives nothing
    status, answer = api("alice", "/open", {"ticket": TICKET, "reveal": [EMAIL], "reason": "x"})
    assert (status, answer["code"]) == (404, "column-not-available")


def test_a_revealing_grant_that_is_revoked_ends_its_sessions_and_its_passes(house: House, api: Api) -> None:
    opened = api.revealed(TICKET, EMAIL)
    with connected(house, opened) as inside, inside.transaction(), inside.cursor("c") as cursor:
        cursor.execute(COLUMNS)
        assert len(cursor.fetchmany(2)) == 2
        assert api("bob", f"/grants/{opened['grant']}/revoke", {"reason": "enough"})[0] == 200
        with pytest.raises(psycopg.OperationalError, match="revoked"):
            cursor.fetchmany(2)
    with pytest.raises(psycopg.OperationalError):
        connected(house, opened)
