"""`gateway audit` and `gateway policy` and `gateway people` on a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.checkpoint import create_signer
from gateway.audit.log import FileLog
from gateway.audit.search import Search
from gateway.audit.verify import proof_bytes
from gateway.cli.audit import line
from gateway.cli.people import qr_lines
from gateway.record import event

BEGIN = {
    "index": 7,
    "time": "2026-03-02T09:00:00.000001Z",
    "kind": "statement.begin",
    "session": "s1",
    "login": "alice",
    "ticket": "SUP-1",
    "customers": ["42"],
    "sql": "select\n $1",
}
END = {
    "index": 8,
    "time": "2026-03-02T09:00:01Z",
    "kind": "statement.end",
    "session": "s1",
    "tag": "SELECT 3",
    "rows": 3,
    "status": "ok",
}
REFUSED = {"index": 9, "time": "2026-03-02T09:00:02Z", "kind": "login", "decision": "deny", "code": "ticket-closed"}


@pytest.fixture
def trail(tmp_path: Path) -> tuple[Path, str]:
    """A small closed trail and its public key."""
    signer = create_signer(tmp_path / "audit.key", "example.test/1")
    from datetime import UTC, datetime

    log = FileLog.open(
        tmp_path / "audit",
        origin="example.test/1",
        key=signer,
        clock=lambda: datetime.now(UTC),
        loop=None,
        segment_bytes=1 << 20,
        reserve_bytes=1 << 20,
    )
    for number in range(20):
        log.append(event("login", person=f"p-{number}", login="alice", ticket="SUP-1423", decision="permit"))
    log.close()
    search = Search(tmp_path / "audit", signer.verifier)
    (tmp_path / "proof.json").write_bytes(proof_bytes(search.prove(3)))
    search.close()
    return tmp_path, signer.verifier.text


@pytest.mark.parametrize("what", ["audit", "proof.json"])
def test_a_sound_trail_or_proof_verifies_offline(terminal: Any, trail: tuple[Path, str], what: str) -> None:
    place, key = trail
    said = terminal.run("audit", "verify", str(place / what), "--key", key)
    assert said.code == 0
    assert "verified" in said.out
    assert not terminal.requests


def test_the_key_may_be_a_file(terminal: Any, trail: tuple[Path, str]) -> None:
    place, _ = trail
    said = terminal.run("audit", "verify", str(place / "audit"), "--key", str(place / "audit.key.pub"))
    assert said.code == 0


def test_one_changed_byte_ends_with_3_and_the_first_bad_record(terminal: Any, trail: tuple[Path, str]) -> None:
    place, key = trail
    segment = next((place / "audit" / "segments").glob("*0.log"))
    data = bytearray(segment.read_bytes())
    at = data.index(b"p-11")
    data[at + 3] ^= 1
    segment.write_bytes(data)
    said = terminal.run("audit", "verify", str(place / "audit"), "--key", key, "--output", "json")
    assert said.code == 3
    assert said.json["ok"] is False
    first = said.json["problems"][0]["record"]
    assert f"tampered: record {first}" in said.err
    assert first is not None
    assert first <= 12


def test_a_changed_proof_ends_with_3(terminal: Any, trail: tuple[Path, str]) -> None:
    place, key = trail
    text = (place / "proof.json").read_text()
    (place / "proof.json").write_text(text.replace("SUP-1423", "SUP-1424"))
    assert terminal.run("audit", "verify", str(place / "proof.json"), "--key", key).code == 3


@pytest.mark.parametrize(
    ("what", "key"), [("audit", "nonsense"), ("nothing", "x+00000000+AA=="), ("audit", "/nonexistent/key")]
)
def test_what_cannot_be_checked_is_not_called_tampered(
    terminal: Any, trail: tuple[Path, str], what: str, key: str
) -> None:
    assert terminal.run("audit", "verify", str(trail[0] / what), "--key", key).code == 78


def look(terminal: Any, place: Path, *more: str) -> Any:
    state = str(place / "state.json")
    return terminal.run("audit", "witness", str(place / "audit"), "--state", state, "--once", "--output", "json", *more)


def test_a_witness_looks_at_a_copy_and_its_state_serves_verification(terminal: Any, trail: tuple[Path, str]) -> None:
    place, key = trail
    said = look(terminal, place, "--key", str(place / "audit.key.pub"), "--cosign", "witness.example/1")
    assert (said.code, said.json["alarm"], said.json["size"]) == (0, "", 22)
    assert (place / "state.json.key.pub").read_text().startswith("witness.example/1+")
    state = str(place / "state.json")
    assert terminal.run("audit", "verify", str(place / "audit"), "--key", key, "--witness", state).code == 0
    note = (place / "audit" / "checkpoint").read_text()
    (place / "audit" / "checkpoint").write_text(note.replace("\n22\n", "\n21\n"))
    said = look(terminal, place)
    assert (said.code, said.json["alarm"]) == (3, "forged")
    assert "ALARM (forged)" in said.err
    (place / "audit" / "checkpoint").write_text(note)
    assert look(terminal, place).code == 0
    assert look(terminal, place, "--silence", "0s").json["alarm"] in ("", "silent")


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--key", "nonsense"),
        ("--key", "/nonexistent/key"),
        ("--silence", "soon"),
        ("--token", "/nonexistent/token"),
        ("--cosign", "two words"),
    ],
)
def test_a_witness_that_cannot_look_says_why(terminal: Any, trail: tuple[Path, str], more: tuple[str, ...]) -> None:
    place, key = trail
    given = more if not more or more[0] == "--key" else (*more, "--key", key)
    if "--token" in given:
        given = ("https://localhost:1/", "--state", str(place / "state.json"), "--once", *given)
        said = terminal.run("audit", "witness", *given)
    else:
        said = look(terminal, place, *given)
    assert said.code == 78, said
    assert not (place / "state.json").exists()


@pytest.mark.parametrize("source", ["http://localhost/", "ftp://localhost/"])
def test_a_witness_sends_nothing_without_tls(terminal: Any, tmp_path: Path, source: str) -> None:
    said = terminal.run("audit", "witness", source, "--state", str(tmp_path / "state.json"), "--once")
    assert said.code == 78
    assert "https://" in said.err


def test_the_schema_is_printed(terminal: Any) -> None:
    assert terminal.run("audit", "schema").json["$id"] == "urn:gateway:audit-record:1"


def test_search_passes_the_filters_and_shows_the_oldest_first(terminal: Any) -> None:
    terminal.answers["GET /audit/records"] = (200, {"records": [REFUSED, END, BEGIN], "total": 9})
    said = terminal.run("audit", "search", "--person", "alice", "--customer", "42", "--limit", "3")
    assert dict(terminal.requests[-1].url.params) == {"person": "alice", "customer": "42", "limit": "3"}
    assert said.out.splitlines() == [
        "     7  2026-03-02 09:00:00Z  statement.begin  alice  SUP-1  42",
        "        select  $1",
        "     8  2026-03-02 09:00:01Z  statement.end  alice  SUP-1  42",
        "        SELECT 3 · 3 rows",
        "     9  2026-03-02 09:00:02Z  login",
        "        refused (ticket-closed)",
    ]
    assert "the newest 3 of 9" in said.err


def test_tail_prints_a_line_for_each_record_and_says_why_it_ended(terminal: Any) -> None:
    end = {"end": {"code": "second-factor-required", "message": "sign in again", "hint": ""}}
    stream = "\n".join(json.dumps(item) for item in ({"record": BEGIN}, {"alive": True}, {"record": END}, end))
    terminal.answers["GET /audit/tail"] = (200, stream.encode())
    said = terminal.run("audit", "tail", "--ticket", "SUP-1")
    assert said.code == 77
    assert said.out.splitlines() == [
        "09:00:00 statement.begin   alice  SUP-1     select  $1",
        "09:00:01 statement.end     alice  SUP-1     SELECT 3 · 3 rows",
    ]
    assert "sign in again" in said.err


def test_tail_as_json_is_one_record_a_line(terminal: Any) -> None:
    terminal.answers["GET /audit/tail"] = (200, json.dumps({"record": BEGIN}).encode())
    assert json.loads(terminal.run("audit", "tail", "--output", "json").out) == BEGIN


def test_a_statement_cannot_break_out_of_its_line() -> None:
    assert "\n" not in line({**BEGIN, "sql": "a\nb\x1b[2J"})
    assert "\x1b" not in line({**BEGIN, "sql": "a\nb\x1b[2J"})


def test_a_proof_is_written_in_its_one_spelling(terminal: Any, tmp_path: Path) -> None:
    proof = {"format": "x", "index": 1, "leaf": "{}", "path": [], "checkpoint": "c"}
    terminal.answers["GET /audit/records/7/proof"] = (200, proof)
    assert terminal.run("audit", "prove", "7", "--out", str(tmp_path / "p")).code == 0
    assert (tmp_path / "p").read_bytes() == proof_bytes(proof)
    assert terminal.run("audit", "prove", "7").out.encode() == proof_bytes(proof)


def test_a_password_is_hashed_from_stdin_and_not_shown(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    said = terminal.run("people", "hash")
    assert said.out.startswith("$argon2id$")
    assert "hunter2" not in said.out + said.err


def test_enrolment_shows_a_code_to_scan_and_the_recovery_codes(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "otpauth://totp/gateway:alice?secret=ABC&issuer=gateway"
    terminal.answers["POST /enrol/begin"] = (200, {"uri": uri, "secret": "ABC", "expires_at": "2026-03-02T09:00:00Z"})
    terminal.answers["POST /enrol/finish"] = (200, {"recovery_codes": ["aaaa-bbbb"]})
    monkeypatch.setenv("GATEWAY_INVITATION", "invitation-1")
    monkeypatch.setattr("sys.stdin", io.StringIO("654321\n"))
    said = terminal.run("people", "enrol")
    assert said.code == 0
    assert qr_lines(uri)[3] in said.out
    assert uri in said.out
    assert "aaaa-bbbb" in said.out
    assert terminal.sent() == {
        "login": "alice",
        "password": "password-secret",
        "invitation": "invitation-1",
        "otp": "654321",
    }


def test_a_recovery_code_leads_to_an_enrolment(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "otpauth://totp/gateway:alice?secret=ABC&issuer=gateway"
    terminal.answers["POST /recover"] = (200, {"login": "alice", "invitation": "invitation-2"})
    terminal.answers["POST /enrol/begin"] = (200, {"uri": uri, "secret": "ABC", "expires_at": "2026-03-02T09:00:00Z"})
    terminal.answers["POST /enrol/finish"] = (200, {"recovery_codes": ["cccc-dddd"]})
    monkeypatch.setenv("GATEWAY_RECOVERY_CODE", "aaaa-bbbb-cccc-dddd")
    monkeypatch.setattr("sys.stdin", io.StringIO("654321\n"))
    said = terminal.run("people", "recover")
    assert said.code == 0
    assert "invitation-2" in said.err
    assert "cccc-dddd" in said.out
    assert terminal.sent()["invitation"] == "invitation-2"


@pytest.mark.parametrize(
    ("otp", "told"), [("abcd-efgh-ijkl-mnop", True), ("ABCDEFGHIJKLMNO2", True), ("123456", False)]
)
def test_who_signs_in_with_a_recovery_code_is_told_what_it_is_for(
    terminal: Any, monkeypatch: pytest.MonkeyPatch, otp: str, told: bool
) -> None:
    monkeypatch.setenv("GATEWAY_OTP", otp)
    problem = {"code": "authentication-failed", "detail": "not accepted", "hint": "look again"}
    terminal.answers["POST /sign-in"] = (401, problem)
    said = terminal.run("status")
    assert said.code == 77
    assert ("gateway people recover" in said.err) == told


def test_a_qr_code_is_square_and_has_its_quiet_zone() -> None:
    lines = qr_lines("otpauth://totp/x?secret=ABC")
    assert len({len(text) for text in lines}) == 1
    assert abs(len(lines) * 2 - len(lines[0])) <= 1
    assert set(lines[0]) == {"█"}
    assert {text[:2] for text in lines[:-1]} == {"██"}


def test_a_local_invitation_needs_a_running_gateway(terminal: Any) -> None:
    terminal.run("init", "here")
    said = terminal.run("people", "invite", "alice", "--local", "--config", "here/gateway.yaml")
    assert said.code == 1
    assert "no gateway runs here" in said.err


def test_policies_are_checked_with_file_line_and_column(terminal: Any) -> None:
    terminal.run("init", "here")
    good = terminal.run("policy", "check", "here/policies")
    assert good.code == 0
    assert "ok    here/policies/main.yaml: target `main`" in good.out
    path = terminal.home / "here" / "policies" / "main.yaml"
    path.write_text(path.read_text().replace("teams: [support]", "teems: [support]"))
    bad = terminal.run("policy", "check", "here/policies")
    assert bad.code == 1
    assert "fail  here/policies/main.yaml:" in bad.out


def test_cases_are_run_and_the_wrong_ones_named(terminal: Any) -> None:
    terminal.run("init", "here")
    policies = terminal.home / "here" / "policies"
    (policies / "main.yaml").write_text((policies / "main.yaml").read_text() + "tests: main_test.yaml\n")
    case = """
  - name: %s
    person: {login: alice, teams: [support]}
    ticket: {id: SUP-1, status: open, assignee: alice, customers: ['42']}
    expect: %s
