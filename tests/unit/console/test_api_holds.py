"""Legal holds and retention: two people set and lift what is kept, and the daily look heeds it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.pruning import leaf_of_record
from gateway.audit.segment import segments_of
from gateway.audit.verify import verify_log
from gateway.audit_settings import Audit
from gateway.custody.holds import fits, subject_of
from gateway.custody.retention import Retention
from gateway.errors import GatewayError
from gateway.record import event


def ask(desk: Any, login: str = "carol", **subject: str) -> Any:
    body = {"reason": "case 12 O 7/26", **subject}
    return desk.call("POST", "/v1/audit/holds", desk.sign_in(login), json=body)


def confirmed(desk: Any, act: str, login: str = "bob") -> Any:
    answer = desk.call("POST", f"/v1/audit/acts/{act}/confirm", desk.sign_in(login), json={"reason": "yes"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def hold(desk: Any, **subject: str) -> str:
    return str(confirmed(desk, ask(desk, **subject).json()["id"])["result"]["hold"])


def lift(desk: Any, which: str) -> None:
    filed = desk.call("POST", f"/v1/audit/holds/{which}/lift", desk.sign_in("carol"), json={"reason": "settled"})
    assert filed.status_code == 200, filed.text
    confirmed(desk, filed.json()["id"])


def listed(desk: Any, live: str = "true") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.call("GET", f"/v1/audit/holds?live={live}", desk.sign_in("carol")).json()[
        "holds"
    ]
    return found


def test_two_people_set_a_hold_and_two_people_lift_it(desk: Any) -> None:
    filed = ask(desk, customer="42", since="2026-01-01T00:00:00Z").json()
    assert (filed["does"], filed["state"]) == ("hold.set", "waiting")
    assert listed(desk) == []
    own = desk.call("POST", f"/v1/audit/acts/{filed['id']}/confirm", desk.sign_in("carol"), json={"reason": ""})
    assert own.status_code == 403
    assert listed(desk) == []
    which = confirmed(desk, filed["id"])["result"]["hold"]
    (one,) = listed(desk)
    assert one["id"] == which
    assert one["subject"] == {"customer": "42", "since": "2026-01-01T00:00:00.000000Z"}
    assert (one["asked_by"], one["confirmed_by"]) == ("carol", "bob")
    (record,) = desk.records(kind="hold.set")
    assert (record["hold"], record["asked_by"], record["confirmed_by"]) == (which, "p-carol", "p-bob")
    lift(desk, which)
    assert listed(desk) == []
    assert listed(desk, "false")[0]["lifted_at"]
    assert desk.records(kind="hold.lifted")[0]["hold"] == which
    again = desk.call("POST", f"/v1/audit/holds/{which}/lift", desk.sign_in("carol"), json={"reason": "x"})
    assert again.status_code == 404


@pytest.mark.parametrize("login", ["alice", "dan"])
def test_who_has_nothing_to_do_with_the_trail_holds_nothing_and_sees_nothing(desk: Any, login: str) -> None:
    token = desk.sign_in(login)
    assert desk.call("GET", "/v1/audit/holds", token).status_code == 403
    assert desk.call("GET", "/v1/audit/retention", token).status_code == 403
    assert ask(desk, login, customer="1").status_code == 403
    assert desk.call("POST", "/v1/audit/holds/hold_X/lift", token, json={"reason": "x"}).status_code == 403


def test_a_hold_says_what_it_is_about(desk: Any) -> None:
    assert ask(desk).status_code == 400
    assert ask(desk, customer="4 2").status_code == 400
    assert ask(desk, since="2026-02-01T00:00:00Z", until="2026-01-01T00:00:00Z").status_code == 400


RECORD = {
    "time": "2026-03-02T09:00:00.000000Z", "kind": "statement.begin", "person": "u-1", "login": "alice",
    "customers": ["42", "7"], "ticket": "SUP-1", "target": "payroll", "approvers": ["u-9"], "by": "u-8",
}  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "fit"),
    [
        ({"customer": "42"}, True),
        ({"customer": "4"}, False),
        ({"person": "u-1"}, True),
        ({"person": "Alice"}, True),
        ({"person": "u-9"}, True),
        ({"person": "u-8"}, True),
        ({"person": "u-2"}, False),
        ({"ticket": "SUP-1", "customer": "7"}, True),
        ({"ticket": "SUP-1", "customer": "8"}, False),
        ({"target": "payroll"}, True),
        ({"target": "other"}, False),
        ({"since": "2026-03-02T09:00:00.000000Z"}, True),
        ({"until": "2026-03-02T09:00:00.000000Z"}, False),
        ({"since": "2026-03-01T00:00:00.000000Z", "until": "2026-03-03T00:00:00.000000Z"}, True),
        ({"since": "2026-03-03T00:00:00.000000Z"}, False),
    ],
)
def test_a_record_falls_under_a_hold_when_all_of_it_fits(subject: dict[str, str], fit: bool) -> None:
    assert fits(subject, RECORD) is fit


def test_acts_about_a_customer_fall_under_the_holds_of_it() -> None:
    act = {"time": RECORD["time"], "kind": "audit.act", "subject": "customer=42 person=u-5"}
    assert fits({"customer": "42"}, act)
    assert fits({"person": "u-5"}, act)
    assert not fits({"customer": "5"}, act)


def test_times_of_a_hold_are_spelt_as_records_spell_them() -> None:
    zone = datetime(2026, 3, 2, 10, tzinfo=UTC).astimezone()
    assert subject_of(since=zone) == {"since": "2026-03-02T10:00:00.000000Z"}
    with pytest.raises(GatewayError):
        subject_of()


def test_what_a_hold_covers_may_not_be_destroyed(own_desk: Any) -> None:
    desk = own_desk
    held = desk.custody.holds.held
    desk.trail.append(event("session.begin", session="S", person="p-x", login="x", ticket="SUP-9", customers=["77"]))
    assert desk.run(held(customer="42")) == ""
    which = hold(desk, customer="42")
    assert desk.run(held(customer="42")) == which
    assert desk.run(held(customer="43")) == ""
    assert desk.run(held()) == which
    lift(desk, which)
    # of a hold that does not name the customer, the trail says whether it covers something about it
    by_ticket = hold(desk, ticket="SUP-9")
    assert desk.run(held(customer="77")) == by_ticket
    assert desk.run(held(customer="42")) == ""
    assert desk.run(held(person="p-x")) == by_ticket
    lift(desk, by_ticket)
    by_time = hold(desk, until="2020-01-01T00:00:00Z")
    assert desk.run(held(customer="77")) == ""
    lift(desk, by_time)


# -- the daily look


class Aged:
    """A desk whose trail has sealed segments of another year, and a look at it with a clock of its own."""

    def __init__(self, desk: Any, tmp_path: Path) -> None:
        self.desk, self.running = desk, 1000.0
        filler = "x" * 2_000
        for number in range(2_400):
            if number % 100 == 0:
                desk.pass_time(hours=1)
            desk.trail.append(
                event("statement.refused", session="S", person="p-alice", login="alice", ticket=f"SUP-{number // 600}",
                      customers=[str(number // 600)], decision="deny", code="syntax-error", reason=filler)
            )  # fmt: skip
        desk.trail.flush()
        desk.trail.checkpoint()
        desk.custody.retention._ticked = None
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.wall = desk.now.timestamp()
        self.state = tmp_path / "time.json"
        settings = Audit(retention="10d", hot="5d", reserve="1MiB", segment_size="1MiB")
        self.retention = Retention(
            settings, desk.trail, desk.search, desk.custody.holds, self.state,
            lambda what, **facts: self.told.append((what, facts)), lambda: self.wall, lambda: self.running,
        )  # fmt: skip
        self.retention.tick()

    def pass_days(self, days: float) -> None:
        self.running += days * 86400
        self.wall += days * 86400
        self.desk.pass_time(days=days)

    def look(self) -> Any:
        return self.desk.run(self.retention.look(self.retention.tick()))


@pytest.fixture
def aged(own_desk: Any, tmp_path: Path) -> Aged:
    return Aged(own_desk, tmp_path)


def verified(aged: Aged) -> Any:
    aged.desk.trail.checkpoint()
    report = verify_log(aged.desk.trail.directory, aged.desk.trail.verifier.text)
    assert report.ok, report.problems
    return report


def test_what_is_old_turns_cold_and_what_is_older_goes(aged: Aged) -> None:
    directory = aged.desk.trail.directory
    segments = segments_of(directory)
    assert len(segments) > 4
    aged.look()
    assert all(path.exists() for _, path in segments)
    aged.pass_days(6)
    aged.look()
    assert not any(path.exists() for _, path in segments[:-1])
    assert segments_of(directory) == segments
    assert verified(aged).first == 0
    aged.pass_days(6)
    aged.look()
    first = segments_of(directory)[0][0]
    assert first >= segments[-2][0] > 0
    assert verified(aged).first == first
    (record,) = aged.desk.records(kind="log.pruned")
    assert (record["from"], record["to"], record["rule"]) == (0, first, "audit.retention 10d")
    assert [what for what, _ in aged.told] == ["compressed", "pruned"]
    assert aged.desk.search.show(first)["index"] == first
    aged.look()
    assert len(aged.desk.records(kind="log.pruned")) == 1


def test_a_hold_keeps_what_it_is_about_until_it_is_lifted(aged: Aged) -> None:
    which = hold(aged.desk, customer="1")
    # the desk's own clock moved on for the signing in
    aged.wall = aged.desk.now.timestamp()
    aged.pass_days(12)
    plan = aged.look()
    held = next(r["index"] for r in aged.desk.records(customer="1"))
    assert plan.hold == which
    assert plan.held == held
    first, path = max(one for one in segments_of(aged.desk.trail.directory) if one[0] <= held)
    assert aged.desk.search.show(held)["customers"] == ["1"]
    assert segments_of(aged.desk.trail.directory)[0] == (first, path)
    aged.look()
    (kept,) = aged.desk.records(kind="hold.kept")
    assert (kept["hold"], kept["subject"], kept["held"]) == (which, "customer=1", held)
    lift(aged.desk, which)
    aged.look()
    assert segments_of(aged.desk.trail.directory)[0][0] > held
    assert verified(aged).first > held


def test_a_hold_that_is_set_while_a_pruning_is_recorded_still_counts(aged: Aged) -> None:
    aged.pass_days(12)
    retention, holds = aged.retention, aged.desk.custody.holds
    planned = retention._plan

    async def slow(now: datetime) -> Any:
        found = await planned(now)
        holds.version += 1
        return found

    retention._plan = slow
    aged.look()
    directory = aged.desk.trail.directory
    assert segments_of(directory)[0][0] == 0
    assert verified(aged).first == 0
    # what was recorded and not done is taken back, so that nobody can do it by hand and point at the record
    refused, taken_back = aged.desk.records(kind="log.pruned")
    assert (taken_back["to"], taken_back["rule"]) == (0, "taken back")
    aged.desk.trail.checkpoint()
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    assert verify_log(copy, aged.desk.trail.verifier.text).ok
    (copy / "pruned").write_bytes(leaf_of_record(copy, refused["index"]) + b"\n")
    for first, path in segments_of(copy):
        if first < refused["to"]:
            path.with_suffix(".cold").unlink()
    problem = verify_log(copy, aged.desk.trail.verifier.text).problems[0]
    assert "no signed record says that they were pruned" in problem.what


def test_a_clock_that_was_set_ahead_prunes_nothing_for_a_week(aged: Aged) -> None:
    aged.wall += timedelta(days=365).total_seconds()
    for _ in range(6):
        aged.pass_days(1)
        aged.look()
        assert segments_of(aged.desk.trail.directory)[0][0] == 0
        # a restart does not help
        aged.retention._ticked = None
    assert aged.retention.ahead > 300 * 86400
    for _ in range(8):
        aged.pass_days(1)
        aged.retention.tick()
    aged.look()
    assert segments_of(aged.desk.trail.directory)[0][0] > 0


def test_what_would_go_is_shown(aged: Aged) -> None:
    shown = aged.desk.call("GET", "/v1/audit/retention", aged.desk.sign_in("carol")).json()
    assert (shown["rule"], shown["segments"], shown["to"]) == ("audit.retention 365d", 0, 0)
    aged.desk.custody.retention = aged.retention
    aged.wall = aged.desk.now.timestamp()
    aged.pass_days(12)
    shown = aged.desk.call("GET", "/v1/audit/retention", aged.desk.sign_in("carol")).json()
    assert shown["segments"] > 2
    assert shown["bytes"] > 0
    assert shown["to"] > 0
    assert segments_of(aged.desk.trail.directory)[0][0] == 0
