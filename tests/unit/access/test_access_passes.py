"""The register of live grants and passes: which pass admits, and what is over."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from gateway.access.passes import Register, new_pass
from gateway.model import Grant, GrantState, Pass
from gateway.store.access import PassRow

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GRANT = Grant(
    "g1", "r1", "p1", "payroll", "file", "SUP-1", ("42",), frozenset(), False, GrantState.ACTIVE, NOW,
    NOW + timedelta(hours=1),
)  # fmt: skip
PASS = PassRow(Pass("s1", "g1", "p1", "payroll", "SUP-1", "v", NOW, GRANT.expires_at), "alice", "totp", NOW)


def code(register: Register, grant: str, pass_id: str | None, now: datetime = NOW) -> str:
    refusal = register.over(grant, pass_id, now)
    return refusal.code if refusal is not None else ""


def ids(rows: list[PassRow]) -> list[str]:
    return [row.secret.id for row in rows]


def test_a_pass_can_be_pasted_anywhere_and_is_never_the_same() -> None:
    made = {new_pass(secrets.token_bytes) for _ in range(100)}
    assert len(made) == 100
    assert all(quote(one, safe="") == one and one.isascii() and one == one.lower() for one in made)


def test_a_grant_is_live_with_its_pass_until_the_moment_it_runs_out() -> None:
    register = Register([GRANT], [PASS])
    assert code(register, "g1", "s1") == ""
    assert code(register, "g1", None) == ""
    assert code(register, "g1", "s1", GRANT.expires_at - timedelta(microseconds=1)) == ""
    assert code(register, "g1", "s1", GRANT.expires_at) == "grant-expired"


@pytest.mark.parametrize(("grant", "pass_id"), [("unknown", None), ("unknown", "s1"), ("g1", "unknown")])
def test_what_is_not_known_is_revoked(grant: str, pass_id: str | None) -> None:
    assert code(Register([GRANT], [PASS]), grant, pass_id) == "grant-revoked"


@pytest.mark.parametrize("state", [GrantState.REVOKED, GrantState.EXPIRED])
def test_an_ended_grant_takes_its_passes_along(state: GrantState) -> None:
    register = Register([GRANT], [PASS])
    register.end_grant("g1", state, "why")
    assert register.login_passes("alice", "payroll", "SUP-1", NOW) == []
    assert register.login_passes("alice", "payroll", None, NOW) == []
    assert register.pass_of("s1") is None
    assert code(register, "g1", "s1") == "grant-revoked"
    assert register.live("p1", "payroll", "SUP-1", NOW) == []


def test_revoked_is_said_even_after_the_time_is_over() -> None:
    register = Register([GRANT], [PASS])
    register.end_grant("g1", GrantState.REVOKED, "why")
    assert code(register, "g1", "s1", GRANT.expires_at) == "grant-revoked"


def test_the_end_of_an_older_grant_leaves_the_newer_pass_alone() -> None:
    newer_grant = replace(GRANT, id="g2")
    newer = replace(PASS, secret=replace(PASS.secret, id="s2", grant_id="g2"))
    register = Register([GRANT, newer_grant], [PASS, newer])
    register.end_grant("g1", GrantState.REVOKED, "why")
    assert ids(register.login_passes("alice", "payroll", "SUP-1", NOW)) == ["s2"]


def test_an_expired_newest_pass_does_not_hide_an_older_live_one_of_another_ticket() -> None:
    other_grant = replace(GRANT, id="g2", ticket_id="SUP-2", expires_at=NOW + timedelta(minutes=1))
    other = replace(
        PASS,
        secret=replace(PASS.secret, id="s2", grant_id="g2", ticket_id="SUP-2", created_at=NOW + timedelta(seconds=1)),
    )
    register = Register([GRANT, other_grant], [PASS, other])
    later = NOW + timedelta(minutes=2)
    newest, remaining = (register.login_passes("alice", "payroll", None, when) for when in (NOW, later))
    assert (ids(newest), ids(remaining)) == (["s2"], ["s1"])
    assert register.login_passes("alice", "payroll", "SUP-2", later) == []


def test_a_pass_is_for_one_login_and_one_target() -> None:
    register = Register([GRANT], [PASS])
    assert register.login_passes("alice", "other", "SUP-1", NOW) == []
    assert register.login_passes("amir", "payroll", "SUP-1", NOW) == []
    assert register.login_passes("alice", "payroll", "SUP-2", NOW) == []


def test_a_superseded_pass_keeps_its_sessions_and_admits_no_new_login_even_when_the_newer_one_is_gone() -> None:
    register = Register([GRANT], [replace(PASS, superseded=True)])
    assert code(register, "g1", "s1") == ""
    assert register.login_passes("alice", "payroll", "SUP-1", NOW) == []
    assert register.login_passes("alice", "payroll", None, NOW) == []


def test_passes_for_reading_writing_and_each_statement_live_side_by_side_newest_first() -> None:
    grants = [
        GRANT,
        replace(GRANT, id="g2", write=True),
        replace(GRANT, id="g3", write=True, statement="d1"),
        replace(GRANT, id="g4", write=True, statement="d2"),
    ]
    rows = [
        replace(
            PASS,
            secret=replace(
                PASS.secret, id=f"s{number}", grant_id=f"g{number}", created_at=NOW + timedelta(seconds=number)
            ),
        )
        for number in range(1, 5)
    ]
    register = Register(grants, rows)
    assert ids(register.login_passes("alice", "payroll", "SUP-1", NOW)) == ["s4", "s3", "s2", "s1"]
    assert ids(register.login_passes("alice", "payroll", None, NOW)) == ["s4", "s3", "s2", "s1"]
    newer = replace(rows[2], secret=replace(rows[2].secret, id="s5", created_at=NOW + timedelta(minutes=1)))
    register.put_pass(newer)
    assert ids(register.login_passes("alice", "payroll", "SUP-1", NOW)) == ["s5", "s4", "s2", "s1"]
    register.end_grant("g3", GrantState.REVOKED, "why")
    assert ids(register.login_passes("alice", "payroll", "SUP-1", NOW)) == ["s4", "s2", "s1"]


def test_a_spent_grant_is_known_as_spent() -> None:
    register = Register([replace(GRANT, write=True, statement="d1")], [])
    register.spend("g1", True)
    register.spend("unknown", True)
    assert [grant.spent for grant in register.grants()] == [True]
    register.spend("g1", False)
    assert [grant.spent for grant in register.grants()] == [False]
