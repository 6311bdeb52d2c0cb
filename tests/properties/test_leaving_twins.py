"""What the compiled module takes of a JSON text is what its twin takes; of what it does not take it says nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from answering import KEY, array, field, rule
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native_module import built
from test_answer_properties import ROOTS, documents, rule_of

from gateway.http import leaving
from gateway.http.answer import Withheld
from gateway.http.leaving import Leaving
from gateway.policy.http_rules import AnswerRule

CUSTOMERS = frozenset({"42", "é", "a"})
DEPTH = 5
PIECES = st.sampled_from(
    ["{", "}", "[", "]", ":", ",", '"a"', '"b"', '"c"', '"n0"', '"é"', '"\\u0061"', '"\\ud83d\\ude00"', '"\\ud83d"',
     '"\\ude00\\ud83d"', '"\\/\\"\\\\\\b\\f\\n\\r\\t"', '"\\u0000\\u001f\\u007f\\u0022\\u005c\\u00e9\\u20ac"',
     '"\\u12"', '"\\x"', '"', '"\t"', '"\x7f\u2028"', "\\", "0", "-0", "-0.5", "00", "1", "42", "1.", ".5", "1.50",
     "1e5", "1e", "1E-400", "-", "1" * 401, "true", "false", "null", "nul", "NaN", "Infinity", " ", "\n", "\t", "\r",
     "\v", "\ufeff", "\0", "/**/"]
)  # fmt: skip
ALMOST = st.lists(PIECES, max_size=9).map("".join)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The compiled module of this very source, built for the test."""
    return built(Path(leaving.__file__).with_name("_leaving.pyx"), tmp_path_factory.mktemp("leaving"))


def outcome(by: AnswerRule, native: ModuleType, text: bytes) -> Any:
    """What leaves by the twin, having seen that the compiled one says the same or nothing."""
    both = Leaving(by, native=native)
    assert both._program is not None
    compiled = both._program.leave(text, CUSTOMERS, KEY, DEPTH)
    try:
        twin = both.leave_python(text, CUSTOMERS, KEY, DEPTH, proven=True)
    except Withheld:
        assert compiled is None
        return "withheld"
    assert compiled in (None, twin)
    # bytes of another kind, too
    assert both._program.leave(bytearray(text), CUSTOMERS, KEY, DEPTH) == compiled
    return "taken" if compiled is not None else "left"


PLAIN = rule(
    "json", field("$.a"), field("$.b", {"mask": "pseudonym", "domain": "token"}), field("$.c.a"), field("$.é[*]"),
    field("$.d", {"mask": "redact"}), arrays=(array("$.é", "$", "$.n0"),),
)  # fmt: skip
LISTED = rule("json", field("$[*].a", "initials"), field("$[*].b[*]"), arrays=(array("$", "$.c"),))
TYPED = rule(
    "json",
    *(field(f"$.{name}", mask, of) for name, mask, of in [
        ("a", {"mask": "bucket", "size": 7}, "numeric(10,2)"),
        ("b", {"mask": "pseudonym", "domain": "integer"}, "integer"),
        ("c", {"mask": "month"}, "date"),
        ("d", {"mask": "year"}, "timestamp with time zone"),
        ("e", "clear", "jsonb"),
        ("f", "clear", "text[]"),
        ("g", {"mask": "bucket", "size": 10}, "double precision"),
        ("h", {"mask": "json", "paths": {"a": "clear", "b.c": "initials"}}, "jsonb"),
        ("i", {"mask": "email"}, "character varying(9)"),
        ("j", {"mask": "redact"}, "boolean"),
        ("k", {"mask": "pseudonym", "domain": "uuid"}, "uuid"),
    ]),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9) | st.dates().map(str) | st.datetimes().map(str) | st.uuids().map(str) | st.just("a.b@c.de"),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=2_000, deadline=None)
@given(text=ALMOST, raw=st.binary(max_size=4), at=st.integers(0, 30), by=st.sampled_from([PLAIN, LISTED]))
@example('{"a":"\\u0061"}', b"", 0, PLAIN)
@example('{"a":1,"a":2}', b"", 0, PLAIN)
@example('{"a":"\x7f"}', b"", 0, PLAIN)
@example("[[[[[[]]]]]]", b"", 0, LISTED)
@example('{"x":[[[[1]]]]}', b"", 0, PLAIN)
@example('{"x":[[[[[1]]]]]}', b"", 0, PLAIN)
def test_both_take_alike_what_is_almost_json(
    native: ModuleType, text: str, raw: bytes, at: int, by: AnswerRule
) -> None:
    given = text.encode("utf-8", "surrogatepass")
    outcome(by, native, given[:at] + raw + given[at:])
    outcome(by, native, b'{"a":' + given + raw + b',"c":{"a":' + raw + b'1}, "\xc3\xa9":["a", ' + given + b"]}")
    outcome(by, native, b'[{"a":' + given + raw + b',"c":42, "b":[' + given + b"]}]")


@settings(max_examples=1_500, deadline=None)
@given(data=st.data())
def test_both_take_alike_a_document_and_any_rule(native: ModuleType, data: st.DataObject) -> None:
    shape = data.draw(ROOTS)
    by = rule_of(shape, customer=data.draw(st.sampled_from([None, ("a",), ("b", "d")])))
    document = data.draw(documents(shape))
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 1])))
    outcome(by, native, text.encode())


