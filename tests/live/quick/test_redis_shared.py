"""What gateways share in Redis, against a real server that is flushed, restarted, frozen, replaced: it never forgets to
say no.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_server import PASSWORD, RedisServer, Road, redis_server

from gateway import certificates
from gateway.access.keys import Keys
from gateway.access.lockout import Lockouts
from gateway.access.values import AccessSettings
from gateway.errors import GatewayError
from gateway.ports import Lane
from gateway.quick.shared import Shared
from gateway.redis_settings import Redis
from gateway.settings import Secret
from gateway.store import lanes as kept
from gateway.store.database import Database

SETTINGS = AccessSettings(b"k" * 32)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_names = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture(autouse=True)
def well(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "server" in request.fixturenames:
        one = request.getfixturevalue("server")
        one.thaw()
        if one.process is None:
            one.start()
        one.do("REPLICAOF", "NO", "ONE")
        one.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
        one.do("CONFIG", "SET", "maxmemory", "0")


@dataclass
class World:
    """A store, and gateways on it that share a server."""

    database: Database
    prefix: str
    now: datetime = NOW
    told: list[tuple[str, str]] = field(default_factory=list)

    def states(self) -> list[str]:
        return [state for state, _ in self.told]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(tmp_path / "store.sqlite")
    yield World(database, f"test{next(_names)}")
    database.close()


def settings_of(server: RedisServer, world: World, **more: Any) -> Redis:
    given: dict[str, Any] = {
        "host": f"localhost:{server.port}", "password": Secret(file=server.place / "redis.password"),
        "ca": server.place / "ca.pem", "prefix": world.prefix, "deadline": 5.0,
    }  # fmt: skip
    return Redis(**(given | more))


def made(settings: Redis, world: World) -> Shared:
    return Shared(
        settings, world.database, Keys(b"k" * 32), forget_s=3600.0, clock=lambda: world.now, token=os.urandom,
        told=lambda state, reason: world.told.append((state, reason)),
    )  # fmt: skip


@asynccontextmanager
async def gateway(server: RedisServer, world: World, *, runs: bool = True, **more: Any) -> AsyncIterator[Shared]:
    shared = made(settings_of(server, world, **more), world)
    await shared.start()
    work = asyncio.get_running_loop().create_task(shared.run()) if runs else None
    try:
        yield shared
    finally:
        if work is not None:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        await shared.close()


LANE = Lane("login alice", SETTINGS.lock_free, SETTINGS.lock_max_s)
HOST = Lane("address 192.0.2.1", SETTINGS.address_free, SETTINGS.address_max_s)


async def fail(shared: Shared, world: World, *lanes: Lane) -> bool:
    """One failed attempt; False when it was refused."""
    return not isinstance(await shared.charge(lanes or (LANE,), world.now, SETTINGS.lock_base_s), datetime)


async def refused(shared: Shared, world: World) -> str:
    with pytest.raises(GatewayError) as caught:
        await fail(shared, world)
    return caught.value.code


async def refused_for_now_or_for_good(shared: Shared, world: World) -> None:
    """Whether it knew already what the server lost, had it from the other gateway, or learns now: no attempt more."""
    codes = []
    try:
        assert not await fail(shared, world)
    except GatewayError as refusal:
        codes.append(refusal.code)
        await until(lambda: shared.outage is None)
        assert not await fail(shared, world)
    assert codes in ([], ["shared-state-unavailable"])


async def until(done: Any, patience_s: float = 20.0) -> None:
    async with asyncio.timeout(patience_s):
        while not done():  # noqa: ASYNC110 (whatever it is that comes)
            await asyncio.sleep(0.02)


async def test_the_waits_are_those_of_one_gateway_alone(server: RedisServer, world: World) -> None:
    rules = Lockouts(SETTINGS, lambda: world.now, [], lambda *_: None)
    async with gateway(server, world, runs=False) as shared:
        for number in range(18):
            locked = await shared.charge((LANE,), world.now, SETTINGS.lock_base_s)
            if number <= SETTINGS.lock_free:
                assert not isinstance(locked, datetime)
                continue
            assert locked == world.now + timedelta(seconds=rules.delay_s(LANE.name, number))
            world.now = locked
            assert not isinstance(await shared.charge((LANE,), world.now, SETTINGS.lock_base_s), datetime)


async def test_what_is_refused_is_not_counted_and_a_quiet_hour_forgets(server: RedisServer, world: World) -> None:
    async with gateway(server, world, runs=False) as shared:
        assert [await fail(shared, world) for _ in range(9)] == [True] * 6 + [False] * 3
        world.now += timedelta(seconds=2)
        assert await fail(shared, world)
        assert not await fail(shared, world)
        world.now += timedelta(hours=1, seconds=1)
        assert [await fail(shared, world) for _ in range(6)] == [True] * 6


async def test_a_success_clears_the_login_and_gives_the_address_back(server: RedisServer, world: World) -> None:
    async with gateway(server, world, runs=False) as shared:
        host = Lane(HOST.name, 1, 60.0)
        for _ in range(3):
            before = await shared.charge((LANE, host), world.now, 2.0)
            assert not isinstance(before, datetime)
            await shared.give_back((LANE.name, host.name), before, world.now, proved=True)
        assert await fail(shared, world, LANE, host)
        assert await fail(shared, world, LANE, host)
        assert not await fail(shared, world, LANE, host)


async def test_failures_at_two_gateways_count_together(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as one, gateway(server, world) as other:
        taken = await asyncio.gather(*(fail(shared, world) for shared in (one, other) * 10))
        assert taken.count(True) == SETTINGS.lock_free + 1


async def test_of_many_who_use_a_code_one_does(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as one, gateway(server, world) as other:
        for step in (100, 101):
            used = await asyncio.gather(*(shared.use_step("p1", step) for shared in (one, other) * 10))
            assert used.count(True) == 1
        assert await one.use_step("p2", 100)


async def test_the_counts_are_in_the_store_a_moment_later(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as shared:
        for _ in range(4):
            await fail(shared, world, LANE, HOST)
        expected = {(LANE.name, 4, NOW), (HOST.name, 4, NOW)}
        await until(lambda: set(world.database.run_now(kept.since, NOW)) == expected)


async def test_after_an_outage_of_the_store_all_that_failed_meanwhile_is_written(
    server: RedisServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(server, world, runs=False) as shared:
        well_again = world.database.run

        async def out(*_: Any) -> Any:
            raise GatewayError("store-unavailable", "the gateway's store cannot be used")

        monkeypatch.setattr(world.database, "run", out)
        for number in range(1_200):
            await fail(shared, world, LANE._replace(name=f"login {number}"))
        with pytest.raises(GatewayError):
            await shared._write()
        monkeypatch.setattr(world.database, "run", well_again)
        await shared._write()
        assert len(world.database.run_now(kept.since, NOW)) == 1_200


async def test_what_was_flushed_is_brought_back_from_the_store(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as one, gateway(server, world) as other:
        while await fail(one, world):
            pass
        server.do("FLUSHALL")
        for shared in (one, other):
            await refused_for_now_or_for_good(shared, world)
        assert "forgot" in world.states()


async def test_who_flushes_again_and_again_gets_no_more_attempts(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as shared:
        taken = 0
        for _ in range(12):
            try:
                taken += await fail(shared, world)
            except GatewayError:
                await until(lambda: shared.outage is None)
            server.do("FLUSHALL")
        await until(lambda: shared.outage is None)
        for _ in range(12):
            try:
                taken += await fail(shared, world)
            except GatewayError:
                await until(lambda: shared.outage is None)
        assert taken == SETTINGS.lock_free + 1


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_restart_gives_no_attempt_back(tmp_path: Path, world: World, persistent: bool) -> None:
    with redis_server(tmp_path, persistent=persistent) as own:
        async with gateway(own, world) as shared:
            while await fail(shared, world):
                pass
            await asyncio.to_thread(own.stop)
            assert await refused(shared, world) == "shared-state-unavailable"
            await asyncio.to_thread(own.start)
            await until(lambda: shared.outage is None)
            assert not await fail(shared, world)
            assert ("forgot" in world.states()) is not persistent


async def test_an_older_copy_that_takes_over_gives_no_attempt_back(tmp_path: Path, world: World) -> None:
    with redis_server(tmp_path, "first") as first, redis_server(tmp_path, "second") as second:
        road = Road(first.port)
        async with (
            gateway(first, world, host=f"localhost:{road.port}") as one,
            gateway(first, world, host=f"localhost:{road.port}") as other,
        ):
            assert await fail(one, world)
            second.do("REPLICAOF", "localhost", first.port)
            await until(lambda: second.do("DBSIZE") == first.do("DBSIZE"))
            second.do("REPLICAOF", "NO", "ONE")
            while await fail(one, world):
                pass
            # `other` has seen nothing of what the copy lacks: the store has
            road.target = second.port
            road.hang_up()
            for shared in (other, one):
                await refused_for_now_or_for_good(shared, world)
            assert "forgot" in world.states()
        road.close()


async def test_an_older_copy_under_a_living_line_is_noticed(server: RedisServer, world: World) -> None:
    async with gateway(server, world, runs=False) as shared:
        with server.client() as client:
            kept_back = {key: client.dump(key) for key in client.keys(f"{{{world.prefix}}}*")}
            assert await fail(shared, world)
            for key in client.keys(f"{{{world.prefix}}}*"):
                client.delete(key)
            for key, value in kept_back.items():
                client.restore(key, 0, value)
        assert await refused(shared, world) == "shared-state-unavailable"


def frozen(server: RedisServer, road: Road) -> Any:
    server.freeze()
    return server.thaw


def held_up(server: RedisServer, road: Road) -> Any:
    road.blocked = True
    return lambda: setattr(road, "blocked", False)


def cut_off(server: RedisServer, road: Road) -> Any:
    before, road.target = road.target, 1
    road.hang_up()
    return lambda: setattr(road, "target", before)


@pytest.mark.parametrize("trouble", [frozen, held_up, cut_off])
async def test_a_server_that_does_not_answer_lets_nobody_try_and_comes_back(
    server: RedisServer, world: World, trouble: Any
) -> None:
    road = Road(server.port)
    async with gateway(server, world, host=f"localhost:{road.port}", deadline=2.0) as shared:
        assert await fail(shared, world)
        mend = trouble(server, road)
        try:
            assert await refused(shared, world) == "shared-state-unavailable"
            # who comes later is told at once, not after the deadline
            for _ in range(50):
                assert await refused(shared, world) == "shared-state-unavailable"
            with pytest.raises(GatewayError):
                await shared.use_step("p1", 1)
        finally:
            mend()
        await until(lambda: shared.outage is None)
        # what lay before the server when it froze may count after all: never the other way round
        assert [await fail(shared, world) for _ in range(6)].count(True) in (4, 5)
        assert world.states()[-2:] == ["lost", "ready"]
        assert "forgot" not in world.states()
    road.close()


async def test_who_hangs_up_in_the_midst_of_a_question_disturbs_nobody(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as shared:
        for number in range(50):
            asked = asyncio.ensure_future(shared.use_step("p1", number))
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            assert await shared.use_step("p2", number)
        assert world.states() == ["ready"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"), "maxmemory-policy is `allkeys-lru`"),
        (("REPLICAOF", "localhost", "1"), "replica"),
    ],
)
async def test_a_server_that_cannot_be_relied_on_is_refused_at_the_start_and_later(
    server: RedisServer, world: World, change: tuple[str, ...], said: str
) -> None:
    async with gateway(server, world) as shared:
        server.do(*change)
        with pytest.raises(GatewayError, match=said) as caught:
            await made(settings_of(server, world), world).start()
        assert caught.value.code == "configuration-invalid"
        await until(lambda: shared.outage is not None and said in shared.outage.message)
        assert await refused(shared, world) == "shared-state-unavailable"
        server.do("REPLICAOF", "NO", "ONE")
        server.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await until(lambda: shared.outage is None)


async def test_what_was_evicted_between_two_looks_is_brought_back(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as shared:
        while await fail(shared, world):
            pass
        server.do("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        server.do("CONFIG", "SET", "maxmemory", "1")
        await until(lambda: int(evicted(server)) > 0)
        server.do("CONFIG", "SET", "maxmemory", "0")
        server.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await until(lambda: "lost" in world.states() and shared.outage is None)
        assert not await fail(shared, world)


def evicted(server: RedisServer) -> int:
    with server.client() as client:
        with contextlib.suppress(redis.RedisError):
            client.set("another", "x")
        return int(client.info("stats")["evicted_keys"])


async def test_a_server_that_is_full_lets_nobody_try(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as shared:
        server.do("CONFIG", "SET", "maxmemory", "1")
        assert await refused(shared, world) == "shared-state-unavailable"
        server.do("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: shared.outage is None)
        assert await fail(shared, world)


async def test_who_cannot_be_reached_at_the_start_is_waited_for(server: RedisServer, world: World) -> None:
    server.stop()
    async with gateway(server, world) as shared:
        assert shared.outage is not None
        assert await refused(shared, world) == "shared-state-unavailable"
        await asyncio.to_thread(server.start)
        await until(lambda: shared.outage is None)
        assert await fail(shared, world)
        assert world.states() == ["lost", "ready"]


async def test_wrong_secrets_names_and_authorities_are_told_as_that(
    server: RedisServer, world: World, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(0o600)
    wrong.write_text("wrong")
    strange = tmp_path / "ca.pem"
    strange.write_bytes(certificates.issue("Another", ["localhost"]).ca)
    for more, said in (
        ({"password": Secret(file=wrong)}, "neither the user nor the password"),
        ({"password": None}, "neither the user nor the password"),
        ({"ca": strange}, "cannot be trusted"),
        ({"host": f"127.0.0.1:{server.port}"}, "cannot be trusted"),
    ):
        with pytest.raises(GatewayError, match=said) as caught:
            await made(settings_of(server, world, **more), world).start()
        assert caught.value.code == "configuration-invalid"
        assert "wrong" not in str(caught.value)


async def test_news_wake_the_other_and_a_lost_line_does_too(server: RedisServer, world: World) -> None:
    road = Road(server.port)
    async with gateway(server, world) as one, gateway(server, world, host=f"localhost:{road.port}") as other:
        await asyncio.wait_for(other.news(), 20)
        one.tell()
        await asyncio.wait_for(other.news(), 20)
        # what was said meanwhile is not known, so who hears again looks
        road.hang_up()
        await asyncio.wait_for(other.news(), 20)
    road.close()


async def test_what_lies_there_and_passes_by_says_nothing(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as shared:
        with server.client() as spy, spy.monitor() as watch:
            secret = Lane("login zacharias", 5, 900.0), Lane("address 203.0.113.77", 30, 60.0)
            before = await shared.charge(secret, world.now, 2.0)
            assert not isinstance(before, datetime)
            await shared.use_step("person-zacharias", 57_000_000)
            await shared.share("demo.gateway.example/1", b'{"person": "person-zacharias"}')
            spy_end = f"end-{world.prefix}"
            server.do("ECHO", spy_end)
            seen = []
            while not seen or spy_end not in seen[-1]:
                seen.append(watch.next_command()["command"])
        with server.client() as client:
            held = [client.dump(key) + key for key in client.keys("*")]
    text = "\n".join(seen) + "".join(map(repr, held))
    assert "EVAL" in text
    assert world.prefix in text
    for word in ("zacharias", "203.0.113", PASSWORD, "57000000", "gateway.example", "person"):
        assert word not in text


async def test_budgets_are_heard_and_a_forged_one_says_nothing(server: RedisServer, world: World) -> None:
    async with gateway(server, world) as one, gateway(server, world) as other:
        await one.share("a", b"used by a")
        server.do("HSET", f"{{{world.prefix}}}:shares", "forged", b"x" * 64)
        assert sorted(await other.share("b", b"used by b")) == [b"used by a", b"used by b"]
        assert sorted(await one.share("a", b"")) == [b"used by a", b"used by b"]


async def test_a_user_with_few_rights_is_enough(server: RedisServer, world: World, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("few")
    rights = "+eval +info +publish +subscribe +unsubscribe +hmget +hset +hvals +hincrby +pexpire +del +set"
    names = f"~{{{world.prefix}}}:*", f"&{{{world.prefix}}}:*"
    server.do("ACL", "SETUSER", "few", "reset", "on", ">few", *names, *rights.split())
    more = {"user": "few", "password": Secret(file=secret)}
    async with gateway(server, world, **more) as one, gateway(server, world, **more) as other:
        before = await one.charge((LANE,), world.now, 2.0)
        assert not isinstance(before, datetime)
        await one.give_back((LANE.name,), before, world.now, proved=True)
        assert await fail(one, world)
        assert await one.use_step("p1", 1)
        assert await one.share("a", b"x") == [b"x"]
        await asyncio.wait_for(other.news(), 20)
        one.tell()
        await asyncio.wait_for(other.news(), 20)
        server.do("FLUSHALL")
        await until(lambda: "forgot" in world.states() and one.outage is None)
        assert await fail(one, world)
