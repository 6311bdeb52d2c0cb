"""Answers of HTTP targets: no canary leaves, whatever rule, document and chunks are; a plain reference agrees."""

from __future__ import annotations

import csv
import gzip
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from answer_reference import leaves
from answering import KEY, Limits, answer, field, in_chunks, route
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import json_text
from gateway.http.answer import Withheld
from gateway.policy.http_rules import AnswerRule, ArrayRule, FieldRule, JsonPath
from gateway.policy.kinds import checked
from gateway.policy.masks import render

CANARY = "CANARY"
MASKS = [
    FieldRule((), checked(kind, options), of)
    for kind, options, of in [
        ("clear", {}, "text"),
        ("null", {}, "text"),
        ("redact", {}, "text"),
        ("initials", {}, "text"),
        ("partial", {"keep_start": 1, "keep_end": 1}, "text"),
        ("digits", {}, "text"),
        ("email", {"domain": "keyed"}, "text"),
        ("pseudonym", {"domain": "token"}, "text"),
        ("pseudonym", {"domain": "last_name"}, "character varying(5)"),
        ("bucket", {"size": 10}, "numeric"),
        ("redact", {}, "integer"),
        ("pseudonym", {"domain": "integer"}, "numeric"),
    ]
]
NAMES = st.sampled_from("abde")
HIDDEN = st.sampled_from(["x", "A", "a ", "", "*", "a.b", "$.a", "c ", "\u0430", "0"])
PLAIN = st.text("abc 01@.é", max_size=12)
NUMBERS = st.integers(0, 10**6).map(str) | st.decimals(0, 10**6, places=2).map(lambda number: f"{number:f}")


class Number(float):
    """A number that json writes with these digits."""

    def __new__(cls, digits: str) -> Number:
        made = super().__new__(cls, 0.0)
        made.digits = digits  # type: ignore[attr-defined]
        return made

    def __repr__(self) -> str:
        return str(self.digits)  # type: ignore[attr-defined]


SCALARS: st.SearchStrategy[Any] = st.none() | st.booleans() | PLAIN | NUMBERS.map(Number)
CANARIES: st.SearchStrategy[Any] = st.recursive(
    st.just(CANARY),
    lambda below: (
        st.lists(below, min_size=1, max_size=2) | st.dictionaries(HIDDEN | NAMES, below, min_size=1, max_size=2)
    ),
)


# a shape is a mask; {"name": shape}; or ("array", shape, is_filtered)
Shape = Any
SHAPES: st.SearchStrategy[Shape] = st.recursive(
    st.sampled_from(MASKS),
    lambda below: (
        st.dictionaries(NAMES, below, min_size=1, max_size=3) | st.tuples(st.just("array"), below, st.booleans())
    ),
    max_leaves=8,
)
ROOTS = SHAPES.filter(lambda shape: not isinstance(shape, FieldRule))


def rule_of(shape: Shape, media: str = "json", customer: JsonPath | None = None) -> AnswerRule:
    fields: list[FieldRule] = []
    arrays: list[ArrayRule] = []

    def collect(of: Shape, at: JsonPath) -> None:
        if isinstance(of, FieldRule):
            fields.append(FieldRule(at, of.mask, of.type))
        elif isinstance(of, dict):
            for name, below in of.items():
                collect(below, (*at, name))
        else:
            if of[2]:
                # what counts it stands beside it, where there is such a place
                counted = at and at[-1] != "*"
                arrays.append(ArrayRule(at, ("c",), (*at[:-1], f"n{len(arrays)}") if counted else None))
            collect(of[1], (*at, "*"))

    collect(shape, ())
    return AnswerRule(frozenset({200}), media, customer, tuple(fields), tuple(arrays))


