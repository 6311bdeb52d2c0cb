"""What the visitor of the demonstration sees: one screen of what to do, then the trail as it grows."""

from __future__ import annotations

from collections.abc import Sequence

import segno
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.demo.actor import Actor
from gateway.demo.company import PEOPLE, SECOND_TICKET, TICKET

_BLOCKS = {(0, 0): " ", (0, 1): "▄", (1, 0): "▀", (1, 1): "█"}


def qr_code(text: str) -> Text:
    """The text as a QR code, two modules to a character, dark on light whatever the terminal's own colours."""
    rows = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = [
        "".join(_BLOCKS[bool(upper), bool(lower)] for upper, lower in zip(above, below, strict=True))
        for above, below in zip(rows[0::2], rows[1::2], strict=True)
    ]
    return Text("\n".join(lines), style="black on bright_white", no_wrap=True)


def show_instructions(
    console: Console,
    *,
    actor: Actor,
    others: dict[str, str],
    client: str,
    direct: str,
    queries: list[tuple[str, str]],
    tickets: str,
    audit: str,
    elsewhere: Sequence[tuple[str, Sequence[str]]] = (),
) -> None:
    """Print the screen. `client` and `direct` are lines to paste, `queries` are (SQL, what to look at).

    `elsewhere` are (what for, lines to paste) about the other targets, none where there are none.
    """
    teams = {person.login: ", ".join(person.teams) for person in PEOPLE}
    people = Table.grid(padding=(0, 2))
    for login, password in others.items():
        people.add_row(Text(login, style="bold"), teams[login], Text(password, style="dim"))
    beside: list[RenderableType] = [
        Text("The gateway runs.", style="bold green"),
        Text(f"You are {actor.login} of support, and {TICKET} asks you to help customer 42.\n"),
        Text("Scan the code with an authenticator app if you like; codes are also"),
        Text("shown at the bottom of this screen.\n"),
        Text("People and passwords:"),
        people,
    ]
    if console.is_terminal and console.width >= 110:
        grid = Table.grid(padding=(0, 3))
        grid.add_row(qr_code(actor.authenticator.uri(actor.login)), Group(*beside))
        console.print(grid)
    else:
        if console.is_terminal:
            console.print(qr_code(actor.authenticator.uri(actor.login)))
        console.print(Group(*beside))
    console.print()
    _heading(console, "1", "Paste this into another terminal:")
    _paste(console, client)
    _heading(console, "2", "Ask, and look at what comes back:")
    for query, look in queries:
        _paste(console, query)
        console.print(Padding(Text(look, style="dim"), (0, 0, 0, 6)))
    _heading(
        console, "3", f"Close {TICKET} in its file while psql is open, and see the session end within two seconds:"
    )
    _paste(console, tickets)
    _heading(
        console,
        "4",
        f"Without a pass, for {SECOND_TICKET}: password and, right behind it, the six digits of the moment:",
    )
    _paste(console, direct)
    _heading(console, "5", "Read the trail as carol, the auditor, with her password and code:")
    _paste(console, audit)
    for number, (what, lines) in enumerate(elsewhere, 6):
        _heading(console, str(number), what)
        for line in lines:
            _paste(console, line)
    console.print()
    console.rule("the audit trail, as it grows", style="dim")


def footer(actors: list[Actor]) -> Text:
    """The codes of the moment, on one line."""
    line = Text()
    for actor in actors:
        code, left = actor.authenticator.present()
        line.append(f"{actor.login} ", style="bold")
        line.append(f"{code[:3]} {code[3:]}" if code else "(next code in)", style="bold yellow" if code else "dim")
        line.append(f" {left:>2.0f} s   ", style="dim")
    line.append("Ctrl-C ends everything", style="dim")
    return line


def _heading(console: Console, number: str, text: str) -> None:
    console.print(Text.assemble((f" {number} ", "bold reverse"), " ", (text, "bold")))


def _paste(console: Console, line: str) -> None:
    # Wrapped by the terminal, not by us: what is copied must be one line.
    console.print(Text("    " + line, style="cyan"), soft_wrap=True)