@settings(max_examples=2_000, deadline=None)
@given(document=st.dictionaries(st.sampled_from("abcdefghijk"), VALUES, max_size=11), escaped=st.booleans())
@example({"a": -0.5}, True)
@example({"c": "0000-00-00"}, True)
@example({"b": 2147483648}, True)
def test_both_read_values_of_types_alike(native: ModuleType, document: Any, escaped: bool) -> None:
    assert outcome(TYPED, native, json.dumps(document, ensure_ascii=escaped).encode()) == "taken"


@settings(max_examples=1_000, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 400), put=st.binary(min_size=1, max_size=2))
def test_both_take_alike_what_is_damaged_anywhere(native: ModuleType, seed: int, cut: int, put: bytes) -> None:
    drawn = random.Random(seed)
    words = ["é", "a\n", '"', "\\", "\u2028", "x" * 20, "42"]
    items = [
        {name: drawn.choice([*words, 1, None, [1], {"a": 1}]) for name in drawn.sample("abcdefé", 4)} for _ in range(3)
    ]
    text = json.dumps({"a": 1, "n0": 9, "é": items, "c": {"a": "b"}}, ensure_ascii=drawn.random() < 0.5).encode()
    at = cut % len(text)
    for damaged in (text[:at], text[:at] + put + text[at:], text[:at] + put + text[at + len(put) :], text[at:]):
        outcome(PLAIN, native, damaged)


def test_a_name_stands_once_in_an_object_of_many_names(native: ModuleType) -> None:
    names = [f"name {number}" for number in range(200)]

    for count in (1, 47, 48, 49, 50, 200):
        whole = ", ".join(f'"{name}": 1' for name in names[:count])
        assert outcome(PLAIN, native, f'{{"a": 1, {whole}}}'.encode()) == "taken"
        for twice in (names[0], names[count // 2], names[count - 1], "a"):
            assert outcome(PLAIN, native, f'{{"a": 1, {whole}, "{twice}": 2}}'.encode()) == "withheld"


def test_numbers_that_count_fit_where_they_stand(native: ModuleType) -> None:
    by = rule(
        "json", field("$.a"), field("$.lists[*].name"), field("$.lists[*].items[*].a"), field("$.z"),
        arrays=(array("$.lists", "$.of", "$.total"), array("$.lists[*].items", "$.of", "$.lists[*].meta.count")),
    )  # fmt: skip

    def items(count: int) -> list[Any]:
        return [{"a": number, "of": 42 if number % 3 else 7} for number in range(count)]

    lists = [{"meta": {"count": 0}, "items": items(n), "name": n, "of": "42"} for n in (0, 5, 200)]
    document = {"total": 9, "a": "x", "lists": [*lists, {"of": 1}], "z": 1}

    assert outcome(by, native, json.dumps(document).encode()) == "taken"
    assert outcome(by, native, json.dumps(dict(reversed(document.items()))).encode()) == "taken"


def test_a_rule_of_very_many_names_is_its_twins(native: ModuleType) -> None:
    many = rule("json", *(field(f"$.name{number}") for number in range(200)))

    assert Leaving(many, native=native)._program is None
    assert Leaving(many).leave(b'{"name7": 1}', CUSTOMERS, KEY, DEPTH, proven=True) == (b'{"name7":1}', 1)


def test_an_escape_in_a_value_is_taken(native: ModuleType) -> None:
    text = json.dumps({"a": 'pr\u00e9nom "x"\\/\n\u0001\U0001f600', "b": "\u00e9"}).encode()

    assert outcome(PLAIN, native, text) == "taken"


@pytest.mark.parametrize("text", [
    b"\\ud800", b"\\udbff", b"\\udc00", b"\\udfff", b"\\ud800\\u0041", b"\\ud800\\ud800", b"\\ud800\\",
    b"\\ud83d\\ude0",
    b"\\ud83d\\n", b"\\u00e", b"\\u00g0", b"\\U00e9", b"\\'", b"\x1f", b"\x00", b"\xc3", b"\xed\xa0\x80\xed\xb0\x80",
])  # fmt: skip
def test_what_is_no_text_is_not_taken_wherever_it_stands(native: ModuleType, text: bytes) -> None:
    for document in (b'{"a":"%s"}', b'{"x":"%s"}', b'{"%s":1}', b'{"c":{"%s":1}}', b'{"x":[{"%s":1}]}', b'{"b":"%s"}'):
        assert outcome(PLAIN, native, document % text) == "withheld"


def test_of_bytes_beyond_ascii_only_characters_are_taken(native: ModuleType) -> None:
    outcomes = set()
    for first in range(0x80, 0x100):
        for second in (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0):
            for more in (b"", b"\x80", b"\xbf\x80"):
                text = bytes([first, second]) + more
                outcomes.add(outcome(PLAIN, native, b'{"a":"%s"}' % text))
                is_text = text.decode("utf-8", "ignore").encode() == text
                assert (outcome(PLAIN, native, b'{"x":"%s"}' % text) == "taken") == is_text

    assert outcomes == {"taken", "withheld"}
