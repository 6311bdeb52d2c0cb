"""The pages of a report: plain HTML that needs nothing from elsewhere, prints well, and escapes all that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Protocol

_ROWS = 200
_STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5b6675; --line: #d8dee6; --wash: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2.5rem 1.5rem 4rem; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p { margin: .4rem 0; } a { color: inherit; } .soft { color: var(--soft); } nav { margin-bottom: 1.6rem; }
code, .num { font-family: ui-monospace, "Liberation Mono", monospace; font-size: .88em; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; } td { overflow-wrap: break-word; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .8rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.note { background: var(--wash); border-left: 3px solid var(--line); padding: .6rem .9rem; margin: .8rem 0; }
.some { font-weight: 600; }
@media print { body { max-width: none; padding: 0; font-size: 11px; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""


class Control(Protocol):
    """What a page says of a control."""

    id: str
    title: str
    shows: str
    missing: str
    asks: tuple[str, ...]

    @property
    def page(self) -> str:
        """The name of its page."""


class Framework(Protocol):
    """What the index says of a framework."""

    title: str

    @property
    def controls(self) -> Iterable[Control]:
        """Its controls."""


def index(
    framework: Framework, about: Mapping[str, Any], figures: Mapping[str, int], answers: Mapping[str, Mapping[str, Any]]
) -> str:
    """The first page."""
    rows = [
        f'<tr><td><a href="controls/{escape(one.page)}">{escape(one.id)}</a></td><td>{escape(one.title)}</td>'
        f"<td>{_totals(one, answers)}</td></tr>"
        for one in framework.controls
    ]
    facts = [(name.replace("_", " "), f"{value:,}") for name, value in figures.items()]
    body = [
        f"<h1>{escape(framework.title)}</h1>",
        f'<p class="soft">Evidence from the audit trail <code>{escape(about["origin"])}</code>, {_time(about)}</p>',
        "<h2>Controls</h2>",
        f"<table><tr><th>Control</th><th>What it is about</th><th>Found</th></tr>{''.join(rows)}</table>",
        "<h2>Figures</h2>", _facts(facts),
        "<h2>What this rests on</h2>",
        _facts([
            ("records", f"{about['first']:,} to {about['end'] - 1:,}" if about["end"] > about["first"] else "none"),
            ("signed head", f"{about['signed']:,} records"), ("root", about["root"]),
        ]),
        '<p class="note">All records of this time are in <code>records.jsonl</code>, with a proof that none is missing.'
        " "
        "<code>gateway audit verify REPORT.zip --key KEY</code> works out every figure and table of these pages again "
        "from them, offline, with the log's public key alone; take that key from somewhere else than this file. What "
        "it proves is that these are the gateway's records, all of them and unchanged: not that the gateway recorded "
        "what happened elsewhere, and not that no longer head was signed since, which a witness shows.</p>",
    ]  # fmt: skip
    return _page(framework.title, body)


def control(
    framework: Framework, one: Control, about: Mapping[str, Any], answers: Mapping[str, Mapping[str, Any]]
) -> str:
    """The page of a control."""
    body = [
        '<nav><a href="../index.html">All controls</a></nav>',
        f"<h1>{escape(one.id)} · {escape(one.title)}</h1>",
        f'<p class="soft">{escape(framework.title)}; <code>{escape(about["origin"])}</code>, {_time(about)}</p>',
        f"<dl><dt>Shown here</dt><dd>{escape(one.shows)}</dd>"
        f"<dt>Not shown here</dt><dd>{escape(one.missing)}</dd></dl>",
    ]
    for name in one.asks:
        answer = answers[name]
        body += [
            f"<h2>{escape(answer['asks'])}</h2>",
            f'<p class="soft">{answer["total"]:,} found; {_where(name, answer)}</p>',
            table(answer["columns"], answer["rows"][:_ROWS]) if answer["rows"] else "<p>Nothing.</p>",
            *(f'<p class="note">{escape(note)}</p>' for note in answer["notes"]),
        ]
    return _page(f"{one.id} {one.title}", body)


def document(title: str, parts: Iterable[str]) -> str:
    """A page of its own; its parts are HTML already."""
    return _page(title, [f"<h1>{escape(title)}</h1>", *parts])


def table(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A table. Where a row names its record, that comes first."""
    rows = list(rows)
    names = [*(["record"] if any("record" in row for row in rows) and "record" not in columns else []), *columns]
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in names)
    lines = ["<tr>" + "".join(f"<td>{escape(plain(row.get(name)))}</td>" for name in names) + "</tr>" for row in rows]
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def plain(value: object) -> str:
    """A value as a text of one line."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def _where(name: str, answer: Mapping[str, Any]) -> str:
    """Where the rows of an answer are."""
    held, total = len(answer["rows"]), answer["total"]
    in_file = f"{'all' if held == total else f'the first {held:,}'} in <code>data/{escape(name)}.csv</code>"
    return in_file if held <= _ROWS else f"{in_file}, the first {_ROWS} here"


def _totals(one: Control, answers: Mapping[str, Mapping[str, Any]]) -> str:
    parts = []
    for name in one.asks:
        total = answers[name]["total"]
        text = f"{escape(name)} {total:,}"
        parts.append(f'<span class="some">{text}</span>' if total else f'<span class="soft">{text}</span>')
    return " · ".join(parts)


def _time(about: Mapping[str, Any]) -> str:
    since = f"from {escape(about['since'])}" if about["since"] else "from the beginning"
    return f"{since} until before {escape(about['until'])}" if about["until"] else f"{since} until it was made"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd class=num>{escape(value)}</dd>' for name, value in facts)}</dl>"


def _page(title: str, body: Iterable[str]) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )
