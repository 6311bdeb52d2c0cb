"""How the command line speaks: data on stdout, messages on stderr, exit codes that scripts can rely on.

INVARIANT: text that came from outside (ticket titles, statements, names) reaches a terminal without control
characters and without markup, so that a ticket cannot draw on an auditor's screen; in JSON they are escaped, so that
a program reads what was there.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import GatewayError, Refusal

OK = 0
FAILED = 1
USAGE = 2
TAMPERED = 3
REFUSED = 77
CONFIGURATION = 78
INTERRUPTED = 130

_EXIT = {
    "configuration-invalid": CONFIGURATION,
    "policy-invalid": CONFIGURATION,
    "audit-damaged": TAMPERED,
    "request-invalid": FAILED,
    "not-found": FAILED,
    "preview-required": REFUSED,
}


class Ended(Exception):
    """Ends the command with that exit code; whatever there was to say has been said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the field it shows, and its heading."""

    field: str
    heading: str


def exit_code(refusal: Refusal) -> int:
    """77 for what a person may not do, 78 for a configuration to mend, 3 for a damaged trail, else 1."""
    if refusal.code in _EXIT:
        return _EXIT[refusal.code]
    return REFUSED if refusal.meaning.http in (401, 403, 404, 429) else FAILED


def clean(value: object) -> str:
    """The value as text of printable characters; control and invisible formatting characters become `\ufffd`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(clean(item) for item in value)
    return "".join("\ufffd" if unicodedata.category(c) in _UNPRINTABLE and c not in "\n\t" else c for c in str(value))


def say(message: str) -> None:
    """A message for the person."""
    print(clean(message), file=sys.stderr, flush=True)


def show_refusal(refusal: Refusal) -> None:
    """The refusal and its hint, a line each."""
    say(f"refused ({refusal.code}): {refusal.message}".replace("\n", " "))
    if refusal.hint:
        say(f"hint: {refusal.hint}".replace("\n", " "))


def fail(refusal: Refusal) -> GatewayError:
    """The refusal as what ends a command."""
    return GatewayError.of(refusal)


def emit_json(value: Any) -> None:
    """One JSON document."""
    print(escaped(json.dumps(value, indent=2, ensure_ascii=False)), flush=True)


def emit_line(value: Mapping[str, Any]) -> None:
    """One JSON document on one line, as a stream has them."""
    print(escaped(json.dumps(value, separators=(",", ":"), ensure_ascii=False)), flush=True)


def escaped(document: str) -> str:
    """A JSON document that says the same, with everything that could steer a terminal as `\\u` escapes.

    Such characters stand inside of its strings only; its line breaks stay (RFC 8259, 7).
    """
    return "".join(_escape(c) if unicodedata.category(c) in _UNPRINTABLE and c != "\n" else c for c in document)


def _escape(character: str) -> str:
    data = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{data[at : at + 4]}" for at in range(0, len(data), 4))


def emit_text(text: str) -> None:
    """A line of data."""
    print(clean(text), flush=True)


def emit_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], empty: str) -> None:
    """A table, or one block for each row when the terminal is too narrow for it; `empty` is said when there is none."""
    if not rows:
        say(empty)
        return
    cells = [[clean(row.get(column.field)).replace("\n", " ") for column in columns] for row in rows]
    widths = [max(cell_len(column.heading), *(cell_len(row[at]) for row in cells)) for at, column in enumerate(columns)]
    console = _console()
    if sum(widths) + 2 * (len(widths) - 1) > console.width:
        for number, row in enumerate(cells):
            if number:
                print()
            emit_facts((column.heading.lower(), cell) for column, cell in zip(columns, row, strict=True))
        return
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.heading, no_wrap=True)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def emit_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Name and value, one a line, empty values left out."""
    known = [(name, clean(value)) for name, value in facts if value not in (None, "", [], {}, ())]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        # a second line of a value must not look like the next name
        print(f"{name.ljust(width)}  {value}".replace("\n", "\n" + " " * (width + 2)))
    sys.stdout.flush()


def moment(value: object) -> str:
    """An RFC 3339 moment as `2026-03-01 09:30:00Z`, or the value itself when it is none."""
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        return clean(value)
    if when.tzinfo is None:
        return clean(value)
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def left(value: object, now: datetime) -> str:
    """How long until that RFC 3339 moment, in words of minutes."""
    minutes = int((datetime.fromisoformat(str(value)) - now).total_seconds() // 60)
    if minutes < 0:
        return "over"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _console() -> Console:
    # a pipe gets whole lines, a terminal its own width; rich honours NO_COLOR itself
    return Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 4096)
