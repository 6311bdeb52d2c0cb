"""People and tickets in files: what is read, what is refused with its line, and what happens while it is edited."""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import argon2
import pytest

from gateway.access.directory.file import FileDirectory
from gateway.access.documents import DocumentError, Entry, read_document
from gateway.access.names import fold_login, is_ticket_id, split_user
from gateway.access.tickets.file import FileTickets
from gateway.errors import GatewayError

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HASH = CHEAP.hash("alice-secret")
PEOPLE = f"""\
people:
  - id: p-001
    login: Alice
    name: Alice Martin
    teams: [support, night shift]
    password: {HASH}
    email: alice@example.com
  - {{id: 007, login: bob, teams: [security], password: "{HASH}"}}
  - {{id: p-003, login: gone, teams: [], password: "{HASH}", active: false}}
"""
TICKETS = """\
tickets:
  - id: SUP-1423
    title: "Payslip: missing"
    status: open
    assignee: Alice
    customer: 0042
    url: https://tickets.example.com/SUP-1423
    updated_at: 2026-03-01T09:30:00Z
  - {id: SUP-1424, status: open, customers: [42, "43"], team: support, assignee: null}
  - {id: SUP-1425, status: open}
"""


def directory(path: Path, text: str = PEOPLE) -> FileDirectory:
    (path / "people.yaml").write_text(text, encoding="utf-8")
    return FileDirectory(path / "people.yaml", recheck_s=0)


def tickets(path: Path, text: str = TICKETS) -> FileTickets:
    (path / "tickets.yaml").write_text(text, encoding="utf-8")
    return FileTickets(path / "tickets.yaml", recheck_s=0)


def test_people_are_found_by_folded_login_and_exact_id(tmp_path: Path) -> None:
    people = directory(tmp_path)
    alice = people.find("ALICE")
    assert alice is not None
    assert (alice.id, alice.login, alice.name, alice.email) == ("p-001", "alice", "Alice Martin", "alice@example.com")
    assert alice.teams == {"support", "night shift"}
    assert people.by_id("p-001") == alice
    assert people.by_id("P-001") is None
    assert people.find("carol") is None
    assert (bob := people.by_id("007")) is not None
    assert bob.login == "bob"


def test_passwords_are_checked_for_active_people_only(tmp_path: Path) -> None:
    people = directory(tmp_path)
    right = people.check_password("alice", "alice-secret")
    assert right is not None
    assert right.id == "p-001"
    for login, password in (
        ("alice", "x"),
        ("gone", "alice-secret"),
        ("nobody", "alice-secret"),
        ("", ""),
    ):
        assert people.check_password(login, password) is None


def test_unknown_people_cost_a_hash_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = directory(tmp_path)
    checked: list[str] = []

    def spy(stored: str, password: str) -> bool:
        checked.append(stored)
        return True

    monkeypatch.setattr("gateway.access.directory.file.verify_password", spy)
    assert people.check_password("nobody", "x") is None
    assert people.check_password("gone", "x") is None
    assert len(checked) == 2
    assert all(stored.startswith("$argon2id$v=19$m=8,t=1,p=1$") and stored != HASH for stored in checked)


def test_a_ticket_is_read_as_it_is_written(tmp_path: Path) -> None:
    source = tickets(tmp_path)
    first, second, third = (source.find(f"SUP-142{last}") for last in (3, 4, 5))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.system, first.title, first.status, first.assignee) == ("file", "Payslip: missing", "open", "alice")
    assert first.customers == ("0042",)
    assert first.updated_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert (second.customers, second.team, second.assignee) == (("42", "43"), "support", "")
    assert (third.customers, third.title) == ((), "")
    assert source.find("sup-1423") is None


def test_json_is_read_as_well(tmp_path: Path) -> None:
    source = tickets(tmp_path, json.dumps({"tickets": [{"id": "SUP-1", "status": "open", "customer": 42, "team": ""}]}))
    ticket = source.find("SUP-1")
    assert ticket is not None
    assert (ticket.customers, ticket.team) == (("42",), "")


