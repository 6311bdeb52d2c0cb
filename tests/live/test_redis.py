"""Two gateways that share a store, and what cannot wait in Redis: raced, flushed, frozen, watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, eventually
from nodes import call, open_nodes, sign_in
from redis_server import RedisServer, redis_server

from gateway.audit.verify import verify_log
from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres

OUT = "shared-state-unavailable"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture(scope="module")
def nodes(
    postgres: EmbeddedPostgres, server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[House]]:
    place = tmp_path_factory.mktemp("quick")
    with open_nodes(place, postgres, "quick_nodes", redis=server.settings()) as houses:
        yield houses


def states(house: House) -> list[str]:
    return [record["state"] for record in house.records() if record["kind"] == "redis.state"]


def well(nodes: list[House]) -> None:
    eventually(lambda: all(house.metric("gateway_redis_down") == 0 for house in nodes), patience_s=20)


def connect(house: House, opened: dict[str, Any]) -> psycopg.Connection[Any]:
    return psycopg.connect(**house.login_as(opened["user"], opened["password"]), autocommit=True)


def test_a_code_is_taken_once_by_all_together(nodes: list[House]) -> None:
    code = nodes[0].actor("alice").code()
    meet = threading.Barrier(6)

    def tried(number: int) -> int:
        meet.wait()
        return sign_in(nodes[number % 2], "alice", code).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(tried, range(6))) == [200, 401, 401, 401, 401, 401]


def test_a_code_that_was_used_is_refused_after_a_flush_too(nodes: list[House], server: RedisServer) -> None:
    code = nodes[0].actor("bob").code()
    assert sign_in(nodes[0], "bob", code).status_code == 200
    server.do("FLUSHALL")
    eventually(lambda: all("forgot" in states(house) for house in nodes), patience_s=20)
    well(nodes)
    for house in nodes:
        assert sign_in(house, "bob", code).status_code == 401
        refused = [record for record in house.records() if record["kind"] == "login"][-1]
        assert refused["reason"] == "replayed code"


def test_failures_at_both_lock_at_both_and_a_flush_gives_none_back(nodes: list[House], server: RedisServer) -> None:
    nodes[0].actor("carol")
    for number in range(7):
        assert sign_in(nodes[number % 2], "carol", "000000").status_code == 401
    codes = [one.get("code") for house in nodes for one in house.records() if one.get("login") == "carol"]
    assert codes.count("authentication-failed") >= 6
    assert "too-many-attempts" in codes

    def counted() -> dict[bytes, int]:
        with server.client() as client:
            return {key: int(client.hget(key, "n")) for key in client.keys("*:lane:*")}

    before = counted()
    assert max(before.values()) >= 6
    told = [states(house).count("forgot") for house in nodes]
    server.do("FLUSHALL")
    eventually(lambda: [states(house).count("forgot") for house in nodes] > told, patience_s=20)
    well(nodes)
    after = counted()
    assert all(after[key] >= number for key, number in before.items() if number)


def test_a_frozen_server_refuses_what_is_new_and_leaves_what_lives(nodes: list[House], server: RedisServer) -> None:
    one, other = nodes
    actor = one.actor("alice")
    opened = actor.open(TICKET)
    token = sign_in(one, "alice", actor.code()).json()["token"]
    with connect(other, opened) as living:
        living.execute("select 1")
        server.freeze()
        try:
            eventually(lambda: all(house.metric("gateway_redis_down") for house in nodes), patience_s=20)
            refused = sign_in(other, "bob", one.actor("bob").code())
            assert (refused.status_code, refused.json()["code"]) == (503, OUT)
            refused = call(one, "/open", {"ticket": TICKET}, token=token)
            assert (refused.status_code, refused.json()["code"]) == (503, OUT)
            with pytest.raises(psycopg.OperationalError, match="Redis"):
                connect(other, opened)
            # a live session goes on, and is still cut by what the store says
            assert living.execute("select count(*) from employees").fetchone() is not None
            assert call(one, f"/grants/{opened['grant']}/revoke", {"reason": "enough"}, token=token).status_code == 200

            def cut() -> bool:
                try:
                    living.execute("select 1")
                except psycopg.Error:
                    return True
                return False

            eventually(cut, patience_s=10)
        finally:
            server.thaw()
        well(nodes)
        assert sign_in(other, "bob", one.actor("bob").code()).status_code == 200
    for house in nodes:
        assert states(house)[-2:] == ["lost", "ready"]


def test_a_server_that_is_gone_is_told_and_comes_back(nodes: list[House], server: RedisServer) -> None:
    server.stop()
    eventually(lambda: all(house.metric("gateway_redis_down") for house in nodes), patience_s=20)
    refused = sign_in(nodes[0], "bob", nodes[0].actor("bob").code())
    assert refused.json()["code"] == OUT
    server.start()
    well(nodes)
    assert sign_in(nodes[1], "bob", nodes[0].actor("bob").code()).status_code == 200


def test_the_trail_of_each_holds_and_nothing_readable_lies_there(nodes: list[House], server: RedisServer) -> None:
    with server.client() as client:
        held = repr([(key, client.dump(key)) for key in client.keys("*")])
    assert "fence" in held
    for word in ("alice", "bob", "carol", "127.0.0.1", "demo.gateway"):
        assert word not in held
    for house in nodes:
        report = verify_log(house.company.state / "audit", (house.company.state / "audit.key.pub").read_text().strip())
        assert report.ok, report


def test_the_doctor_looks_at_it(nodes: list[House], server: RedisServer) -> None:
    said = nodes[0].command("alice", "doctor").stdout
    assert "redis: Redis" in said
    assert "set appendonly yes" in said
    server.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert "maxmemory-policy is `allkeys-lru`" in nodes[0].command("alice", "doctor").stdout
    finally:
        server.do("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_budget_is_one_for_all_together(postgres: EmbeddedPostgres, server: RedisServer, tmp_path: Path) -> None:
    limits = {"rows_per_day": 40, "rows_per_statement": 1000}
    with open_nodes(tmp_path, postgres, "quick_budgets", redis=server.settings(), limits=limits) as (one, other):
        opened = one.actor("alice").open(TICKET)
        with connect(one, opened) as here, connect(other, opened) as there:
            assert len(here.execute("select n from generate_series(1, 30) n").fetchall()) == 30

            def refused() -> bool:
                try:
                    there.execute("select n from generate_series(1, 1) n").fetchall()
                except psycopg.Error as error:
                    return "row-budget-exhausted" in str(error.diag.message_detail)
                return False

            # each try that is let through uses one row of the ten that are left: none is given twice
            tries = 0
            while not refused():
                tries += 1
                assert tries <= 10
                time.sleep(0.5)
            assert tries == 10
            eventually(lambda: is_refused(here), patience_s=10)


def is_refused(session: psycopg.Connection[Any]) -> bool:
    try:
        session.execute("select n from generate_series(1, 1) n")
    except psycopg.Error:
        return True
    return False
