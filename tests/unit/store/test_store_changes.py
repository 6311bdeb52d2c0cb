"""The history of changes: who hears what, in which order; and a store that went back is told from one that did not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.model import GrantState, RequestState
from gateway.store import access, acts, cases, changes, comments, delegations, people, restored, schema, summaries
from gateway.store.acts import Act, ActState
from gateway.store.changes import Mark
from gateway.store.database import Connection, Database
from gateway.store.people import FactorRow, TokenRow
from tests.unit.store.test_store_database import GRANT, NOW, PASS, REQUEST

LATER = NOW + timedelta(minutes=5)
TOKEN = TokenRow(b"t", "signin_1", "p1", "totp", NOW, NOW, NOW + timedelta(hours=8))
STEP = 10_000


def told(database: Database, mark: Mark) -> list[tuple[str, str]]:
    return [(one.what, one.row) for one in database.run_now(changes.since, mark)]


def test_each_move_that_matters_is_told_with_what_it_was_of() -> None:
    database = Database("")
    begin = database.newest
    database.run_now(access.insert_request, REQUEST, GRANT)
    database.run_now(access.insert_pass, PASS)
    database.run_now(people.insert_token, TOKEN)
    database.run_now(people.remove_token, b"t", "p1")
    database.run_now(access.move_grant, "grant_1", GrantState.ACTIVE, GrantState.REVOKED, "")
    database.run_now(people.insert_invitation, b"h", "p1", "local", NOW, LATER)
    grant, person = ("grant", "grant_1"), ("person", "p1")
    assert told(database, begin) == [grant, grant, person, person, grant, ("", "invitations")]
    assert database.newest == database.made == database.run_now(changes.newest)
    database.close()


def test_what_decides_about_nobodys_access_is_not_told() -> None:
    database = Database("")
    begin = database.newest
    database.run_now(cases.remember, cases.Memory("log", 7, b"memory"))
    database.run_now(people.put_lockout, "login alice", 1, NOW)
    database.run_now(access.list_requests)
    assert not database.run_now(access.move_grant, "grant_1", GrantState.ACTIVE, GrantState.REVOKED, "")
    assert told(database, begin) == []
    assert database.newest == begin
    database.close()


def test_every_table_counts_but_those_that_are_named() -> None:
    counted = set(schema.metadata.tables) - changes._QUIET
    assert {
        "requests",
        "approvals",
        "grants",
        "passes",
        "factors",
        "recovery_codes",
        "invitations",
        "tokens",
    } <= counted
    assert {"acts", "holds", "reviews"} <= counted
    assert {*schema.metadata.tables, "alembic_version"} >= changes._QUIET


def test_a_transaction_that_fails_tells_nothing() -> None:
    database = Database("")
    begin = database.newest

    def fails(connection: Connection) -> None:
        access.insert_request(connection, REQUEST, GRANT)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        database.run_now(fails)
    database.run_now(access.insert_request, REQUEST)
    assert told(database, begin) == [("", "requests")]
    database.close()


def test_a_mark_is_known_by_its_token_and_not_by_its_number_alone() -> None:
    database = Database("")
    database.run_now(access.insert_request, REQUEST, GRANT)
    mark = database.newest
    assert database.run_now(changes.knows, mark)
    assert database.run_now(changes.knows, Mark())
    assert not database.run_now(changes.knows, replace(mark, token="another"))
    assert not database.run_now(changes.knows, replace(mark, number=mark.number + 1))
    assert changes.mark_of(str(mark)) == mark
    database.close()


def test_old_changes_are_forgotten_but_the_newest_and_who_knows_older_ones_is_believed() -> None:
    database = Database("")
    marks = []
    for number in range(3):
        database.run_now(access.insert_request, replace(REQUEST, id=f"req_{number}"))
        marks.append(database.newest)
    database.run_now(changes.prune, LATER + timedelta(days=10_000))
    assert [one.number for one in database.run_now(changes.since, Mark())] == [marks[-1].number]
    assert database.run_now(changes.knows, marks[0])
    assert not database.run_now(changes.knows, replace(marks[-1], token="another"))
    database.close()


@pytest.mark.parametrize("text", ["", "7", "7.", "x.ab", "-1.ab", "7.ab cd"])
def test_what_is_no_mark_is_not_read_as_one(text: str) -> None:
    with pytest.raises(ValueError):
        changes.mark_of(text)


def everything(database: Database) -> None:
    """A store in which all kinds of things are live."""
    database.run_now(access.insert_request, replace(REQUEST, state=RequestState.APPROVED), GRANT)
    database.run_now(access.insert_request, replace(REQUEST, id="req_2"))
    database.run_now(access.insert_pass, PASS)
    database.run_now(people.insert_invitation, b"h", "p1", "local", NOW, LATER)
    database.run_now(people.begin_enrolment, b"h", b"sealed")
    database.run_now(people.finish_enrolment, b"h", FactorRow("p1", "totp", b"sealed", NOW, 100), [b"c1"])
    database.run_now(people.insert_invitation, b"i", "p2", "local", NOW, LATER)
    database.run_now(people.insert_token, TOKEN)
    given = delegations.Delegation("d1", "p3", "p4", "away", NOW, LATER + timedelta(days=1))
    database.run_now(delegations.insert, given)
    for state in (ActState.WAITING, ActState.CONFIRMED, ActState.DONE):
        act = Act(f"act_{state.value}", "erase", {}, "why", "p1", state, NOW, b"sealed")
        database.run_now(acts.insert, act)


def test_a_store_that_went_back_gives_nobody_access_any_more() -> None:
    database = Database("")
    everything(database)
    lost = Mark(database.newest.number + 5, "abcdef")
    assert database.run_now(restored.settle, lost, NOW, LATER, STEP) is True
    assert database.run_now(access.load, NOW) == ([], [])
    assert [(one.state, one.ended_reason) for one in database.run_now(access.list_grants)] == [
        (GrantState.REVOKED, restored.REASON)
    ]
    assert {one.state for one in database.run_now(access.list_requests)} == {
        RequestState.APPROVED,
        RequestState.EXPIRED,
    }
    assert database.run_now(people.load, NOW)[0] == []
    assert database.run_now(people.find_invitation, b"i") is None
    assert [one.ended_at for one in database.run_now(delegations.newest)] == [LATER]
    assert not database.run_now(people.use_step, "p1", STEP)
    assert database.run_now(people.use_step, "p1", STEP + 1)
    states = {act.id: (act.state, act.sealed) for act in database.run_now(acts.newest)}
    assert states == {
        "act_waiting": (ActState.EXPIRED, None), "act_confirmed": (ActState.EXPIRED, None),
        "act_done": (ActState.DONE, b"sealed"),
    }  # fmt: skip
    database.close()


def test_a_store_that_went_on_is_left_as_it_is() -> None:
    database = Database("")
    everything(database)
    mark = database.newest
    database.run_now(access.insert_request, replace(REQUEST, id="req_3"))
    assert database.run_now(restored.settle, mark, NOW, LATER, STEP) is None
    assert [grant.id for grant in database.run_now(access.load, NOW)[0]] == ["grant_1"]
    database.close()


def test_what_another_gateway_has_dealt_with_since_is_not_ended_again() -> None:
    database = Database("")
    everything(database)
    lost = Mark(database.newest.number + 5, "abcdef")
    at = database.run_now(lambda connection: connection.execute(schema.changes.select()).all())[-1].at
    assert database.run_now(restored.settle, lost, at, LATER, STEP) is True
    database.run_now(
        access.insert_request, replace(REQUEST, id="req_9"), replace(GRANT, id="grant_9", request_id="req_9")
    )
    assert database.run_now(restored.settle, lost, at, LATER, STEP) is False
    assert [grant.id for grant in database.run_now(access.load, NOW)[0]] == ["grant_9"]
    # but what was known only after that was lost anew
    assert database.run_now(restored.settle, lost, at + timedelta(days=10_000), LATER, STEP) is True
    assert database.run_now(access.load, NOW) == ([], [])
    database.close()


def test_a_pass_is_good_only_while_it_and_its_grant_are() -> None:
    database = Database("")
    database.run_now(access.insert_request, REQUEST, GRANT)
    assert database.run_now(access.insert_pass, PASS)
    assert database.run_now(access.admits, "pass_1", NOW)
    assert not database.run_now(access.admits, "pass_2", NOW)
    assert not database.run_now(access.admits, "pass_1", GRANT.expires_at)
    database.run_now(access.move_grant, "grant_1", GrantState.ACTIVE, GrantState.REVOKED, "")
    assert not database.run_now(access.admits, "pass_1", NOW)
    assert not database.run_now(access.insert_pass, replace(PASS, secret=replace(PASS.secret, id="pass_2")))
    database.close()


def test_a_number_that_was_given_is_not_given_again(path: Path) -> None:
    database = Database(path)
    database.run_now(access.insert_request, REQUEST)
    first = database.newest
    database.run_now(lambda connection: connection.execute(schema.changes.delete()))
    database.close()
    database = Database(path)
    database.run_now(access.insert_request, replace(REQUEST, id="req_2"))
    assert database.newest.number > first.number
    database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def test_of_two_gateways_one_sends_a_notice_and_one_makes_a_comment() -> None:
    database = Database("")
    notice = cases.Notice("n1", "sink", {"case": "c1"}, NOW, NOW)
    case = cases.Case("c1", "rule", "about", "low", "title", (), cases.CaseState.NEW, NOW, NOW, ())
    database.run_now(cases.put, case, [notice])
    assert database.run_now(cases.claim, notice, LATER)
    assert not database.run_now(cases.claim, notice, LATER)
    assert database.run_now(cases.due, NOW) == []
    (again,) = database.run_now(cases.due, LATER)
    assert database.run_now(cases.claim, again, LATER + timedelta(minutes=5))
    comment = comments.Comment("grant_1", "begin", "jira", "SUP-1", "text", NOW)
    database.run_now(comments.insert, comment)
    assert database.run_now(comments.tried, comment, LATER)
    assert not database.run_now(comments.tried, comment, LATER)
    database.close()


def test_each_gateway_has_its_own_summary_and_hears_what_the_others_used() -> None:
    database = Database("")
    assert database.run_now(summaries.find, "a", others=True) == []
    database.run_now(summaries.keep, "a", b"first")
    database.run_now(summaries.keep, "a", b"second")
    database.run_now(summaries.keep, "b", b"of b")
    assert database.run_now(summaries.find, "a", others=True) == [b"second"]
    assert database.run_now(summaries.find, "c", others=False) == []
    assert database.run_now(summaries.find, "c", others=True) == [b"second", b"of b"]
    database.run_now(summaries.share, "a", b"share of a")
    database.run_now(summaries.share, "a", b"new share of a")
    database.run_now(summaries.share, "b", b"share of b")
    assert database.run_now(summaries.shared, "b") == [b"new share of a"]
    database.close()
