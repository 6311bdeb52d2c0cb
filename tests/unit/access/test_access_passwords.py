"""Passwords are argon2id, and checking them never gets in the loop's way."""

from __future__ import annotations

import asyncio
import os
import threading

import argon2
import pytest

from gateway.access.passwords import PasswordPool, dummy_hash, hash_password, is_hash, verify_password

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def test_a_hash_is_argon2id_and_verifies_its_password_only() -> None:
    stored = hash_password("correct horse")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert is_hash(stored)
    assert verify_password(stored, "correct horse")
    assert not verify_password(stored, "correct horse ")
    assert hash_password("correct horse") != stored


def test_the_same_password_from_another_keyboard_is_the_same() -> None:
    stored = hash_password("caf\u00e9 \u2460")
    assert verify_password(stored, "cafe\u0301 1")


@pytest.mark.parametrize("password", ["", "x" * 1025])
def test_empty_and_endless_passwords_are_refused(password: str) -> None:
    with pytest.raises(ValueError, match="1 to 1024"):
        hash_password(password)
    assert not verify_password(CHEAP.hash("x"), password)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "$2b$12$abcdefghijklmnopqrstuv",
        pytest.param(
            argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=argon2.Type.I).hash("x"), id="argon2i"
        ),
        "$argon2id$v=19$m=99999999,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
        "$argon2id$v=19$m=65536,t=9999,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
    ],
)
def test_what_is_no_argon2id_hash_of_reasonable_cost_is_none(text: str) -> None:
    assert not is_hash(text)


def test_the_dummy_costs_what_most_hashes_cost_and_matches_nothing() -> None:
    cheap = [CHEAP.hash("x"), CHEAP.hash("y")]
    dummy = dummy_hash([*cheap, hash_password("z")])
    assert is_hash(dummy)
    assert dummy.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert not verify_password(dummy, "x")
    assert dummy_hash([]).startswith("$argon2id$v=19$m=65536,t=3,p=1$")


async def test_the_loop_keeps_turning_while_passwords_are_checked() -> None:
    pool = PasswordPool(1, 64, 64)
    stored = hash_password("x")
    turns = 0
    try:
        checks = asyncio.gather(*(pool.run("192.0.2.1", verify_password, stored, "y") for _ in range(5)))
        while not checks.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert await checks == [False] * 5
    finally:
        pool.close()
    assert turns >= 25


async def test_the_waiting_room_and_each_addresss_share_of_it_are_bounded() -> None:
    pool = PasswordPool(1, 3, 2)
    gate = threading.Event()
    try:
        assert not pool.full("a")
        tasks = [asyncio.create_task(pool.run(host, gate.wait, 5)) for host in ("a", "a", "b")]
        await asyncio.sleep(0)
        assert pool.full("a")
        assert not pool.full("b")
        tasks.append(asyncio.create_task(pool.run("c", gate.wait, 5)))
        await asyncio.sleep(0)
        assert pool.full("d")
        gate.set()
        assert await asyncio.gather(*tasks) == [True] * 4
        assert not pool.full("a")
    finally:
        gate.set()
        pool.close()


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="thread priorities are Linux's")
async def test_workers_yield_to_the_loop() -> None:
    pool = PasswordPool(1, 1, 1)

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    try:
        assert await pool.run("a", niceness) == max(10, before)
        assert niceness() == before
    finally:
        pool.close()
