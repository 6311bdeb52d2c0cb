"""A gateway whose store was put back from an old copy while it was stopped: what had ended stays so."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import psycopg
import pytest
from gateway_fixture import House, eventually, open_house
from nodes import call, sign_in

from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import GatewayError


def copied(source: Path, target: Path) -> None:
    """A copy as a backup makes it, with all that is committed."""
    with (
        contextlib.closing(sqlite3.connect(source)) as there,
        there,
        contextlib.closing(sqlite3.connect(target)) as here,
        here,
    ):
        there.backup(here)
    there.close()
    here.close()


def put_back(house: House, copy: Path) -> None:
    for left in house.company.state.glob("gateway.sqlite*"):
        left.unlink()
    copied(copy, house.company.state / "gateway.sqlite")


def test_an_old_copy_of_the_store_brings_nothing_back(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with open_house(tmp_path / "house", postgres) as house:
        alice, amir = house.actor("alice"), house.actor("amir")
        opened = house.opened()
        token = sign_in(house, "amir", amir.code()).json()["token"]
        copied(house.company.state / "gateway.sqlite", tmp_path / "copy.sqlite")
        # after the copy: a revocation, a sign-out, a reset
        alice.revoke(opened["grant"], "enough")
        assert call(house, "/sign-out", {}, token=token).status_code == 204
        assert house.command("bob", "login", "bob", otp=True).returncode == 0
        assert house.command("bob", "people", "reset", "amir").returncode == 0
        house.gateway.stop()
        put_back(house, tmp_path / "copy.sqlite")
        house.gateway.start()
        (told,) = [record for record in house.records() if record["kind"] == "store.restored"]
        assert told["reason"] == "all that gave access was ended"
        with pytest.raises(psycopg.OperationalError):
            house.connect()
        assert call(house, "/grants", token=token).status_code == 401
        # the authenticator that was taken away is not one again, however fresh its code
        with pytest.raises(GatewayError):
            amir.sign_in()
        eventually(
            lambda: any(one["kind"] == "security.alert" and one["rule"] == "store-restored" for one in house.records())
        )


def test_a_stop_a_crash_and_a_start_are_no_restoring(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with open_house(tmp_path / "house", postgres) as house:
        house.opened()
        house.gateway.stop()
        house.gateway.start()
        with house.connect() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        house.gateway.kill()
        house.gateway.start()
        with house.connect() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert not [record for record in house.records() if record["kind"] == "store.restored"]


def test_a_store_that_is_gone_is_told_as_one_that_went_back(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with open_house(tmp_path / "house", postgres) as house:
        house.opened()
        house.gateway.stop()
        for left in house.company.state.glob("gateway.sqlite*"):
            left.unlink()
        house.gateway.start()
        assert [record["kind"] for record in house.records()].count("store.restored") == 1
        house.gateway.stop()
        house.gateway.start()
        assert [record["kind"] for record in house.records()].count("store.restored") == 1
