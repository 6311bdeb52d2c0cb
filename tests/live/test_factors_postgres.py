"""Security keys and master keys over a store in PostgreSQL that several gateways use at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from store_server import make_store, store_settings

from gateway.access.keys import Sealer
from gateway.access.masters import _opening, open_masters
from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import GatewayError
from gateway.store import passkeys, schema, sealed
from gateway.store.database import Connection
from gateway.store.passkeys import Ceremony, SecurityKey
from gateway.store.people import FactorRow, remove_old_factor
from gateway.store.postgres import PostgresDatabase
from gateway.store.sealed import FACTOR, PLACES

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OLD, NEW = b"k" * 32, b"n" * 32
PROCESSES = 6


@pytest.fixture
def handles(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[list[PostgresDatabase]]:
    """What as many gateways would have."""
    make_store(postgres, "factors")
    opened = [PostgresDatabase(store_settings(postgres, "factors", tmp_path)) for _ in range(PROCESSES)]
    yield opened
    for one in opened:
        one.close()


def at_once(handles: list[PostgresDatabase], function: Any, *arguments: Any) -> list[Any]:
    with ThreadPoolExecutor(len(handles)) as pool:
        waiting = [pool.submit(one.run_now, function, *arguments) for one in handles]
        return [one.result(timeout=60) for one in waiting]


def ceremony(**changed: Any) -> Ceremony:
    return Ceremony(b"p", b"c", "login", "alice", "p1", b"code", 3, "192.0.2.7", NOW + timedelta(minutes=3), **changed)


def test_each_step_of_a_ceremony_happens_once_whoever_tries(handles: list[PostgresDatabase]) -> None:
    handles[0].run_now(passkeys.insert, ceremony(), NOW)
    assert sum(at_once(handles, passkeys.spend_try, b"p")) == 3
    assert handles[0].run_now(passkeys.put_challenge, b"p", b"challenge")
    assert sum(at_once(handles, passkeys.take_challenge, b"p", b"challenge")) == 1
    assert sum(at_once(handles, passkeys.settle, b"p", "proved", b"id")) == 1
    assert sum(at_once(handles, passkeys.remove, b"c", "proved")) == 1
    assert handles[1].run_now(passkeys.find, page=b"p") is None


def test_a_counter_moves_once_and_a_key_is_enrolled_once(handles: list[PostgresDatabase]) -> None:
    key = SecurityKey(b"id", "p1", b"public", 4, "first key", NOW)
    assert sum(at_once(handles, passkeys.enrol, key, None, ())) == 1
    assert sum(at_once(handles, passkeys.use_key, key, 5, NOW)) == 1
    assert handles[0].run_now(passkeys.keys_of, "p1")[0].sign_count == 5


def test_a_reset_that_a_restored_store_forgot_takes_keys_too(handles: list[PostgresDatabase]) -> None:
    key = SecurityKey(b"id", "p1", b"public", 4, "first key", NOW)
    handles[0].run_now(passkeys.enrol, key, None, ())
    assert not handles[0].run_now(remove_old_factor, "p1", NOW - timedelta(seconds=1))
    assert handles[0].run_now(remove_old_factor, "p1", NOW)
    assert not handles[0].run_now(passkeys.has_key, "p1")


def test_gateways_that_start_at_once_agree_on_the_root_and_refuse_another_key(
    handles: list[PostgresDatabase],
) -> None:
    with ThreadPoolExecutor(len(handles)) as pool:
        found = list(pool.map(lambda one: open_masters((OLD,), one, secrets.token_bytes), handles))
    assert {one.root for one in found} == {OLD}
    with pytest.raises(GatewayError, match="master key"):
        open_masters((NEW,), handles[0], secrets.token_bytes)


def test_several_rotations_at_once_seal_everything_anew_and_lose_nothing(handles: list[PostgresDatabase]) -> None:
    old = Sealer((OLD,), FACTOR)

    def fill(connection: Connection) -> None:
        for number in range(50):
            row = FactorRow(f"p{number}", "totp", old.seal(b"secret", f"p{number}", secrets.token_bytes), NOW, 1)
            connection.execute(
                schema.factors.insert().values(
                    person=row.person, kind=row.kind, sealed=row.sealed, enrolled_at=NOW, last_step=1
                )
            )

    handles[0].run_now(fill)
    place = next(n for n, one in enumerate(PLACES) if one.sealed.table is schema.factors)

    def rotate(one: PostgresDatabase) -> None:
        after, opened = None, _opening((NEW, OLD), secrets.token_bytes)
        while True:
            after = one.run_now(sealed.pass_over, place, after, 7, opened, change=True).last
            if after is None:
                return

    with ThreadPoolExecutor(len(handles)) as pool:
        list(pool.map(rotate, handles))
    new = Sealer((NEW,), FACTOR)
    rows = handles[1].run_now(lambda connection: connection.execute(sa.select(schema.factors)).all())
    assert len(rows) == 50
    assert {new.open(row.sealed, row.person) for row in rows} == {(b"secret", False)}
