"""JSON is read strictly, and its numbers keep their digits."""

from __future__ import annotations

import json
import sys

import pytest

from gateway.http.json_text import VALUES, TooLarge, Unreadable, read, write

REFUSED = {
    "nothing": b"",
    "only blanks": b" \n ",
    "a name twice": b'{"a":1,"a":1}',
    "a name twice, once escaped": b'{"a":1,"\\u0061":2}',
    "a name twice, deep": b'[{"x":[{"a":1,"b":2,"a":3}]}]',
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32-be"),
    "latin-1": '{"a":"é"}'.encode("latin-1"),
    "an overlong slash": b'{"a":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "half a pair": b'{"a":"\\ud800"}',
    "half a pair, upper case": b'{"a":"\\uD800x"}',
    "the other half": b'["\\udc00"]',
    "halves in the wrong order": b'["\\udc00\\ud800"]',
    "half a pair as a name": b'{"\\ud800":1}',
    "NaN": b'{"a":NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "trailing data": b'{"a":1}{"a":2}',
    "a trailing comma": b'{"a":1,}',
    "a trailing bracket": b'{"a":1}]',
    "a NUL behind": b'{"a":1}\0',
    "a comment": b'{"a":1/*b*/}',
    "single quotes": b"{'a':1}",
    "a name without quotes": b"{a:1}",
    "a tab in a string": b'["\t"]',
    "a line feed in a string": b'["\n"]',
    "an unknown escape": b'["\\x41"]',
    "half an escape": b'["\\u12"]',
    "a leading zero": b"[01]",
    "a leading plus": b"[+1]",
    "a bare point": b"[1.]",
    "no digit in front": b"[.5]",
    "an empty exponent": b"[1e]",
    "hexadecimal": b"[0x1]",
    "an underscore": b"[1_000]",
    "other digits": "[١]".encode(),
    "a no-break space": "[1\u00a0]".encode(),
    "a form feed": b"[1\x0c]",
    "an open array": b"[1",
    "an open string": b'["a',
    "capital true": b"[True]",
    "a prefix against hijacking": b')]}\',\n{"a":1}',
    "a callback": b'f({"a":1})',
    "a record separator": b'\x1e{"a":1}',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_two_readers_could_understand_differently_is_not_read(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read(text)


def test_a_reason_holds_nothing_of_the_text() -> None:
    reasons = set()
    for text in REFUSED.values():
        with pytest.raises(Unreadable) as why:
            read(text)
        reasons.add(str(why.value))
    assert reasons == {
        "it is not UTF-8",
        "it is not JSON",
        "it begins with a byte order mark",
        "a name stands twice in an object",
        "it has a number that JSON does not have",
        "it has half of a surrogate pair",
    }


@pytest.mark.parametrize(
    "number",
    ["0", "-0", "1", "-12.50", "1e5", "1E+400", "-1e-400", "0.1000000000000000000000000000001", "9" * 5000, "1.0"],
)
def test_a_number_leaves_with_the_digits_with_which_it_came(number: str) -> None:
    assert write(read(f'{{"a":[{number}]}}'.encode())) == f'{{"a":[{number}]}}'.encode()


@pytest.mark.parametrize(
    "text",
    [
        '"\\u0000"',
        '"\\ud83d\\ude00"',
        '"\\\\ud800"',
        '"\\u2028"',
        '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
        '"é日本😀"',
        "null",
        " true\r\n",
    ],
)
def test_a_value_is_the_same_when_it_is_written_anew(text: str) -> None:
    assert json.loads(write(read(text.encode()))) == json.loads(text)


def test_nesting_is_bounded() -> None:
    assert read(b"[" * 64 + b"]" * 64) is not None
    assert read(b'{"a":' * 64 + b"1" + b"}" * 64) is not None
    for text in (
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" * 200_000 + b"]" * 200_000,
        b"[" * 200_000,
    ):
        with pytest.raises(Unreadable):
            read(text)


@pytest.mark.parametrize("part", [b"1", b"[]", b"{}", b"[[]]"])
def test_more_values_than_memory_is_meant_for_are_not_read(part: bytes) -> None:
    with pytest.raises(TooLarge):
        read(b"[" + b",".join([part] * (VALUES + 1)) + b"]")


def test_as_many_values_as_memory_is_meant_for_are_read() -> None:
    assert len(read(b"[" + b",".join([b"1"] * VALUES) + b"]")) == VALUES


def test_brackets_in_strings_do_not_hide_nesting() -> None:
    with pytest.raises(Unreadable, match="nested"):
        read(b'["]}",' * 65 + b"1" + b"]" * 65)


def test_a_wide_document_is_not_a_deep_one() -> None:
    assert len(read(b"[" + b",".join([b"[]"] * 10_000) + b"]")) == 10_000
    assert sys.getrecursionlimit() < 10_000
