"""What of EXPLAIN's answer may be shown: everything but the names of indexes that the view does not show.

A name can tell what a table holds (`employees_salary_over_100k`), also of columns that do not exist for the view. The
catalogs show indexes of plain visible columns only (`conditions.index_rows`); here the same rule is held for plans. All
else in a plan is of the user's making (aliases, expressions) or of the policy's (relations, scopes).

PostgreSQL prints an index's name in one place of a node: in text behind `Index Scan using`, `Index Only Scan using` and
`Bitmap Index Scan on`, at the beginning of a row; else as the property `Index Name` (`ExplainIndexScanDetails` and
`ExplainNode` in `explain.c`, versions 13 to 18). What the user writes is behind that in a row of text, and escaped in
the other forms, so that it can pass for the place of a name, but hide none. Each pattern takes linear time.

FAIL CLOSED: a name that does not end in its row (one with a line break) hides all rows of plans behind it.
"""

from __future__ import annotations

import html
import json
import re

from gateway.sql.statement import View

HIDDEN = b"(hidden)"
"""What stands for a name."""

_TEXT = re.compile(
    rb"""^((?:\ |->|Parallel\ |Async\ )*
        (?:Index\ Scan|Index\ Only\ Scan|Bitmap\ Index\ Scan)(?:\ Backward)?\ (?:using|on)\ )
        ("(?:[^"\n]|"")*"(?!")|[^\s"]+|)""",
    re.VERBOSE | re.MULTILINE,
)
_JSON = re.compile(rb'^( *"Index Name": )("(?:[^"\\\n]|\\.)*")', re.MULTILINE)
_YAML = re.compile(rb'^( *(?:- )?Index Name: )("(?:[^"\\\n]|\\.)*")', re.MULTILINE)
_XML = re.compile(rb"(<Index-Name>)([^<]*)(?=</Index-Name>)")


def shown_indexes(view: View) -> frozenset[str]:
    """The names of the indexes that the view shows, and of PostgreSQL's own."""
    tables = view.policy.tables
    return frozenset(
        index.name
        for index in view.catalog.indexes
        if index.own or (index.relation in tables and tables[index.relation].columns.keys() >= set(index.columns))
    )


class PlanText:
    """The answers of a session's EXPLAINs, row by row, with the names in `shown` left in."""

    def __init__(self, shown: frozenset[str]) -> None:
        self._shown = shown
        self._lost = False

    def scrubbed(self, cell: bytes) -> bytes:
        """What is shown of one value; its text, in whatever format."""
        if self._lost:
            return HIDDEN
        cell = _JSON.sub(self._quoted, cell)
        cell = _YAML.sub(self._quoted, cell)
        cell = _XML.sub(self._escaped, cell)
        cell = _TEXT.sub(self._named, cell)
        return HIDDEN if self._lost else cell

    def _named(self, match: re.Match[bytes]) -> bytes:
        name = match[2]
        if not name:
            self._lost = True
            return match[0]
        plain = name[1:-1].replace(b'""', b'"') if name.startswith(b'"') else name
        return match[0] if self._is_shown(plain) else match[1] + HIDDEN

    def _quoted(self, match: re.Match[bytes]) -> bytes:
        try:
            shown = json.loads(match[2]) in self._shown
        except ValueError:
            shown = False
        return match[0] if shown else match[1] + b'"' + HIDDEN + b'"'

    def _escaped(self, match: re.Match[bytes]) -> bytes:
        name = html.unescape(match[2].decode(errors="replace"))
        return match[0] if name in self._shown else match[1] + HIDDEN

    def _is_shown(self, name: bytes) -> bool:
        return name.decode(errors="replace") in self._shown