"""
    (policies / "main_test.yaml").write_text("cases:" + case % ("right", "approved"))
    assert terminal.run("policy", "test", "here/policies").code == 0
    (policies / "main_test.yaml").write_text("cases:" + case % ("wrong", "ticket-closed"))
    said = terminal.run("policy", "test", "here/policies")
    assert said.code == 1
    assert "main_test.yaml:" in said.out
    assert "wrong" in said.out
    assert "0 of 1 cases" in said.out


PERSON = """
people:
  - {id: p-1, login: alice, name: Alice, teams: [support], password: "$argon2id$v=19$m=65536,t=3,p=1$%s$%s"}
"""
TICKETS = "tickets:\n  - {id: SUP-1, status: open, assignee: alice, customer: 42}\n"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--person", "alice", "--ticket", "SUP-1"), 0, "access    approved"),
        (("--person", "alice"), 77, "ticket-required"),
        (("--person", "alice", "--ticket", "SUP-1", "--reveal", "public.customers.email"), 0, "access     waits"),
        (("--person", "alice", "--ticket", "SUP-9"), 77, "ticket-not-found"),
        (("--team", "engineering", "--ticket", "SUP-1"), 77, "not-in-team"),
        (("--person", "nobody", "--ticket", "SUP-1"), 1, "not-found"),
        (("--ticket", "SUP-1"), 2, "name a person"),
    ],
)
def test_a_policy_is_explained(terminal: Any, options: tuple[str, ...], code: int, says: str) -> None:
    terminal.run("init", "here")
    (terminal.home / "here" / "people.yaml").write_text(PERSON % ("A" * 22, "A" * 43))
    (terminal.home / "here" / "tickets.yaml").write_text(TICKETS)
    said = terminal.run("policy", "explain", *options, "--config", "here/gateway.yaml")
    assert said.code == code, said.err
    assert " ".join(says.split()) in " ".join((said.out + said.err).split())
