"""A target's log joined with the trail: what is found, what is accounted for, and what no words can hide."""

from __future__ import annotations

from pathlib import Path

import pytest
from target_logs import Records, Server

from gateway.audit.reconcile import Reconciled, Trail, reconcile
from gateway.audit.target_log import read_target_log

QUERY = "SELECT id FROM employees WHERE id = $1"


class Case:
    """A trail and a log that can be added to."""

    def __init__(self, place: Path) -> None:
        self.place, self.server, self.records = place, Server(), Records()

    def both(self, pid: int, sql: str, seconds: float, **facts: str) -> None:
        """A statement of the session of that process, that the log has too."""
        self.records.statement(f"s{pid}", sql, seconds, seconds + 0.5, **facts)
        self.server.say(pid, seconds + 0.1, f"execute <unnamed>: {sql}")

    def joined(self, *, known: tuple[str, ...] = (), nat: bool = False, tolerance_s: float = 0.5) -> Reconciled:
        trail = Trail("payroll")
        for record in self.records.all:
            trail.take(record)
        log = read_target_log([self.server.json(self.place / "log.json")])
        return reconcile(trail, log, {("reader", "payroll")}, known=known, nat=nat, tolerance_s=tolerance_s)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    made = Case(tmp_path)
    made.records.session("s7", 7)
    return made


def found(result: Reconciled) -> list[tuple[str, str]]:
    return [(one.what, one.sql) for one in result.findings]


def test_what_both_say_is_clean(case: Case) -> None:
    for number in range(5):
        case.both(7, QUERY, number)
    result = case.joined()
    assert (result.clean, result.count, result.matched) == (True, 5, 5)


@pytest.mark.parametrize(
    "sql", [QUERY, "SELECT pg_read_file($1)", "TABLE employees", "gibberish", "SET log_statement = none"]
)
def test_a_statement_more_than_the_trail_has_is_found(case: Case, sql: str) -> None:
    case.both(7, QUERY, 1)
    case.server.say(7, 1.2, f"statement: {sql}")
    (one,) = case.joined().findings
    assert (one.what, one.session) == ("unrecorded", "s7")


def test_the_same_words_at_another_time_are_not_the_same(case: Case) -> None:
    case.both(7, QUERY, 1)
    case.both(7, QUERY, 20)
    case.server.say(7, 10, f"execute <unnamed>: {QUERY}")
    result = case.joined()
    assert [one.time.second for one in result.findings] == [10]


def test_the_same_words_by_another_connection_are_not_the_same(case: Case) -> None:
    case.both(7, QUERY, 1)
    case.server.say(8, 1.1, f"execute <unnamed>: {QUERY}", application="gateway")
    (one,) = case.joined().findings
    assert one.why == "no session of the trail had this connection"


def test_a_number_of_a_process_does_not_do_without_the_address(case: Case) -> None:
    case.both(7, QUERY, 1)
    case.server.say(7, 2, "disconnection")
    imposter = Case(case.place)
    imposter.records = case.records
    imposter.server.say(7, 1.1, f"execute <unnamed>: {QUERY}", port=5)
    result = imposter.joined()
    assert [one.why for one in result.findings if one.what == "unrecorded"] == [
        "no session of the trail had this connection"
    ]
    assert [one.what for one in imposter.joined(nat=True).findings] == []


def test_other_roles_are_found_in_that_database_only(case: Case) -> None:
    case.both(7, QUERY, 1)
    case.server.say(8, 2, "statement: select 1 + iban from t", role="owner")
    case.server.say(9, 2, "statement: select iban from t", role="owner", database="other")
    case.server.say(10, 2, "statement: vacuum t", role="backup")
    result = case.joined(known=("backup",))
    assert found(result) == [("beside", "select $1 + iban from t")]
    assert result.known == 1
    assert not result.clean


@pytest.mark.parametrize(
    "sql", ["begin", "select 1", "select -1", "show all", "commit", "set search_path = x", "discard all"]
)
def test_what_can_touch_nothing_is_no_finding(case: Case, sql: str) -> None:
    case.both(7, QUERY, 1)
    case.server.say(8, 1, f"statement: {sql}", role="owner")
    assert case.joined().clean


@pytest.mark.parametrize(
    "sql",
    [
        "select now()", "set log_statement to 'none'", "set pgaudit.log = 'none'", "set role reader", "select f(1)",
        "begin; select iban from t", "alter system set log_statement = 'none'", "set session authorization reader",
        "copy t to stdout", "fetch all from c",
    ],
)  # fmt: skip
def test_what_could_touch_something_is_a_finding(case: Case, sql: str) -> None:
    case.both(7, QUERY, 1)
    case.server.say(8, 1, f"statement: {sql}", role="owner")
    assert [one.what for one in case.joined().findings] == ["beside"]


