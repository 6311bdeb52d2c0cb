"""How recent a second factor has to be, action by action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from access_world import PEER, World
from pydantic import ValidationError

from gateway.access.service import SignIn
from gateway.errors import Refusal
from gateway.factor_settings import Fresh


def opens(world: World, signin: SignIn) -> Awaitable[Any]:
    return world.access.open(signin, target="payroll", ticket="SUP-1423", peer=PEER)


def invites(world: World, signin: SignIn) -> Awaitable[Any]:
    return world.access.invite(signin, "bea", PEER)


async def approves(world: World, signin: SignIn) -> Any:
    alice = await world.sign_in("alice")
    filed = await world.access.open(
        alice, target="payroll", ticket="SUP-1423", reveal=frozenset({("public.employees", "iban")}), peer=PEER
    )
    assert isinstance(filed, Refusal)
    assert filed.code == "approval-required"
    world.time.advance(-30)  # what the sign-in above took
    return await world.access.approve(signin, filed.name, "", PEER)


ACTIONS: list[tuple[str, str, Callable[[World, SignIn], Awaitable[Any]]]] = [
    ("open", "alice", opens),
    ("people", "ada", invites),
    ("approve", "bob", approves),
]


@pytest.mark.parametrize(("action", "login", "act"), ACTIONS, ids=[name for name, *_ in ACTIONS])
async def test_each_action_has_an_age_of_its_own_and_the_refusal_names_it(
    world: World, action: str, login: str, act: Callable[[World, SignIn], Awaitable[Any]]
) -> None:
    for stricter, allowed in ({action}, False), (set(Fresh.model_fields) - {action}, True):
        signin = await world.sign_in(login)
        world.time.advance(100)  # beside the 30 seconds of the sign-in: older than two minutes
        ages = dict.fromkeys(stricter, 120.0)
        if action == "approve":
            ages.pop("open", None)  # of who files the request
        world.restart_settings(fresh=Fresh.model_validate(ages))
        outcome = await act(world, signin)
        if allowed:
            assert not isinstance(outcome, Refusal), outcome
        else:
            assert isinstance(outcome, Refusal)
            assert (outcome.code, outcome.message) == (
                "second-factor-required",
                "this needs a second factor of the last 2 minutes",
            )
            assert "gateway login" in outcome.hint


@pytest.mark.parametrize("action", Fresh.model_fields)
@pytest.mark.parametrize("age", ["901s", "1h", "0s", "29s"])
def test_an_age_is_never_looser_than_fifteen_minutes_nor_useless(action: str, age: str) -> None:
    with pytest.raises(ValidationError):
        Fresh.model_validate({action: age})
