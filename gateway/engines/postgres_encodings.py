"""Statements of an observed session as text: what a client may write in any encoding, read for its record.

A protected session speaks UTF-8 with standard strings, because its settings are pinned. Here both are the client's to
change, at any moment. What is read is for the record only; and how far a literal goes must not be mistaken, or a piece
of it would stand in the record as a name. No client encoding of PostgreSQL's has a quote as a later byte of a
character, so that only a backslash before a quote is read differently: inside a string it hides the quote where
strings are not standard.

INVARIANT: a text is given only when its literals end where the target sees them end.
"""

from __future__ import annotations

_CODECS = {
    "UTF8": "utf-8", "UNICODE": "utf-8", "SQL_ASCII": "utf-8", "BIG5": "big5", "EUC_CN": "gb2312", "EUC_JP": "euc_jp",
    "EUC_JIS_2004": "euc_jis_2004", "EUC_KR": "euc_kr", "GB18030": "gb18030", "GBK": "gbk", "JOHAB": "johab",
    "KOI8R": "koi8_r", "KOI8U": "koi8_u", "SHIFT_JIS_2004": "shift_jis_2004", "SJIS": "cp932", "UHC": "cp949",
    **{f"LATIN{number}": f"latin{number}" for number in range(1, 11)},
    **{f"ISO_8859_{number}": f"iso8859_{number}" for number in range(5, 9)},
    **{f"WIN{number}": f"cp{number}" for number in (866, 874, *range(1250, 1259))},
}  # fmt: skip


class Reader:
    """Reads one session's statements, by what the target last reported of the two settings."""

    __slots__ = ("_codec", "_standard")

    def __init__(self, parameters: dict[str, str]) -> None:
        self._codec: str | None = "utf-8"
        self._standard = True
        for name, value in parameters.items():
            self.reported(name, value)

    def reported(self, name: str, value: str) -> None:
        """The target reported a parameter."""
        if name == "client_encoding":
            self._codec = _CODECS.get(value.upper())
        elif name == "standard_conforming_strings":
            self._standard = value == "on"

    def text(self, raw: bytes, *, current: bool) -> str | None:
        """The statement, or None when it cannot be told; `current` unless a change may be under way."""
        if b"\\'" in raw and not (current and self._standard):
            return None
        if raw.isascii():
            return raw.decode("ascii")
        if self._codec is None:
            return None
        try:
            return raw.decode(self._codec)
        except UnicodeDecodeError:
            return None
