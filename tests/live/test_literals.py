"""What people write into statements, end to end: sealed, nowhere in clear, opened by two, looked up, erased."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from gateway_fixture import House, eventually, open_house
from observed_fixture import open_observed
from raw_client import Raw, query

from gateway.audit.verify import verify_log
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

NEVER = "un-litteral-jamais-en-clair"
LOOK = "select id from employees where email = "


@pytest.fixture(scope="module")
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("literals"), postgres) as house:
        for login in ("carol", "bob"):
            assert house.command(login, "login", login, otp=True).returncode == 0
        yield house


def told(house: House, login: str, *arguments: str) -> Any:
    done = house.command(login, "--output", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unsealed(house: House, record: dict[str, Any]) -> dict[str, Any]:
    """What carol reads of a record once bob has agreed."""
    asking = ("audit", "unseal", str(record["index"]), "--reason", "a complaint")
    act = told(house, "carol", *asking)
    assert act["state"] == "waiting"
    assert told(house, "bob", "audit", "confirm", act["id"])["result"] is None
    answer: dict[str, Any] = told(house, "carol", *asking)
    assert (answer["id"], answer["state"]) == (act["id"], "done")
    return answer["result"]


def erased(house: House, *arguments: str) -> dict[str, Any]:
    act = told(house, "carol", "audit", "erase", *arguments, "--reason", "asked for by the person")
    result: dict[str, Any] = told(house, "bob", "audit", "confirm", act["id"])["result"]
    return result


def last(house: House, part: str, kind: str = "statement.begin") -> dict[str, Any]:
    """The newest record of a statement whose text without literals has that part."""
    return [one for one in house.records() if one["kind"] == kind and part in one.get("sql", "")][-1]


def everything(house: House) -> bytes:
    """All that the gateway has written, its technical log included."""
    files = [path for path in house.company.state.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in [*files, house.directory / "gateway.log"])


def verified(house: House) -> None:
    key = (house.company.state / "audit.key.pub").read_text().strip()
    report = verify_log(house.company.state / "audit", key)
    assert report.ok, report.problems


def test_two_people_read_what_a_statement_was_given(office: House) -> None:
    with office.connect() as connection:
        connection.execute(f"{LOOK}'{NEVER}@x.fr' -- because of {NEVER}")
    record = last(office, "email = $1")

    assert NEVER in unsealed(office, record)["texts"][0]
    # once: what is asked for again waits for somebody again
    again = told(office, "carol", "audit", "unseal", str(record["index"]), "--reason", "once more")
    assert again["state"] == "waiting"
    own = office.command("carol", "audit", "confirm", again["id"])
    assert own.returncode == 77
    assert told(office, "bob", "audit", "decline", again["id"])["state"] == "declined"
    assert NEVER not in office.command("alice", "audit", "unseal", str(record["index"]), "--reason", "mine").stdout


def test_clients_parameters_are_read_as_they_were_bound(office: House) -> None:
    with office.connect() as connection:
        for mark in ("%t", "%b"):
            text = f"{LOOK}{mark} and id > {mark} and department = any({mark})"
            connection.execute(text, ("p@x.fr", 70_000, ["hr", "it"]), prepare=True)  # type: ignore[arg-type]
    plain, binary = [one for one in office.records() if one["kind"] == "statement.begin" and "any" in one["sql"]][-2:]

    assert unsealed(office, plain)["values"] == ["$1 = p@x.fr", "$2 = 70000", "$3 = {hr,it}"]
    values = unsealed(office, binary)["values"]
    assert (values[0], values[1]) == ("$1 = p@x.fr", "$2 = 70000")
    assert values[2] == "$3 = {hr, it}"
    assert plain["subjects"].split()[0] == binary["subjects"].split()[0]


def test_asyncpgs_parameters_are_recognised_though_their_types_are_not_declared(office: House) -> None:
    async def look() -> None:
        parameters = office.parameters()
        connection = await asyncpg.connect(
            host="localhost", port=parameters["port"], user=parameters["user"], password=parameters["password"],
            database=parameters["dbname"], ssl=_context(office),
        )  # fmt: skip
        try:
            await connection.fetch(f"{LOOK}$1", "async@x.fr")
            async with connection.transaction():
                async for _ in connection.cursor(
                    "select id from employees where email <> $1", "async@x.fr", prefetch=2
                ):
                    break
        finally:
            await connection.close()

    asyncio.run(look())
    rows = told(office, "carol", "audit", "ask", "subject", "--value", " Async@X.fr")["rows"]

    assert [row["kind"] for row in rows].count("statement.begin") >= 2
    assert {row["login"] for row in rows} == {"alice"}


def _context(house: House) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(house.company.tls.ca))


def test_who_looked_up_a_person_is_answered_and_proven_without_naming_her(office: House, tmp_path: Path) -> None:
    ((mail,),) = office.truth("select email from employees where company_id = %s order by id limit 1", CUSTOMER)
    with office.connect() as connection:
        connection.execute(f"{LOOK}'{mail}'")
        connection.execute(f"{LOOK}%s", (mail.upper(),))
        connection.execute(f"prepare q as {LOOK}$1")
        connection.execute(f"execute q('{mail}')")
        connection.execute(f"begin; declare c cursor for {LOOK}'{mail}'; fetch 1 from c; commit")
        with pytest.raises(psycopg.Error):
            connection.execute(f"delete from employees where email = '{mail}'")
    answer = told(office, "carol", "audit", "ask", "subject", "--value", mail)

    found = [(row["kind"], row.get("sql", "").split(" ")[0].lower()) for row in answer["rows"]]
    assert [one for one in found if one[0] == "statement.refused"] == [("statement.refused", "delete")]
    assert {"select", "execute", "begin;"} <= {verb for _, verb in found}
    assert "alice" in {row["login"] for row in answer["rows"]}
    assert told(office, "carol", "audit", "ask", "subject", "--value", "nobody@x.fr")["total"] == 0
    export = tmp_path / "export"
    done = office.command("carol", "audit", "ask", "subject", "--value", mail, "--export", str(export))
    assert done.returncode == 0, done.stderr
    key = str(office.company.state / "audit.key.pub")
    assert office.command("carol", "audit", "verify", str(export), "--key", key).returncode == 0
    assert mail.encode() not in export.read_bytes()
    assert mail.encode() not in everything(office)


@pytest.mark.parametrize(
    "text",
    [
        f"select '{NEVER}'",
        f"select 1 /* {NEVER} */",
        f"select $x${NEVER}$x$",
        f"select U&'{NEVER}'",
        f"copy (select '{NEVER}') to stdout",
        f"do $$ begin raise notice '{NEVER}'; end $$",
        f"select '{NEVER}",
        f"create table {NEVER.replace('-', '_')}_t (a text default '{NEVER}')",
        f"set application_name to '{NEVER}'",
        f"select id from employees where email like '%{NEVER}%'",
        f"select '{NEVER * 1_000}'",
        f"listen \"x\"; select '{NEVER}'",
    ],
)
def test_no_literal_reaches_a_file_whatever_becomes_of_its_statement(office: House, text: str) -> None:
    with Raw(office) as raw:
        opened = office.opened()
        raw.log_in(user=opened["user"], password=opened["password"])
        raw.send(query(text))
        raw.until_ready()
    newest = [one for one in office.records() if one["kind"] in ("statement.begin", "statement.refused")][-1]

    assert NEVER in unsealed(office, newest)["texts"][0]
    assert NEVER.encode() not in everything(office)


def test_a_kill_may_take_the_last_second_and_then_it_is_said(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with open_house(tmp_path / "killed", postgres) as house:
        for login in ("carol", "bob"):
            assert house.command(login, "login", login, otp=True).returncode == 0
        with house.connect() as connection:
            connection.execute(f"{LOOK}'early@x.fr'")
            eventually(lambda: b"SEAL" in b"".join(p.read_bytes() for p in house.company.state.rglob("*.blobs")))
            connection.execute(f"{LOOK}'late@x.fr'")
            house.gateway.kill()
        house.gateway.start()
        early, late = [one for one in house.records() if "email = $1" in one.get("sql", "") and "sealed" in one]

        assert "early@x.fr" in unsealed(house, early)["texts"][0]
        act = told(house, "carol", "audit", "unseal", str(late["index"]), "--reason", "why")
        told(house, "bob", "audit", "confirm", act["id"])
        done = house.command("carol", "audit", "carry-out", act["id"])
        assert "late@x.fr" in done.stdout or "are not there" in done.stderr
        verified(house)


def test_erasing_survives_backups_and_the_trail_verifies(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with open_house(tmp_path / "erasing", postgres) as house:
        state = house.company.state
        for login in ("carol", "bob"):
            assert house.command(login, "login", login, otp=True).returncode == 0
        with house.connect() as connection:
            for mail in ("hers@x.fr", "his@x.fr"):
                connection.execute(f"{LOOK}'{mail}'")
        hers, his = [one for one in house.records() if one["kind"] == "statement.begin" and "sealed" in one][-2:]
        eventually(lambda: len(list(state.rglob("*.blobs"))) == 1)
        assert "hers@x.fr" in unsealed(house, hers)["texts"][0]
        house.gateway.stop()
        for name in ("sealed", "gateway.sqlite"):
            (shutil.copytree if name == "sealed" else shutil.copy)(state / name, tmp_path / name)
        house.gateway.start()

        assert erased(house, "--subject", "HERS@x.fr") == {"records": 1, "blobs": 1, "requests": 0}
        refused(house, hers, "were erased")
        assert "his@x.fr" in unsealed(house, his)["texts"][0]
        assert erased(house, "--customer", str(CUSTOMER))["keys"] == 2
        refused(house, his, "key was destroyed")
        house.gateway.stop()
        verified(house)

        shutil.rmtree(state / "sealed")
        shutil.copytree(tmp_path / "sealed", state / "sealed")
        for path in state.glob("gateway.sqlite*"):
            path.unlink()
        shutil.copy(tmp_path / "gateway.sqlite", state / "gateway.sqlite")
        house.gateway.start()
        # a store that was put back takes no code of a moment that it may have forgotten
        with contextlib.closing(sqlite3.connect(state / "gateway.sqlite")) as store, store:
            ((step,),) = store.execute("select max(last_step) from factors")
        for login in ("carol", "bob"):
            authenticator = house.actor(login).authenticator
            authenticator.hold(authenticator.secret, step)
            assert house.command(login, "login", login, otp=True).returncode == 0
        refused(house, hers, "key was destroyed")
        refused(house, his, "key was destroyed")
        with contextlib.closing(sqlite3.connect(state / "gateway.sqlite")) as store, store:
            assert store.execute("select count(*) from sealing_keys").fetchone() == (0,)
        records = house.records()
        assert b"hers@x.fr" not in everything(house)
        assert b"HERS" not in everything(house)
        house.gateway.stop()
        verified(house)
        assert [one["kind"] for one in records].count("audit.erased") == 2


def refused(house: House, record: dict[str, Any], why: str) -> None:
    act = told(house, "carol", "audit", "unseal", str(record["index"]), "--reason", "why")
    told(house, "bob", "audit", "confirm", act["id"])
    done = house.command("carol", "audit", "carry-out", act["id"])
    assert done.returncode != 0
    assert why in done.stderr


def test_an_observed_target_is_no_different(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with open_observed(tmp_path, postgres) as house:
        for login in ("carol", "bob"):
            assert house.command(login, "login", login, otp=True).returncode == 0
        with house.connect() as connection:
            connection.execute(f"{LOOK}'{NEVER}@x.fr'")
            connection.execute(f"{LOOK}%s", (f"{NEVER}@x.fr",))
            connection.execute(f"update employees set email = email where email = '{NEVER}@x.fr'")
            connection.execute(f"do $$ begin perform '{NEVER}'; end $$")
        with house.connect(client_encoding="latin1") as connection:
            connection.execute(f"select '{NEVER} é'")
        asked = told(house, "carol", "audit", "ask", "subject", "--value", f"{NEVER}@x.fr")
        begun = [one for one in house.records() if one["kind"] == "statement.begin" and "sealed" in one]

        assert len(asked["rows"]) >= 3
        for record in begun:
            opened = unsealed(house, record)
            assert any(NEVER in one for one in [*opened["texts"], *opened["values"]]), (record, opened)
        assert NEVER.encode() not in everything(house)