def test_literals_are_not_shown(case: Case) -> None:
    case.both(7, QUERY, 1)
    case.server.say(8, 2, "statement: select * from t where iban = 'FR76' -- Martin", role="owner")
    case.server.say(8, 3, "statement: not 'Dupont' sql", role="owner")
    shown = str([one.row() for one in case.joined().findings])
    assert not any(word in shown for word in ("FR76", "Dupont", "Martin"))


def test_a_statement_of_the_trail_that_the_log_lacks_is_found(case: Case) -> None:
    for number in range(5):
        case.both(7, QUERY, 3 * number)
    del case.server.lines[2]
    result = case.joined()
    assert [(one.what, one.why) for one in result.findings] == [
        ("unseen", "its connection is in the log, the statement is not")
    ]
    assert result.missing == 1


def test_a_whole_connection_that_the_log_lacks_is_found(case: Case) -> None:
    case.records.session("s8", 8)
    for number in range(5):
        case.both(7, QUERY, 3 * number)
    case.records.statement("s8", QUERY, 5, 6)
    (one,) = case.joined().findings
    assert (one.what, one.session, one.why) == ("unseen", "s8", "no line of its connection is in the log")


@pytest.mark.parametrize("status", ["error", "unknown", "cancelled"])
def test_what_did_not_end_well_need_not_have_been_run(case: Case, status: str) -> None:
    for number in range(5):
        case.both(7, QUERY, 3 * number)
    case.records.statement("s7", "SELECT 2 + id FROM employees", 4, 5, status=status)
    assert case.joined().clean


def test_outside_of_the_time_of_the_log_nothing_is_missed(case: Case) -> None:
    for number in range(5):
        case.both(7, QUERY, 30 + 3 * number)
    case.records.statement("s7", QUERY, 2, 3)
    case.records.statement("s7", QUERY, 90, 91)
    assert case.joined().clean


@pytest.mark.parametrize("skew", [-3600.0, -5.0, 0.3, 5.0, 3600.0])
def test_clocks_may_go_differently(case: Case, skew: float) -> None:
    for number in range(5):
        sql = f"SELECT {'a' * (number + 1)} FROM employees"
        case.records.statement("s7", sql, 10 * number, 10 * number + 0.2)
        case.server.say(7, skew + 10 * number + 0.1, f"statement: {sql}")
    result = case.joined()
    assert (result.clean, result.matched) == (True, 5)
    assert abs(result.skew.total_seconds() - skew) < 1.0


def test_a_session_of_which_no_connection_is_known_is_said(case: Case) -> None:
    for number in range(5):
        case.both(7, QUERY, 3 * number)
    case.records.add("session.begin", 1, session="old", target="payroll")
    case.records.statement("old", QUERY, 5, 6)
    result = case.joined()
    assert (result.untied, result.clean, result.findings) == (1, False, [])


def test_sessions_of_other_targets_account_for_nothing(case: Case) -> None:
    case.both(7, QUERY, 1)
    case.records.session("other", 8, target="elsewhere")
    case.records.statement("other", QUERY, 1, 2)
    case.server.say(8, 1.1, f"execute <unnamed>: {QUERY}")
    assert [one.what for one in case.joined().findings] == ["unrecorded"]


def test_what_the_target_was_sent_counts_and_not_what_the_person_wrote(case: Case) -> None:
    case.records.statement("s7", "SELECT iban FROM t", 1, 2, rewritten="SELECT mask(iban) FROM t")
    case.server.say(7, 1.1, "statement: SELECT mask(iban) FROM t")
    case.server.say(7, 1.2, "statement: SELECT iban FROM t")
    assert found(case.joined()) == [("unrecorded", "SELECT iban FROM t")]


def test_a_process_number_that_came_back_serves_the_nearest_session(case: Case) -> None:
    case.records.session("later", 7, 3600)
    case.both(7, QUERY, 1)
    result = case.joined()
    assert result.clean
    assert result.matched == 1


def test_a_portal_that_goes_on_is_the_statement_that_it_began_with(case: Case) -> None:
    case.records.statement("s7", QUERY, 1, 5)
    case.server.say(7, 1.1, f"execute <unnamed>/c: {QUERY}")
    for number in range(3):
        case.server.say(7, 2 + number, f"execute fetch from <unnamed>/c: {QUERY}")
    assert case.joined().clean
    case.server.say(7, 4.5, f"execute <unnamed>: {QUERY}")
    assert [one.what for one in case.joined().findings] == ["unrecorded"]


def test_connections_that_say_nothing_are_counted(case: Case) -> None:
    case.both(7, QUERY, 1)
    case.server.say(8, 2, "connection authorized: user=owner", role="owner")
    result = case.joined()
    assert result.silent == {"owner": 1}
