"""A text of MySQL's cut where its statements end, and into the words of a short command.

Literals, quoted names and comments are passed over as the server's lexer does with the pinned sql_mode: backslashes
escape, double quotes are strings (MySQL 8.4 Reference Manual, "String Literals", "Comments").
"""

from __future__ import annotations

import re

from gateway.errors import GatewayError, Refusal

MOST = 64
"""Statements in one text."""

_PIECE = re.compile(
    r"""(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")|(?P<name>`(?:[^`]|``)*`)"""
    r"""|(?P<comment>/\*.*?\*/|--(?=[\s\x00-\x1f]|\Z)[^\n]*|\#[^\n]*)|(?P<end>;)|(?P<open>['"`]|/\*)|(?P<other>.)""",
    re.DOTALL,
)
_WORD = re.compile(
    r"""[ \t\r\n]+|/\*(?![!+]|M!|m!)(?:(?!/\*).)*?\*/|--(?=[ \t\r\n]|\Z)[^\n]*|\#[^\n]*"""
    r"""|(?P<open>/\*|'(?!(?:[^'\\]|\\.|'')*')|"(?!(?:[^"\\]|\\.|"")*"))"""
    r"""|(?P<word>[A-Za-z_$][\w$]*|\d[\w$]*(?:\.\d[\w$]*)?|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)+`|@@|[^\s])""",
    re.DOTALL,
)
_LONGEST = 8192
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "Z": "\x1a", "%": "\\%", "_": "\\_"}


class Word(str):
    """A word of a command, and the place in the text where it begins."""

    __slots__ = ("at",)
    at: int


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


def words(text: str) -> list[Word] | None:
    """The words of a short command, without comments and a semicolon at its end; None for what is no such command.

    Raises: GatewayError for a comment that a server may execute.
    """
    if "\0" in text or len(text) > _LONGEST:
        return None
    found: list[Word] = []
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            return None
        if match["open"]:
            if match["open"] != "/*":
                return None
            raise GatewayError("statement-not-allowed", "a comment that a server may execute is not allowed",
                               "leave comments out")  # fmt: skip
        if match["word"]:
            word = Word(match["word"])
            word.at = at
            found.append(word)
        at = match.end()
    while found and found[-1] == ";":
        found.pop()
    return found


def unquoted(word: str) -> str:
    """A name or a string without its quotes and escapes; `\\%` and `\\_` stay, as they do for the server."""
    quote = word[:1]
    if quote not in "'\"`" or len(word) < 2 or word[-1] != quote:
        return word
    inside = word[1:-1]
    if quote == "`":
        return inside.replace("``", "`")
    pieces = re.findall(r"\\.|''|\"\"|.", inside, re.DOTALL)
    return "".join(_plain(piece, quote) for piece in pieces)


def _plain(piece: str, quote: str) -> str:
    if piece[0] == "\\" and len(piece) == 2:
        return _ESCAPES.get(piece[1], piece[1])
    return piece[0] if piece == quote * 2 else piece
