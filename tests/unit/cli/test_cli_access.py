"""Signing in, and what `open` does with a pass."""

from __future__ import annotations

import io
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import access, connection
from gateway.cli.app import arranged
from gateway.cli.connection import Connection

OPENED = {
    "target": "payroll",
    "host": "gw.example.test",
    "port": 6432,
    "database": "pay:roll",
    "user": "alice+SUP-1",
    "password": "gwp_pass:secret",
    "sslmode": "verify-full",
    "ca": "-----BEGIN CERTIFICATE-----\n",
    "ticket": "SUP-1",
    "customers": ["42"],
    "grant": "grant_1",
    "request": "req_1",
    "expires_at": "2026-03-02T10:00:00Z",
}


@pytest.fixture(autouse=True)
def opens(terminal: Any) -> None:
    terminal.answers["POST /open"] = (200, OPENED)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_login_keeps_the_token_for_its_owner_only(terminal: Any) -> None:
    said = terminal.run("login")
    assert said.code == 0
    assert "secret" not in said.out + said.err
    assert mode(terminal.kept) == 0o700
    assert mode(terminal.kept / "session.json") == 0o600
    assert terminal.sent() == {"login": "alice", "password": "password-secret", "otp": "123456"}


def test_a_kept_token_is_used_and_proven_before_it_is_trusted(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.run("login")
    monkeypatch.delenv("GATEWAY_OTP")
    terminal.answers["GET /sessions"] = (200, {"sessions": []})
    assert terminal.run("sessions").code == 0
    assert [request.url.path for request in terminal.requests[1:]] == ["/v1/whoami", "/v1/sessions"]
    assert {request.headers["authorization"] for request in terminal.requests[1:]} == {"Bearer gwt_token-secret"}


def test_a_code_in_the_environment_signs_in_anew_and_keeps_nothing(terminal: Any) -> None:
    terminal.answers["GET /sessions"] = (200, {"sessions": []})
    terminal.run("sessions")
    assert terminal.requests[0].url.path == "/v1/sign-in"
    assert not (terminal.kept / "session.json").exists()


def test_a_kept_token_goes_to_its_own_gateway_and_person_only(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.run("login")
    monkeypatch.delenv("GATEWAY_OTP")
    for name, value in (("GATEWAY_URL", "https://other.example.test"), ("GATEWAY_LOGIN", "bob")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            terminal.requests.clear()
            said = terminal.run("sessions")
        assert said.code == 77, name
        assert "no terminal" in said.err
        assert not terminal.requests, name


def test_a_kept_token_that_is_over_is_dropped(terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.run("login")
    monkeypatch.delenv("GATEWAY_OTP")
    terminal.answers["GET /whoami"] = problem(401, "session-expired", "the sign-in is over")
    said = terminal.run("sessions")
    assert said.code == 77
    assert not (terminal.kept / "session.json").exists()


@pytest.mark.parametrize(("age", "used"), [(timedelta(minutes=14), True), (timedelta(minutes=16), False)])
def test_a_token_is_kept_while_its_factor_is_recent(
    terminal: Any, monkeypatch: pytest.MonkeyPatch, age: timedelta, used: bool
) -> None:
    status, answer = terminal.answers["POST /sign-in"]
    factor_at = (datetime.now(UTC) - age).isoformat()
    terminal.answers["POST /sign-in"] = (status, {**answer, "factor_at": factor_at})
    terminal.answers["GET /sessions"] = (200, {"sessions": []})
    terminal.run("login")
    monkeypatch.delenv("GATEWAY_OTP")
    assert terminal.run("sessions").code == (0 if used else 77)


def test_a_configuration_that_is_named_goes_before_the_environment(terminal: Any) -> None:
    terminal.run("init", "here")
    terminal.answers["GET /sessions"] = (200, {"sessions": []})
    assert terminal.run("sessions", "--config", "here/gateway.yaml").code == 0
    assert {request.url.host for request in terminal.requests} == {"127.0.0.1"}


def test_a_state_directory_that_others_can_use_is_not_used(terminal: Any) -> None:
    terminal.kept.mkdir(mode=0o755)
    terminal.kept.chmod(0o755)
    said = terminal.run("login")
    assert said.code == 78
    assert "can be used by others" in said.err


def test_logout_ends_it_on_both_sides(terminal: Any) -> None:
    terminal.run("login")
    terminal.answers["POST /sign-out"] = (204, b"")
    assert terminal.run("logout").code == 0
    assert terminal.requests[-1].url.path == "/v1/sign-out"
    assert not (terminal.kept / "session.json").exists()


@pytest.mark.parametrize(
    "url", ["http://gw.example.test", "gw.example.test", "https://user:pw@gw.example.test", "https://"]
)
def test_an_address_that_is_no_https_address_is_refused(terminal: Any, url: str) -> None:
    said = terminal.run("login", "--url", url)
    assert said.code == 78
    assert not terminal.requests


def test_open_shows_everything_once(terminal: Any) -> None:
    said = terminal.run("open", "SUP-1", "--target", "payroll", "--reason", "she called", "--duration", "30m")
    assert said.code == 0
    assert terminal.sent() == {
        "ticket": "SUP-1",
        "target": "payroll",
        "reason": "she called",
        "duration_s": 1800,
    }
    assert "password          gwp_pass:secret" in said.out
    assert (
        "psql 'postgresql://alice%2BSUP-1@gw.example.test:6432/pay%3Aroll?sslmode=verify-full&sslrootcert=" in said.out
    )


def test_open_as_json_has_what_programs_need(terminal: Any) -> None:
    found = terminal.run("open", "SUP-1", "--output", "json").json
    wanted = {"host", "port", "database", "user", "password", "sslrootcert", "customer", "expires_at", "uri"}
    assert wanted <= found.keys()
    assert found["customer"] == "42"
    assert Path(found["sslrootcert"]).read_text() == OPENED["ca"]
    assert found["uri"].startswith("postgresql://alice%2BSUP-1:gwp_pass%3Asecret@gw.example.test:6432/pay%3Aroll?")


def test_open_that_has_to_wait_says_for_whom(terminal: Any, problem: Any) -> None:
    waiting = {"id": "req_9", "approvers": ["security"], "approvals_needed": 2}
    terminal.answers["POST /open"] = problem(403, "approval-required", "request `req_9` waits", request=waiting)
    said = terminal.run("open", "SUP-1", "--reveal", "public.employees.email")
    assert said.code == 77
    assert "request req_9 waits for 2 of: security" in said.err
    assert terminal.sent()["reveal"] == ["public.employees.email"]
    assert terminal.run("open", "SUP-1", "--output", "json").json == {"request": waiting}


def test_exec_gives_the_pass_to_the_child_alone(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, Any] = {}

    def become(file: str, argv: list[str], environ: dict[str, str]) -> None:
        started.update(file=file, argv=argv, environ=environ)

    monkeypatch.setattr(access.os, "execvpe", become)
    for name in ("PGHOSTADDR", "PGSERVICE", "PGOPTIONS", "PGSSLMODE", "PGPASSFILE"):
        monkeypatch.setenv(name, "elsewhere")
    said = terminal.run("open", "SUP-1", "--exec", "psql", "-c", "select 1")
    assert said.out == ""
    assert "secret" not in said.err
    assert started["argv"] == ["psql", "-c", "select 1"]
    environ = started["environ"]
    assert environ["PGPASSWORD"] == "gwp_pass:secret"
    assert environ["PGSSLMODE"] == "verify-full"
    assert not environ.keys() & {
        "PGHOSTADDR",
        "PGSERVICE",
        "PGOPTIONS",
        "PGPASSFILE",
        "GATEWAY_PASSWORD",
        "GATEWAY_OTP",
    }
    assert "PGPASSWORD" not in os.environ


def test_exec_of_what_is_not_there_is_said(terminal: Any) -> None:
    said = terminal.run("open", "SUP-1", "--exec", "no-such-client-anywhere")
    assert said.code == 78
    assert "`no-such-client-anywhere` cannot be started" in said.err


def test_pgpass_keeps_every_other_line(terminal: Any) -> None:
    path = terminal.home / ".pgpass"
    path.write_text("# mine\nother:5432:db:me:x\ngw.example.test:6432:pay\\:roll:alice+SUP-1:old\n*:*:*:*:wild\n")
    path.chmod(0o644)
    terminal.run("open", "SUP-1", "--save-pgpass")
    assert path.read_text() == (
        "gw.example.test:6432:pay\\:roll:alice+SUP-1:gwp_pass\\:secret\n# mine\nother:5432:db:me:x\n*:*:*:*:wild\n"
    )
    assert mode(path) == 0o600


def test_pgpass_is_made_when_it_is_missing(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = terminal.home / "elsewhere"
    monkeypatch.setenv("PGPASSFILE", str(path))
    terminal.run("open", "SUP-1", "--save-pgpass")
    assert path.read_text() == "gw.example.test:6432:pay\\:roll:alice+SUP-1:gwp_pass\\:secret\n"
    assert mode(path) == 0o600


def test_the_service_file_keeps_every_other_section(terminal: Any) -> None:
    path = terminal.home / ".pg_service.conf"
    path.write_text("[mine]\nhost=here\n\n[gateway-payroll]\nhost=old\nport=1\n[last]\nhost=there\n")
    terminal.run("open", "SUP-1", "--save-service")
    text = path.read_text()
    assert text.startswith("[mine]\nhost=here\n\n[last]\nhost=there\n\n[gateway-payroll]\nhost=gw.example.test\n")
    assert "old" not in text
    assert "secret" not in text


def test_no_representation_shows_the_pass() -> None:
    opened = connection.from_answer({**OPENED, "ca": ""}, Path("/nowhere"))
    assert isinstance(opened, Connection)
    assert "secret" not in repr(opened)
    assert opened.sslrootcert == "system"


def test_ids_cannot_leave_their_place_in_the_path(terminal: Any) -> None:
    for line in (["revoke", "../people/x"], ["approve", "a/b"], ["audit", "show", "1?x"], ["people", "invite", "../x"]):
        terminal.requests.clear()
        assert terminal.run(*line).code == 1, line
        assert not [one for one in terminal.requests if one.url.path not in ("/v1/sign-in", "/v1/whoami")], line


def test_lists_are_json_when_asked(terminal: Any) -> None:
    terminal.answers["GET /requests"] = (200, {"requests": [{"id": "req_1"}]})
    assert terminal.run("--output", "json", "requests").json == [{"id": "req_1"}]
    assert terminal.requests[-1].url.params["state"] == "pending"


def test_status_shows_person_grants_and_sessions(terminal: Any) -> None:
    grant = {"id": "grant_1", "target": "payroll", "ticket": "SUP-1", "customers": ["42"], "state": "active"}
    session = {"id": "s1", "login": "alice", "target": "payroll", "ticket": "SUP-1", "address": "192.0.2.1:5"}
    waits = {
        "id": "req_2", "target": "payroll", "ticket": "SUP-2", "reveal": ["public.employees.email"], "write": False,
        "approvers": ["security"], "approvals_needed": 1, "people": ["bea", "bob"],
    }  # fmt: skip
    mine = {
        "grants": [{**grant, "expires_at": "2099-01-01T00:00:00Z"}],
        "passes": [{"id": "pass_1", "target": "payroll", "ticket": "SUP-1", "made_at": "2026-03-02T08:59:00Z"}],
        "requests": [waits],
        "budgets": [{"target": "payroll", "budget": "rows_per_day", "used": 20, "left": 80, "limit": 100}],
        "delegations": [{"delegate": "dan", "delegator": "alice", "ends_at": "2026-03-09T00:00:00Z"}],
    }
    terminal.answers["GET /status"] = (200, mine)
    terminal.answers["GET /sessions"] = (
        200,
        {"sessions": [{**session, "application": "psql", "started_at": "2026-03-02T09:00:00Z"}]},
    )
    said = terminal.run("status")
    assert "alice (Alice)" in said.out
    assert "grant_1" in said.out
    assert "2026-03-02 09:00:00Z" in said.out
    assert "pass_1" in said.out
    assert "1 of: security (bea, bob)" in said.out
    assert "80 of 100" in said.out
    assert "dan decides in the name of alice until 2026-03-09" in said.err
    assert json.loads(terminal.run("status", "--output", "json").out)["grants"][0]["id"] == "grant_1"


def test_a_double_dash_behind_the_program_is_ours_not_the_programs() -> None:
    assert arranged(["open", "SUP-1", "--exec", "psql", "--", "-c", "select 1"])[1] == ("psql", "-c", "select 1")
    assert arranged(["open", "SUP-1", "--exec", "psql", "-c", "--"])[1] == ("psql", "-c", "--")


def test_open_sends_what_is_to_be_written(terminal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "update employees set status = 'x'\nwhere id = 7\n"
    (tmp_path / "it.sql").write_text(text)
    terminal.run("open", "SUP-1")
    assert terminal.sent().keys() & {"write", "statement"} == set()
    terminal.run("open", "SUP-1", "--write")
    assert terminal.sent()["write"] is True
    terminal.run("open", "SUP-1", "--statement", "delete from x where id = 1")
    assert terminal.sent()["statement"] == "delete from x where id = 1"
    terminal.run("open", "SUP-1", "--statement-file", str(tmp_path / "it.sql"))
    assert terminal.sent()["statement"] == text
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    terminal.run("open", "SUP-1", "--statement-file", "-")
    assert terminal.sent()["statement"] == text


@pytest.mark.parametrize(
    "words",
    [
        ("--statement", "x", "--statement-file", "it.sql"),
        ("--statement", "  "),
        ("--statement-file", "missing.sql"),
        ("--statement-file", "binary.sql"),
    ],
)
def test_open_with_a_statement_that_is_none_is_a_mistake(terminal: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "it.sql").write_text("x")
    (tmp_path / "binary.sql").write_bytes(b"\xff\xfe")
    said = terminal.run("open", "SUP-1", *words)
    assert said.code == 2
    assert not terminal.requests


def test_open_says_what_may_be_written(terminal: Any) -> None:
    terminal.answers["POST /open"] = (200, {**OPENED, "write": True, "statement": "d" * 64})
    assert "writing           one statement\n" in terminal.run("open", "SUP-1", "--statement", "delete").out
    found = terminal.run("open", "SUP-1", "--statement", "delete", "--output", "json").json
    assert (found["write"], found["statement"]) == (True, "d" * 64)
    terminal.answers["POST /open"] = (200, OPENED)
    assert "writing" not in terminal.run("open", "SUP-1").out


WAITS = {"id": "req_7", "approvers": ["security"], "approvals_needed": 1}


class Approver:
    """Answers to `open` and to looks at the request, as a decision comes after some looks."""

    def __init__(self, problem: Any, state: str, looks: int = 2, stale: bool = False) -> None:
        self.problem, self.state, self.looks, self.stale = problem, state, looks, stale
        self.opened = 0

    def open(self, _: Any) -> tuple[int, Any]:
        self.opened += 1
        if self.looks >= 0:
            return self.problem(403, "approval-required", "it waits", request=WAITS)  # type: ignore[no-any-return]
        if self.stale:
            self.stale = False
            return self.problem(401, "second-factor-required", "this needs a recent factor")  # type: ignore[no-any-return]
        return 200, OPENED

    def show(self, _: Any) -> tuple[int, Any]:
        self.looks -= 1
        state = "pending" if self.looks >= 0 else self.state
        return 200, {"state": state, "decided_by": ["bob"], "decision_reason": "" if state == "approved" else "no need"}


def decided(terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch, state: str, **more: Any) -> Approver:
    approver = Approver(problem, state, **more)
    terminal.answers["POST /open"], terminal.answers["GET /requests/req_7"] = approver.open, approver.show
    monkeypatch.setattr("gateway.cli.waiting.time.sleep", lambda _: None)
    return approver


def test_open_waits_for_the_decision_and_then_opens(
    terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    approver = decided(terminal, problem, monkeypatch, "approved")
    said = terminal.run("open", "SUP-1", "--wait")
    assert said.code == 0
    assert "gwp_pass:secret" in said.out
    assert "request req_7 waits for 1 of: security" in said.err
    assert "approved by bob" in said.err
    assert approver.opened == 2


def test_open_that_waited_too_long_asks_for_a_code(
    terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(terminal, problem, monkeypatch, "approved", stale=True)
    said = terminal.run("--output", "json", "open", "SUP-1", "--wait")
    assert said.code == 0
    assert said.json["password"] == "gwp_pass:secret"
    assert "sign in again" in said.err
    paths = [request.url.path for request in terminal.requests]
    assert paths.count("/v1/sign-in") == 2


@pytest.mark.parametrize("state", ["denied", "expired", "cancelled"])
def test_open_says_that_it_was_not_approved(
    terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    approver = decided(terminal, problem, monkeypatch, state)
    said = terminal.run("open", "SUP-1", "--wait")
    assert said.code == 77
    assert f"the request is {state}: no need" in said.err
    assert said.out == ""
    assert approver.opened == 1


def test_interrupting_leaves_the_request_as_it_is(terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decided(terminal, problem, monkeypatch, "approved", looks=9)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.waiting.time.sleep", interrupt)
    said = terminal.run("open", "SUP-1", "--wait")
    assert said.code == 130
    assert "still waits" in said.err


def test_a_script_does_not_wait(terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    approver = decided(terminal, problem, monkeypatch, "approved")
    said = terminal.run("--output", "json", "open", "SUP-1")
    assert said.code == 77
    assert said.json == {"request": WAITS}
    assert approver.opened == 1


class Stale:
    """Refuses a factor as too old until the token is `renewed`."""

    def __init__(self, problem: Any, answer: Any, renewed: str = "gwt_renewed") -> None:
        self.problem, self.answer, self.renewed = problem, answer, renewed

    def __call__(self, request: Any) -> tuple[int, Any]:
        if request.headers["authorization"] == f"Bearer {self.renewed}":
            return 200, self.answer
        return self.problem(401, "second-factor-required", "this needs a second factor of the last 5 minutes")  # type: ignore[no-any-return]


def at_a_terminal(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Signs in, then lets the person be asked; returns what was asked."""
    terminal.run("login")
    terminal.answers["POST /sign-in"] = (200, {**terminal.answers["POST /sign-in"][1], "token": "gwt_renewed"})
    terminal.requests.clear()
    monkeypatch.delenv("GATEWAY_OTP")
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: asked.append(prompt) or "654321")
    return asked


def test_a_factor_that_is_too_old_is_asked_for_again_and_the_command_goes_on(
    terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = at_a_terminal(terminal, monkeypatch)
    terminal.answers["POST /people/dan/invite"] = Stale(problem, {"login": "dan", "invitation": "abc"})
    said = terminal.run("people", "invite", "dan")
    assert said.code == 0, said.err
    assert said.out == "abc\n"
    assert asked == ["code (nothing: security key): "]
    assert "this needs a second factor of the last 5 minutes" in said.err
    paths = [request.url.path for request in terminal.requests]
    assert paths.count("/v1/people/dan/invite") == 2


def test_a_new_factor_is_asked_for_once(terminal: Any, problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = at_a_terminal(terminal, monkeypatch)
    terminal.answers["POST /people/dan/invite"] = Stale(problem, {}, renewed="never")
    said = terminal.run("people", "invite", "dan")
    assert said.code == 77
    assert len(asked) == 1
