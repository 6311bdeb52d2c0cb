"""What is to be pasted stays in one piece, and the QR code is a QR code."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import segno
from rich.console import Console

from gateway.demo.actor import Actor, Authenticator, Entrance
from gateway.demo.company import PEOPLE
from gateway.demo.screen import footer, qr_code, show_instructions
from gateway.demo.trail import gist, sentence, style

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def alice(tmp_path: Path) -> Actor:
    authenticator = Authenticator(tmp_path / "alice.json", wall=lambda: 1_800_000_000.0)
    authenticator.hold(SECRET)
    entrance = Entrance("https://localhost:8443", tmp_path / "ca.crt", tmp_path / "admin.sock")
    return Actor("alice", "secret", authenticator, entrance, lambda sentence: None)


def test_lines_to_paste_are_not_broken_however_narrow_the_terminal(tmp_path: Path) -> None:
    out = StringIO()
    line = 'psql "host=localhost ' + "x" * 300 + '"'
    show_instructions(
        Console(file=out, width=60),
        actor=alice(tmp_path),
        others={person.login: f"{person.login}-1234" for person in PEOPLE},
        client=line,
        direct="direct [not markup]",
        queries=[("select 1;", "look")],
        tickets="tickets",
        audit="audit",
        elsewhere=[("About people", [f"curl {'y' * 300}"]), ("About a change", ["open [ticket]", "approve"])],
    )
    shown = out.getvalue()
    assert f"    curl {'y' * 300}\n" in shown
    assert " 7  About a change\n    open [ticket]\n    approve\n" in shown
    assert f"    {line}\n" in shown
    assert "direct [not markup]" in shown
    for person in PEOPLE:
        assert f"{person.login}-1234" in shown


def test_the_qr_code_has_every_module_of_the_symbol() -> None:
    text = f"otpauth://totp/gateway%20demo:alice?secret={SECRET}&issuer=gateway%20demo"
    lines = qr_code(text).plain.split("\n")
    modules = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    drawn: list[list[int]] = []
    for line in lines:
        drawn.append([int(character in "▀█") for character in line])
        drawn.append([int(character in "▄█") for character in line])
    assert drawn[: len(modules)] == [[int(bool(cell)) for cell in row] for row in modules]


def test_the_footer_shows_the_code_of_the_moment(tmp_path: Path) -> None:
    actor = alice(tmp_path)
    code, left = actor.authenticator.present()
    assert f"{code[:3]} {code[3:]} {left:>2.0f} s" in footer([actor]).plain


def test_a_statement_is_one_line_with_its_gist() -> None:
    record = {
        "kind": "statement.begin",
        "index": 7,
        "time": "2026-11-01T10:20:30.123456Z",
        "login": "alice",
        "ticket": "SUP-1423",
        "customers": ["42"],
        "sql": "select *\nfrom employees",
        "columns_masked": ["a", "b"],
    }
    text = sentence(record)
    assert "\n" not in text
    assert text.startswith("10:20:30      7  statement.begin   alice  SUP-1423  select * from employees")
    assert "[2 masked columns, customer 42]" in text


def test_a_refusal_stands_out_and_names_its_code() -> None:
    record = {"kind": "login", "decision": "deny", "code": "ticket-closed", "reason": "ticket `X` is `closed`"}
    assert style(record) == "red"
    assert gist(record) == "refused: ticket-closed · ticket `X` is `closed`"
