"""The auditors' questions over one log in which everything happened whose answer is known."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.audit.asking import Narrow
from gateway.audit.questions import QUESTIONS
from gateway.errors import GatewayError
from gateway.record import event

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
ALICE = {"person": "p-1", "login": "alice", "teams": ["support"]}
RENAMED = {**ALICE, "login": "alice.martin"}
SUCCESSOR = {"person": "p-9", "login": "alice", "teams": ["support"]}
BOB = {"person": "p-2", "login": "bob", "teams": ["security"]}
CAROL = {"person": "p-3", "login": "carol", "teams": ["audit"]}
LEFT = {"person": "p-4", "login": "leo"}


def session(number, who, ticket, customers, **more):
    return {"session": f"S{number}", "target": "payroll", **who, "ticket": ticket, "ticket_state": "open",
            "customers": customers, "grant": f"grant_{number}", "request": f"req_{number}", **more}  # fmt: skip


@pytest.fixture
def world(open_log, trail, key, clock, open_search):
    """The log, its search, and a way to say what happens next; returns the index of each record by a name."""
    log = open_log()
    search = open_search(trail, key.verifier, durable=lambda: log.durable_size)

    class World:
        def __init__(self):
            self.at, self.count = {}, 0

        def add(self, kind, /, name=None, **fields):
            receipt = log.append(event(kind, **fields))
            self.at[name or f"{kind}{receipt.index}"] = receipt.index
            return receipt.index

        def statement(self, name, inside, rows=3, *, end=True, **fields):
            self.count += 1
            begin = self.add("statement.begin", name, **inside, statement=f"Q{self.count}", sql="select 1",
                             decision="permit", relations=["public.employees"], **fields)  # fmt: skip
            if end:
                self.add("statement.end", f"{name}.end", session=inside["session"], statement=f"Q{self.count}",
                         begin=begin, rows=rows, bytes=rows * 10, status="ok")  # fmt: skip
            return begin

        def ask(self, question, *, since=None, until=None, limit=100, offset=0, now=NOW, **narrow):
            log.flush()
            return search.ask(question, Narrow(**narrow), now=now, since=since, until=until, limit=limit, offset=offset)

        def numbers(self, question, **narrow):
            return [row["record"] for row in self.ask(question, **narrow)["rows"]]

        def time(self, name):
            log.flush()
            return datetime.fromisoformat(search.show(self.at[name])["time"])

    world = World()
    world.log, world.search, world.clock = log, search, clock
    yield world
    search.close()


@pytest.fixture
def day(world):
    """A day at work."""
    add = world.add
    first = session(1, ALICE, "SUP-1", ["42"], approvers=["p-2"])
    add("request", "filed", **ALICE, target="payroll", ticket="SUP-1", customers=["42"], request="req_1",
        state="pending", by="p-1", decision="permit", reason="wrong payslip")  # fmt: skip
    add("request", "self", **ALICE, target="payroll", ticket="SUP-1", request="req_1", state="pending", by="p-1",
        decision="deny", code="request-invalid", reason="nobody decides about his own")  # fmt: skip
    add("request", "approved", **ALICE, target="payroll", ticket="SUP-1", customers=["42"], request="req_1",
        state="approved", by="p-2", decision="permit", approvers=["p-2"], reason="looks right")  # fmt: skip
    add("grant", "granted", **ALICE, target="payroll", ticket="SUP-1", customers=["42"], request="req_1",
        grant="grant_1", state="active", by="p-2", approvers=["p-2"],
        expires_at="2026-11-23T21:00:00+00:00")  # fmt: skip
    add("session.begin", "s1", **first, policy="sha256:one")
    world.statement("read", first, 3)
    world.statement("revealed", first, 7, columns_revealed=["public.employees.email"])
    add("search.exact", "searched", **first, statement="Q9", relation="public.employees", column="email")
    both = session(2, RENAMED, "SUP-2", ["42", "7"])
    add("request", "filed2", **RENAMED, target="payroll", ticket="SUP-2", customers=["42", "7"], request="req_2",
        state="approved", by="p-1", decision="permit", reason="two companies", write=True)  # fmt: skip
    add("grant", "granted2", **RENAMED, target="payroll", ticket="SUP-2", customers=["42", "7"], request="req_2",
        grant="grant_2", state="active", by="policy", expires_at="2026-11-23T09:00:00+00:00")  # fmt: skip
    add("session.begin", "s2", **both, policy="sha256:one")
    world.statement("both", both, 100)
    add("request.preview", "preview", **BOB, target="payroll", request="req_2", ticket="SUP-2", digest="d1")
    add("write.claimed", "claimed", **both, digest="d1")
    world.statement("wrote", both, 0, verb="update", columns_written=["public.employees.email"], digest="d1")
    world.statement("running", both, end=False)
    add("policy.change", "changed", target="payroll", policy="sha256:two", previous="sha256:one", by="bob")
    add(
        "login",
        "wrong",
        **ALICE,
        decision="deny",
        code="authentication-failed",
        reason="replayed code",
        method="direct",
    )
    add("login", "left", **LEFT, decision="deny", code="authentication-failed", reason="person is not active")
    add("login", "left2", **LEFT, decision="deny", code="authentication-failed", reason="person is not active")
    add("login", "nobody", login="mallory", decision="deny", code="authentication-failed", reason="unknown person")
    add("factor.reset", "reset", **ALICE, by="p-2", factor="totp", decision="permit")
    add("audit.read", "readit", **CAROL, query="search person=alice", count=3, decision="permit")
    return world


def test_who_accessed_a_customer_and_why_across_a_change_of_login_and_two_customers(day):
    rows = day.ask("customer", customer="42")["rows"]
    assert [(one["person"], one["login"], one["ticket"], one["statements"], one["rows"]) for one in rows] == [
        ("p-1", "alice.martin", "SUP-2", 3, 100),
        ("p-1", "alice", "SUP-1", 2, 10),
    ]
    assert [one["why"] for one in rows] == ["two companies", "wrong payslip"]
    assert (rows[0]["unfinished"], rows[1].get("unfinished"), rows[1]["approvers"]) == (1, None, ["p-2"])
    assert [one["ticket"] for one in day.ask("customer", customer="7")["rows"]] == ["SUP-2"]
    assert day.ask("customer", customer="4")["rows"] == []


def test_a_person_is_found_by_id_and_by_each_login_with_what_only_the_session_names(day):
    everything = day.numbers("person", person="p-1")
    assert day.numbers("person", person="alice") == day.numbers("person", person="alice.martin") == everything
    assert {day.at["read.end"], day.at["searched"], day.at["both"], day.at["wrong"], day.at["reset"]} <= {*everything}
    assert not {day.at["left"], day.at["readit"], day.at["changed"]} & {*everything}
    assert "the person had several logins: alice, alice.martin" in day.ask("person", person="alice")["notes"]


def test_what_a_person_did_to_others_is_what_he_did(day):
    assert day.numbers("person", person="bob") == [
        day.at[one] for one in ("approved", "granted", "preview", "changed", "reset")
    ]


def test_a_login_that_two_people_had_says_so(day):
    day.add("login", "second", **SUCCESSOR, decision="permit")
    answer = day.ask("person", person="alice")
    assert day.at["second"] in [row["record"] for row in answer["rows"]]
    assert any("several people: p-1, p-9" in note for note in answer["notes"])
    assert day.numbers("person", person="p-9") == [day.at["second"]]


def test_a_name_that_nobody_has_is_found_where_it_was_tried(day):
    assert day.numbers("person", person="mallory") == [day.at["nobody"]]
    assert day.numbers("person", person="nobody-at-all") == []


def test_exact_searches_are_found_by_relation_and_column_and_the_answer_says_what_it_does_not_know(day):
    for narrow in (
        {},
        {"relation": "employees"},
        {"relation": "public.employees", "column": "email"},
        {"person": "p-1"},
    ):
        assert day.numbers("subject", **narrow) == [day.at["searched"]]
    for narrow in ({"column": "mail"}, {"relation": "%"}, {"column": "%"}, {"person": "bob"}):
        assert day.numbers("subject", **narrow) == []
    assert any("--value asks for one person" in note for note in day.ask("subject")["notes"])


def test_a_ticket_tells_its_state_at_each_step(day):
    rows = day.ask("ticket", ticket="SUP-1")["rows"]
    assert [row["kind"] for row in rows] == ["request"] * 3 + ["grant", "session.begin"]
    assert rows[-1]["ticket_state"] == "open"


def test_accesses_after_a_ticket_closed_are_counted_until_it_opens_again(day):
    inside = session(3, ALICE, "SUP-1", ["42"])
    day.add(
        "login",
        "refused",
        **ALICE,
        ticket="SUP-1",
        decision="deny",
        code="ticket-closed",
        reason="ticket `SUP-1` is `closed`",
    )
    late = day.statement("late", session(1, ALICE, "SUP-1", ["42"]))
    day.add("session.end", "cut", session="S1", ticket="SUP-1", **{"person": "p-1", "login": "alice"}, status="cut",
            code="access-ended", reason="access has ended: ticket `SUP-1` is `closed`")  # fmt: skip
    day.add("session.begin", "again", **inside)
    day.statement("fine", inside)
    day.add("session.end", "cut2", session="S3", person="p-1", login="alice", ticket="SUP-1", status="cut",
            code="access-ended", reason="access has ended: the ticket `SUP-1` does not exist any more")  # fmt: skip
    rows = day.ask("after-close")["rows"]
    assert [(row["record"], row["statements"], row["refused"], row.get("opened_by")) for row in rows] == [
        (day.at["refused"], 1, 1, day.at["again"]),
        (day.at["cut2"], 0, 0, None),
    ]
    assert late < day.at["cut"]
    assert day.ask("after-close", ticket="SUP-2")["rows"] == []


def test_another_reason_for_the_end_of_access_closes_no_ticket(day):
    day.add("session.end", session="S1", person="p-1", login="alice", ticket="SUP-1", status="cut", code="access-ended",
            reason="access has ended: the person's login has changed")  # fmt: skip
    day.add("session.end", session="S1", person="p-1", login="alice", ticket="SUP-1", status="cut", code="access-ended",
            reason="access has ended: ticket `SUP-10` is `closed`")  # fmt: skip
    assert day.ask("after-close")["rows"] == []


def test_who_decided_and_who_tried_to_decide_on_his_own(day):
    rows = day.ask("approvals")["rows"]
    assert [(row["record"], row["by"], row["self"]) for row in rows] == [
        (day.at["self"], "p-1", True),
        (day.at["approved"], "p-2", False),
        (day.at["filed2"], "policy", False),
    ]
    assert day.numbers("self-approvals") == [day.at["self"]]


def test_reads_without_a_mask_say_how_much_left(day):
    ((row),) = day.ask("reveals")["rows"]
    assert (row["record"], row["rows"], row["columns_revealed"]) == (day.at["revealed"], 7, ["public.employees.email"])
    assert day.numbers("reveals", relation="payslips") == []


def test_writes_name_their_approval(day):
    ((row),) = day.ask("writes")["rows"]
    assert (row["record"], row["request"], row["digest"], row["previews"], row["claims"]) == (
        day.at["wrote"], "req_2", "d1", 1, 1,
    )  # fmt: skip


def test_what_ran_unprotected_has_a_list_of_its_own_which_the_others_name(day):
    inside = session(8, ALICE, "SUP-1", ["42"])
    day.statement("bare", inside, protection="none", would="deny", would_codes=["read-only"], verb="delete")
    ((row),) = day.ask("observed")["rows"]
    assert (row["record"], row["would_codes"], row["rows"]) == (day.at["bare"], ["read-only"], 3)
    for question in ("reveals", "writes"):
        assert any(note.startswith("1 statements at observed targets") for note in day.ask(question)["notes"])
        assert not any("observed" in note for note in day.ask(question, person="bob")["notes"])


def test_what_left_for_a_sub_processor_is_found_by_customer_and_recipient(day):
    inside = session(8, ALICE, "SUP-8", ["42", "7"])
    mailed = {"recipient": "Mailer Inc.", "categories": ["contact"], "sent": ["$.to: contact, email"]}
    one = day.statement("mailed", inside, sent_for=["42"], **mailed)
    other = day.statement("mailed2", inside, sent_for=["7"], recipient="Signer SA", categories=["identity"])
    nobody = day.statement("asked", inside, recipient="Mailer Inc.", end=False)
    day.add(
        "statement.refused", **inside, statement="Q99", sent_for=["42"], **mailed, decision="deny", code="read-only"
    )
    rows = day.ask("transmissions")["rows"]
    assert [(row["record"], row.get("sent_for"), row["recipient"], row["route"], row["status"]) for row in rows] == [
        (one, ["42"], "Mailer Inc.", "public.employees", "ok"),
        (other, ["7"], "Signer SA", "public.employees", "ok"),
        (nobody, None, "Mailer Inc.", "public.employees", "not ended"),
    ]
    assert (rows[0]["categories"], rows[0]["sent"], rows[0]["ticket"]) == (
        ["contact"], ["$.to: contact, email"], "SUP-8",
    )  # fmt: skip
    assert day.numbers("transmissions", customer="42") == [one, nobody]
    assert day.numbers("transmissions", customer="7") == [other, nobody]
    assert day.numbers("transmissions", customer="9") == []
    assert day.numbers("transmissions", recipient="Mailer Inc.") == [one, nobody]
    assert day.numbers("transmissions", recipient="Signer SA", customer="42") == []
    assert day.numbers("transmissions", recipient="mailer inc.") == []
    assert day.numbers("transmissions", person="bob") == []
    assert one not in [row["record"] for row in day.ask("transmissions", since=day.time("mailed2"))["rows"]]


def test_the_largest_come_first_and_what_runs_is_only_counted(day):
    answer = day.ask("largest", limit=2)
    assert [(row["record"], row["rows"]) for row in answer["rows"]] == [(day.at["both"], 100), (day.at["revealed"], 7)]
    assert (answer["total"], day.numbers("largest", customer="7")) == (3, [day.at["both"]])
    assert any(note.startswith("1 statements had not ended") for note in answer["notes"])


def test_denials_leavers_and_factors(day):
    denied = {(row["login"], row["code"]): row["records"] for row in day.ask("denials")["rows"]}
    assert denied == {
        ("leo", "authentication-failed"): 2, ("alice", "authentication-failed"): 1, ("alice", "request-invalid"): 1,
        ("mallory", "authentication-failed"): 1,
    }  # fmt: skip
    assert [row["records"] for row in day.ask("denials", person="leo")["rows"]] == [2]
    assert day.ask("denials", code="ticket-closed")["total"] == 0
    ((left),) = day.ask("leavers")["rows"]
    assert (left["login"], left["records"], left["first"], left["last"]) == ("leo", 2, day.at["left"], day.at["left2"])
    assert day.numbers("factors") == [day.at["wrong"]]


def test_resets_and_readers(day):
    assert day.numbers("resets") == [day.at["reset"]]
    assert day.numbers("resets", person="bob") == []
    assert day.numbers("readers") == [day.at["readit"]]


def test_access_by_break_glass_and_its_reviews(day):
    assert day.ask("break-glass")["rows"] == []
    about = {"target": "payroll", "ticket": "SUP-1", "grant": "grant_9"}
    day.add("break_glass.opened", "broke", **ALICE, **about, customers=["42"], reason="payroll is down")
    day.add("break_glass.overdue", "late", **about, person="p-1")
    day.add("break_glass.review", "seen", **BOB, **about, state="justified", of="p-1", reason="it was")
    assert day.numbers("break-glass") == [day.at["broke"], day.at["late"], day.at["seen"]]
    opened, _, review = day.ask("break-glass")["rows"]
    assert (opened["login"], opened["reason"], opened["grant"]) == ("alice", "payroll is down", "grant_9")
    assert (review["login"], review["state"], review["of"]) == ("bob", "justified", "p-1")


def test_the_policy_in_force_at_a_moment_and_who_changed_it(day):
    rows = day.ask("policy")["rows"]
    assert [(row["policy"], row["by"], row["in_force"]) for row in rows] == [
        ("sha256:two", "bob", True),
        ("sha256:one", "first seen at a session", False),
    ]
    before = day.ask("policy", until=day.time("changed"))["rows"]
    assert [(row["policy"], row["in_force"]) for row in before] == [("sha256:one", True)]


def test_who_holds_access_now_and_at_an_earlier_moment(day):
    assert [row["grant"] for row in day.ask("holders")["rows"]] == ["grant_1"]
    day.add("grant", "revoked", person="p-1", grant="grant_1", state="revoked", by="p-2")
    assert day.ask("holders")["rows"] == []
    early = day.ask("holders", until=day.time("revoked"))
    assert [row["grant"] for row in early["rows"]] == ["grant_1", "grant_2"]
    assert [row["record"] for row in day.ask("holders", until=day.time("revoked"), customer="7")["rows"]] == [
        day.at["granted2"]
    ]


def test_gaps_name_crashes_unknown_ends_and_clock_steps(day):
    day.clock.now -= timedelta(hours=1)
    stepped = day.add("login", **BOB, decision="permit")
    recovered = day.add("log.recovery", size=1, cut_bytes=12, unknown=1)
    unknown = day.add("statement.unknown", session="S2", statement="Q5", begin=day.at["running"], rows=1000, bytes=99)
    numbers = day.numbers("gaps")
    assert [one for one in numbers if one >= stepped][:3] == [stepped, recovered, unknown]
    assert 0 in numbers
    rows = day.ask("largest", limit=1)["rows"]
    assert (rows[0]["record"], rows[0]["rows"], rows[0]["status"]) == (day.at["running"], 1000, "unknown")
    assert any(note.startswith("0 statements have no end") for note in day.ask("gaps")["notes"])


def test_gaps_name_the_engines_that_stopped_and_not_those_that_began(day):
    began = day.add("engine.process", engine="http", state="started")
    ended = day.add("engine.process", engine="http", state="ended", reason="signal SIGKILL", count=2)
    rows = {row["record"]: row for row in day.ask("gaps")["rows"]}
    assert began not in rows
    assert (rows[ended]["engine"], rows[ended]["reason"], rows[ended]["count"]) == ("http", "signal SIGKILL", 2)


def test_whether_the_log_is_whole(day):
    answer = day.ask("whole")
    facts = {row["what"]: row["value"] for row in answer["rows"]}
    assert facts["every number there"] is True
    assert facts["records"] == facts["records indexed"] == answer["end"]
    assert facts["records signed"] == answer["log"]["size"] <= answer["end"]
    assert facts["root"] == answer["log"]["root"]


def test_an_answer_is_of_its_time_only(day):
    since, until = day.time("s2"), day.time("changed")
    answer = day.ask("customer", customer="42", since=since, until=until)
    assert (answer["first"], answer["end"]) == (day.at["s2"], day.at["changed"])
    assert [row["ticket"] for row in answer["rows"]] == ["SUP-2"]
    # the request was filed before
    assert "why" not in answer["rows"][0]
    assert day.ask("person", person="p-1", since=NOW, until=NOW + timedelta(days=900))["total"] == 0
    assert day.ask("person", person="p-1", since=datetime(1, 1, 1, tzinfo=UTC))["total"] > 0


def test_an_end_behind_the_time_does_not_count(day):
    until = day.time("both.end")
    assert [row["rows"] for row in day.ask("largest", until=until)["rows"]] == [7, 3]
    row = day.ask("customer", customer="7", until=until)["rows"][0]
    assert (row["statements"], row["rows"], row["unfinished"]) == (1, 0, 1)
    assert day.ask("reveals", until=day.time("revealed.end"))["rows"][0]["status"] == "not ended"


EDGES = [("customer", "both", {"customer": "7"}, "first"), ("subject", "searched", {}, "record"),
         ("person", "nobody", {"person": "mallory"}, "record"), ("ticket", "s2", {"ticket": "SUP-2"}, "record"),
         ("self-approvals", "self", {}, "record"), ("reveals", "revealed", {}, "record"),
         ("writes", "wrote", {}, "record"), ("denials", "nobody", {"person": "mallory"}, "first"),
         ("factors", "wrong", {}, "record"), ("resets", "reset", {}, "record"), ("readers", "readit", {}, "record"),
         ("approvals", "approved", {"person": "p-1"}, "record")]  # fmt: skip


@pytest.mark.parametrize(("question", "name", "narrow", "field"), EDGES)
def test_a_record_belongs_to_the_time_that_begins_with_it_and_not_to_the_one_that_ends(
    day, question, name, narrow, field
):
    moment, index = day.time(name), day.at[name]

    def found(**span):
        return index in [row[field] for row in day.ask(question, **narrow, **span)["rows"]]

    assert found(since=moment)
    assert not found(until=moment)
    assert found(until=moment + timedelta(microseconds=1))
    assert not found(since=moment + timedelta(microseconds=1))


def test_pages_follow_one_another(day):
    whole = day.numbers("person", person="p-1")
    pages = [day.ask("person", person="p-1", limit=4, offset=at)["rows"] for at in range(0, len(whole), 4)]
    assert [row["record"] for page in pages for row in page] == whole


HOSTILE = ["' OR 1=1 --", '" OR ""="', "%", "_", "42' UNION SELECT 1 --", "*", "NEAR(a b)", "\x00", "a" * 5000, "💣"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_no_filter_is_read_as_sql(day, question, value):
    takes = {*QUESTIONS[question].needs, *QUESTIONS[question].takes}
    for name in takes:
        given = dict.fromkeys(QUESTIONS[question].needs, value) | {name: value}
        assert day.ask(question, **given)["total"] == 0, name


@pytest.mark.parametrize(
    ("question", "narrow"),
    [("customer", {}), ("person", {}), ("ticket", {}), ("readers", {"ticket": "SUP-1"}), ("whole", {"person": "alice"}),
     ("policy", {"customer": "42"}), ("no-such-question", {})],
)  # fmt: skip
def test_what_is_missing_or_would_not_be_heeded_is_refused(day, question, narrow):
    with pytest.raises(GatewayError) as refused:
        day.ask(question, **narrow)
    assert refused.value.refusal.code == "request-invalid"


def test_a_state_has_no_beginning_and_time_does_not_run_backwards(day):
    for question, since, until in (("holders", NOW, None), ("denials", NOW, NOW), ("denials", NOW, NOW - timedelta(1))):
        with pytest.raises(GatewayError) as refused:
            day.ask(question, since=since, until=until)
        assert refused.value.refusal.code == "request-invalid"


def test_an_empty_log_answers_every_question(world):
    for name, question in QUESTIONS.items():
        world.ask(name, **dict.fromkeys(question.needs, "x"))
