"""Two gateways whose indexes are in one PostgreSQL database, over verified TLS: an auditor of one asks about both."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_fixture import House, open_house

from gateway.demo.postgres import EmbeddedPostgres

DATABASE, ROLE, PASSWORD = "audit_index", "audit_indexer", "index-password"


@pytest.fixture(scope="module")
def two(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, House]]:
    with postgres.connect(database="postgres") as owner:
        owner.execute(f"create role {ROLE} login password '{PASSWORD}'")
        owner.execute(f"create database {DATABASE} owner {ROLE}")
    place = tmp_path_factory.mktemp("two")
    secret = place / "index.password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    index = {
        "kind": "postgres", "host": "localhost", "port": postgres.port, "database": DATABASE, "user": ROLE,
        "password": {"file": str(secret)}, "tls": "verify-full", "ca": str(postgres.ca),
    }  # fmt: skip
    try:
        with (
            open_house(place / "one", postgres, settings={"origin": "one.example/1", "audit": {"index": index}}) as one,
            open_house(place / "two", postgres, settings={"origin": "two.example/1", "audit": {"index": index}}) as two,
        ):
            for house in (one, two):
                assert house.command("carol", "login", "carol", otp=True).returncode == 0
            yield one, two
    finally:
        with postgres.connect(database="postgres") as owner:
            owner.execute(f"drop database {DATABASE} with (force)")
            owner.execute(f"drop role {ROLE}")


def asked(house: House, *words: str) -> dict[str, Any]:
    done = house.command("carol", "--output", "json", "audit", *words)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def origins(answer: dict[str, Any]) -> set[str]:
    return {row["origin"] for row in answer["rows"]}


def test_an_auditor_of_one_learns_what_went_through_the_other(two: tuple[House, House]) -> None:
    one, other = two
    for house in two:
        with house.connect() as connection:
            connection.execute("select id, email from employees limit 3").fetchall()
    end = time.monotonic() + 20
    while origins(asked(one, "ask", "person", "--person", "alice", "--origin", "all")) != {
        "one.example/1",
        "two.example/1",
    }:
        assert time.monotonic() < end, "the other gateway's log never came"
        time.sleep(0.5)
    there = asked(one, "ask", "person", "--person", "alice", "--origin", "two.example/1")
    here = asked(other, "ask", "person", "--person", "alice")
    known = {row["record"] for row in here["rows"]}
    assert {row["record"] for row in there["rows"]} <= known
    assert any("not verified here" in note for note in there["notes"])
    logs = {log["origin"] for log in asked(one, "logs")["logs"]}
    assert logs == {"one.example/1", "two.example/1"}


def test_a_gateway_that_was_killed_is_answered_about_up_to_where_it_was_followed(two: tuple[House, House]) -> None:
    one, other = two
    before = asked(one, "ask", "person", "--person", "alice", "--origin", "two.example/1")
    other.gateway.kill()
    try:
        after = asked(one, "ask", "person", "--person", "alice", "--origin", "two.example/1")
        assert len(after["rows"]) >= len(before["rows"])
        # a proof is had from the log alone, and that one's gateway is away
        done = one.command("carol", "audit", "ask", "person", "--person", "alice", "--origin", "two.example/1",
                           "--export", str(one.company.directory / "export.ndjson"))  # fmt: skip
        assert done.returncode != 0
    finally:
        other.gateway.start()


def test_the_server_of_the_index_is_verified(
    postgres: EmbeddedPostgres, two: tuple[House, House], tmp_path: Path
) -> None:
    """By another name than the certificate's nothing is sent: the gateway starts, and questions are refused."""
    index = {
        "kind": "postgres", "host": "127.0.0.2", "port": postgres.port, "database": DATABASE, "user": ROLE,
        "password": {"file": str(two[0].company.directory.parent.parent / "index.password")},
        "tls": "verify-full", "ca": str(postgres.ca),
    }  # fmt: skip
    with open_house(tmp_path, postgres, settings={"audit": {"index": index}}) as house:
        assert house.command("carol", "login", "carol", otp=True).returncode == 0
        done = house.command("carol", "audit", "ask", "denials")
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        with house.connect() as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_an_index_whose_server_went_away_is_had_again_when_it_is_back(
    postgres: EmbeddedPostgres, two: tuple[House, House]
) -> None:
    one, _ = two
    assert asked(one, "ask", "denials")
    with postgres.connect(database="postgres") as owner:
        owner.execute(f"alter database {DATABASE} allow_connections false")
        owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (DATABASE,))
    try:
        done = one.command("carol", "audit", "ask", "denials")
        assert done.returncode != 0
        with one.connect() as connection:
            assert connection.execute("select count(*) from employees").fetchone() is not None
    finally:
        with postgres.connect(database="postgres") as owner:
            owner.execute(f"alter database {DATABASE} allow_connections true")
    assert asked(one, "ask", "denials")
