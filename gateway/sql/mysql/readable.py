"""Statements of an observed MySQL session as text: what a client may write under any settings, read for its record.

A protected session speaks UTF-8 with backslashes that escape, because its settings are pinned. Here both are the
client's to change. What is read is for the record only; and how far a literal goes must not be mistaken, or a piece of
it would stand in the record as a name. So a text is given where all readings of it agree, and where they do not, only
by what is known: the server's status flag says whether backslashes escape (ANSI_QUOTES it does not tell, so that a
backslash in double quotes decides nothing), and a client's character set is what it asked for by name. In five of them
a backslash or a backtick can be the second byte of a character.

INVARIANT: a text is given only when its literals end where the target sees them end. What a procedure changes in the
session unseen is not known.
"""

from __future__ import annotations

import re

from gateway.sql.mysql.lexer import MOST
from gateway.sql.mysql.observed import outlined
from gateway.sql.mysql.pieces import VALUE, pieces, statements

_DOUBLE = frozenset({1, 84, 28, 87, 13, 88, 95, 96, 248, 249, 250})
"""Collations of Big5, GBK, Shift JIS, CP932 and GB18030, as a handshake numbers them."""
_NAMED = re.compile(rb"big5|gbk|sjis|cp932|gb18030|character_set_client", re.IGNORECASE)
_MODE = re.compile(rb"sql_mode|call|execute", re.IGNORECASE)
_SECOND = re.compile(rb"[\x80-\xff][\\`]")


class Reader:
    """Reads one session's statements. `charset` is the number of the collation that its client began with."""

    def __init__(self, charset: int) -> None:
        self._began_plain = self._plain = charset not in _DOUBLE
        self._escapes, self._moving = True, False

    def reset(self) -> None:
        """The session is as it began."""
        self._plain = self._began_plain

    def reported(self, *, escapes: bool) -> None:
        """The target told whether backslashes escape in strings."""
        self._escapes = escapes

    def failed(self) -> None:
        """The target told an error, and so not the session's status: a part of what failed may have changed that."""
        if self._moving:
            self._escapes = False

    def text(self, raw: bytes) -> str | None:
        """The statement, or None when it cannot be told."""
        self._moving = _MODE.search(raw) is not None
        if _NAMED.search(raw):
            self._plain = False
        if not self._plain and _SECOND.search(raw):
            return None
        return raw.decode("utf-8", "replace") if b"\\" not in raw or self._agreed(raw) else None

    def parts(self, raw: bytes) -> list[bytes]:
        """The statements of a text with the comments about them; none where it cannot be told where they end, or where
        they are too many for a record each.
        """
        found = pieces(raw) if self.text(raw) is not None else None
        parts = statements(found or [])
        ends = [part[0].at for part in parts[1:]]
        if not parts or len(parts) > MOST:
            return []
        return [raw[start:end] for start, end in zip([0, *ends], [*ends, len(raw)], strict=True)]

    def _agreed(self, raw: bytes) -> bool:
        """Whether it is known where the literals of a text with backslashes end."""
        escaping = pieces(raw)
        if escaping is None or escaping == pieces(raw, escapes=False):
            return escaping is not None
        doubled = any(one.kind == VALUE and one.raw[:1] == b'"' and b"\\" in one.raw for one in escaping)
        return self._escapes and not doubled and b"sql_mode" not in raw.lower()

    def outline(self, beginning: bytes) -> dict[str, str]:
        """What the beginning of a text that is too long tells for its record; nothing where it cannot be told."""
        if b"\\" in beginning or (not self._plain and _SECOND.search(beginning)):
            return {}
        found = pieces(beginning, partial=True)
        return {} if not found else outlined(found)
