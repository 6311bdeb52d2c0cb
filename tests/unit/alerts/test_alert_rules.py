"""Rules over records: what each of the built-in ones finds, and what it lets pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.alerts.engine import Engine, Event
from gateway.alerts.rules import load_rules
from gateway.errors import GatewayError
from gateway.record import event

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ALICE = {"person": "p1", "login": "alice"}


class Log:
    """Records one after the other, and the events of the built-in rules."""

    def __init__(self, *rules: str) -> None:
        self.rules = [rule for rule in load_rules(None) if not rules or rule.name in rules]
        self.engine = Engine(self.rules, "example/1")
        self.now, self.index = START, 0
        self.events: list[Event] = []

    def add(self, kind: str, /, after_s: float = 1.0, **fields: Any) -> list[Event]:
        self.now += timedelta(seconds=after_s)
        record = event(kind, **fields) | {
            "index": self.index, "time": self.now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }  # fmt: skip
        found = self.engine.take(record, f"{self.index:064x}")
        self.engine.heard(self.now.timestamp())
        self.index += 1
        self.events += found
        return found

    def session(self, number: int = 1, **more: Any) -> list[Event]:
        fields = {
            "session": f"s{number}",
            "target": "payroll",
            "ticket_system": "t",
            "ticket": "SUP-1",
            "customers": ["42"],
        }
        return self.add("session.begin", **(fields | ALICE | more))

    def restart(self) -> None:
        self.engine = Engine(self.rules, "example/1", self.engine.memory())


def denied(code: str, reason: str = "no") -> dict[str, Any]:
    return {"decision": "deny", "code": code, "reason": reason}


def test_the_built_in_rules_are_read_and_have_titles_that_can_be_filled() -> None:
    rules = load_rules(None)
    assert len(rules) >= 20
    for rule in rules:
        assert "?" not in rule.title.format_map(dict.fromkeys(("login", "target", "ticket", "person"), "x"))


@pytest.mark.parametrize(
    ("rule", "kind", "fields"),
    [
        ("break-glass", "break_glass.opened", {"target": "payroll", "ticket": "SUP-1"}),
        ("review-overdue", "break_glass.overdue", {"grant": "g"}),
        ("self-approval", "request", denied("request-invalid", "nobody decides about a request of his own, or twice")),
        ("self-approval", "request", denied("not-in-team", "nobody decides about a request of their own")),
        ("self-approval", "break_glass.review", denied("request-invalid", "nobody reviews an access of his own")),
        ("replayed-code", "login", denied("authentication-failed", "replayed code")),
        ("relayed-login", "login", denied("sign-in-refused", "the terminal's code was not typed")),
        ("taken-login", "login", denied("sign-in-refused", "the login `bob` belongs to somebody else here")),
        ("further-key", "enrolment", {"decision": "permit", "reason": "enrolled a further key"}),
        ("cloned-key", "login", denied("authentication-failed", "the counter of the key went back")),
        ("unsealed", "audit.unsealed", {"act": "a", "record": 7}),
        ("erased", "audit.erased", {"act": "a"}),
        ("archive-late", "archive.late", {"size": 7}),
        ("store-restored", "store.restored", {"reason": "all that gave access was ended"}),
        ("redis-forgot", "redis.state", {"state": "forgot", "reason": "it was emptied"}),
        ("restore-failed", "restore.tested", {"status": "failed"}),
        ("clock", "clock.step", {"step_us": 5}),
        ("recovery", "log.recovery", {"size": 1}),
        ("flood", "refusals.flood", {"count": 3}),
    ],
)  # fmt: skip
def test_some_records_are_events_by_themselves(rule: str, kind: str, fields: dict[str, Any]) -> None:
    log = Log(rule)
    from gateway.record import KINDS

    mine = {name: value for name, value in ALICE.items() if name in KINDS[kind]}
    record = mine | fields
    (found,) = log.add(kind, **record) if "origin" not in log.rules[0].by else _with_origin(log, kind, record)
    assert found.rule == rule
    assert found.records == ((0, f"{0:064x}"),)


def _with_origin(log: Log, kind: str, fields: dict[str, Any]) -> list[Event]:
    record = event(kind, **fields) | {"index": 0, "time": "2026-03-02T09:00:00.000000Z", "origin": "example/1"}
    return log.engine.take(record, f"{0:064x}")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("request", "nobody decides about a request of who made him a delegate"),
        ("break_glass.review", "nobody reviews an access of who made him a delegate"),
        ("access.review", "nobody answers a line of his own: 3"),
        ("person.suspension", "nobody lifts a suspension of his own"),
        ("delegation", "nobody is a delegate of his own"),
    ],
)
def test_ways_round_somebody_else_are_found_whatever_they_are_about(kind: str, reason: str) -> None:
    log = Log("self-approval")
    assert [one.rule for one in log.add(kind, **ALICE, **denied("request-invalid", reason))] == ["self-approval"]
    assert log.add(kind, **ALICE, decision="permit", reason=reason) == []


def test_a_right_that_was_given_back_is_found() -> None:
    log = Log("right-restored")
    back = {"person": "p6", "of": "p1", "target": "payroll", "right": "read", "move": "restore"}
    (found,) = log.add("access.review", **back, state="restored", decision="permit")
    assert (found.about, "on payroll" in found.title) == ("of=p1", True)
    assert log.add("access.review", **back, **denied("request-invalid")) == []


def test_a_suspension_and_what_the_suspended_person_tries_are_found() -> None:
    log = Log("suspended", "suspended-tries")
    assert [one.severity for one in log.add("person.suspension", **ALICE, state="suspended", decision="permit")] == [
        "medium"
    ]
    assert [one.rule for one in log.add("login", **ALICE, **denied("person-suspended"))] == ["suspended-tries"]
    assert log.add("login", **ALICE, **denied("authentication-failed")) == []


def test_so_many_within_a_time_by_the_same_person() -> None:
    log = Log("wrong-ticket")
    for _ in range(4):
        log.add("request", **ALICE, **denied("ticket-closed"))
    log.add("request", person="p2", login="amir", **denied("ticket-closed"))
    assert log.events == []
    (found,) = log.add("request", **ALICE, **denied("ticket-not-yours"))
    assert (found.about, found.person, len(found.records)) == ("person=p1", "p1", 5)
    assert log.add("request", **ALICE, **denied("ticket-closed")) == []


def test_what_is_spread_over_a_longer_time_is_none() -> None:
    log = Log("wrong-ticket")
    for _ in range(20):
        log.add("request", after_s=1000, **ALICE, **denied("ticket-closed"))
    assert log.events == []


def test_different_values_count_once_each() -> None:
    log = Log("many-customers")
    for number in range(30):
        log.session(number, customers=[str(number % 7)])
    assert log.events == []
    (found,) = log.session(99, customers=["70", "71"])
    assert found.title == "alice opened sessions for many customers"


def test_a_pass_that_is_used_from_two_hosts() -> None:
    log = Log("pass-from-two-places")
    for port in (5000, 5001):
        log.session(1, **{"pass": "pass_1"}, address=f"192.0.2.1:{port}")
    log.session(2, **{"pass": "pass_2"}, address="192.0.2.2:5000")
    log.session(3, address="192.0.2.3:5000")  # no pass: password and code
    log.session(4, **{"pass": "pass_6"}, address="[2001:db8::1]:5000")
    log.session(4, **{"pass": "pass_6"}, address="[2001:db8::1]:5001")
    assert log.events == []
    (found,) = log.session(5, **{"pass": "pass_1"}, address="192.0.2.9:5000")
    assert found.title == "a pass of alice for ticket SUP-1 was used from two hosts"
    assert found.about == "person=p1 pass=pass_1"


def test_one_ticket_for_many_customers_whoever_comes_with_it() -> None:
    log = Log("one-ticket-many-customers")
    for number, customer in enumerate(("1", "2", "3")):
        log.session(number, customers=[customer], person=f"p{number}")
    assert [found.about for found in log.events] == ["ticket_system=t ticket=SUP-1"]


def test_refusals_and_then_success() -> None:
    log = Log("refusals-then-success")
    for _ in range(5):
        log.add("login", login="alice", **denied("authentication-failed", "wrong code"))
    (found,) = log.add("login", **ALICE, decision="permit")
    assert len(found.records) == 6
    for _ in range(4):
        log.add("login", login="alice", **denied("authentication-failed", "wrong code"))
    assert log.add("login", **ALICE, decision="permit") == []
    for _ in range(5):
        log.add("login", login="alice", **denied("authentication-failed", "wrong code"))
    assert log.add("login", after_s=3600, **ALICE, decision="permit") == []


def test_a_reset_and_then_a_session() -> None:
    log = Log("reset-then-access")
    assert log.session() == []
    log.add("factor.reset", **ALICE, by="p9")
    assert [found.rule for found in log.session(2)] == ["reset-then-access"]
    assert log.session(3) == []


def test_a_loosened_policy_that_is_used() -> None:
    log = Log("loosened-then-used")
    log.add("policy.change", target="payroll", policy="b", previous="a", effect="narrower")
    assert log.session() == []
    log.add("policy.change", target="payroll", policy="c", previous="b", effect="wider")
    assert [found.about for found in log.session(2)] == ["target=payroll"]


def test_odd_hours_once_in_a_while() -> None:
    log = Log("off-hours")
    assert log.session() == []
    log.now = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)
    assert len(log.session(2)) == 1
    assert log.session(3) == []
    log.now = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
    assert len(log.session(4)) == 1


def test_somebody_who_was_away_for_long() -> None:
    log = Log("dormant")
    assert log.add("login", **ALICE, decision="permit") == []
    assert log.add("login", after_s=20 * 86_400, **ALICE, decision="permit") == []
    log.engine.tick(log.now.timestamp() + 30 * 86_400)
    log.restart()
    assert len(log.add("login", after_s=30 * 86_400, **ALICE, decision="permit")) == 1


def test_far_more_rows_than_the_others() -> None:
    log = Log("volume")
    for number, (person, rows) in enumerate((("p1", 900), ("p2", 1_000), ("p3", 1_100), ("p4", 21_000))):
        log.session(number, person=person, login=person)
        for _ in range(2):
            log.add("statement.end", session=f"s{number}", statement="q", rows=rows)
    assert [found.person for found in log.events] == ["p4"]
    log.add("statement.end", session="s3", statement="q", rows=50_000)
    assert len(log.events) == 1


def test_reading_much_of_the_trail() -> None:
    log = Log("readers")
    for _ in range(100):
        log.add("audit.read", after_s=2, **ALICE, query="search", decision="permit")
    assert len(log.events) == 1


def test_silence_is_told_once() -> None:
    log = Log("silence")
    assert log.engine.tick(START.timestamp()) == []
    log.add("log.heartbeat")
    now = log.now.timestamp()
    assert log.engine.tick(now + 1199) == []
    (found,) = log.engine.tick(now + 1200)
    assert (found.rule, found.about) == ("silence", "origin=example/1")
    assert log.engine.tick(now + 5000) == []
    log.add("log.heartbeat", after_s=6000)
    assert len(log.engine.tick(log.now.timestamp() + 1200)) == 1


def test_a_restart_forgets_nothing() -> None:
    log = Log("enumeration")
    for _ in range(39):
        log.add("search.exact", **ALICE, relation="public.employees", column="email")
        log.restart()
    assert len(log.add("search.exact", **ALICE, relation="public.employees", column="email")) == 1


def test_memory_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="remembered"):
        Engine(load_rules(None), "example/1", b"{]")


def test_what_is_remembered_is_bounded() -> None:
    log = Log("probing", "dormant")
    for number in range(30_000):
        log.add("login", after_s=0.001, person=f"p{number}", login="x", decision="permit")
        log.add("statement.refused", after_s=0.001, person=f"p{number}", **denied("column-not-available"))
    log.engine.tick(log.now.timestamp())
    assert len(log.engine.memory()) < 20_000 * 2 * 150


def test_a_session_that_ended_lends_nobody_its_name() -> None:
    log = Log("volume")
    log.session(1)
    log.add("session.end", session="s1")
    log.add("statement.end", session="s1", statement="q", rows=10**6)
    assert log.events == []


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def test_a_file_of_ones_own_adds_replaces_and_takes_out(own: Path) -> None:
    own.write_text(
        "rules:\n"
        "  - {name: mine, title: t, severity: critical, kind: login}\n"
        "  - {name: flood, title: t, severity: high, kind: refusals.flood}\n"
        "  - {name: silence, title: t, severity: low, enabled: false}\n"
    )
    rules = {rule.name: rule for rule in load_rules(own)}
    assert (rules["mine"].severity, rules["flood"].severity) == ("critical", "high")
    assert "silence" not in rules


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{name: a1, title: t, severity: bad, kind: login}", "severity"),
        ("{name: a1, title: t, severity: low, kind: logins}", "no kind of record `logins`"),
        ("{name: a1, title: t, severity: low, kind: login, when: {grnat: x}}", "no field `grnat`"),
        ("{name: a1, title: t, severity: low, kind: login, by: [nobody]}", "no record has a field `nobody`"),
        ("{name: a1, title: t, severity: low, kind: login, absent: 30d, silent: 1h}", "one of"),
        ("{name: a1, title: t, severity: low, kind: login, within: 60d}", "31 days"),
        ("{name: a1, title: t, severity: low, kind: login, outside: {zone: Moon}}", "time zone `Moon`"),
        ("{name: a1, title: t, severity: low, kind: login, whenn: {}}", "whenn"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place(own: Path, rule: str, said: str) -> None:
    own.write_text(f"rules:\n  - {rule}\n")
    with pytest.raises(GatewayError) as refused:
        load_rules(own)
    assert refused.value.code == "configuration-invalid"
    assert f"{own}:2:" in refused.value.refusal.message
    assert said in refused.value.refusal.message
