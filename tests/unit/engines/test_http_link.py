"""What the gate has said to a process of its rules, and what that still has to keep."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from gateway.engines import http_channel as ipc
from gateway.engines.http_links import Link
from gateway.policy.http_rules import HttpRules

RULES = HttpRules(())


class World:
    """A link, and what it says."""

    def __init__(self) -> None:
        self.said: list[str] = []

        async def settle(_running: Any, _outcome: Any) -> bool:
            return True

        engine: Any = SimpleNamespace(key=lambda _: b"k", settle=settle)
        self.link = Link(engine, self._say)

    def _say(self, message: ipc.Message) -> None:
        if isinstance(message, ipc.Rules | ipc.Forget):
            self.said.append(f"{type(message).__name__} {message.digest}")

    def begin(self, digest: str, target: str = "api") -> int:
        """A request is permitted under that policy; the permit's number."""
        grant = SimpleNamespace(target=target, customers=("42",))
        policy = SimpleNamespace(digest=digest, http=RULES)
        inside = SimpleNamespace(view=SimpleNamespace(policy=policy), session=SimpleNamespace(grant=grant))
        plan = SimpleNamespace(
            headers=(), method="GET", target="/", body=b"", route=SimpleNamespace(name="r", graphql=None, dialect="")
        )
        permit = SimpleNamespace(window_rows=1, window_bytes=1, plan=SimpleNamespace(writes=False))
        running: Any = SimpleNamespace(
            entry=SimpleNamespace(inside=inside), permit=permit, rows=1, bytes=1, bytes_in=0, cut=None, cursor=None
        )
        running = _Hashable(running)
        self.link.permit(1, running, plan, frozenset(), ())  # type: ignore[arg-type]  # as much of a plan as it uses
        return max(self.link.running)

    def end(self, *permits: int) -> None:
        """Those requests end."""

        async def ended() -> None:
            for permit in permits:
                self.link.take(ipc.Settle(permit, "ok", 200, "", 0, 0))
            await self.link.settled()

        asyncio.run(ended())


class _Hashable(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, of: SimpleNamespace) -> None:
        super().__init__(**vars(of))


def test_rules_are_said_once_and_kept_between_requests() -> None:
    world = World()
    world.end(world.begin("one"))
    world.end(world.begin("one"))
    assert world.said == ["Rules one"]


def test_rules_of_a_policy_that_changed_are_forgotten_when_the_last_request_under_them_ends() -> None:
    world = World()
    first, second = world.begin("one"), world.begin("one")
    world.link.outdate("api")
    third = world.begin("two")
    world.end(first)
    assert world.said == ["Rules one", "Rules two"]
    world.end(second, third)
    assert world.said == ["Rules one", "Rules two", "Forget one"]


def test_rules_that_nobody_uses_are_forgotten_at_once_and_said_again_when_they_come_back() -> None:
    world = World()
    world.end(world.begin("one"))
    world.link.outdate("other")
    assert world.said == ["Rules one"]
    world.link.outdate("api")
    world.end(world.begin("one"))
    assert world.said == ["Rules one", "Forget one", "Rules one"]


def test_rules_of_another_target_stay() -> None:
    world = World()
    world.end(world.begin("one"), world.begin("two", "other"))
    world.link.outdate("api")
    assert world.said == ["Rules one", "Rules two", "Forget one"]