@st.composite
def documents(draw: st.DrawFn, shape: Shape, *, own: bool = True, counts: bool = True) -> Any:
    """A document with canaries wherever the rule names nothing: `own` False makes every scalar one."""
    if isinstance(shape, FieldRule):
        if not own:
            return CANARY
        odd = st.lists(CANARIES, min_size=1, max_size=2) | st.dictionaries(HIDDEN, CANARIES, min_size=1, max_size=2)
        return draw(SCALARS | SCALARS | odd)
    if draw(st.integers(0, 9)) == 0:
        # another shape than the rule's
        wrong = CANARIES.filter(lambda value: not isinstance(value, dict if isinstance(shape, dict) else list))
        return draw(wrong)
    if isinstance(shape, dict):
        made = {name: draw(documents(below, own=own)) for name, below in shape.items() if draw(st.integers(0, 4))}
        made |= draw(st.dictionaries(HIDDEN.filter(lambda name: name not in shape), CANARIES, max_size=2))
        made |= {name: draw(st.sampled_from([CANARY, 900, None])) for name in ("n0", "n1") if draw(st.booleans())}
        return {name: made[name] for name in draw(st.permutations(list(made)))}
    elements = []
    for _ in range(draw(st.integers(0, 3))):
        whose = draw(st.sampled_from([42, "42", 43, "43", None, "", Number("42.0"), [42], "missing"]))
        is_own = own and (not shape[2] or (whose in (42, "42") and not isinstance(whose, Number)))
        element = draw(documents(shape[1], own=is_own))
        if isinstance(element, dict):
            element.pop("c", None)
            element |= {} if whose == "missing" else {"c": whose}
        elif shape[2]:
            element = CANARY
        elements.append(element)
    return elements


def text_of(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def read(text: bytes) -> Any:
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def cuts(draw: st.DrawFn, text: bytes) -> list[bytes]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def paths(value: Any, at: JsonPath = ()) -> set[JsonPath]:
    if isinstance(value, dict):
        return {at}.union(*(paths(below, (*at, name)) for name, below in value.items()))
    if isinstance(value, list):
        return {at}.union(*(paths(below, (*at, "*")) for below in value))
    return {at}


def sent(by: AnswerRule, chunks: list[bytes], headers: Any, limits: Limits = Limits()) -> tuple[bytes, str, int]:  # noqa: B008
    out = answer(route(by), headers, limits=limits)
    came, fault = in_chunks(out, chunks)
    return came, fault.refusal.code if fault else "", out.rows


JSON, NDJSON, CSV = (((b"Content-Type", of),) for of in (b"application/json", b"application/x-ndjson", b"text/csv"))
GZIP = ((b"Content-Encoding", b"gzip"),)


@given(st.data())
def test_of_a_document_only_what_the_rule_names_leaves_and_as_a_plain_reading_of_it_says(data: st.DataObject) -> None:
    shape = data.draw(ROOTS)
    by = rule_of(shape)
    document = data.draw(documents(shape))
    text = text_of(document)

    came, code, rows = sent(by, [text], JSON)

    assert CANARY.encode() not in came
    if code:
        assert code == "answer-unreadable"
        assert not isinstance(document, dict if isinstance(shape, dict) else list)
        return
    assert read(came) == leaves(read(text), by, {"42"}, KEY)
    # what leaves can be read as strictly as what came, and every place in it is one of the rule's
    json_text.read(came)
    named = {field.path for field in by.fields} | {array.count for array in by.arrays if array.count}
    named |= {(*array.path, "*") for array in by.arrays}
    assert all(any(path[: len(at)] == at for path in named) for at in paths(read(came)))
    assert rows >= (len(read(came)) if isinstance(shape, tuple) and not isinstance(shape[1], FieldRule) else 0)


DIGITS = st.text("0123456789", min_size=1, max_size=420)
ODD_NUMBERS = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole.lstrip('0') or '0'}{fraction}{exponent}",
    st.sampled_from(["", "-"]),
    DIGITS,
    st.just("") | DIGITS.map(".{}".format),
    st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), DIGITS),
)
TYPES = {
    "text": ["initials", "email", "digits"],
    "integer": ["redact", {"mask": "bucket", "size": 7}, {"mask": "pseudonym", "domain": "integer"}],
    "numeric(10,2)": [{"mask": "bucket", "size": 7}, {"mask": "pseudonym", "domain": "integer"}],
    "double precision": [{"mask": "bucket", "size": 7}],
    "real": [{"mask": "bucket", "size": 0.1}],
    "date": ["year"],
    "timestamp with time zone": ["month", "year"],
    "inet": ["truncate_ip"],
    "uuid": [{"mask": "pseudonym", "domain": "uuid"}],
    "jsonb": [{"mask": "json", "paths": {"a": "clear", "b": {"mask": "bucket", "size": 7}}}],
}
ODD_TEXTS = (
    st.text(max_size=40).map(json.dumps)
    | st.datetimes(timezones=st.timezones()).map(lambda moment: json.dumps(moment.isoformat()))
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{0,12}[-+Z0-9:]{0,9}", fullmatch=True).map(json.dumps)
    | st.ip_addresses().map(lambda address: json.dumps(str(address)))
    | ODD_NUMBERS.map(json.dumps)
)


