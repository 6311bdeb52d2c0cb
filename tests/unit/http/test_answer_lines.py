"""NDJSON and CSV leave line by line, whatever the chunks, in bounded memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from answering import KEY, Limits, Withheld, answer, array, field, in_chunks, left, rule

from gateway.http.csv_text import line, record
from gateway.policy.masks import render

CSV = ((b"Content-Type", b"text/csv; charset=utf-8"),)
NDJSON = ((b"Content-Type", b"application/x-ndjson"),)
PEOPLE = rule("ndjson", field("$.id"), field("$.name", "initials"), customer="$.c")
ROWS = rule("csv", field("$.id"), field("$.name", "initials"), field("$.note"), customer="$.company")


def csv_of(text: str | bytes, by: Any = ROWS, **more: Any) -> str:
    return left(by, text, CSV, **more).decode()


# newline-delimited JSON


def test_each_line_is_a_document_of_its_own() -> None:
    body = (
        b'{"id":1,"name":"Jean Dupont","c":42,"x":"X"}\r\n\n  \n'
        b'{"id":2,"c":43}\n{"c":"42"}\n{"id":3,"c":null}\n{"id":4,"c":42}'
    )

    out = answer(PEOPLE, NDJSON)
    made = out.feed(body)

    assert out.streams
    assert (made, out.rows) == (b'{"id":1,"name":"J.D."}\n{}\n', 2)
    assert (out.finish(), out.rows) == (b'{"id":4}\n', 3)


def test_arrays_inside_a_line_are_filtered_and_counted() -> None:
    by = rule("ndjson", field("$.p[*].id"), arrays=(array("$.p", "$.c", "$.n"),))

    out = answer(by, NDJSON)

    assert out.feed(b'{"n":3,"p":[{"id":1,"c":42},{"id":2,"c":1},{"id":3,"c":42}]}\n{"n":9}\n') == (
        b'{"p":[{"id":1},{"id":3}],"n":2}\n{"n":0}\n'
    )
    assert out.rows == 3


@pytest.mark.parametrize(
    "bad",
    [b"[1]", b"1", b"null", b'{"a":1} {"a":2}', b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b"\x1e{}", b'{"id":1',
     b"\xff", b"NaN", b"\x0c",
     b'{"id":"\\ud800"}', b"{},", b"[" * 70 + b"]" * 70],
)  # fmt: skip
def test_a_line_that_cannot_be_read_ends_the_answer_and_nothing_behind_it_leaves(bad: bytes) -> None:
    by = rule("ndjson", field("$.id"))
    body = b'{"id":1}\n' + bad + b'\n{"id":"CANARY"}\n'

    for size in (1, 5, len(body)):
        came, fault = in_chunks(answer(by, NDJSON), [body[at : at + size] for at in range(0, len(body), size)])
        assert came == b'{"id":1}\n'
        assert fault is not None
        assert fault.refusal.code == "answer-unreadable"


def test_what_came_before_a_fault_leaves_first_and_then_nothing_ever() -> None:
    out = answer(rule("ndjson", field("$.id")), NDJSON)

    assert out.feed(b'{"id":1}\nX\n{"id":2}\n') == b'{"id":1}\n'
    for again in (lambda: out.feed(b'{"id":3}\n'), out.finish, out.finish):
        with pytest.raises(Withheld) as fault:
            again()
        assert fault.value.refusal.code == "answer-unreadable"
    assert out.rows == 1


def test_a_fault_with_nothing_before_it_is_raised_at_once() -> None:
    with pytest.raises(Withheld):
        answer(rule("ndjson", field("$.id")), NDJSON).feed(b"X\n")


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_line_is_bounded(end: bytes, size: int) -> None:
    by, limits = rule("ndjson", field("$.id")), Limits(line_bytes=1000)
    for length, code in ((1000, None), (1001, "answer-too-large")):
        body = b'{"id":1,"x":"' + b"x" * (length - 15) + b'"}' + end
        came, fault = in_chunks(
            answer(by, NDJSON, limits=limits), [body[at : at + size] for at in range(0, len(body), size)]
        )
        assert (came, fault and fault.refusal.code) == (b"" if code else b'{"id":1}\n', code)


# CSV


def test_columns_leave_by_name_in_the_order_of_the_policy() -> None:
    made = csv_of('salary,name,"company",id\r\n9,Jean Dupont,42,1\r\n9,"Zoé, Martin",43,2\r\n9,,42,"3"\r\n')

    assert made == "id,name\r\n1,J.D.\r\n3,\r\n"


def test_a_record_is_one_row() -> None:
    out = answer(ROWS, CSV)

    assert (out.feed(b"id,company\n"), out.rows) == (b"id\r\n", 0)
    assert (out.feed(b"1,42\n2,43\n3,42"), out.rows) == (b"1\r\n", 1)
    assert (out.finish(), out.rows) == (b"3\r\n", 2)


def test_a_last_record_needs_no_end() -> None:
    assert csv_of('id,company\n"1\n2",42') == 'id\r\n"1\n2"\r\n'
    assert csv_of('id,company\n1,"42"') == "id\r\n1\r\n"


def test_a_quoted_field_holds_what_separates_others() -> None:
    note = 'a "b", c\r\nd\ne\r\n'
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows([["note", "company", "id"], [note, "42", "1"], ["", "42", "2"]])

    made = csv_of(buffer.getvalue())

    assert list(csv.reader(io.StringIO(made, newline=""))) == [["id", "note"], ["1", note], ["2", ""]]


def test_an_unquoted_empty_field_is_null_and_a_quoted_one_is_text() -> None:
    by = rule("csv", field("$.a"), field("$.b", {"mask": "pseudonym", "domain": "token"}), field("$.c", "redact"))

    made = csv_of('a,b,c\r\n,,\r\n"","",""\r\n', by)

    token = render(by.fields[1].mask, "", KEY, "text")
    assert made == f'a,b,c\r\n,,***\r\n"",{token},***\r\n'


def test_masks_of_other_types_read_their_text() -> None:
    by = rule(
        "csv",
        field("$.pay", {"mask": "bucket", "size": 1000}, "numeric(10,2)"),
        field("$.born", "year", "date"),
        field("$.on", "redact", "boolean"),
        field("$.more", "redact", "jsonb"),
        field("$.tags", "redact", "text[]"),
        field("$.n", "redact", "integer"),
    )

    assert csv_of("pay,born,on,more,tags,n\n1234.50,1984-02-29,true,{},{},5\nsecret,secret,,,,\n", by) == (
        "pay,born,on,more,tags,n\r\n1000.00,1984-01-01,false,{},[],0\r\n,,false,{},[],0\r\n"
    )


def test_a_formula_leaves_as_it_is() -> None:
    assert csv_of("id,company\n=1+1,42\n", ROWS) == "id\r\n=1+1\r\n"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        "\r\n\r\n",
        "a,b\n1,2\n",
        "id,id,company\n1,2,42\n",
        "id,,company\n1,2,42\n",
        'id,"",company\n1,2,42\n',
        'id,company\n1,4"2\n',
        'id,company\n"1"x,42\n',
        'id,company\nx"1",42\n',
        'id,company\n "1",42\n',
        'id,company\n"1" ,42\n',
        'id,company\n"1"",42\n',
        'id,company\n"1,42\n',
        'id,company\n"1\n\n\n',
        "id,company\r1,42\r",
        "id,company\n1\r,42\n",
        "id,company\n1,42,CANARY\n",
        "id,company\n1\n",
        "id;company\n1;42\n",
        "id\tcompany\n1\t42\n",
        "sep=,\nid,company\n1,42\n",
        "id,company\n1\0,42\n",
        "id,company\n\ufffe1,42,\n",
        b"id,company\n\xff,42\n",
        b"\xff\xfei\0d\0",
        '{"id": 1}',
        "<html>",
    ],
)
def test_what_rfc_4180_does_not_allow_is_withheld(body: str | bytes) -> None:
    given = body if isinstance(body, bytes) else body.encode()
    for size in (1, 3, 1000):
        came, fault = in_chunks(answer(ROWS, CSV), [given[at : at + size] for at in range(0, len(given), size)])
        assert came in {b"", b"id\r\n"}
        assert fault is not None
        assert fault.refusal.code == "answer-unreadable"


def test_without_the_customer_s_column_every_row_is_another_s() -> None:
    assert csv_of("id,name\n1,CANARY\n2,CANARY\n") == "id,name\r\n"


@pytest.mark.parametrize("whose", ["43", "042", "42.0", " 42", "42 ", '"42 "', "", '""', "٤٢", "42\u200b"])
def test_a_row_of_another_or_of_nobody_is_left_out(whose: str) -> None:
    assert csv_of(f'id,company\nCANARY,{whose}\n1,42\n2,"42"\n') == "id\r\n1\r\n2\r\n"


def test_a_byte_order_mark_in_front_is_taken_off_and_elsewhere_is_text() -> None:
    assert csv_of(b"\xef\xbb\xbfid,company\n1,42\n") == "id\r\n1\r\n"
    assert csv_of('\ufeff"id",company\n1,42\n') == "id\r\n1\r\n"
    assert csv_of("id,company\n\ufeff1,42\n") == "id\r\n\ufeff1\r\n"


def test_blank_lines_are_no_records_but_in_a_single_column() -> None:
    assert csv_of("id,company\n\n1,42\n\r\n\n") == "id\r\n1\r\n"
    assert csv_of("id\n1\n\n2\n", rule("csv", field("$.id"))) == "id\r\n1\r\n\r\n2\r\n"


def test_records_and_columns_are_bounded() -> None:
    by, limits = rule("csv", field("$.id")), Limits(line_bytes=100, columns=3)
    for body in ("id\n" + "x" * 101 + "\n", 'id\n"' + "x\n" * 60 + '"\n', "id,a,b,c\n", 'id\n"' + "x\n" * 5000):
        for size in (1, 10, 10_000):
            chunks = [body.encode()[at : at + size] for at in range(0, len(body), size)]
            came, fault = in_chunks(answer(by, CSV, limits=limits), chunks)
            assert came in {b"", b"id\r\n"}
            assert fault is not None
            assert fault.refusal.code == "answer-too-large"


@pytest.mark.parametrize(
    "fields", [["a", None, ""], ['"', ",", "\r", "\n"], [" a", "a ", "a b"], [None], ["", None], ["é😀"]]
)
def test_a_record_is_read_as_it_was_written(fields: list[str | None]) -> None:
    assert record(line(fields).decode().removesuffix("\r\n")) == fields


# memory


def many(make: Any, count: int) -> Iterator[bytes]:
    for start in range(0, count, 200):
        yield b"".join(make(number) for number in range(start, start + 200))


@pytest.mark.parametrize("media", ["ndjson", "csv"])
def test_a_long_export_is_held_line_by_line(media: str) -> None:
    """Ten thousand records pass, and never more than some chunks of them are in memory."""
    filler = "x" * 400

    def document(number: int) -> bytes:
        whose = 42 if number % 2 else 43
        if media == "csv":
            return f"{number},{whose},{filler}\n".encode()
        return json.dumps({"id": number, "company": whose, "x": filler}).encode() + b"\n"

    by = rule(media, field("$.id"), customer="$.company")
    out = answer(by, CSV if media == "csv" else NDJSON)
    if media == "csv":
        out.feed(b"id,company,x\n")
    tracemalloc.start()
    for chunk in many(document, 10_000):
        out.feed(chunk)
    out.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert out.rows == 5_000
    assert peak < 2 << 20


# ends that nothing proves


def test_what_its_connection_ends_shows_no_last_value_that_could_have_gone_on() -> None:
    for text in ("id,company\n1,42", 'id,company\n1,"42"', "id,compan", "id,company\n1,42\n421,42\r"):
        out, fault = in_chunks(answer(ROWS, CSV, framed=False), [text.encode()])
        assert fault is not None, text
        assert fault.refusal.code == "answer-unreadable"
        assert b"421" not in out
    assert in_chunks(answer(ROWS, CSV, framed=False), [b"id,company\n1,42\n"]) == (b"id\r\n1\r\n", None)


def test_an_encoding_proves_its_own_end() -> None:
    packed = gzip.compress(b"id,company\n1,42")
    coded = (*CSV, (b"Content-Encoding", b"gzip"))
    assert in_chunks(answer(ROWS, coded, framed=False), [packed]) == (b"id\r\n1\r\n", None)
    assert in_chunks(answer(ROWS, coded, framed=False), [packed[:-3]])[1] is not None


def test_a_document_proves_its_own_end_and_a_number_does_not() -> None:
    whole = b'{"id":1,"c":42}'
    assert in_chunks(answer(PEOPLE, NDJSON, framed=False), [whole])[1] is None
    numbers = answer(rule("ndjson", field("$", of="integer")), NDJSON, framed=False)
    out, fault = in_chunks(numbers, [b"7\n42"])
    assert (out, fault is not None) == (b"7\n", True)
    number = answer(rule("json", field("$", of="integer")), framed=False)
    assert in_chunks(number, [b"42"])[1] is not None