def person(**fields: object) -> str:
    entry = {"id": "p1", "login": "alice", "teams": ["support"], "password": HASH, **fields}
    return json.dumps({name: value for name, value in entry.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: the file is empty"),
        ("[]", ":1: the file must be a mapping"),
        ("people: 3", "`people` must be a list"),
        ("nobody: []", ":1: the file needs `people`"),
        ("people: []\nother: 1", ":2: the file has no field `other`"),
        ("people: []\npeople: []", ":2: `people` is there twice"),
        ("people:\n  - " + person(login=None), ":2: a person needs `login`"),
        ("people:\n  - " + person(login="a b"), ":2: `a b` cannot be a login"),
        ("people:\n  - " + person(login="a+b"), "cannot be a login"),
        ("people:\n  - " + person(teams="support"), "`teams` must be a list"),
        ("people:\n  - " + person(teams=[["x"]]), "must be a text or a number"),
        ("people:\n  - " + person(active="yes"), "`active` must be true or false"),
        ("people:\n  - " + person(password="secret"), "not an argon2id hash"),
        ("people:\n  - " + person(admin=True), "a person has no field `admin`"),
        ("people:\n  - " + person(id="a\nb"), "no control characters"),
        ("people:\n  - " + person() + "\n  - " + person(login="bob"), ":3: a second person has the id `p1`"),
        ("people:\n  - " + person() + "\n  - " + person(id="p2", login="ALICE"), ":3: a second person has the login"),
        ("people:\n  - " + person() + "\n  - " + person(id="p2", login="\uff21lice"), ":3: a second person"),
        ("people: [\n", ":2:"),
        ("people: !!python/object:os.system []", ":1: `people` must be a list"),
        ("people: !!python/tuple []", ":1: `people` must be a list"),
        ("!!set {people: []}", ":1: the file must be a mapping"),
        ("people:\n  - " + person(login=None)[:-1] + ", login: !!binary YWxpY2U=}", "must be a text or a number"),
        ("a: &a [*a]\npeople: *b", ":2:"),
        ("---\npeople: []\n---\npeople: []", ":3:"),
        ("[" * 500, ":1: not YAML"),
    ],
)
def test_an_invalid_people_file_says_where_and_answers_nothing(tmp_path: Path, text: str, says: str) -> None:
    people = directory(tmp_path, text)
    for ask in (lambda: people.find("alice"), lambda: people.by_id("p1"), lambda: people.check_password("alice", "x")):
        with pytest.raises(GatewayError) as raised:
            ask()
        assert raised.value.code == "directory-unavailable"
        assert says in raised.value.refusal.detail
        assert HASH not in raised.value.refusal.detail


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{id: SUP-1}", "needs `status`"),
        ("{id: 'SUP 1', status: open}", "cannot be a ticket's id"),
        ("{id: SUP-1, status: open, customer: 1, customers: [2]}", "not both"),
        ("{id: SUP-1, status: open, customers: [1, 1]}", "named twice"),
        ("{id: SUP-1, status: open, customer: {id: 1}}", "must be a text or a number"),
        ("{id: SUP-1, status: open, customer: }", "must be a text or a number"),
        ("{id: SUP-1, status: open, assignee: a b}", "cannot be a login"),
        ("{id: SUP-1, status: open, updated_at: yesterday}", "not an ISO 8601 moment"),
        ("{id: SUP-1, status: open, priority: 1}", "a ticket has no field `priority`"),
        ("{id: SUP-1, status: open}\n  - {id: SUP-1, status: open}", ":3: a second ticket has the id"),
    ],
)
def test_an_invalid_ticket_file_says_where_and_answers_nothing(tmp_path: Path, entry: str, says: str) -> None:
    source = tickets(tmp_path, f"tickets:\n  - {entry}\n")
    with pytest.raises(GatewayError) as raised:
        source.find("SUP-1")
    assert raised.value.code == "ticket-source-unavailable"
    assert says in raised.value.refusal.detail


