"""A text of MySQL's cut where its statements end, and into the words of a short command.

Literals, quoted names and comments are passed over as the server's lexer does with the pinned sql_mode: backslashes
escape, double quotes are strings (MySQL 8.4 Reference Manual, "String Literals", "Comments").
"""

from __future__ import annotations

import re

from gateway.errors import Refusal

MOST = 64
"""Statements in one text."""

_PIECE = re.compile(
    r"""(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")|(?P<name>`(?:[^`]|``)*`)"""
    r"""|(?P<comment>/\*.*?\*/|--(?=[\s\x00-\x1f]|\Z)[^\n]*|\#[^\n]*)|(?P<end>;)|(?P<open>['"`]|/\*)|(?P<other>.)""",
    re.DOTALL,
)
_WORD = re.compile(
    r"""\s+|(?P<word>[A-Za-z_$][\w$]*|\d+(?:\.\d+)?|'(?:[^'\\]|'')*'|"(?:[^"\\]|"")*"|`(?:[^`]|``)+`|@@|[^\s])"""
)


def split(text: str) -> list[str] | Refusal:
    """The statements of the text, without those that are blank."""
    found: list[str] = []
    start = 0
    blank = True
    for match in _PIECE.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            return Refusal("syntax-error", "a string, a name or a comment does not end")
        if kind == "end":
            if not blank:
                found.append(text[start : match.start()].strip())
            start, blank = match.end(), True
        elif kind != "comment" and not match[0].isspace():
            blank = False
    if not blank:
        found.append(text[start:].strip())
    if len(found) > MOST:
        return Refusal("statement-too-complex", f"the text has more than {MOST} statements", "send them one by one")
    return found


def words(text: str) -> list[str] | None:
    """The words of a short command, without a semicolon at its end; None for one with a comment or a backslash."""
    if any(one in text for one in ("/*", "--", "#", "\\", "\0")) or len(text) > 4096:
        return None
    found = []
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            return None
        if match["word"]:
            found.append(match["word"])
        at = match.end()
    while found and found[-1] == ";":
        found.pop()
    return found


def unquoted(word: str) -> str:
    """A name or a string without its quotes."""
    quote = word[:1]
    if quote in "'\"`" and len(word) >= 2 and word[-1] == quote:
        return word[1:-1].replace(quote * 2, quote)
    return word