@given(st.data(), ODD_NUMBERS | ODD_TEXTS)
def test_no_value_makes_a_mask_fault(data: st.DataObject, text: str) -> None:
    of = data.draw(st.sampled_from(sorted(TYPES)))
    mask = data.draw(st.sampled_from(TYPES[of]))
    value = data.draw(st.sampled_from(['{"v":%s}', '{"v":{"a":%s,"b":%s}}'])).replace("%s", text)
    by = AnswerRule(frozenset({200}), "json", None, (field("$.v", mask, of),))

    came, code, _ = sent(by, [value.encode()], JSON)

    assert code in {"", "answer-unreadable"}
    if not code:
        json_text.read(came)


@given(st.data())
def test_lines_are_the_same_however_they_were_cut(data: st.DataObject) -> None:
    shape = data.draw(ROOTS.filter(lambda shape: isinstance(shape, dict)))
    by = rule_of(shape, "ndjson", ("c",))
    lines, own = [], []
    for whose in data.draw(st.lists(st.sampled_from([42, "42", 43, None]), max_size=4)):
        document = data.draw(documents(shape, own=str(whose) == "42").filter(lambda made: isinstance(made, dict)))
        lines.append(text_of({**document, "c": whose}))
        if str(whose) == "42":
            own.append(lines[-1])
    text = data.draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"])).join(lines) + data.draw(st.sampled_from([b"", b"\n"]))
    packed = data.draw(st.booleans())
    body = gzip.compress(text) if packed else text

    whole = sent(by, [body], NDJSON + GZIP * packed)
    cut = sent(by, cuts(data.draw, body), NDJSON + GZIP * packed)

    assert whole == cut
    assert whole[1] == ""
    assert CANARY.encode() not in whole[0]
    assert [read(line) for line in whole[0].splitlines()] == [leaves(read(line), by, {"42"}, KEY) for line in own]


CELLS = st.text('ab,"\n\r é;=', max_size=6)


@given(st.data())
def test_a_table_is_that_of_a_plain_reader_however_it_was_cut(data: st.DataObject) -> None:
    named = data.draw(st.lists(st.sampled_from("abde"), min_size=1, unique=True))
    masks = {name: data.draw(st.sampled_from([field for field in MASKS if field.type == "text"])) for name in named}
    fields = tuple(FieldRule((name,), of.mask, of.type) for name, of in masks.items())
    by = AnswerRule(frozenset({200}), "csv", ("c",), fields)
    header = data.draw(st.permutations([*data.draw(st.permutations(named)), "c", "hidden"]))
    rows = []
    for whose in data.draw(st.lists(st.sampled_from(["42", "43", "", "4 2"]), max_size=4)):
        row = {name: CANARY if name == "hidden" or whose != "42" else data.draw(CELLS) for name in header}
        rows.append(row | {"c": whose})
    buffer = io.StringIO()
    # the writer quotes a carriage return of its own accord only where it ends lines
    quoting, end = data.draw(
        st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n")])
    )
    writer = csv.writer(buffer, quoting=quoting, lineterminator=end)
    writer.writerows([header, *[[row[name] for name in header] for row in rows]])
    body = buffer.getvalue().encode().removesuffix(data.draw(st.sampled_from([b"", end.encode()])))

    whole = sent(by, [body], CSV)
    cut = sent(by, cuts(data.draw, body), CSV)

    assert whole == cut
    assert whole[1:] == ("", sum(row["c"] == "42" for row in rows))
    assert CANARY.encode() not in whole[0]
    made = list(csv.reader(io.StringIO(whole[0].decode(), newline=""), strict=True))

    def cell(name: str, value: str) -> str:
        # what is empty and not quoted is null
        given = None if value == "" and quoting == csv.QUOTE_MINIMAL else value
        return render(masks[name].mask, given, KEY, "text") or ""

    own = [[cell(name, row[name]) for name in named] for row in rows if row["c"] == "42"]
    # the reader takes a null in a single column for no field at all
    assert [row or [""] for row in made] == [named, *own]


