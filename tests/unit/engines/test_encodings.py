"""Texts in any encoding are read for the record only where their literals end as the target sees them end."""

from __future__ import annotations

import codecs

import pytest

from gateway.engines.postgres_encodings import _CODECS, Reader


def reader(encoding: str = "UTF8", strings: str = "on") -> Reader:
    return Reader({"client_encoding": encoding, "standard_conforming_strings": strings})


@pytest.mark.parametrize("codec", sorted(set(_CODECS.values())))
def test_every_codec_exists_and_reads_no_quote_as_a_later_byte(codec: str) -> None:
    codecs.lookup(codec)
    for lead in range(0x80, 0x100):
        for last in b"'\"$/*-":
            try:
                text = bytes([lead, last]).decode(codec)
            except UnicodeDecodeError:
                continue
            assert text.endswith(chr(last))


@pytest.mark.parametrize(
    ("encoding", "raw", "text"),
    [
        ("UTF8", "é".encode(), "é"),
        ("LATIN1", b"\xe9", "é"),
        ("SJIS", "表".encode("cp932"), "表"),
        ("WIN1251", "я".encode("cp1251"), "я"),
        ("SQL_ASCII", "é".encode(), "é"),
        ("SQL_ASCII", b"\xe9", None),
        ("UTF8", b"\xe9", None),
        ("MULE_INTERNAL", b"\xe9", None),
        ("MULE_INTERNAL", b"plain", "plain"),
    ],
)
def test_a_text_is_read_in_the_sessions_encoding(encoding: str, raw: bytes, text: str | None) -> None:
    assert reader(encoding).text(raw, current=False) == text


@pytest.mark.parametrize(
    ("strings", "current", "read"), [("on", True, True), ("on", False, False), ("off", True, False)]
)
def test_a_backslash_before_a_quote_is_read_only_where_it_is_known_to_hide_nothing(
    strings: str, current: bool, read: bool
) -> None:
    assert (reader(strings=strings).text(rb"select 'a\', b, 'c'", current=current) is not None) is read
    assert reader(strings=strings).text(rb"select 'a\b'", current=current) is not None
