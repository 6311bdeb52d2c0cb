"""The index in PostgreSQL: every test of the index in a file, over a server of our own, and what only this one has."""

import tempfile
import threading
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.audit.asking import Narrow
from gateway.audit.elsewhere import Elsewhere
from gateway.audit.log import FileLog
from gateway.audit.opening import connect_to
from gateway.audit.questions import QUESTIONS
from gateway.audit.search import Query, Search
from gateway.audit.shared_index import PostgresIndex, schema_of
from gateway.audit_settings import AuditIndex
from gateway.demo.postgres import DATABASE, OWNER, EmbeddedPostgres, find_binaries
from gateway.errors import GatewayError
from gateway.settings import Secret
from loadtests.questions import FILTERS, START, opened
from loadtests.questions import records as made_up
from tests.unit.audit import conftest as small
from tests.unit.audit import test_audit_export, test_audit_questions, test_audit_questions_oracle, test_audit_search

FILE_ONLY = {
    "test_an_index_that_somebody_else_writes_to_is_built_anew",
    "test_an_index_with_a_gap_is_not_opened_again",
    "test_a_record_in_the_place_of_another_is_an_error",
    "test_the_index_is_rebuilt_when_it_is_lost_spoilt_or_of_another_trail",
    "test_the_index_is_private",
    "test_an_index_that_was_edited_while_nobody_looked_is_noticed_and_built_anew",
    "test_who_stops_does_not_wait_until_a_long_log_is_taken_in",
}
"""Tests that look into the file; below are their like."""
FIXTURES = ("clock", "key", "trail", "open_log", "records", "searched", "world", "day", "made", "span", "asked")

for module in (small, test_audit_search, test_audit_questions, test_audit_questions_oracle, test_audit_export):
    for name, value in vars(module).items():
        if (name.startswith("test_") and callable(value) and name not in FILE_ONLY) or (
            name in FIXTURES and getattr(value, "__module__", module.__name__) == module.__name__
        ):
            globals()[name] = value


@pytest.fixture(scope="session")
def server():
    with (
        tempfile.TemporaryDirectory(prefix="gateway-index-") as name,
        EmbeddedPostgres(Path(name), find_binaries(tls=False)) as server,
    ):
        server.ensure_database("shared-index", lambda connection: None)
        yield server


@pytest.fixture(scope="session")
def open_search(server):
    """The search over a trail with its index in PostgreSQL; the first one of a trail begins with an empty index."""
    known = set()

    def open_it(trail, verifier, **options):
        options.pop("database", None)
        index = PostgresIndex(server.connect, trail, verifier.name)
        if trail not in known:
            known.add(trail)
            index.forget()
        return Search(trail, verifier, index=index, **options)

    return open_it


@pytest.fixture
def edit(server):
    """Changes the index of a log behind the gateway's back."""

    def edit_it(sql, origin=small.ORIGIN):
        with server.connect() as connection:
            connection.execute(f"SET search_path = {schema_of(origin)}")
            connection.execute(sql)

    return edit_it


EDITS = [
    "DELETE FROM records WHERE login = 'bob'",
    "DELETE FROM records WHERE idx = 4",
    "UPDATE records SET login = 'eve' WHERE idx = 4",
    "DELETE FROM customers",
    "TRUNCATE tags",
    "INSERT INTO customers VALUES ('8', 1)",
    "DROP TABLE relations CASCADE",
    "UPDATE progress SET size = 3",
    "DELETE FROM progress",
    "DROP SEQUENCE touches CASCADE",
    "ALTER TABLE records DROP COLUMN login",
    "ALTER TABLE records DISABLE TRIGGER ALL; DELETE FROM records WHERE idx = 4",
]


