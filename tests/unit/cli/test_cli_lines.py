"""How a command line is read and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from typing import Any

import pytest
from rich.console import Console

from gateway import __version__
from gateway.cli import client, commands, output
from gateway.cli.app import arranged
from gateway.cli.output import CONFIGURATION, FAILED, REFUSED, TAMPERED, clean, exit_code
from gateway.demo.trail import sentence
from gateway.errors import CODES, Refusal

COMMANDS = """
access now
access restore
access review close
access review decide
access review list
access review show
access review start
approve
audit act
audit acts
audit archive
audit ask
audit carry-out
audit confirm
audit decline
audit erase
audit hold
audit holds
audit key
audit lift-hold
audit logs
audit prove
audit prune
audit reconcile
audit reindex
audit report
audit restore
audit restore-test
audit rotate-key
audit schema
audit search
audit show
audit tail
audit transparency
audit unseal
audit verify
audit withdraw
audit witness
cancel
cases close
cases list
cases resolve
cases show
cases sign
cases take
delegate end
delegate list
delegate set
demo
deny
directory test
doctor
init
keys rotate
login
logout
open
people add-key
people enrol
people hash
people invite
people keys
people list
people recover
people release
people remove-key
people reset
people suspend
people unsuspend
policy check
policy diff
policy explain
policy scaffold
policy test
request approve
request cancel
request deny
request extend
request list
request new
request show
requests
review
reviews
revoke
serve
sessions
show
status
ticket check
"""


def test_the_commands_are_these() -> None:
    assert commands() == COMMANDS.split("\n")[1:-1]


@pytest.mark.parametrize("command", commands())
def test_every_command_explains_itself(terminal: Any, command: str) -> None:
    said = terminal.run(*command.split(), "--help")
    assert said.code == 0
    assert "Usage: gateway" in said.out
    assert len(said.out.splitlines()) > 4


@pytest.mark.parametrize(
    ("line", "first", "child"),
    [
        (["status"], ["status"], None),
        (["status", "--output", "json"], ["--output", "json", "status"], None),
        (["open", "T", "--output=json", "--url", "u"], ["--output=json", "--url", "u", "open", "T"], None),
        (
            ["open", "T", "--exec", "psql", "--output", "x", "-c", "select 1"],
            ["open", "T", "--exec"],
            ("psql", "--output", "x", "-c", "select 1"),
        ),
        (["open", "--", "--output"], ["open", "--", "--output"], None),
        (["open", "T", "--output"], ["--output", "open", "T"], None),
    ],
)
def test_global_options_may_stand_anywhere(line: list[str], first: list[str], child: tuple[str, ...] | None) -> None:
    assert arranged(line) == (first, child)


@pytest.mark.parametrize(
    "line",
    [[], ["frobnicate"], ["open"], ["open", "T", "--frob"], ["status", "--output", "xml"], ["open", "T", "--exec"]],
)
def test_a_line_that_cannot_be_read_is_a_usage_error(terminal: Any, line: list[str]) -> None:
    said = terminal.run(*line)
    assert said.code == 2
    assert "Usage:" in said.out + said.err
    assert not terminal.requests


def test_the_version_is_data(terminal: Any) -> None:
    said = terminal.run("--version")
    assert (said.code, said.out, said.err) == (0, f"gateway {__version__}\n", "")


def test_refusals_go_to_stderr_with_code_and_hint(terminal: Any, problem: Any) -> None:
    terminal.answers["POST /open"] = problem(403, "ticket-closed", "ticket `X-1` is `closed`", hint="use another")
    said = terminal.run("open", "X-1")
    assert (said.code, said.out) == (77, "")
    assert said.err == "refused (ticket-closed): ticket `X-1` is `closed`\nhint: use another\n"


def test_a_code_of_a_newer_gateway_is_shown(terminal: Any, problem: Any) -> None:
    terminal.answers["POST /open"] = problem(403, "moon-phase-wrong", "wait")
    said = terminal.run("open", "X-1")
    assert said.code == 1
    assert "wait (moon-phase-wrong)" in said.err


@pytest.mark.parametrize("answer", [(200, b"<html>"), (502, b"<html>"), (500, {"weird": 1}), (302, b"")])
def test_what_does_not_answer_like_a_gateway_is_said_so(terminal: Any, answer: Any) -> None:
    terminal.answers["POST /open"] = answer
    said = terminal.run("open", "X-1")
    assert said.code == 1
    assert "refused (gateway-unavailable)" in said.err


def test_a_fault_shows_its_place_and_no_secret(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_(*_: Any) -> None:
        password = "password-secret"
        raise RuntimeError(f"no, {password}")

    monkeypatch.setattr(client, "remember_server", break_)
    said = terminal.run("open", "X-1")
    assert said.code == 1
    assert said.err.startswith("fault: RuntimeError in test_cli_lines.py:")
    assert "secret" not in said.out + said.err


def test_an_interrupted_command_says_so(terminal: Any) -> None:
    def interrupt(_: Any) -> Any:
        raise KeyboardInterrupt

    terminal.answers["POST /open"] = interrupt
    said = terminal.run("open", "X-1")
    assert (said.code, said.err) == (130, "")


def test_every_code_has_an_exit_code() -> None:
    codes = {code: exit_code(Refusal(code, "x")) for code in CODES}
    assert set(codes.values()) == {FAILED, TAMPERED, REFUSED, CONFIGURATION}
    assert codes["not-in-team"] == codes["authentication-failed"] == codes["approval-required"] == REFUSED
    assert codes["configuration-invalid"] == codes["policy-invalid"] == CONFIGURATION
    assert codes["audit-damaged"] == TAMPERED


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain é", "plain é"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("a\rb\x07", "a\ufffdb\ufffd"),
        ("\u202eevil", "\ufffdevil"),
        (["a", "b"], "a, b"),
        (None, ""),
        (True, "yes"),
    ],
)
def test_what_came_from_outside_cannot_draw_on_the_screen(value: object, shown: str) -> None:
    assert clean(value) == shown


HOSTILE = "a\x9b2Jb\x1b]0;x\x07c\u202ed\u2066e\u200bf\x7fg\x85h\U000e0041i\u2028j\ud800k"
ORDINARY = "Zoë Müller · 山田太郎 · Ελένη · محمد · 👍🏽 · e\u0301"


@pytest.mark.parametrize("emit", [output.emit_json, output.emit_line])
def test_json_says_what_was_there_and_steers_no_terminal(emit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    document = {"reason": HOSTILE, ORDINARY: [ORDINARY, {HOSTILE: "\n\t\r"}]}
    emit(document)
    out = capsys.readouterr().out
    assert json.loads(out) == document
    assert ORDINARY in out
    assert all(c.isprintable() for c in out.replace("\n", ""))


def test_all_of_unicode_round_trips_and_none_of_it_steers() -> None:
    text = "x".join(map(chr, range(0x110000)))  # or two halves of a pair would become one character
    written = output.escaped(json.dumps(text, ensure_ascii=False))
    assert json.loads(written) == text
    steering = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not any(unicodedata.category(c) in steering for c in written)


def test_ordinary_text_of_any_language_is_shown_as_it_is() -> None:
    assert clean(ORDINARY) == ORDINARY


def test_a_reason_of_several_lines_does_not_look_like_further_facts(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_facts([("reason", "x\napprovers  bob"), ("code", "y")])
    assert capsys.readouterr().out.splitlines() == ["reason  x", "        approvers  bob", "code    y"]
    output.show_refusal(Refusal("not-found", "x\nhint: run this", "y\nz"))
    assert capsys.readouterr().err.splitlines() == ["refused (not-found): x hint: run this", "hint: y z"]


def test_a_record_on_the_demonstration_s_screen_steers_no_terminal() -> None:
    line = sentence({"time": "2026-03-01T09:30:00Z", "index": 1, "kind": "login", "login": "a\x9bb", "reason": HOSTILE})
    assert line.isprintable()
    assert ORDINARY.partition(" ·")[0] in sentence({"kind": "grant", "reason": ORDINARY})


def test_markup_of_a_table_cell_is_text(terminal: Any) -> None:
    request = {"id": "req_1", "login": "alice", "target": "t", "ticket": "X-1", "state": "pending", "reveal": []}
    terminal.answers["GET /requests"] = (200, {"requests": [{**request, "reason": "[red]\x1b[31mlook[/red]"}]})
    said = terminal.run("requests")
    assert "[red]\ufffd[31mlook[/red]" in said.out
    assert "\x1b" not in said.out


def test_a_table_that_does_not_fit_becomes_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = [output.Column("id", "ID"), output.Column("reason", "REASON")]
    rows = [{"id": "req_1", "reason": "because\nshe called"}, {"id": "req_2", "reason": "x" * 30}]
    monkeypatch.setattr(output, "_console", lambda: Console(width=80))
    output.emit_table(rows, columns, "none")
    assert [text.rstrip() for text in capsys.readouterr().out.splitlines()] == [
        "ID     REASON",
        "req_1  because she called",
        f"req_2  {'x' * 30}",
    ]
    monkeypatch.setattr(output, "_console", lambda: Console(width=20))
    output.emit_table(rows, columns, "none")
    assert capsys.readouterr().out.splitlines() == [
        "id      req_1",
        "reason  because she called",
        "",
        "id      req_2",
        f"reason  {'x' * 30}",
    ]


def test_a_reader_that_went_away_ends_the_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "--version"], stdout=writer, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
