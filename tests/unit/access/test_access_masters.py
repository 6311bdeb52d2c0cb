"""Another master key takes the place of the one before, whatever happens meanwhile."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from access_world import PEER, World

from gateway.access import masters
from gateway.access.keys import Keys
from gateway.access.masters import Masters, Rekeying, Standing, master_id, open_masters, read_masters
from gateway.access.service import SignIn
from gateway.config import Config
from gateway.errors import GatewayError, Refusal
from gateway.literals.keyring import Keyring
from gateway.settings import Secret
from gateway.store import schema, sealed
from gateway.store.acts import Act, ActState
from gateway.store.acts import insert as insert_act
from gateway.store.database import Connection

OLD, NEW, OTHER = b"k" * 32, b"n" * 32, b"o" * 32
MONTH = "2026-03"


def use(world: World, *keys: bytes) -> Rekeying:
    """Start anew with those keys, the one in force first."""
    found = open_masters(keys, world.database, secrets.token_bytes)
    world.restart_settings(master_key=found.current, former_keys=found.former, root=found.root)
    return Rekeying(world.access.context, world.database, found)


def keyring(world: World, *keys: bytes) -> Keyring:
    return Keyring(keys[0], world.database, lambda: datetime.now(UTC), former=keys[1:])


async def filled(world: World) -> bytes:
    """A store with something in each place; returns the head of a key of literals."""
    use(world, OLD)
    await world.enrol("alice", "amir", "bob")
    invitation = await world.access.invite(None, "dan", PEER)
    assert isinstance(invitation, str)
    assert not isinstance(await world.access.enrol_begin("dan", "dan-secret", invitation, PEER), Refusal)
    waiting = world.access.context.keys.seal(b"a name", "act_1", secrets.token_bytes)
    act = Act("act_1", "erase", {}, "why", "p1", ActState.WAITING, world.time.now, waiting)
    world.database.run_now(insert_act, act)
    for customer in ("1", "2"):
        keyring(world, OLD).sealing((customer,), MONTH)
    return keyring(world, OLD).sealing(("42",), MONTH).head


def everything(world: World) -> list[bytes]:
    def read(connection: Connection) -> list[bytes]:
        found: list[bytes] = []
        for place in sealed.PLACES:
            found += connection.execute(sa.select(place.sealed).where(place.sealed.is_not(None))).scalars()
        return found

    return world.database.run_now(read)


def test_every_column_that_holds_something_sealed_has_its_place() -> None:
    """A column of bytes is sealed, a hash, or a summary without secrets: a new one is sorted here by hand."""
    columns = {
        f"{table.name}.{column.name}"
        for table in schema.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, sa.LargeBinary)
    }
    plain = {f"security_keys.{name}" for name in ("credential", "public_key")}
    plain |= {f"ceremonies.{name}" for name in ("page", "collect", "code", "invitation", "challenge")}
    plain |= {"ceremonies.credential", "ceremonies.public_key"}
    plain |= {
        "recertifications.document",
        "budget_shares.data",
        "recovery_codes.hash",
        "invitations.hash",
        "tokens.hash",
        "alert_memory.data",
        "budget_summary.data",
    }
    places = {f"{place.sealed.table.name}.{place.sealed.name}" for place in sealed.PLACES}
    assert columns == plain | places | {"master_root.sealed"}


async def test_after_the_rotation_the_old_key_opens_nothing_and_everything_works(world: World) -> None:
    head = await filled(world)
    before = everything(world)
    rekeying = use(world, NEW, OLD)
    assert (await rekeying.standing()).waiting == len(before) + 1
    done = await rekeying.rotate()
    assert done == Standing(master_id(NEW), (master_id(OLD),), len(before) + 1, 0)
    assert (await rekeying.standing()).waiting == 0
    assert not set(before) & set(everything(world))

    use(world, NEW)
    world.time.advance(30)
    assert isinstance(await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER), SignIn)
    assert keyring(world, NEW).opening(("42",), MONTH).head == head  # type: ignore[union-attr]
    old = Keys(OLD)
    rows = world.database.run_now(lambda connection: connection.execute(sa.select(schema.factors)).all())
    for row in rows:
        with pytest.raises(GatewayError):
            old.unseal(row.sealed, row.person)
    with pytest.raises(GatewayError):
        keyring(world, OLD).opening(("42",), MONTH)
    states = [(one["state"], one["master"], one.get("count", 0)) for one in world.trail.of("keys.rotated")]
    assert states == [("begun", master_id(NEW), 0), ("done", master_id(NEW), len(before) + 1)]
    assert world.last("keys.rotated")["keys"] == [master_id(OLD)]


async def test_what_cannot_be_sealed_anew_outlives_the_key(world: World) -> None:
    await filled(world)
    mark = world.access.mark("digest")
    await use(world, NEW, OLD).rotate()
    rekeying = use(world, OTHER, NEW)
    await rekeying.rotate()
    use(world, OTHER)
    assert world.access.mark("digest") == mark
    assert isinstance(await world.access.recover("alice", "alice-secret", world.recovery["alice"][0], PEER), str)


@pytest.mark.parametrize("parts", range(12))
async def test_a_rotation_that_breaks_off_leaves_everything_readable_and_is_begun_again(
    world: World, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    await filled(world)
    monkeypatch.setattr(masters, "_PART", 1)
    rekeying, whole, done = use(world, NEW, OLD), sealed.pass_over, 0

    def breaks(*arguments: Any, **more: Any) -> Any:
        nonlocal done
        if done == parts:
            raise RuntimeError("the power went")
        done += 1
        return whole(*arguments, **more)

    monkeypatch.setattr(sealed, "pass_over", breaks)
    with pytest.raises(RuntimeError):
        await rekeying.rotate()
    monkeypatch.setattr(sealed, "pass_over", whole)
    with pytest.raises(GatewayError, match="sealed under the master key"):
        use(world, NEW)  # the old key is not done with
    rekeying = use(world, NEW, OLD)
    standing = await rekeying.standing()
    assert standing.unreadable == 0
    world.time.advance(30)
    assert isinstance(await world.access.sign_in("alice", "alice-secret", world.code("alice"), PEER), SignIn)
    again = await rekeying.rotate()
    assert isinstance(again, Standing)
    assert again.waiting == standing.waiting
    use(world, NEW)


@pytest.mark.parametrize("keys", [(OTHER,), (OTHER, NEW)], ids=["alone", "with a former one"])
async def test_a_gateway_does_not_start_with_keys_that_do_not_open_its_store(
    world: World, keys: tuple[bytes, ...]
) -> None:
    await filled(world)
    with pytest.raises(GatewayError) as refused:
        use(world, *keys)
    assert refused.value.code == "configuration-invalid"
    assert master_id(OLD) in refused.value.refusal.message


async def test_a_store_from_before_roots_takes_only_the_key_that_opens_it(world: World) -> None:
    await world.enrol("alice")  # under OLD, and no root is kept
    for keys in ((NEW,), (NEW, OLD)):
        with pytest.raises(GatewayError, match="master key"):
            use(world, *keys)
    use(world, OLD)
    await use(world, NEW, OLD).rotate()


async def test_an_old_backup_says_which_key_it_needs(world: World) -> None:
    await filled(world)
    kept = world.database.run_now(sealed.find_root)
    await use(world, NEW, OLD).rotate()
    assert kept is not None
    use(world, NEW)
    world.database.run_now(
        lambda connection: connection.execute(
            schema.master_root.update().values(master=kept.master, sealed=kept.sealed)
        )
    )
    with pytest.raises(GatewayError) as refused:
        use(world, NEW)
    assert master_id(OLD) in refused.value.refusal.message
    assert "backup" in refused.value.refusal.hint
    use(world, NEW, OLD)


async def test_what_no_key_opens_is_told_and_keeps_the_old_key(world: World) -> None:
    await filled(world)
    rekeying = use(world, NEW, OLD)
    world.database.run_now(
        lambda connection: connection.execute(
            schema.factors.update().where(schema.factors.c.person == "p1").values(sealed=b"x" * 60)
        )
    )
    done = await rekeying.rotate()
    assert isinstance(done, Standing)
    assert done.unreadable == 1
    assert world.last("keys.rotated")["state"] == "incomplete"
    with pytest.raises(GatewayError):
        use(world, NEW)


async def test_there_is_nothing_to_rotate_without_a_former_key(world: World) -> None:
    done = await use(world, OLD).rotate()
    assert isinstance(done, Refusal)
    assert "former_master_keys" in done.hint
    assert not world.trail.of("keys.rotated")


async def test_a_sealed_value_that_was_moved_to_another_row_is_not_sealed_anew_for_it(world: World) -> None:
    await filled(world)

    def move(connection: Connection) -> None:
        table = schema.factors
        mine = connection.execute(sa.select(table.c.sealed).where(table.c.person == "p1")).scalar()
        connection.execute(table.update().where(table.c.person == "p3").values(sealed=mine))

    world.database.run_now(move)
    done = await use(world, NEW, OLD).rotate()
    assert isinstance(done, Standing)
    assert done.unreadable == 1


def config(tmp_path: Path, *values: bytes) -> Config:
    made = []
    for number, value in enumerate(values):
        path = tmp_path / f"{number}.key"
        path.touch(0o600)
        path.write_bytes(value)
        made.append(Secret(file=path))
    return Config.model_construct(master_key=made[0], former_master_keys=tuple(made[1:]))


@pytest.mark.parametrize("values", [(b"short",), (NEW, b"short"), (NEW, NEW), (NEW, OLD, OLD)])
def test_keys_that_are_short_or_named_twice_are_refused(tmp_path: Path, values: tuple[bytes, ...]) -> None:
    with pytest.raises(GatewayError, match="master key"):
        read_masters(config(tmp_path, *values))


def test_keys_are_read_in_their_order_and_never_shown(tmp_path: Path) -> None:
    assert read_masters(config(tmp_path, NEW, OLD)) == (NEW, OLD)
    assert "kkkk" not in repr(Masters(OLD, (OLD,), OLD))