@pytest.mark.parametrize("held", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("sql", EDITS)
def test_an_index_that_somebody_else_writes_to_is_built_anew(searched, edit, sql, held):
    search, _ = searched
    before = search.search(Query(login="bob"))
    if not held:
        search.close()
    edit(sql)

    assert search.search(Query(login="bob")) == before
    assert search.search(Query(relation="payslips"))[0]["session"] == "S2"
    assert search.search(Query(customer="8")) == before
    assert search.count(Query()) == 9
    assert search.show(4)["login"] == "bob"


def test_who_switches_the_triggers_off_can_hide_records_from_an_answer_but_not_from_an_export(asked, edit):
    right = asked.search.ask("person", Narrow(person="bob"), now=test_audit_export.NOW)["total"]
    edit("SET session_replication_role = replica; DELETE FROM tags; UPDATE records SET person = 'p-9', login = 'eve'")
    assert asked.search.ask("person", Narrow(person="bob"), now=test_audit_export.NOW)["total"] != right
    _, pieces = asked.search.export("person", Narrow(person="bob"), now=test_audit_export.NOW)
    with pytest.raises(GatewayError) as damaged:
        list(pieces)
    assert damaged.value.refusal.code == "audit-damaged"
    assert asked.search.ask("person", Narrow(person="bob"), now=test_audit_export.NOW)["total"] == right


def test_a_connection_that_is_lost_is_made_anew(searched, server):
    search, _ = searched
    before = search.search(Query())
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s",
               "payroll")  # fmt: skip
    assert search.search(Query()) == before


def test_a_connection_that_is_lost_in_the_midst_of_an_answer_is_an_error_that_says_so(searched, server):
    search, _ = searched
    with search._mutex:
        tables = search._caught_up()
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s",
               "payroll")  # fmt: skip
    for look in (tables.all, tables.row):
        with pytest.raises(GatewayError, match="cannot be used"):
            look("SELECT count(*) FROM records")
    assert search.count(Query()) == 9


def test_a_server_that_is_away_is_an_error_and_no_empty_answer(trail, key, open_log):
    log = open_log()
    log.flush()

    def away():
        raise psycopg.OperationalError("away")

    search = Search(trail, key.verifier, index=PostgresIndex(away, trail, key.verifier.name))
    with pytest.raises(GatewayError) as caught:
        search.search(Query())
    assert caught.value.code == "internal-error"


