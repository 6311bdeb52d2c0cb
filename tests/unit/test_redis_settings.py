"""Which Redis may be named, which one is relied on, and that nobody who names none loads anything of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.budgets import DAY_S, Budgets, Used
from gateway.quick.line import trouble, unfit
from gateway.redis_settings import Redis

SECRET = {"env": "REDIS_PASSWORD"}
WELL = {"role": "master", "maxmemory_policy": "noeviction", "redis_mode": "standalone"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "redis.example.com:6380", "password": SECRET, "tls": "off"}, "loopback"),
        ({"host": "redis.example.com:6380"}, "password"),
        ({"host": "127.0.0.1:6380", "user": "gateway"}, "password"),
        ({"host": "redis.example.com"}, "host"),
        ({"host": "127.0.0.1:6380", "deadline": "1m"}, "deadline"),
        ({"host": "127.0.0.1:6380", "prefix": "a:b"}, "prefix"),
        ({"host": "127.0.0.1:6380", "url": "redis://x"}, "url"),
    ],
)
def test_a_server_that_is_not_guarded_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Redis.model_validate(given)


def test_a_guarded_server_and_one_on_this_machine_will_do() -> None:
    assert Redis.model_validate({"host": "redis.example.com:6380", "password": SECRET}).tls == "verify-full"
    assert Redis.model_validate({"host": "[::1]:6380", "tls": "off"}).place == ("::1", 6380)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"role": "slave"}, "replica"),
        ({"maxmemory_policy": "volatile-lru"}, "throws away"),
        ({"maxmemory_policy": None}, "throws away"),
        ({"redis_mode": "cluster"}, "cluster"),
        ({"role": None}, "replica"),
    ],
)
def test_what_a_server_says_of_itself_or_does_not_say_decides(facts: dict[str, Any], said: str) -> None:
    assert unfit(WELL) == ("", "")
    problem, mend = unfit(WELL | facts)
    assert said in problem
    assert mend


def test_nothing_of_what_was_asked_is_told() -> None:
    from redis.exceptions import ResponseError

    said = trouble(ResponseError("ERR wrong number of arguments for 'secret' command")).refusal
    assert "secret" not in f"{said.message} {said.hint} {said.detail}"


def test_who_names_no_server_loads_no_client() -> None:
    program = "import sys, gateway.server, gateway.cli.doctor_redis; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", program], check=False, timeout=120).returncode == 0


def test_of_two_ways_of_hearing_the_one_that_knows_of_more_counts() -> None:
    budgets = Budgets(lambda: DAY_S * 20_000.5)
    day = 20_000.0
    stored = [(day, [Used("p", "t", 10, 500, [], [DAY_S * 20_000.5])])]
    heard = [(day, [Used("p", "t", 30, 100, [], [])]), (day - 1, [Used("p", "t", 900, 900, [], [])])]
    budgets.reckon_with(stored, heard)
    assert budgets._rows.elsewhere == {("p", "t"): 30}
    assert budgets._bytes.elsewhere == {("p", "t"): 500}
    assert budgets._elsewhere["aggregations"] == {("p", "t"): [DAY_S * 20_000.5]}
    # what one way has forgotten, the other still counts
    budgets.reckon_with(stored, [])
    assert budgets._rows.elsewhere == {("p", "t"): 10}
