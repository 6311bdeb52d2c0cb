"""Any text of MySQL's cut into words, names, values and comments, as the server's own lexer does (MySQL 8.4 Reference
Manual, "Literal Values", "Schema Object Names", "Comments"; MariaDB documentation, "Comment Syntax").

It works on bytes: what a blank, a quote or the end of a comment is, the server tells by bytes. Whether a backslash
escapes depends on the session's `sql_mode`; whoever asks says which.

INVARIANT: a text whose comments a server may read in two ways gives no pieces.
"""

from __future__ import annotations

import re
from typing import NamedTuple

WORD, NAME, VALUE, MARK, SIGN, END = "word", "name", "value", "mark", "sign", "end"

_COMMON = (
    rb"(?P<blank>[ \t\r\n\f\v]+|\#[^\n]*|--(?=[\x00-\x20\x7f]|\Z)[^\n]*)"
    rb"|(?P<comment>/\*(?![Mm]?!).*?\*/)|(?P<run>/\*[Mm]?!\d*)|(?P<open>/\*|--(?=[\x80-\xff]))"
    rb"|(?P<name>`(?:[^`]|``)*`)"
    rb"|%b"
    rb"|(?P<number>\d[\w.$\x80-\xff]*|\.\d\w*)"
    rb"|(?P<word>[A-Za-z_$\x80-\xff][\w$\x80-\xff]*)|(?P<mark>\?)|(?P<end>;)|(?P<unclosed>['\"`])|(?P<sign>.)"
)
_ESCAPING = rb"""(?P<value>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")"""
_PLAIN = rb"""(?P<value>'(?:[^']|'')*'|"(?:[^"]|"")*")"""
_PIECE = {kind: re.compile(_COMMON % strings, re.DOTALL) for kind, strings in ((True, _ESCAPING), (False, _PLAIN))}


class Piece(NamedTuple):
    """A piece: its kind, its bytes, where it begins, and whether blanks or comments are ahead of it."""

    kind: str
    raw: bytes
    at: int
    apart: bool

    @property
    def lower(self) -> str:
        """A word or a name as it is compared: without quotes, in small letters."""
        raw = self.raw[1:-1].replace(b"``", b"`") if self.kind == NAME else self.raw
        return raw.decode("utf-8", "replace").lower()


def pieces(raw: bytes, *, escapes: bool = True, partial: bool = False) -> list[Piece] | None:
    """The pieces of a text, without blanks and comments; None where it has something that does not end.

    `partial`: it is the beginning of a text, whose last piece may be cut short and is left out.
    """
    found: list[Piece] = []
    apart, at = False, 0
    while at < len(raw):
        match = _PIECE[escapes].match(raw, at)
        assert match is not None
        kind, at = str(match.lastgroup), match.end()
        if kind in ("open", "unclosed"):
            return found if partial else None
        if kind in ("blank", "comment"):
            apart = True
        elif kind == "run":
            inside = _inside(raw, at, escapes=escapes)
            if inside is None:
                return found if partial else None
            found += inside
            at = raw.index(b"*/", at) + 2
            apart = True
        else:
            found.append(Piece(VALUE if kind == "number" else kind, match[0], match.start(), apart))
            apart = False
    return found[:-1] if partial else found


def _inside(raw: bytes, start: int, *, escapes: bool) -> list[Piece] | None:
    """What a comment that a server may execute has inside, where it ends at one place for who does and who does not."""
    end = raw.find(b"*/", start)
    if end < 0 or b"/*" in raw[start:end]:
        return None
    inside = pieces(raw[start:end], escapes=escapes)
    # a comment of another kind in it would go on behind its end
    ends = b"#" in raw[start:end] or b"--" in raw[start:end]
    return None if inside is None or ends else [Piece(one.kind, one.raw, one.at + start, apart=True) for one in inside]


def statements(found: list[Piece]) -> list[list[Piece]]:
    """The pieces of each statement, without its semicolon; a routine's body belongs to what creates it."""
    made: list[list[Piece]] = [[]]
    for one in found:
        if one.kind == END and not _compound(made[-1]):
            made.append([])
        else:
            made[-1].append(one)
    return [one for one in made if one]


_BODIED = frozenset({"procedure", "function", "trigger", "event", "package"})


def _compound(statement: list[Piece]) -> bool:
    """Whether semicolons may stand inside the statement."""
    words = [one.lower for one in statement[:12] if one.kind == WORD]
    if words[:2] == ["begin", "not"] or words[:1] in (["if"], ["while"], ["loop"], ["repeat"], ["for"], ["case"]):
        return True
    return words[:1] in (["create"], ["alter"]) and not _BODIED.isdisjoint(words)