def test_two_that_follow_one_log_at_once_take_each_record_once(server, tmp_path):
    key = small.Signer.generate(test_audit_questions_oracle.ORIGIN)
    log = opened(tmp_path / "audit", key, 1)
    for record in made_up(12_000, seed=3):
        log.append(record)
    log.close()
    trail, origin = tmp_path / "audit", key.verifier.name
    both = [Search(trail, key.verifier, index=PostgresIndex(server.connect, trail, origin)) for _ in range(2)]
    both[0].rebuild()
    both[0]._index.forget()
    counts, failures = [], []

    def count(search):
        for _ in range(20):
            try:
                counts.append(search.count(Query()))
                return
            except GatewayError as error:
                failures.append(error)

    threads = [threading.Thread(target=count, args=(search,)) for search in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    size = both[0].ask("whole", Narrow(), now=START + timedelta(days=1))["end"]
    assert counts == [size, size]
    for search in both:
        search.close()


@pytest.mark.parametrize("text", ["a\0b", "x" * 1_000, "é" * 500], ids=["nul", "long", "wide"])
def test_no_text_in_a_record_ends_the_following(open_log, trail, key, open_search, tmp_path, text):
    log = open_log()
    fields = dict.fromkeys(("login", "person", "ticket", "target", "code", "relation", "session"), text)
    log.append({"kind": "login", "decision": "deny", "customers": [text], "relations": [text], "by": text, **fields})
    log.append({"kind": "login", "login": "bob", "reason": "Ünder_score 'quoted' e.mail"})
    log.flush()
    held = {"durable": lambda: log.durable_size}
    both = [open_search(trail, key.verifier, **held), Search(trail, key.verifier, database=tmp_path / "own", **held)]
    words = ("under score", "UNDER_SCORE", "under e.mail", "score_under", "é", "  ", "*", "quoted")
    for query in (
        Query(), Query(login=text), Query(customer=text), Query(relation=text), *(Query(text=one) for one in words)
    ):  # fmt: skip
        shared, own = (search.search(query) for search in both)
        assert shared == own
    assert both[0].count(Query(login=text)) == both[0].count(Query(customer=text)) == 1
    for search in both:
        search.close()


@pytest.fixture
def two(server, tmp_path):
    """Two gateways' searches over one shared index, each with a log of its own."""
    found, logs = {}, {}
    for name, size in (("gateway.example/one", 300), ("gateway.example/two", 500)):
        key, place = small.Signer.generate(name), tmp_path / name.rpartition("/")[2]
        log = logs[name] = FileLog.open(place, origin=name, key=key, clock=small.StepClock(), reserve_bytes=0)
        for record in made_up(size, seed=size):
            log.append(record)
        log.flush()
        log.checkpoint()
        index = PostgresIndex(server.connect, place, name, lambda place=place: (place / "checkpoint").read_text())
        index.forget()
        search = Search(place, key.verifier, index=index, elsewhere=Elsewhere(server.connect))
        search.catch_up()
        found[name] = search
    yield found, logs
    for one in (*found.values(), *logs.values()):
        one.close()


def test_a_question_about_another_log_has_its_gateways_answer_and_says_what_it_covers(two):
    found, logs = two
    one, other = found.values()
    assert {log.origin: log.covered for log in one.logs()}.items() >= {
        name: log.durable_size for name, log in logs.items()
    }.items()
    for question in ("denials", "largest", "policy", "reveals", "readers", "after-close"):
        here = one.ask(question, Narrow(), now=test_audit_questions.NOW, origin="gateway.example/two")
        there = other.ask(question, Narrow(), now=test_audit_questions.NOW)
        assert here["rows"] == there["rows"]
        assert here["log"]["origin"] == "gateway.example/two"
        assert here["log"]["covered"]["covered"] == here["end"] == there["end"]
        assert any("not verified here" in note for note in here["notes"])


def test_a_silent_gateway_is_named_silent(two, edit):
    found, _ = two
    one, other = found.values()
    edit("SET gateway.following = 'yes'; UPDATE progress SET alive = now() - interval '1 hour'", "gateway.example/two")
    answer = one.ask("denials", Narrow(), now=test_audit_questions.NOW, origin="gateway.example/two")
    assert answer["log"]["covered"]["silent"]
    assert any("has not been heard of" in note for note in answer["notes"])
    other.catch_up()
    answer = one.ask("denials", Narrow(), now=test_audit_questions.NOW, origin="gateway.example/two")
    assert not answer["log"]["covered"]["silent"]


@pytest.mark.parametrize("sql", ["DELETE FROM records WHERE decision = 'deny'", "DROP TABLE tags CASCADE"])
def test_another_log_whose_index_was_changed_gives_no_answer_until_its_gateway_has_built_it_anew(two, edit, sql):
    found, _ = two
    one, other = found.values()
    edit(sql, "gateway.example/two")
    with pytest.raises(GatewayError) as caught:
        one.ask("denials", Narrow(), now=test_audit_questions.NOW, origin="gateway.example/two")
    assert caught.value.code == "audit-damaged"
    other.catch_up()
    assert one.ask("denials", Narrow(), now=test_audit_questions.NOW, origin="gateway.example/two")["rows"]


def test_an_unknown_log_is_not_found(two):
    one, _ = two[0].values()
    for name in ("gateway.example/three", "x'; DROP SCHEMA public; --"):
        with pytest.raises(GatewayError) as caught:
            one.ask("denials", Narrow(), now=test_audit_questions.NOW, origin=name)
        assert caught.value.code == "not-found"


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 30), size=st.integers(1, 1_500), part=st.sampled_from([None, 0.3, 0.9]))
def test_both_kinds_of_index_give_the_same_answers_over_any_log(server, seed, size, part):
    with tempfile.TemporaryDirectory() as name:
        key, trail = small.Signer.generate(test_audit_questions_oracle.ORIGIN), Path(name) / "audit"
        log = opened(trail, key, 60)
        for record in made_up(size, seed=seed):
            log.append(record)
        log.close()
        index = PostgresIndex(server.connect, trail, key.verifier.name)
        index.forget()
        both = [Search(trail, key.verifier, index=index), Search(trail, key.verifier)]
        since = START + timedelta(minutes=size * part) if part is not None else None
        for question in QUESTIONS.values():
            narrow = Narrow(**{name: FILTERS[name] for name in question.needs})
            asked = {"now": START + timedelta(days=400), "since": None if question.whole else since, "limit": 1000}
            shared, own = (search.ask(question.name, narrow, **asked) for search in both)
            assert shared == own
        for search in both:
            search.close()


def test_the_settings_lead_to_the_server(server, tmp_path):
    secret = tmp_path / "password"
    secret.write_text(server.password(OWNER) + "\n")
    secret.chmod(0o600)
    place = AuditIndex(
        kind="postgres", host="127.0.0.1", port=server.port, database=DATABASE, user=OWNER,
        password=Secret(file=secret), tls="off",
    )  # fmt: skip
    with connect_to(place)() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("1min",)
    secret.write_text("wrong")
    with pytest.raises(psycopg.OperationalError):
        connect_to(place)()
