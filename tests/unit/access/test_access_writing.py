"""Asking to write: what is filed, who sees and approves it, and that it runs once."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest
from access_world import World
from written import BOTH, DIGEST, OTHER, PEER, UPDATE, approved, ask, code, enter, filed, release, writable, writer

from gateway.access.service import Opened
from gateway.access.values import Previewed, Shown
from gateway.errors import GatewayError, Refusal
from gateway.model import RequestState, Session
from gateway.policy.schema import WriteRule
from gateway.store import access as rows
from gateway.store import schema

EMAIL = frozenset({("public.employees", "email")})


# what may be asked for


async def test_a_statement_waits_for_an_approver_however_much_the_policy_approves_by_itself(world: World) -> None:
    request = await filed(writable(world))
    record = world.last("request")
    assert (record["state"], record["request"], record["write"]) == ("pending", request, True)
    assert (record["verb"], record["relation"], record["columns"], record["limit"]) == (
        "UPDATE", "public.employees", ["status"], 1,
    )  # fmt: skip
    assert not world.trail.of("grant")


async def test_the_trail_has_no_literal_of_a_statement(world: World) -> None:
    statement = "update employees set status = 'Jane Doe' where id = 4711"
    session = await writer(writable(world), statement)
    digest = session.grant.statement
    assert await world.access.claim(session, digest) is None
    await release(world, session, digest)
    await ask(world, await world.sign_in("alice"), "update employees set salary = 'Jane Doe' where id = 4711")
    await filed(world, statement=statement + " and id > 1")
    text = repr(world.trail.records)
    assert "Jane Doe" not in text
    assert "4711" not in text
    assert digest not in text
    assert hashlib.sha256(statement.encode()).hexdigest() not in text
    said = {one["digest"] for one in world.trail.records if one.get("grant") == session.grant.id and "digest" in one}
    assert said == {world.access.mark(digest)}
    assert world.trail.of("request")[0]["sql"] == "UPDATE employees SET status = $1 WHERE id = $2"


async def test_what_the_policy_forbids_is_refused_at_once_with_the_reason_and_nothing_is_filed(world: World) -> None:
    outcome = await ask(writable(world), await world.sign_in("alice"), "update employees set salary = '1' where id = 7")
    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.message) == ("column-not-available", "`salary` may not be written")
    assert (world.last("request")["state"], world.last("request")["code"]) == ("refused", "column-not-available")
    assert await world.access.requests(await world.sign_in("bob")) == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("update employees set status = $1 where id = 7", "request-invalid"),
        ("select 1", "request-invalid"),
        ("update employees set status = 'x' where " + "1 = 1 and " * 1000 + "true", "statement-too-long"),
    ],
    ids=["placeholders", "reads", "too long"],
)
async def test_what_nobody_could_approve_is_refused(world: World, statement: str, expected: str) -> None:
    assert code(await ask(writable(world), await world.sign_in("alice"), statement)) == expected


async def test_a_statement_without_a_digest_never_becomes_a_grant_to_write_anything(world: World) -> None:
    found = writable(world).study("payroll", ("42",), frozenset(), UPDATE)
    assert not isinstance(found, Refusal)
    world.access.close()
    world.study = lambda *_: replace(found, digest="")  # type: ignore[assignment]
    world.access = world.make()
    assert code(await ask(world, await world.sign_in("alice"))) == "statement-not-supported"


async def test_nothing_is_studied_for_who_has_no_business_there(world: World) -> None:
    writable(world)
    for login, ticket in (("dan", "SUP-1460"), ("amir", "SUP-1423"), ("alice", "SUP-1430"), ("alice", "SUP-1450")):
        assert code(await ask(world, await world.sign_in(login), ticket=ticket))
    signin = await world.sign_in("alice")
    world.time.advance(901)
    assert code(await ask(world, signin)) == "second-factor-required"
    assert world.study.asked == []


async def test_a_target_that_can_only_be_read_is_said_so(world: World) -> None:
    assert code(await ask(world, await world.sign_in("alice"))) == "read-only"
    assert code(await ask(world, await world.sign_in("alice"), "", write=True)) == "read-only"


async def test_writing_in_general_is_asked_for_only_where_a_relation_lets_it(world: World) -> None:
    outcome = await ask(writable(world), await world.sign_in("alice"), "", write=True)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "read-only"
    assert "--statement" in outcome.hint
    request = await filed(writable(world, both=True), statement="", write=True)
    done = await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    assert not isinstance(done, Refusal)
    opened = await ask(world, await world.sign_in("alice"), "", write=True)
    assert isinstance(opened, Opened)
    assert (opened.grant.write, opened.grant.statement, opened.grant.approved_by) == (True, "", ("p3",))


async def test_a_target_that_is_not_there_is_an_outage_and_files_nothing(world: World) -> None:
    writable(world).access.close()

    def missing(*_: object) -> Refusal:
        raise GatewayError("target-unavailable", "the target `payroll` is not ready")

    world.study = missing  # type: ignore[assignment]
    world.access = world.make()
    assert code(await ask(world, await world.sign_in("alice"))) == "target-unavailable"
    assert await world.access.requests(await world.sign_in("alice")) == []


async def test_asking_again_in_other_words_is_the_same_request(world: World) -> None:
    first = await filed(writable(world))
    again = await filed(world, statement="update   EMPLOYEES /* quickly */ set STATUS = 'active'\nwhere id = 7 -- now")
    assert first == again
    assert await filed(world, statement=OTHER) != first
    assert await filed(world, statement=UPDATE.replace("active", "Active")) != first


async def test_somebody_can_read_only_so_many_statements(world: World) -> None:
    writable(world)
    signin = await world.sign_in("alice")
    for number in range(20):
        assert code(await ask(world, signin, f"update employees set status = 'x' where id = {number}"))
    outcome = await ask(world, signin, "update employees set status = 'x' where id = 20")
    assert code(outcome) == "request-invalid"
    assert isinstance(await ask(world, signin, ""), Opened)


async def test_a_grant_for_a_statement_lasts_an_hour_at_most(world: World) -> None:
    writable(world, default_duration_s=7200)
    assert code(await ask(world, await world.sign_in("alice"), duration_s=3601)) == "request-invalid"
    session = await writer(world)
    assert (session.grant.expires_at - session.grant.created_at).total_seconds() == 3600
    outcome = await ask(world, await world.sign_in("alice"), ticket="SUP-1424", duration_s=600)
    assert isinstance(outcome, Refusal)
    await approved(world, outcome.name)
    opened = await ask(world, await world.sign_in("alice"), ticket="SUP-1424")
    assert isinstance(opened, Opened)
    assert (opened.grant.expires_at - opened.grant.created_at).total_seconds() == 600


# who sees and approves


async def test_an_approver_sees_everything_and_approves_what_he_saw(world: World) -> None:
    request = await filed(writable(world), reveal=EMAIL)
    bob = await world.sign_in("bob")
    shown = await world.access.request(bob, request)
    assert isinstance(shown, Shown)
    assert (shown.request.statement, shown.problem) == (UPDATE, None)
    assert shown.ticket is not None
    assert shown.ticket.status == "open"
    assert shown.requester is not None
    assert shown.requester.login == "alice"
    assert shown.write is not None
    assert (shown.write.relation, shown.write.rows) == ("public.employees", 1)
    previewed = await world.access.preview(bob, request, PEER)
    assert isinstance(previewed, Previewed)
    assert previewed.preview.rows == (("7", "on_leave", "active"),)
    session, text = world.look.looked[0]
    assert text == previewed.write.preview
    grant = session.grant
    assert (session.principal.id, grant.person, grant.customers, grant.reveal) == ("p3", "p3", ("42",), EMAIL)
    assert (grant.write, grant.statement, grant.request_id, session.pass_id) == (False, "", request, None)
    record = world.last("request.preview")
    assert (record["person"], record["request"], record["grant"], record["session"]) == (
        "p3", request, grant.id, session.id,
    )  # fmt: skip
    done = await world.access.approve(bob, request, "fine", PEER)
    assert not isinstance(done, Refusal)
    assert done.state is RequestState.APPROVED
    assert world.last("grant")["digest"] == world.access.mark(DIGEST)


async def test_the_grant_of_a_preview_dies_with_it_and_was_never_anywhere_else(world: World) -> None:
    request = await filed(writable(world))
    bob = await world.sign_in("bob")
    await world.access.preview(bob, request, PEER)
    session = world.look.looked[0][0]
    assert world.look.checks == [None]
    assert code(world.access.check(session)) == "access-ended"
    assert code(await world.access.claim(session, DIGEST)) == "approval-required"
    assert await world.access.grants(bob, live=False) == []
    assert world.access.sessions(bob) == []
    assert world.database.run_now(rows.list_grants) == []
    assert code(await world.access.revoke(bob, session.grant.id, "", PEER)) == "not-found"


async def test_a_preview_that_hangs_loses_its_access_all_the_same(world: World) -> None:
    request = await filed(writable(world))
    bob = await world.sign_in("bob")
    seen: list[Refusal | None] = []

    async def slow(session: Session, _: str) -> Refusal:
        world.time.advance(61)
        seen.append(world.access.check(session))
        return Refusal("cancelled", "too slow")

    world.access.close()
    world.look = slow  # type: ignore[assignment]
    world.access = world.make()
    assert code(await world.access.preview(bob, request, PEER)) == "cancelled"
    assert [code(one) for one in seen] == ["access-ended"]


async def test_without_a_preview_nothing_is_approved(world: World) -> None:
    request = await filed(writable(world))
    outcome = await world.access.approve(await world.sign_in("bob"), request, "", PEER)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "preview-required"
    assert f"gateway approve {request}" in outcome.hint
    assert world.last("request")["code"] == "preview-required"
    assert not world.trail.of("grant")


async def test_a_preview_of_another_request_or_by_another_approver_does_not_count(world: World) -> None:
    first, second = await filed(writable(world)), await filed(world, statement=OTHER)
    bob = await world.sign_in("bob")
    await world.access.preview(bob, first, PEER)
    assert code(await world.access.approve(bob, second, "", PEER)) == "preview-required"
    assert code(await world.access.approve(await world.sign_in("bea"), first, "", PEER)) == "preview-required"
    assert not isinstance(await world.access.approve(bob, first, "", PEER), Refusal)


async def test_a_preview_is_forgotten_after_a_quarter_of_an_hour(world: World) -> None:
    request = await filed(writable(world))
    await world.access.preview(await world.sign_in("bob"), request, PEER)
    world.time.advance(871)
    assert code(await world.access.approve(await world.sign_in("bob"), request, "", PEER)) == "preview-required"
    bob = await world.sign_in("bob")
    await world.access.preview(bob, request, PEER)
    world.time.advance(600)
    assert not isinstance(await world.access.approve(bob, request, "", PEER), Refusal)


async def test_a_preview_needs_a_recent_second_factor(world: World) -> None:
    request = await filed(writable(world))
    bob = await world.sign_in("bob")
    world.time.advance(901)
    assert code(await world.access.preview(bob, request, PEER)) == "second-factor-required"
    assert not world.look.looked


async def test_a_preview_that_failed_is_no_preview(world: World) -> None:
    request = await filed(writable(world))
    bob = await world.sign_in("bob")
    world.look.answer = Refusal("target-unavailable", "the target cannot be reached")
    assert code(await world.access.preview(bob, request, PEER)) == "target-unavailable"
    assert code(await world.access.approve(bob, request, "", PEER)) == "preview-required"


async def test_a_trail_that_cannot_be_written_shows_nothing(world: World) -> None:
    request = await filed(writable(world))
    bob = await world.sign_in("bob")
    world.trail.mode = "fail"
    assert code(await world.access.preview(bob, request, PEER)) == "audit-not-writable"
    assert not world.look.looked


@pytest.mark.parametrize(
    ("login", "expected"),
    [("alice2", "request-invalid"), ("amir", "not-found"), ("dan", "not-found"), ("ada", "not-in-team")],
)
async def test_who_may_not_decide_gets_no_preview_and_no_statement(world: World, login: str, expected: str) -> None:
    request = await filed(writable(world))
    signin = await world.sign_in(login)
    assert code(await world.access.preview(signin, request, PEER)) == expected
    shown = await world.access.request(signin, request)
    assert isinstance(shown, Refusal) or (shown.request.statement, shown.write, shown.readable) == ("", None, False)
    assert code(await world.access.approve(signin, request, "", PEER)) in ("not-in-team", "request-invalid")
    assert not world.look.looked


async def test_an_author_sees_his_own_but_that_is_no_approval_and_reveals_nothing(world: World) -> None:
    world.directory.change("alice", teams=frozenset({"support", "security"}))
    request = await filed(writable(world), reveal=EMAIL)
    alice = await world.sign_in("alice")
    assert isinstance(await world.access.preview(alice, request, PEER), Previewed)
    assert world.look.looked[0][0].grant.reveal == frozenset()
    assert code(await world.access.approve(alice, request, "", PEER)) == "not-in-team"


async def test_an_author_who_may_not_read_yet_learns_nothing_from_his_own_preview(world: World) -> None:
    request = await filed(writable(world, auto_approve="never"))
    assert code(await world.access.preview(await world.sign_in("alice"), request, PEER)) == "approval-required"
    assert not world.look.looked
    reading = await ask(world, await world.sign_in("alice"), "")
    assert isinstance(reading, Refusal)
    assert not isinstance(await world.access.approve(await world.sign_in("bob"), reading.name, "", PEER), Refusal)
    assert isinstance(await world.access.preview(await world.sign_in("alice"), request, PEER), Previewed)


async def test_a_decided_request_is_not_previewed_any_more(world: World) -> None:
    request = await filed(writable(world))
    await approved(world, request)
    for login in ("bea", "alice"):
        assert code(await world.access.preview(await world.sign_in(login), request, PEER)) == "request-invalid"
    other = await filed(world, statement=OTHER)
    world.time.advance(24 * 3600)
    assert code(await world.access.preview(await world.sign_in("bea"), other, PEER)) == "request-invalid"


async def test_a_request_without_a_statement_has_nothing_to_preview(world: World) -> None:
    request = await filed(writable(world, both=True), statement="", write=True)
    assert code(await world.access.preview(await world.sign_in("bob"), request, PEER)) == "request-invalid"


async def _previewed(world: World, **policy: object) -> tuple[str, object]:
    request = await filed(writable(world, **policy))
    bob = await world.sign_in("bob")
    assert isinstance(await world.access.preview(bob, request, PEER), Previewed)
    return request, bob


@pytest.mark.parametrize("change", ["ticket closed", "ticket reassigned", "person left", "policy reads only"])
async def test_what_has_no_reason_any_more_is_not_approved(world: World, change: str) -> None:
    request, bob = await _previewed(world)
    if change == "ticket closed":
        world.tickets.change("SUP-1423", status="closed")
    elif change == "ticket reassigned":
        world.tickets.change("SUP-1423", assignee="amir")
    elif change == "person left":
        world.directory.change("alice", active=False)
    else:
        world.policies["payroll"] = replace(world.policies["payroll"], write={}, digest="digest-2")
    outcome = await world.access.approve(bob, request, "", PEER)  # type: ignore[arg-type]
    assert code(outcome) in ("ticket-closed", "ticket-not-yours", "person-inactive", "read-only")
    assert not world.trail.of("grant")


@pytest.mark.parametrize("change", ["customer", "policy", "rows"])
async def test_what_changed_after_the_preview_is_looked_at_again(world: World, change: str) -> None:
    request, bob = await _previewed(world)
    if change == "customer":
        world.tickets.change("SUP-1423", customers=("43",))
    elif change == "policy":
        world.policies["payroll"] = replace(world.policies["payroll"], digest="digest-2")
    else:
        world.study.rows = 1000
    assert code(await world.access.approve(bob, request, "", PEER)) == "preview-required"  # type: ignore[arg-type]
    assert isinstance(await world.access.preview(bob, request, PEER), Previewed)  # type: ignore[arg-type]
    assert not isinstance(await world.access.approve(bob, request, "", PEER), Refusal)  # type: ignore[arg-type]


async def test_a_statement_that_is_understood_otherwise_now_is_not_approved(world: World) -> None:
    request, bob = await _previewed(world)
    world.study.salt = "the search path changed"
    assert code(await world.access.approve(bob, request, "", PEER)) == "request-invalid"  # type: ignore[arg-type]
    assert code(await world.access.preview(bob, request, PEER)) == "request-invalid"  # type: ignore[arg-type]
    world.study.refusal = Refusal("column-not-available", "`status` may not be written")
    assert code(await world.access.approve(bob, request, "", PEER)) == "column-not-available"  # type: ignore[arg-type]
    assert not world.trail.of("grant")


async def test_a_statement_that_was_swapped_in_the_store_is_not_approved(world: World) -> None:
    request, bob = await _previewed(world)
    world.database.run_now(lambda connection: connection.execute(schema.requests.update().values(statement=OTHER)))
    assert code(await world.access.approve(bob, request, "", PEER)) == "request-invalid"  # type: ignore[arg-type]


async def test_of_several_approvers_each_looks_and_all_see_the_same(world: World) -> None:
    request, bob = await _previewed(world, approver_count=2)
    first = await world.access.approve(bob, request, "", PEER)  # type: ignore[arg-type]
    assert not isinstance(first, Refusal)
    assert first.state is RequestState.PENDING
    bea = await world.sign_in("bea")
    assert code(await world.access.approve(bea, request, "", PEER)) == "preview-required"
    assert isinstance(await world.access.preview(bea, request, PEER), Previewed)
    second = await world.access.approve(bea, request, "", PEER)
    assert not isinstance(second, Refusal)
    assert (second.state, world.last("grant")["approvers"]) == (RequestState.APPROVED, ["p3", "p4"])


async def test_an_approval_of_one_customers_rows_does_not_count_for_anothers(world: World) -> None:
    request, bob = await _previewed(world, approver_count=2)
    assert not isinstance(await world.access.approve(bob, request, "", PEER), Refusal)  # type: ignore[arg-type]
    world.tickets.change("SUP-1423", customers=("43",))
    bea = await world.sign_in("bea")
    assert isinstance(await world.access.preview(bea, request, PEER), Previewed)
    outcome = await world.access.approve(bea, request, "", PEER)
    assert code(outcome) == "request-invalid"
    assert not world.trail.of("grant")


async def test_two_accounts_of_one_approver_are_one(world: World) -> None:
    world.directory.change("bea", email="BOB@example.com")
    request, bob = await _previewed(world, approver_count=2)
    await world.access.approve(bob, request, "", PEER)  # type: ignore[arg-type]
    bea = await world.sign_in("bea")
    assert code(await world.access.preview(bea, request, PEER)) == "request-invalid"
    assert code(await world.access.approve(bea, request, "", PEER)) == "request-invalid"


# grants and passes


async def test_an_approved_statement_is_opened_in_any_words_but_by_nobody_else_and_nothing_else(world: World) -> None:
    await approved(writable(world), await filed(world))
    opened = await ask(world, await world.sign_in("alice"), UPDATE + " -- go")
    assert isinstance(opened, Opened)
    assert (opened.grant.statement, opened.grant.write, opened.grant.spent) == (DIGEST, True, False)
    assert code(await ask(world, await world.sign_in("alice"), OTHER)) == "approval-required"
    assert code(await ask(world, await world.sign_in("alice"), ticket="SUP-1424")) == "approval-required"
    world.tickets.change("SUP-1423", assignee="amir")
    assert code(await ask(world, await world.sign_in("amir"))) == "approval-required"
    assert code(await ask(world, await world.sign_in("alice"))) == "ticket-not-yours"


async def test_a_statement_that_needs_columns_in_clear_is_another_grant(world: World) -> None:
    await approved(writable(world), await filed(world))
    assert code(await ask(world, await world.sign_in("alice"), reveal=EMAIL)) == "approval-required"


async def test_a_plain_open_never_hands_out_a_grant_that_writes(world: World) -> None:
    await approved(writable(world, both=True), await filed(world))
    general = await filed(world, statement="", write=True)
    assert not isinstance(await world.access.approve(await world.sign_in("bob"), general, "", PEER), Refusal)
    opened = await ask(world, await world.sign_in("alice"), "")
    assert isinstance(opened, Opened)
    assert (opened.grant.write, opened.grant.statement) == (False, "")
    direct = await world.direct("alice+SUP-1424", f"alice-secret{world.code('alice')}")
    assert isinstance(direct, Session)
    assert not direct.grant.write


async def test_a_direct_login_takes_no_grant_that_writes_even_when_there_is_no_other(world: World) -> None:
    await approved(writable(world, auto_approve="never"), await filed(world))
    world.time.advance(30)
    outcome = await world.direct("alice+SUP-1423", f"alice-secret{world.code('alice')}")
    assert code(outcome) == "approval-required"


async def test_a_general_grant_is_no_approval_of_a_statement_and_the_other_way_round(world: World) -> None:
    general = await filed(writable(world, both=True), statement="", write=True)
    assert not isinstance(await world.access.approve(await world.sign_in("bob"), general, "", PEER), Refusal)
    session = await enter(world, await ask(world, await world.sign_in("alice"), "", write=True))
    refusal = await world.access.claim(session, DIGEST)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "approval-required"
    assert "gateway open SUP-1423 --target payroll --statement-file" in refusal.hint
    assert code(await ask(world, await world.sign_in("alice"))) == "approval-required"


async def test_the_pass_tells_which_of_two_live_grants_is_meant(world: World) -> None:
    reading = await ask(writable(world), await world.sign_in("alice"), "")
    await approved(world, await filed(world))
    writing = await ask(world, await world.sign_in("alice"))
    assert isinstance(reading, Opened)
    assert isinstance(writing, Opened)
    assert reading.user == writing.user == "alice+SUP-1423"
    assert (await enter(world, reading)).grant.id == reading.grant.id
    assert (await enter(world, writing)).grant.id == writing.grant.id
    again = await ask(world, await world.sign_in("alice"))
    assert isinstance(again, Opened)
    assert (await enter(world, again)).grant.id == writing.grant.id
    assert (await enter(world, reading)).grant.id == reading.grant.id


async def test_a_newer_pass_for_the_same_purpose_still_supersedes_across_a_restart(stored: World) -> None:
    reading = await ask(writable(stored), await stored.sign_in("alice"), "")
    await approved(stored, await filed(stored))
    old = await ask(stored, await stored.sign_in("alice"))
    new = await ask(stored, await stored.sign_in("alice"))
    assert isinstance(reading, Opened)
    assert isinstance(old, Opened)
    assert isinstance(new, Opened)
    stored.restart()
    assert (await enter(stored, reading)).grant.id == reading.grant.id
    assert (await enter(stored, new)).grant.id == new.grant.id
    challenge = stored.access.challenge("alice+SUP-1423", "payroll", PEER, tls=True)
    assert 1 + len(challenge.others) == 2


async def test_the_session_of_a_grant_to_write_ends_when_the_policy_lets_nothing_be_written(world: World) -> None:
    session = await writer(writable(world))
    world.policies["payroll"] = replace(world.policies["payroll"], write={}, digest="digest-2")
    await world.access.refresh()
    assert code(world.access.check(session)) == "access-ended"
    assert code(await world.access.claim(session, DIGEST)) == "access-ended"


# running it once


async def test_an_approved_statement_is_let_run_once_and_the_trail_says_so(world: World) -> None:
    session = await writer(writable(world))
    assert await world.access.claim(session, DIGEST) is None
    record = world.last("write.claimed")
    assert (record["session"], record["grant"], record["digest"], record["approvers"]) == (
        session.id, session.grant.id, world.access.mark(DIGEST), ["p3"],
    )  # fmt: skip
    refusal = await world.access.claim(session, DIGEST)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, len(world.trail.of("write.claimed"))) == ("approval-required", 1)
    assert world.access.check(session) is None
    found = await world.access.grants(await world.sign_in("alice"))
    assert isinstance(found, list)
    assert [grant.spent for grant in found] == [True]
    assert code(await ask(world, await world.sign_in("alice"))) == "approval-required"


async def test_claims_at_the_same_moment_are_one(world: World) -> None:
    opened = await _openable(world)
    sessions = [await enter(world, opened) for _ in range(3)]
    outcomes = await asyncio.gather(*(world.access.claim(session, DIGEST) for session in sessions * 3))
    assert outcomes.count(None) == 1
    assert {code(one) for one in outcomes if one is not None} == {"approval-required"}
    assert len(world.trail.of("write.claimed")) == 1


async def _openable(world: World) -> Opened:
    await approved(writable(world), await filed(world))
    opened = await ask(world, await world.sign_in("alice"))
    assert isinstance(opened, Opened)
    return opened


async def test_of_two_gateways_on_one_store_one_lets_it_run(stored: World) -> None:
    opened = await _openable(stored)
    other = World(stored.path)
    other.policies, other.tickets, other.directory = stored.policies, stored.tickets, stored.directory
    other.access.close()
    other.time.now, other.time.mono = stored.time.now, stored.time.mono
    other.access = other.make()
    try:
        here, there = await enter(stored, opened), await enter(other, opened)
        outcomes = await asyncio.gather(stored.access.claim(here, DIGEST), other.access.claim(there, DIGEST))
        assert sorted(map(code, outcomes)) == ["", "approval-required"]
        winner, session = (stored, here) if outcomes[0] is None else (other, there)
        loser = other if winner is stored else stored
        await release(loser, there if winner is stored else here, DIGEST)
        assert code(await loser.access.claim(there if winner is stored else here, DIGEST)) == "approval-required"
        await release(winner, session, DIGEST)
        assert await winner.access.claim(session, DIGEST) is None
    finally:
        other.close()


@pytest.mark.parametrize("digest", ["", DIGEST.upper(), DIGEST[:-1], f"{DIGEST} ", "ü" * 64])
async def test_another_digest_is_another_statement(world: World, digest: str) -> None:
    session = await writer(writable(world))
    refusal = await world.access.claim(session, digest)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "approval-required"
    assert await world.access.claim(session, DIGEST) is None


async def test_a_reading_session_claims_nothing(world: World) -> None:
    await approved(writable(world), await filed(world))
    reading = await enter(world, await ask(world, await world.sign_in("alice"), ""))
    for digest in (DIGEST, ""):
        assert code(await world.access.claim(reading, digest)) == "approval-required"


@pytest.mark.parametrize("how", ["revoked", "expired", "ticket closed", "swept"])
async def test_what_is_over_is_not_claimed(world: World, how: str) -> None:
    session = await writer(writable(world))
    if how == "revoked":
        assert not isinstance(
            await world.access.revoke(await world.sign_in("bob"), session.grant.id, "", PEER), Refusal
        )
    elif how == "ticket closed":
        world.tickets.change("SUP-1423", status="closed")
        await world.access.refresh()
    else:
        world.time.advance(3600)
        if how == "swept":
            await world.access.sweep()
    refusal = await world.access.claim(session, DIGEST)
    assert isinstance(refusal, Refusal)
    assert refusal.code == ("access-ended" if how == "ticket closed" else "approval-required")
    assert refusal.hint


async def test_a_grant_that_is_revoked_while_it_is_claimed_lets_nothing_run(world: World) -> None:
    session = await writer(writable(world))
    bob = await world.sign_in("bob")
    await world.access.refresh()
    world.trail.mode = "hold"
    count = len(world.trail.records)
    claim = asyncio.create_task(world.access.claim(session, DIGEST))
    held = await world.trail.appended(count)
    revoke = asyncio.create_task(world.access.revoke(bob, session.grant.id, "", PEER))
    second = await world.trail.appended(count + 1)
    world.trail.mode = "durable"
    second.settle(durable=True)
    held.settle(durable=True)
    assert code(await claim) == "approval-required"
    assert not isinstance(await revoke, Refusal)


async def test_what_was_never_forwarded_is_given_back_by_its_own_session_once(world: World) -> None:
    opened = await _openable(world)
    session, other = await enter(world, opened), await enter(world, opened)
    await release(world, session, DIGEST)
    assert not world.trail.of("write.released")
    assert await world.access.claim(session, DIGEST) is None
    await release(world, other, DIGEST)
    assert code(await world.access.claim(other, DIGEST)) == "approval-required"
    await release(world, session, DIGEST)
    await release(world, session, DIGEST)
    assert len(world.trail.of("write.released")) == 1
    assert await world.access.claim(other, DIGEST) is None
    await release(world, session, DIGEST)
    assert code(await world.access.claim(session, DIGEST)) == "approval-required"


async def test_a_claim_that_nobody_waited_for_is_given_back(world: World) -> None:
    session = await writer(writable(world))
    world.trail.mode = "hold"
    count = len(world.trail.records)
    claim = asyncio.create_task(world.access.claim(session, DIGEST))
    held = await world.trail.appended(count)
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    world.trail.mode = "durable"
    held.settle(durable=True)
    await world.trail.appended(count + 1)
    assert world.trail.records[-1]["kind"] == "write.released"
    for _ in range(100):
        if await world.access.claim(session, DIGEST) is None:
            break
        await asyncio.sleep(0.002)
    else:
        pytest.fail("the statement stayed spent")


async def test_a_claim_that_cannot_be_recorded_is_refused_and_stays_spent(world: World) -> None:
    session = await writer(writable(world))
    world.trail.mode = "fail"
    refusal = await world.access.claim(session, DIGEST)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.fatal) == ("audit-not-writable", True)
    world.trail.mode = "durable"
    assert code(await world.access.claim(session, DIGEST)) == "approval-required"


async def test_a_spent_statement_stays_spent_across_a_restart(stored: World) -> None:
    session = await writer(writable(stored))
    assert await stored.access.claim(session, DIGEST) is None
    stored.restart()
    assert code(await ask(stored, await stored.sign_in("alice"))) == "approval-required"
    grants = stored.database.run_now(rows.list_grants)
    assert [grant.spent for grant in grants] == [True]


async def test_the_grant_of_one_target_claims_nothing_on_another(world: World) -> None:
    session = await writer(writable(world))
    guarded = replace(world.policies["guarded"], write=BOTH)
    world.policies["guarded"] = guarded
    challenge = world.access.challenge("alice+SUP-1423", "guarded", PEER, tls=True)
    assert challenge.pass_id is None
    assert session.grant.target == "payroll"
    assert code(await ask(world, await world.sign_in("alice"), target="guarded")) == "approval-required"


async def test_a_policy_that_takes_the_column_back_is_felt_at_the_next_opening(world: World) -> None:
    await approved(writable(world), await filed(world))
    other = {"public.employees": WriteRule(update=frozenset({"name"}))}
    world.policies["payroll"] = replace(world.policies["payroll"], write=other, digest="digest-2")
    assert code(await ask(world, await world.sign_in("alice"))) == "column-not-available"


async def _twin(world: World) -> World:
    """Another gateway on the same store, with the same sources and clock."""
    other = World(world.path)
    other.policies, other.tickets, other.directory, other.time = (
        world.policies, world.tickets, world.directory, world.time,
    )  # fmt: skip
    other.access.close()
    other.access = other.make()
    return other


@pytest.mark.parametrize("count", [1, 2])
async def test_of_two_approvals_on_two_gateways_at_the_same_moment_each_counts_once(stored: World, count: int) -> None:
    request = await filed(writable(stored, approver_count=count))
    other = await _twin(stored)
    bob, bea = await stored.sign_in("bob"), await stored.sign_in("bea")
    try:
        for world, signin in ((stored, bob), (other, bea)):
            assert isinstance(await world.access.preview(signin, request, PEER), Previewed)
        outcomes = await asyncio.gather(
            stored.access.approve(bob, request, "", PEER), other.access.approve(bea, request, "", PEER)
        )
        told, grants = sorted(map(code, outcomes)), stored.database.run_now(rows.list_grants)
        if count == 2 and told == ["", ""]:
            # the machine let one go before the other, which then was the last that was needed
            assert len(grants) == 1
            return
        assert told == ["", "request-invalid"]
        assert len(grants) == (1 if count == 1 else 0)
        if count == 2:
            late = bea if code(outcomes[1]) else bob
            assert not isinstance(await other.access.approve(late, request, "", PEER), Refusal)
            assert len(stored.database.run_now(rows.list_grants)) == 1
    finally:
        other.close()


async def test_a_request_that_is_taken_back_while_it_is_approved_elsewhere_has_one_end(stored: World) -> None:
    request = await filed(writable(stored))
    other = await _twin(stored)
    alice, bob = await stored.sign_in("alice"), await stored.sign_in("bob")
    try:
        assert isinstance(await other.access.preview(bob, request, PEER), Previewed)
        outcomes = await asyncio.gather(
            stored.access.cancel(alice, request, PEER), other.access.approve(bob, request, "", PEER)
        )
        assert sorted(map(code, outcomes)) == ["", "request-invalid"]
        found = stored.database.run_now(rows.find_request, request)
        assert found is not None
        approved_ = code(outcomes[1]) == ""
        assert found.state is (RequestState.APPROVED if approved_ else RequestState.CANCELLED)
        assert len(stored.database.run_now(rows.list_grants)) == approved_
    finally:
        other.close()


@pytest.mark.parametrize("change", ["policy", "rows", "column", "another statement", "outage"])
async def test_what_is_not_any_more_what_was_approved_does_not_run(world: World, change: str) -> None:
    session = await writer(writable(world))
    policy, expected = world.policies["payroll"], "approval-required"
    if change == "policy":
        world.policies["payroll"] = replace(policy, digest="digest-2")
    elif change == "rows":
        world.study.rows = 1000
    elif change == "another statement":
        world.study.salt, expected = "the search path leads elsewhere", "request-invalid"
    elif change == "outage":
        world.study.refusal, expected = Refusal("target-unavailable", "not ready"), "target-unavailable"
    else:
        other = {"public.employees": WriteRule(update=frozenset({"name"}))}
        world.policies["payroll"], expected = replace(policy, write=other), "column-not-available"
    assert code(await world.access.claim(session, DIGEST)) == expected
    world.policies["payroll"] = policy
    world.study.rows, world.study.salt, world.study.refusal = 1, "", None
    assert await world.access.claim(session, DIGEST) is None


async def test_a_grant_whose_previews_are_not_in_the_store_lets_nothing_run(world: World) -> None:
    session = await writer(writable(world))
    world.database.run_now(lambda connection: connection.exec_driver_sql("DELETE FROM previews"))
    assert code(await world.access.claim(session, DIGEST)) == "approval-required"


async def test_a_statement_that_needs_no_approval_of_its_own_is_sent_to_the_general_one(world: World) -> None:
    outcome = await ask(
        writable(world, both=True), await world.sign_in("alice"), "update notes set body = 'x' where id = 1"
    )
    assert isinstance(outcome, Refusal)
    assert outcome.code == "request-invalid"
    assert "--write" in outcome.hint