@given(st.data())
def test_damaged_bodies_end_in_a_refusal_and_in_nothing_else(data: st.DataObject) -> None:
    media, headers, body = data.draw(
        st.sampled_from(
            [
                ("json", JSON, b'{"a":[1,{"b":"c"}],"c":42}'),
                ("ndjson", NDJSON, b'{"a":1,"c":42}\n{"a":"x","c":"42"}\n'),
                ("csv", CSV, b'a,c,"x"\r\n1,42,"y\n"\r\n"2",42,\r\n'),
            ]
        )
    )
    packed = data.draw(st.booleans())
    whole = bytearray(gzip.compress(body) if packed else body)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(whole)))
        whole[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\n", b"{", b"\xff"])
        )
    by = AnswerRule(frozenset({200}), media, ("c",), (FieldRule(("a",), checked("clear", {})),))
    limits = Limits(line_bytes=64)

    first = sent(by, [bytes(whole)], headers + GZIP * packed, limits)
    second = sent(by, cuts(data.draw, bytes(whole)), headers + GZIP * packed, limits)

    assert first[1] in {"", "not-found", "answer-unreadable", "answer-too-large"}
    if not packed:
        assert first == second
    elif first[1] or second[1]:
        # a damaged coding can give more or less before it shows
        assert bool(first[1]) == bool(second[1])
        assert first[0].startswith(second[0]) or second[0].startswith(first[0])


@pytest.mark.parametrize("media", ["json", "ndjson", "csv"])
@given(noise=st.binary(max_size=200), coding=st.sampled_from(["identity", "gzip", "deflate", "br", "zstd"]))
def test_noise_ends_in_a_refusal(media: str, noise: bytes, coding: str) -> None:
    by = AnswerRule(frozenset({200}), media, None, (FieldRule(("a",), checked("clear", {})),))
    head = {"json": JSON, "ndjson": NDJSON, "csv": CSV}[media]

    came, code, _ = sent(by, [noise], (*head, (b"Content-Encoding", coding.encode())))

    assert code or media == "ndjson" or came
    assert (code == "") or code in {"answer-unreadable", "answer-too-large"}


@given(
    st.text(max_size=40).map(lambda text: text.encode()) | st.binary(max_size=40),
    st.sampled_from(["content-type", "location", "content-encoding", "retry-after", "date", "x-named"]),
)
def test_whatever_a_header_holds_only_visible_ascii_leaves(value: bytes, name: str) -> None:
    by = AnswerRule(
        frozenset({200}), "json", None, (FieldRule(("a",), checked("clear", {})),), headers=("x-named", "location")
    )
    headers = dict(JSON) | {name.encode(): value}
    try:
        out = answer(
            route(by),
            [(b"Content-Type", b"application/json"), *headers.items()]
            if name != "content-type"
            else list(headers.items()),
        )
    except Withheld:
        return
    for header, text in out.head()[1]:
        assert header.isascii()
        assert text.isascii()
        assert text.isprintable()
