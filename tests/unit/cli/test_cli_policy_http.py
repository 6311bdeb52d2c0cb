"""The `policy` commands on the policy of an HTTP target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.judging_http import asked
from gateway.errors import GatewayError

CORPUS = Path(__file__).parents[2] / "corpus" / "http"
POLICY = str(CORPUS / "backoffice.yaml")


def test_a_policy_of_routes_is_checked(terminal: Any) -> None:
    said = terminal.run("policy", "check", POLICY)

    assert said.code == 0
    assert "target `backoffice`" in said.out


def test_its_cases_run_without_a_target(terminal: Any) -> None:
    said = terminal.run("policy", "test", POLICY)

    assert (said.code, said.out) == (0, "8 of 8 cases are as they should be\n")
    assert said.err == ""


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("then: {code: not-found}", "then: {code: request-not-allowed}", "refused with `request-not-allowed`, it is"),
        ("route: employee\n", "route: employees\n", "expected `route` to be `employees`, it is `employee`"),
        ("goes: GET /companies/42/employees/7?", "goes: GET /companies/42/employees/8?", "expected `goes` to be"),
        ('"last_name": null, "iban": "FR76*', '"last_name": null, "iban": "FR7*', "expected `shows` to be"),
        ("sends: text=a%20b", "sends: text=a+b", "expected `sends` to be `text=a+b`, it is `text=a%20b`"),
        ("then: {code: request-not-allowed}", "then: {route: employees}", "to be allowed, it is refused with"),
    ],
)
def test_a_case_that_does_not_hold_says_what_came(terminal: Any, old: str, new: str, wrong: str) -> None:
    text = (CORPUS / "backoffice_test.yaml").read_text(encoding="utf-8")
    assert old in text
    (terminal.home / "backoffice.yaml").write_text((CORPUS / "backoffice.yaml").read_text(encoding="utf-8"))
    (terminal.home / "backoffice_test.yaml").write_text(text.replace(old, new, 1))

    said = terminal.run("policy", "test", str(terminal.home / "backoffice.yaml"))

    assert said.code == 1
    assert wrong in said.out
    assert "7 of 8 cases" in said.out


def test_two_policies_of_routes_are_compared(terminal: Any) -> None:
    text = (CORPUS / "backoffice.yaml").read_text(encoding="utf-8")
    other = terminal.home / "other.yaml"
    other.write_text(
        text.replace("            $.id: clear\n", "            $.id: clear\n            $.salary: clear\n", 1)
    )

    said = terminal.run("policy", "diff", POLICY, str(other), "--wider")

    assert said.code == 1
    assert said.out == "wider     http.employee.200.$.salary: nothing -> clear\n"


def test_a_request_is_explained(terminal: Any) -> None:
    said = terminal.run("policy", "explain", POLICY, "--request", "GET /companies/42/employees/7", "--customer", "42")

    assert said.code == 0
    text = " ".join(said.out.split())
    for wanted in (
        "request allowed", "route employee", "customer path.company_id", "scope $.company_id is the ticket's customer",
        "clear $.id", "masked $.iban, $.last_name", "revealable $.iban", "GET /companies/42/employees/7",
    ):  # fmt: skip
        assert wanted in text


def test_a_request_that_writes_is_explained_with_what_an_approver_reads(terminal: Any) -> None:
    said = terminal.run(
        "policy", "explain", POLICY, "--request", "POST /companies/42/notes", "--customer", "42", "--output", "json",
        "--header", "Content-Type: application/x-www-form-urlencoded", "--body", "text=a+b",
    )  # fmt: skip

    assert said.code == 0
    assert said.json["request"] == "allowed under an approved grant for writing"
    assert said.json["rewritten"].endswith("\n\ntext=a%20b")
    assert said.json["shape"] == "POST /companies/{company_id}/notes {$.text}"


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ((POLICY, "--request", "GET /companies/43/employees/7", "--customer", "42"), 77, "not-found"),
        ((POLICY, "--request", "GET /companies/42/x", "--customer", "42"), 77, "route-not-available"),
        ((POLICY, "--request", "GET", "--customer", "42"), 1, "a method and a path"),
        ((POLICY, "--request", "GET /", "--customer", "42", "--header", "x"), 2, "name: value"),
        ((POLICY, "--request", "GET /"), 2, "--customer"),
        (("--request", "GET /", "--customer", "42"), 2, "needs a policy file"),
        (("--team", "support", "--customer", "42"), 2, "go with --request"),
        ((str(CORPUS.parents[2] / "policies" / "payroll.yaml"), "--request", "GET /", "--customer", "42"), 1,
         "is a database"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_says_why(terminal: Any, argv: tuple[str, ...], code: int, says: str) -> None:
    terminal.run("init", "here")
    configured = ("--config", "here/gateway.yaml") if "--team" in argv else ()
    said = terminal.run("policy", "explain", *argv, *configured)

    assert said.code == code, said.err
    assert says in " ".join((said.out + said.err).split())


def test_a_body_that_is_no_text_is_refused_in_words() -> None:
    with pytest.raises(GatewayError, match="no text has"):
        asked("PATCH /companies/42/employees/7", {}, "\udcff")
