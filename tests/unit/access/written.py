"""Stories of writing: who asks for a statement, who looks and approves, who runs it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from access_world import POLICY, World, prove

from gateway.access.service import Opened, SignIn
from gateway.errors import Refusal
from gateway.model import Peer, Session
from gateway.policy.schema import WriteRule

UPDATE = "UPDATE employees SET status = 'active' WHERE id = 7"
OTHER = "UPDATE employees SET status = 'active' WHERE id = 8"
DIGEST = hashlib.sha256(UPDATE.encode()).hexdigest()
PEER = Peer("192.0.2.9:443", "gateway/1", "api", "TLS")
WRITES = {"public.employees": WriteRule(update=frozenset({"status"}), rows=1)}
BOTH = WRITES | {"public.notes": WriteRule(update=frozenset({"body"}), rows=5, approval="request")}


def writable(world: World, both: bool = False, **access: object) -> World:
    """A world whose `payroll` may be written to."""
    rule = replace(POLICY.access, **access)  # type: ignore[arg-type]
    world.policies["payroll"] = replace(POLICY, access=rule, write=BOTH if both else WRITES)
    return world


async def ask(
    world: World, signin: SignIn, statement: str = UPDATE, *, ticket: str = "SUP-1423", target: str = "payroll",
    write: bool = False, **more: object,
) -> Opened | Refusal:  # fmt: skip
    """Ask to run a statement, or to write in general when it is empty."""
    return await world.access.open(
        signin, target=target, ticket=ticket, reason="typo", statement=statement, write=write, peer=PEER,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


async def filed(world: World, login: str = "alice", statement: str = UPDATE, **more: object) -> str:
    """The id of a request that waits."""
    outcome = await ask(world, await world.sign_in(login), statement, **more)  # type: ignore[arg-type]
    assert isinstance(outcome, Refusal), outcome
    assert outcome.code == "approval-required", outcome
    return outcome.name


async def approved(world: World, request: str, *logins: str) -> None:
    """Let those people look and approve."""
    for login in logins or ("bob",):
        signin = await world.sign_in(login)
        previewed = await world.access.preview(signin, request, PEER)
        assert not isinstance(previewed, Refusal), previewed
        done = await world.access.approve(signin, request, "", PEER)
        assert not isinstance(done, Refusal), done


async def writer(world: World, statement: str = UPDATE) -> Session:
    """A session of alice's that may run an approved statement."""
    await approved(world, await filed(world, statement=statement))
    return await enter(world, await ask(world, await world.sign_in("alice"), statement))


async def enter(world: World, opened: Opened | Refusal) -> Session:
    """A session with the pass of what was opened."""
    assert isinstance(opened, Opened), opened
    challenge = world.access.challenge(opened.user, opened.grant.target, PEER, tls=True)
    session = await world.access.admit_pass(*prove(challenge, opened.secret), PEER)
    assert isinstance(session, Session), session
    return session


async def release(world: World, session: Session, digest: str) -> None:
    """Give a claim back, and wait until that took place."""
    world.access.release(session, digest)
    await world.access.settled()


def code(outcome: object) -> str:
    """The code of a refusal; empty for anything else."""
    return outcome.code if isinstance(outcome, Refusal) else ""
