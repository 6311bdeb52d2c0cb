"""Reviews of who may ask for what: no answer means no, and nobody answers for himself."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from access_world import PEER, World

from gateway.access.recertifying import Judgement
from gateway.access.service import Opened
from gateway.errors import Refusal
from gateway.model import Principal, Session
from gateway.store import recertification as rows
from gateway.store.recertification import Recertification

DAYS = timedelta(days=14)


@pytest.fixture(autouse=True)
def _roles(world: World) -> None:
    world.restart_settings(approvers=frozenset({"security"}), auditors=frozenset({"audit"}))


async def start(world: World, by: str = "ada", days: timedelta = DAYS, **usage: Any) -> Recertification | Refusal:
    signin = await world.sign_in(by)
    targets = {"payroll": world.policies["payroll"]}
    due = world.time.now + days
    return await world.access.recertifications.start(signin, due, targets, usage.get("usage", {}), PEER)


async def started(world: World, **more: Any) -> Recertification:
    await world.enrol("alice", "bob", "bea", "ada")
    found = await start(world, **more)
    assert isinstance(found, Recertification), found
    return found


async def shown(world: World, review: str, by: str = "ada") -> list[Judgement]:
    found = await world.access.recertifications.show(await world.sign_in(by), review)
    assert not isinstance(found, Refusal), found
    return found[1]


async def number(world: World, review: str, person: str, right: str) -> int:
    return next(
        one.line.number for one in await shown(world, review) if (one.line.person, one.line.what) == (person, right)
    )


async def answer(
    world: World, review: str, by: str, lines: Sequence[int], decision: str = "keep", reason: str = "her work"
) -> int | Refusal:
    return await world.access.recertifications.decide(await world.sign_in(by), review, lines, decision, reason, PEER)


async def test_the_snapshot_has_every_right_of_everybody_with_its_last_use(world: World) -> None:
    used = {("read", "p1", "payroll"): (world.time.now - timedelta(days=3), 17)}
    review = await started(world, usage=used)
    lines = [one.line for one in await shown(world, review.id)]
    assert {(one.login, one.target, one.what) for one in lines} == {
        ("alice", "payroll", "read"), ("alice", "payroll", "reveal"), ("bob", "payroll", "approve"),
        ("bea", "payroll", "approve"), ("ada", "", "administer"),
    }  # fmt: skip
    reads = next(one for one in lines if one.what == "read")
    assert (reads.uses, reads.last_use, reads.teams) == (17, used["read", "p1", "payroll"][0], ("support",))
    assert next(one for one in lines if one.what == "reveal").last_use is None


async def test_no_answer_by_the_deadline_means_no(world: World) -> None:
    review = await started(world)
    session = await world.session()
    assert await answer(world, review.id, "ada", [await number(world, review.id, "p1", "reveal")]) == 1
    world.time.advance(DAYS.total_seconds())
    assert await world.access.sweep() is None
    record = world.trail.of("access.review")[-1]
    assert (record["move"], record["state"], record["count"], record["withdrawn"]) == ("close", "closed", 5, 4)
    assert world.access.check(session) is not None
    refused = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(refused, Refusal)
    assert refused.code == "right-withdrawn"
    # the last administrator is gone as well: only who runs the gateway gives that back
    assert not world.access.is_member(world.directory.people["ada"], "administrators")


async def test_what_was_withdrawn_survives_a_restart(stored: World) -> None:
    review = await started(stored)
    stored.time.advance(DAYS.total_seconds())
    await stored.access.sweep()
    stored.restart()
    refused = await stored.access.open(await stored.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(refused, Refusal)
    assert refused.code == "right-withdrawn"
    assert review.id


async def test_what_was_kept_stays(world: World) -> None:
    review = await started(world)
    lines = [await number(world, review.id, "p1", "read"), await number(world, review.id, "p1", "reveal")]
    assert await answer(world, review.id, "bob", lines) == 2
    world.time.advance(DAYS.total_seconds())
    await world.access.sweep()
    opened = await world.access.open(await world.sign_in("alice"), target="payroll", ticket="SUP-1423", peer=PEER)
    assert isinstance(opened, Opened)


async def test_nobody_answers_a_line_of_his_own(world: World) -> None:
    world.directory.people["bob2"] = Principal("p30", "bob2", "Bob", frozenset({"security"}), "BOB@example.com")
    review = await started(world)
    own, other = await number(world, review.id, "p3", "approve"), await number(world, review.id, "p4", "approve")
    for by in ("bob", "bob2"):
        refused = await answer(world, review.id, by, [own, other])
        assert isinstance(refused, Refusal)
        assert "of his own" in refused.message
    assert world.last("access.review")["decision"] == "deny"
    # one line that may not be answered keeps the others from being answered
    assert all(one.line.decision == "" for one in await shown(world, review.id))
    assert await answer(world, review.id, "bob", [other]) == 1
    refused = await answer(world, review.id, "ada", [await number(world, review.id, "p6", "administer")])
    assert isinstance(refused, Refusal)


async def test_nobody_answers_for_who_made_him_a_delegate(world: World) -> None:
    review = await started(world)
    line = await number(world, review.id, "p3", "approve")
    ends = world.time.now + timedelta(days=1)
    made = await world.access.delegations.set(await world.sign_in("bob"), "bea", None, ends, "on leave", PEER)
    assert not isinstance(made, Refusal)
    refused = await answer(world, review.id, "bea", [line])
    assert isinstance(refused, Refusal)
    assert "who made him a delegate" in refused.message
    assert await answer(world, review.id, "ada", [line]) == 1


@pytest.mark.parametrize(
    ("by", "right", "code"),
    [("alice", "read", "not-found"), ("dan", "read", "not-found"), ("bob", "administer", "not-in-team")],
)
async def test_who_may_not_answer_is_refused(world: World, by: str, right: str, code: str) -> None:
    review = await started(world)
    person = "p6" if right == "administer" else "p1"
    refused = await answer(world, review.id, by, [await number(world, review.id, person, right)])
    assert isinstance(refused, Refusal)
    assert refused.code == code


async def test_an_answer_needs_a_reason_a_line_a_word_and_a_recent_factor(world: World) -> None:
    review = await started(world)
    line = await number(world, review.id, "p1", "read")
    for lines, decision, reason in (
        ([line], "keep", " "),
        ([99], "keep", "x"),
        ([], "keep", "x"),
        ([line], "yes", "x"),
    ):
        assert isinstance(await answer(world, review.id, "ada", lines, decision, reason), Refusal)
    ada = await world.sign_in("ada")
    world.time.advance(901)
    old = await world.access.recertifications.decide(ada, review.id, [line], "keep", "x", PEER)
    assert isinstance(old, Refusal)
    assert old.code == "second-factor-required"


async def test_an_approver_sees_the_lines_of_his_targets_and_others_nothing(world: World) -> None:
    review = await started(world)
    assert {one.line.target for one in await shown(world, review.id, "bob")} == {"payroll"}
    assert isinstance(await world.access.recertifications.show(await world.sign_in("alice"), review.id), Refusal)


async def test_the_answer_of_a_reviewer_who_left_does_not_count(world: World) -> None:
    review = await started(world)
    line = await number(world, review.id, "p1", "read")
    assert await answer(world, review.id, "bob", [line]) == 1
    world.directory.change("bob", teams=frozenset({"other"}))
    judged = next(one for one in await shown(world, review.id) if one.line.number == line)
    assert (judged.outcome, judged.why) == ("withdrawn", "who answered may not any more")
    assert await answer(world, review.id, "ada", [line]) == 1
    world.time.advance(DAYS.total_seconds())
    await world.access.sweep()
    assert ("p1", "read") not in {(one.person, one.what) for one in world.access.context.standing.withdrawals()}


async def test_a_new_name_and_another_team_meanwhile_move_no_line(world: World) -> None:
    review = await started(world)
    world.directory.people["alicia"] = world.directory.people.pop("alice")
    world.directory.change("alicia", login="alicia", teams=frozenset({"other"}))
    world.time.advance(DAYS.total_seconds())
    await world.access.sweep()
    # back in the team under the new name, she is still who was not confirmed
    world.directory.change("alicia", teams=frozenset({"support"}))
    world.tickets.change("SUP-1423", assignee="alicia")
    lost = world.access.context.standing.refuse("p1", "payroll")
    assert lost is not None
    assert {one.review_id for one in world.access.context.standing.withdrawals()} == {review.id}


async def test_a_right_got_after_the_snapshot_is_not_in_it(world: World) -> None:
    review = await started(world)
    await world.enrol("amir")
    world.time.advance(DAYS.total_seconds())
    await world.access.sweep()
    assert isinstance(await world.session("amir", "SUP-1440"), Session)
    assert "p2" not in {one.line.person for one in await _closed_lines(world, review.id)}


async def _closed_lines(world: World, review: str) -> list[Judgement]:
    found = world.database.run_now(rows.find, review)
    assert found is not None
    return [Judgement(line, "", "") for line in found[1]]


async def test_a_later_review_gives_back_what_is_kept_in_it(world: World) -> None:
    first = await started(world)
    world.directory.people["una"] = Principal("p40", "una", "Una", frozenset({"platform"}), "una@example.com")
    await world.enrol("una")
    world.time.advance(DAYS.total_seconds())
    await world.access.sweep()
    second = await start(world, "una")
    assert isinstance(second, Recertification), second
    line = next(
        one.line for one in await shown(world, second.id, "una") if (one.line.person, one.line.what) == ("p1", "read")
    )
    assert line.withdrawn
    assert await answer(world, second.id, "una", [line.number]) == 1
    world.time.advance(DAYS.total_seconds())
    await world.access.sweep()
    assert isinstance(await world.session(), Session)
    assert {one.review_id for one in world.access.context.standing.withdrawals()} == {first.id, second.id}


async def test_one_review_at_a_time_even_when_two_begin_at_once(world: World) -> None:
    await world.enrol("ada", "alice")
    signin, targets = await world.sign_in("ada"), {"payroll": world.policies["payroll"]}
    both = await asyncio.gather(
        *(world.access.recertifications.start(signin, world.time.now + DAYS, targets, {}, PEER) for _ in range(2))
    )
    assert sorted(isinstance(one, Refusal) for one in both) == [False, True]


async def test_closing_early_needs_every_answer_and_the_result_is_on_record(world: World) -> None:
    world.directory.people["una"] = Principal("p40", "una", "Una", frozenset({"platform"}), "una@example.com")
    await world.enrol("una")
    review = await started(world)
    early = await world.access.recertifications.close(await world.sign_in("ada"), review.id, PEER)
    assert isinstance(early, Refusal)
    assert "--open" in early.hint
    lines = [one.line for one in await shown(world, review.id)]
    mine = [one.number for one in lines if one.person != "p6"]
    assert await answer(world, review.id, "ada", mine) == len(mine)
    theirs = [one.number for one in lines if one.person == "p6"]
    assert await answer(world, review.id, "una", theirs, "revoke", "two are too many") == 1
    for by in ("alice", "bob"):
        assert isinstance(await world.access.recertifications.close(await world.sign_in(by), review.id, PEER), Refusal)
    closed = await world.access.recertifications.close(await world.sign_in("ada"), review.id, PEER)
    assert isinstance(closed, Recertification), closed
    assert closed.document is not None
    record = world.trail.records[closed.record or 0]
    assert record["digest"] == hashlib.sha256(closed.document).hexdigest()
    said = json.loads(closed.document)
    assert said["counts"] == {"kept": len(mine), "restored": 0, "withdrawn": 1}
    assert [one["why"] for one in said["lines"] if one["outcome"] == "withdrawn"] == ["revoked"]
    late = await answer(world, review.id, "una", theirs)
    assert isinstance(late, Refusal)


async def test_nothing_is_answered_after_the_deadline(world: World) -> None:
    review = await started(world)
    line = await number(world, review.id, "p1", "read")
    world.time.advance(DAYS.total_seconds())
    assert isinstance(await answer(world, review.id, "ada", [line]), Refusal)


async def test_while_the_directory_is_away_nothing_is_closed(world: World) -> None:
    review = await started(world)
    await answer(world, review.id, "ada", [await number(world, review.id, "p1", "read")])
    world.time.advance(DAYS.total_seconds())
    world.directory.down = True
    assert await world.access.sweep() is not None
    assert world.access.context.standing.withdrawals() == []
    world.directory.down = False
    assert await world.access.sweep() is None
    assert len(world.access.context.standing.withdrawals()) == 4


async def test_a_result_that_cannot_be_recorded_takes_no_effect(world: World) -> None:
    await started(world)
    world.time.advance(DAYS.total_seconds())
    world.trail.mode = "fail"
    assert await world.access.sweep() is not None
    assert world.access.context.standing.withdrawals() == []


async def test_it_is_reminded_of_once_a_day_while_lines_wait(world: World) -> None:
    told: list[tuple[str, str]] = []

    async def remind(title: str, review: str) -> None:
        told.append((title, review))

    world.access.recertifications.remind = remind
    review = await started(world)
    for _ in range(3):
        await world.access.sweep()
    assert [one for _, one in told] == [review.id]
    assert told[0][0].startswith("5 lines of a review of access wait until 2026-03-16")
    world.time.advance(86_400)
    await world.access.sweep()
    await world.access.sweep()
    assert len(told) == 2
    assert world.last("access.review")["move"] == "remind"


@pytest.mark.parametrize("by", ["bob", "alice"])
async def test_starting_is_for_administrators(world: World, by: str) -> None:
    refused = await start(world, by)
    assert isinstance(refused, Refusal)
    assert refused.code == "not-in-team"


@pytest.mark.parametrize("days", [timedelta(0), timedelta(hours=23), timedelta(days=91)])
async def test_a_review_lasts_a_sensible_time(world: World, days: timedelta) -> None:
    assert isinstance(await start(world, days=days), Refusal)