def test_a_change_is_seen_and_a_broken_file_answers_nothing_until_it_is_mended(tmp_path: Path) -> None:
    source = tickets(tmp_path)
    path = tmp_path / "tickets.yaml"
    assert source.find("SUP-1423") is not None
    for broken in ("tickets: [", "", None):
        if broken is None:
            path.unlink()
        else:
            path.write_text(broken)
        with pytest.raises(GatewayError):
            source.find("SUP-1423")
        path.write_text(TICKETS.replace("status: open", "status: closed"))
        mended = source.find("SUP-1423")
        assert mended is not None
        assert mended.status == "closed"


def test_a_change_of_the_same_length_within_one_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    source = tickets(tmp_path)
    path = tmp_path / "tickets.yaml"
    for status in ("held", "open", "done") * 20:
        path.write_text(TICKETS.replace("status: open", f"status: {status}"))
        ticket = source.find("SUP-1423")
        assert ticket is not None
        assert ticket.status == status


def test_an_unchanged_file_is_read_once_and_gives_the_same_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tickets(tmp_path)
    long_ago = time.time() - 60
    os.utime(tmp_path / "tickets.yaml", (long_ago, long_ago))
    first = source.find("SUP-1423")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("read again"))
    assert all(source.find("SUP-1423") is first for _ in range(10))


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    people = directory(tmp_path)
    (tmp_path / "people.yaml").chmod(0o666)
    with pytest.raises(GatewayError, match="cannot be read"):
        people.find("alice")
    (tmp_path / "people.yaml").chmod(0o640)
    assert people.find("alice") is not None


def test_a_directory_or_a_pipe_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        with pytest.raises(GatewayError):
            FileTickets(path, recheck_s=0).find("SUP-1")


def test_several_threads_may_ask_while_the_file_changes(tmp_path: Path) -> None:
    source = tickets(tmp_path)
    stop = threading.Event()
    seen: set[str] = set()

    def ask() -> None:
        while not stop.is_set():
            ticket = source.find("SUP-1423")
            seen.add(ticket.status if ticket is not None else "none")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for status in ("closed", "open", "held") * 3:
        new = tmp_path / "new"
        new.write_text(TICKETS.replace("status: open", f"status: {status}"))
        new.rename(tmp_path / "tickets.yaml")
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= {"open", "closed", "held"}
    assert "held" in seen


def test_fields_that_were_not_taken_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("one: 1\ntwo: 2\n")

    def parse(entry: Entry) -> str:
        return entry.text("one")

    with pytest.raises(DocumentError, match=r"x\.yaml:2: the file has no field `two`"):
        read_document(tmp_path / "x.yaml", parse)


@pytest.mark.parametrize(
    ("user", "login", "ticket"),
    [
        ("alice", "alice", None),
        ("ALICE", "alice", None),
        ("alice+SUP-1423", "alice", "SUP-1423"),
        ("a.b@example.com+SUP-1", "a.b@example.com", "SUP-1"),
        ("\uff41lice", "alice", None),
        ("stra\u00dfe", "strasse", None),
        ("\u0130da", "", None),
        ("alice+", "", None),
        ("alice+SUP 1", "", None),
        ("alice+SUP-1+x", "", None),
        ("+SUP-1", "", "SUP-1"),
        ("", "", None),
        ("al ice", "", None),
        ("al\x00ice", "", None),
        ("alice\n", "", None),
        ("_alice", "", None),
        ("a\u200dlice", "", None),
        ("x" * 65, "", None),
        ("x" * 100_000, "", None),
        ("\ufdfa" * 200, "", None),
    ],
)
def test_a_user_name_is_a_login_and_perhaps_a_ticket(user: str, login: str, ticket: str | None) -> None:
    assert split_user(user) == (login, ticket)


def test_folding_twice_changes_nothing() -> None:
    for login in ("alice", "Stra\u00dfe", "\u1e9e", "\ufb01n", "\u01c5x", "\u0390abc"):
        assert fold_login(fold_login(login)) == fold_login(login)


def test_ticket_ids_have_no_room_for_mischief() -> None:
    assert all(is_ticket_id(text) for text in ("SUP-1", "1", "org/repo#12", "INC0010023", "a.b_c"))
    assert not any(is_ticket_id(text) for text in ("", "-1", "a b", "a%2f", "a?b", "a'b", "\u0661", "a\n", "x" * 65))
