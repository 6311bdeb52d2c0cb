"""What is erased is gone, stays gone on restored backups, and the trail verifies all the same."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from datetime import timedelta

import pytest
from literal_world import NOW, World, later

from gateway.errors import GatewayError
from gateway.model import AccessRequest, Grant, GrantState, RequestState
from gateway.store import access as rows
from gateway.store.sealing import ERASED

EMAIL, OTHER = "alice.martin@exemple.fr", "bob@exemple.fr"
LOOK = "SELECT id FROM people WHERE email = '{}'"


def gone(world: World, record: dict) -> bool:
    found = world.opened(record)
    return getattr(found, "code", "") == "not-found"


def erase_customer(world: World, customer: str) -> dict:
    return world.act("erase", customer=customer)


def erase_person(world: World, value: str) -> dict:
    return world.act("erase", private=value, subject="a keyed digest")


def test_a_customers_literals_cannot_be_opened_any_more_and_the_tree_verifies(world):
    mine, theirs, both = (
        world.ask(world.enter(*names), LOOK.format(EMAIL)) for names in (("42",), ("43",), ("42", "43"))
    )

    assert erase_customer(world, "42") == {"customer": "42", "keys": 2, "requests": 0}
    assert gone(world, mine)
    assert gone(world, both)
    assert world.opened(theirs)["texts"] == [LOOK.format(EMAIL)]
    [record] = world.records("audit.erased")
    assert record["customers"] == ["42"]
    assert len(record["keys"]) == record["count"] == 2
    assert (record["asked_by"], record["confirmed_by"]) == ("u8", "u9")
    # his tokens can be made by nobody
    assert mine["subjects"] not in world.literals.tokens(EMAIL)
    assert theirs["subjects"] in world.literals.tokens(EMAIL)
    world.close()
    assert world.verified()


def test_what_a_customer_is_given_afterwards_is_sealed_under_new_keys(world):
    inside = world.enter()
    before = world.ask(inside, LOOK.format(EMAIL))
    erase_customer(world, "42")
    after = world.ask(inside, LOOK.format(EMAIL))

    assert gone(world, before)
    assert world.opened(after)["texts"] == [LOOK.format(EMAIL)]
    assert before["subjects"] != after["subjects"]


def test_a_persons_literals_are_overwritten_and_nobody_elses(world):
    inside, elsewhere = world.enter(), world.enter("43")
    hers = [world.ask(one, LOOK.format(EMAIL)) for one in (inside, elsewhere)]
    hers.append(world.ask(inside, "SELECT id FROM people WHERE email = $1", EMAIL.upper()))
    his = world.ask(inside, LOOK.format(OTHER))

    assert erase_person(world, EMAIL) == {"records": 3, "blobs": 3, "requests": 0}
    assert [world.opened(one).message for one in hers] == ["the literals were erased"] * 3
    assert world.opened(his)["texts"] == [LOOK.format(OTHER)]
    [record] = world.records("audit.erased")
    assert sorted(record["tokens"]) == sorted({one["subjects"] for one in hers})
    assert EMAIL.encode() not in world.everything_on_disk()
    world.close()
    assert world.verified()


def test_a_blob_that_was_not_written_yet_is_erased_too(world):
    record = world.ask(world.enter(), LOOK.format(EMAIL))

    assert erase_person(world, EMAIL)["blobs"] == 1
    assert gone(world, record)


def test_nobody_of_that_name_is_an_erasure_all_the_same(world):
    assert erase_person(world, "nobody@exemple.fr") == {"records": 0, "blobs": 0, "requests": 0}
    assert [one["count"] for one in world.records("audit.erased")] == [0]


@pytest.mark.parametrize("what", ["customer", "person"])
def test_a_restored_backup_of_store_and_files_loses_it_again(worlds, tmp_path, what):
    world = worlds()
    record = world.ask(world.enter(), LOOK.format(EMAIL))
    other = world.ask(world.enter("43"), LOOK.format(OTHER))
    world.everything_on_disk()
    backup = tmp_path / "backup"
    backup.mkdir()
    shutil.copytree(world.directory / "sealed", backup / "sealed")
    with (
        contextlib.closing(sqlite3.connect(world.directory / "gateway.sqlite")) as live,
        live,
        contextlib.closing(sqlite3.connect(backup / "store")) as copy,
        copy,
    ):
        live.backup(copy)
    if what == "customer":
        erase_customer(world, "42")
    else:
        erase_person(world, EMAIL)
    world.close()

    # everything but the trail is put back, as somebody would who wants it to be readable again
    shutil.rmtree(world.directory / "sealed")
    shutil.copytree(backup / "sealed", world.directory / "sealed")
    for path in world.directory.glob("gateway.sqlite*"):
        path.unlink()
    shutil.copy(backup / "store", world.directory / "gateway.sqlite")
    again = worlds()

    assert gone(again, record)
    assert again.opened(other)["texts"] == [LOOK.format(OTHER)]
    assert not erased_anything(again)
    again.close()
    assert again.verified()


def erased_anything(world: World) -> bool:
    return world.run(world.literals.erasing.again()) > 0


def test_files_that_were_looked_through_are_not_read_again_until_they_change(worlds, tmp_path):
    world = worlds()
    record = world.ask(world.enter(), LOOK.format(EMAIL))
    world.literals.seals.blobs.flush()
    [path] = world.literals.seals.blobs.files()
    shutil.copy(path, tmp_path / "copy")
    erase_person(world, EMAIL)
    world.close()
    read = []
    second = worlds()
    skipping = second.literals.seals.blobs.destroy
    second.literals.seals.blobs.destroy = lambda wanted, *, skip: skipping(  # type: ignore[method-assign]
        wanted, skip=lambda one: skip(one) or read.append(one.name) is not None
    )

    assert not erased_anything(second)
    assert read == []
    shutil.copy(tmp_path / "copy", path)
    assert erased_anything(second)
    assert read == [path.name]
    assert gone(second, record)


def test_nothing_is_opened_before_erasures_are_carried_out_again(world):
    record = world.ask(world.enter(), LOOK.format(EMAIL))
    world.literals.settled = False

    assert world.opened(record).code == "store-unavailable"
    assert world.records("audit.unsealed") == []


def test_a_crash_between_the_record_and_the_deed_is_made_up_for(worlds):
    world = worlds()
    record = world.ask(world.enter(), LOOK.format(EMAIL))

    async def fails(*_args, **_options):
        raise GatewayError("store-unavailable", "the gateway's store cannot be used")

    world.literals.erasing._database = type("Broken", (), {"run": fails})()
    with pytest.raises(GatewayError):
        erase_customer(world, "42")
    assert len(world.records("audit.erased")) == 1
    world.close()

    assert gone(worlds(), record)


def test_an_older_key_that_the_record_could_not_know_goes_too(worlds):
    world = worlds()
    record = world.ask(world.enter(), LOOK.format(EMAIL))
    world.everything_on_disk()
    with contextlib.closing(sqlite3.connect(world.directory / "gateway.sqlite")) as store, store:
        kept = store.execute("SELECT * FROM sealing_keys").fetchall()
        store.execute("DELETE FROM sealing_keys")
    erase_customer(world, "42")
    world.close()
    with contextlib.closing(sqlite3.connect(world.directory / "gateway.sqlite")) as store, store:
        store.executemany("INSERT INTO sealing_keys VALUES (?, ?, ?, ?, ?, ?)", kept)

    assert gone(worlds(), record)


def test_destroyed_keys_are_not_in_the_stores_files_any_more(world):
    world.ask(world.enter(), LOOK.format(EMAIL))
    with contextlib.closing(sqlite3.connect(world.directory / "gateway.sqlite")) as store, store:
        wrapped = [row[0] for row in store.execute("SELECT wrapped FROM sealing_keys")]
    before = world.everything_on_disk()
    erase_customer(world, "42")
    after = world.everything_on_disk()

    assert all(one in before for one in wrapped)
    assert not any(one in after for one in wrapped)


# time


def test_keys_and_files_go_when_their_time_is_over(worlds):
    world = worlds(days=90)
    inside = world.enter()
    first = world.ask(inside, LOOK.format(EMAIL))
    world.now = later(days=3)
    second = world.ask(inside, LOOK.format(EMAIL))
    world.literals.seals.blobs.flush()
    world.now = NOW.replace(month=12, day=1) + timedelta(days=89)
    assert world.run(world.literals.erasing.expire()) == 0
    world.now += timedelta(days=1)

    assert world.run(world.literals.erasing.expire()) == 1
    assert gone(world, first)
    assert world.opened(second)["texts"] == [LOOK.format(EMAIL)]
    assert world.literals.seals.blobs.months() == ["2026-12"]
    [record] = world.records("audit.expired")
    assert (record["months"], record["count"]) == (["2026-11"], 1)
    assert world.run(world.literals.erasing.expire()) == 0
    # who was looked up can still be told
    assert world.literals.tokens(EMAIL) == [first["subjects"]]


# statements of requests


def test_statements_of_ended_requests_are_taken_out_of_the_store(world):
    def keep(connection):
        for number, (customers, state, grant_state, text) in enumerate([
            (("42",), RequestState.APPROVED, GrantState.EXPIRED, f"UPDATE people SET email = '{EMAIL}'"),
            (("42",), RequestState.APPROVED, GrantState.ACTIVE, f"UPDATE people SET city = '{EMAIL}'"),
            (("43",), RequestState.APPROVED, GrantState.REVOKED, f"DELETE FROM people WHERE email = '{EMAIL}'"),
            (("43",), RequestState.APPROVED, GrantState.REVOKED, "DELETE FROM people WHERE id = 3"),
            ((), RequestState.PENDING, None, f"DELETE FROM people WHERE email = '{EMAIL}'"),
        ]):  # fmt: skip
            request = AccessRequest(
                f"req_{number}", "p1", "payroll", "file", "SUP-1", "why", frozenset(), True, 60, state, NOW,
                statement=text, digest=f"digest {number}",
            )  # fmt: skip
            grant = None
            if grant_state is not None:
                grant = Grant(
                    f"grant_{number}", request.id, "p1", "payroll", "file", "SUP-1", customers, frozenset(), True,
                    grant_state, NOW, later(hours=1), statement=f"digest {number}",
                )  # fmt: skip
            rows.insert_request(connection, request, grant)

    world.run(world.database.run(keep))

    def kept():
        with contextlib.closing(sqlite3.connect(world.directory / "gateway.sqlite")) as store, store:
            requests = store.execute("SELECT id, statement, digest FROM requests ORDER BY id").fetchall()
            grants = store.execute("SELECT statement FROM grants ORDER BY id").fetchall()
        return [row[1] == ERASED and row[2] == "" for row in requests], [row[0] == ERASED for row in grants]

    assert erase_customer(world, "42")["requests"] == 1
    assert kept() == ([True, False, False, False, False], [True, False, False, False])
    assert erase_person(world, EMAIL.upper())["requests"] == 1
    assert kept() == ([True, False, True, False, False], [True, False, True, False])


def refused(answer: object) -> bool:
    return getattr(answer, "code", "") == "request-invalid" and "hold_1" in answer.message


def test_what_a_legal_hold_covers_is_not_erased(world):
    mine, theirs = (world.ask(world.enter(name), LOOK.format(EMAIL)) for name in ("42", "43"))
    world.held = {"42": "hold_1"}

    assert refused(erase_customer(world, "42"))
    assert refused(erase_person(world, EMAIL))
    assert world.opened(mine)["texts"] == [LOOK.format(EMAIL)]
    assert erase_customer(world, "43")["keys"] == 2
    assert gone(world, theirs)
    assert [record["customers"] for record in world.records("audit.erased")] == [["43"]]

    world.held = {}
    assert erase_customer(world, "42")["keys"] == 2
    assert gone(world, mine)


def test_a_hold_on_another_customer_stops_no_erasing_of_a_person(world):
    mine = world.ask(world.enter("42"), LOOK.format(EMAIL))
    world.held = {"99": "hold_1"}
    assert erase_person(world, EMAIL)["records"] == 1
    assert gone(world, mine)


def test_what_a_legal_hold_covers_does_not_expire(world):
    mine, theirs = (world.ask(world.enter(name), LOOK.format(EMAIL)) for name in ("42", "43"))
    world.held = {"42": "hold_1"}
    world.now = NOW + timedelta(days=150)
    assert world.run(world.literals.erasing.expire()) == 1
    assert world.opened(mine)["texts"] == [LOOK.format(EMAIL)]
    assert gone(world, theirs)
    world.held = {}
    assert world.run(world.literals.erasing.expire()) == 1
    assert gone(world, mine)
