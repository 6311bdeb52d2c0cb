"""A value under its mask is the same in JSON, in CSV and in SQL: the table of cases of the masks runs through all."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from answering import KEY, field, left, rule
from ruamel.yaml import YAML

from gateway.policy.masks import render
from gateway.policy.types import column_type

CORPUS = Path(__file__).parents[2] / "corpus" / "masks"
GROUPS = [group for file in sorted(CORPUS.glob("*.yaml")) for group in YAML(typ="safe").load(file)]
# an API's null is the column's NULL, whatever a jsonb column distinguishes
CASES = [
    (group["mask"], group["type"], value, wanted)
    for group in GROUPS
    for value, wanted in group["cases"]
    if (group["type"], value) != ("jsonb", "null")
]
NUMBERS = {"integer", "numeric", "float"}
CSV = ((b"Content-Type", b"text/csv"),)


def spelled(value: str | None, declared: str) -> str:
    """A column's value as a JSON API writes it."""
    if value is None:
        return "null"
    group = column_type(declared).group
    if group in {"jsonb", "json"}:
        return value
    if group == "boolean":
        return {"t": "true", "f": "false"}[value]
    return json.dumps(value) if group != "array" else "[]"


def column_text(value: Any, declared: str) -> str | None:
    """What came out, as PostgreSQL writes it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    return "{}" if value == [] else str(value)


def member(text: str) -> str:
    return f'{{"v":{text}}}'


def same(made: Any, wanted: str | None, declared: str) -> bool:
    text = column_text(made, declared)
    if text is None or wanted is None:
        return text == wanted
    group = column_type(declared).group
    if group == "float":
        return float(text) == float(wanted)
    if group in {"jsonb", "json"}:
        return bool(made == json.loads(wanted, parse_float=Decimal))
    return text == wanted


@pytest.mark.parametrize(("mask", "declared", "value", "wanted"), CASES, ids=lambda part: str(part)[:30])
def test_what_leaves_in_json_is_what_the_table_of_masks_says(
    mask: dict[str, Any], declared: str, value: str | None, wanted: str | None
) -> None:
    of = rule("json", field("$.v", mask, declared))

    made = json.loads(left(of, member(spelled(value, declared))), parse_float=Decimal, parse_int=Decimal)["v"]

    assert same(made, wanted, declared)


@pytest.mark.parametrize(
    ("mask", "declared", "value", "wanted"),
    [
        case
        for case in CASES
        if column_type(case[1]).group in NUMBERS
        and case[2] is not None
        and re.fullmatch(r"-?[0-9].*", case[2])
        and len(case[2]) < 400
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_number_is_masked_as_its_text_and_leaves_as_a_number(
    mask: dict[str, Any], declared: str, value: str, wanted: str | None
) -> None:
    of = rule("json", field("$.v", mask, declared))

    made = json.loads(left(of, member(value)), parse_float=Decimal, parse_int=Decimal)["v"]

    assert same(made, wanted, declared)
    assert not isinstance(made, str)


@pytest.mark.parametrize(
    ("mask", "declared", "value", "wanted"),
    [case for case in CASES if column_type(case[1]).group not in {"jsonb", "json", "array", "boolean", "float"}],
    ids=lambda part: str(part)[:30],
)
def test_what_leaves_in_csv_is_what_the_table_of_masks_says(
    mask: dict[str, Any], declared: str, value: str | None, wanted: str | None
) -> None:
    def cell(text: str | None) -> str:
        return "" if text is None else '"' + text.replace('"', '""') + '"'

    of = rule("csv", field("$.v", mask, declared), field("$.other"))

    made = left(of, f"v,other\r\n{cell(value)},\r\n", CSV).decode().removeprefix("v,other\r\n")

    assert made in {f"{cell(wanted)},\r\n", f"{wanted},\r\n"}


@pytest.mark.parametrize(
    ("declared", "mask", "given", "wanted"),
    [
        ("timestamp with time zone", "year", '"2024-01-01T00:30:00+01:00"', '"2023-01-01T00:00:00+00:00"'),
        ("timestamp with time zone", "month", '"2024-05-06T07:08:09Z"', '"2024-05-01T00:00:00Z"'),
        ("timestamp with time zone", "month", '"2024-05-06T07:08:09.123456789-0200"', '"2024-05-01T00:00:00+00:00"'),
        ("timestamp with time zone", "month", '"2024-05-31 23:00:00-02"', '"2024-06-01 00:00:00+00"'),
        ("timestamp with time zone", "month", '"2024-05-06T07:08"', '"2024-05-01T00:00:00+00:00"'),
        ("timestamp without time zone", "month", '"2024-05-31T23:59:59-02:00"', '"2024-05-01T00:00:00"'),
        ("timestamp without time zone", "year", '"2024-05-06"', '"2024-01-01 00:00:00"'),
        ("date", "year", '"2024-05-06T23:59:59Z"', '"2024-01-01"'),
        ("date", "year", '"2024-05-06"', '"2024-01-01"'),
        ("date", "year", '"2024-02-30"', "null"),
        ("date", "year", '"06/05/2024"', "null"),
        ("date", "year", '"20240506"', "null"),
        ("date", "year", '"2024-W19-1"', "null"),
        ("date", "year", "20240506", "null"),
        ("timestamp with time zone", "year", '"0001-01-01T00:00:00+10:00"', "null"),
        ("timestamp with time zone", "year", '"9999-12-31T23:59:59-10:00"', "null"),
        ("timestamp with time zone", "year", '"2024-05-06T07:08:09+99:99"', "null"),
        ("timestamp with time zone", "year", '"2024-05-06T07:08:09 Europe/Paris"', "null"),
        ("integer", {"mask": "bucket", "size": 10}, "42.0", "40"),
        ("integer", {"mask": "bucket", "size": 10}, "4.2e1", "40"),
        ("integer", {"mask": "bucket", "size": 10}, "42.5", "null"),
        ("integer", {"mask": "bucket", "size": 10}, '"42"', '"40"'),
        ("integer", {"mask": "bucket", "size": 10}, '"42.0"', "null"),
        ("integer", {"mask": "bucket", "size": 10}, '" 42"', "null"),
        ("integer", {"mask": "bucket", "size": 10}, '"4_2"', "null"),
        ("integer", {"mask": "bucket", "size": 10}, '"٤٢"', "null"),
        ("integer", {"mask": "bucket", "size": 10}, "2147483648", "null"),
        ("integer", {"mask": "bucket", "size": 10}, "-0", "0"),
        ("bigint", {"mask": "bucket", "size": 10}, "9223372036854775808", "null"),
        ("integer", {"mask": "bucket", "size": 10}, "true", "null"),
        ("integer", {"mask": "bucket", "size": 10}, '"secret"', "null"),
        ("numeric", {"mask": "bucket", "size": 10}, "1e999999999", "null"),
        ("numeric", {"mask": "bucket", "size": 10}, "1e-999999999", "null"),
        ("numeric", {"mask": "bucket", "size": 10}, "1e99999999999999999999", "null"),
        ("numeric", {"mask": "bucket", "size": 10}, "0e-99999999999999999999", "null"),
        ("numeric", {"mask": "bucket", "size": 10}, "0e9999", "null"),
        ("text", "initials", "1e99999999999999999999", "null"),
        ("integer", {"mask": "bucket", "size": 10}, "1e99999999999999999999", "null"),
        ("double precision", {"mask": "bucket", "size": 10}, "1e99999999999999999999", "null"),
        ("jsonb", {"mask": "json", "paths": {"a": "clear"}}, '{"a": 1e99999999999999999999}', '{"a":null}'),
        ("numeric", {"mask": "bucket", "size": 10}, "9" * 5000, "null"),
        ("numeric", {"mask": "bucket", "size": 10}, '"1e5"', "null"),
        ("numeric", {"mask": "bucket", "size": 10}, '"sNaN"', "null"),
        ("numeric", {"mask": "bucket", "size": 10}, "-0.0", "0"),
        ("double precision", {"mask": "bucket", "size": 10}, "1e999", "null"),
        ("double precision", {"mask": "bucket", "size": 10}, '"1_0"', "null"),
        ("double precision", {"mask": "bucket", "size": 10}, '"inf"', "null"),
        ("real", {"mask": "bucket", "size": 0.1}, "3.4028236e38", "null"),
        ("real", {"mask": "bucket", "size": 0.1}, "-1e39", "null"),
        ("real", {"mask": "bucket", "size": 0.1}, "3.4028235e38", "3.40282e+38"),
        ("text", "initials", "[1]", "null"),
        ("text", "initials", '{"a": "b"}', "null"),
        ("text", {"mask": "partial"}, "1e999999999", "null"),
        ("text", {"mask": "partial"}, "12345", '"*****"'),
        ("text", {"mask": "partial"}, "true", '"****"'),
        ("uuid", {"mask": "pseudonym", "domain": "uuid"}, '"not-a-uuid"', "null"),
        ("uuid", {"mask": "pseudonym", "domain": "uuid"}, "12", "null"),
        ("inet", "truncate_ip", '"fe80::1%eth0"', "null"),
        ("inet", "truncate_ip", '"somewhere"', "null"),
        ("inet", "truncate_ip", "167772161", "null"),
        ("inet", "truncate_ip", '"10.1.2.3"', '"10.1.2.0/24"'),
        ("boolean", "redact", "true", "false"),
        ("jsonb", "redact", '{"a": "b"}', "{}"),
        ("text[]", "redact", '["a"]', "[]"),
        ("text[]", "clear", '["a", 1, null]', '["a",1,null]'),
        ("text[]", "clear", '["a", {"b": 1}]', "null"),
        ("text[]", "clear", '["a", ["b"]]', "null"),
        ("text[]", "clear", '"a"', "null"),
        ("jsonb", "clear", '{"a": [1.50, {"b": "c"}]}', '{"a":[1.50,{"b":"c"}]}'),
        ("text", "clear", '{"a": 1}', "null"),
        ("text", "clear", "[1]", "null"),
        ("text", "clear", "1.50", "1.50"),
        ("integer", "clear", '"x"', '"x"'),
        ("jsonb", {"mask": "json", "paths": {"a": "clear"}}, '{"a": 1e999999999, "b": 1}', '{"a":null}'),
        ("jsonb", {"mask": "json", "paths": {"a": "clear"}}, '{"a": 1.50, "b": 1}', '{"a":1.50}'),
        ("jsonb", {"mask": "json", "paths": {"a.b": "initials"}}, '{"a": ["b"], "b": 1}', '{"a":{"b":null}}'),
        ("jsonb", {"mask": "json", "paths": {"a": "clear"}}, "null", "null"),
        ("jsonb", {"mask": "json", "paths": {"a": "clear"}}, "[1]", '{"a":null}'),
    ],
)
def test_a_value_that_the_type_cannot_read_is_null_and_others_are_those_of_the_column(
    declared: str, mask: Any, given: str, wanted: str
) -> None:
    of = rule("json", field("$.v", mask, declared))

    made = left(of, member(given))

    assert made == member(wanted).encode()


@pytest.mark.parametrize(
    ("declared", "given", "column"),
    [
        ("text", '"Jean"', "Jean"),
        ("text", "42", "42"),
        ("text", "1e2", "100"),
        ("text", "12.50", "12.50"),
        ("text", "-0", "0"),
        ("text", "false", "false"),
        ("character varying(3)", '"Jean"', "Jean"),
        ("uuid", '"6F1F2A3E-93A7-4A64-8F2B-2F8A1A3C4D5E"', "6f1f2a3e-93a7-4a64-8f2b-2f8a1a3c4d5e"),
    ],
)
def test_a_pseudonym_is_that_of_the_column_s_own_text(declared: str, given: str, column: str) -> None:
    mask = {"mask": "pseudonym", "domain": "uuid"}
    of = field("$.v", mask, declared)

    made = json.loads(left(rule("json", of), member(given)))["v"]

    assert made == render(of.mask, column, KEY, declared)


@pytest.mark.parametrize(
    ("declared", "given", "column"),
    [
        ("integer", "42", "42"),
        ("integer", "42.0", "42"),
        ("bigint", "9007199254740993", "9007199254740993"),
        ("numeric", "12.50", "12.5"),
        ("numeric(10,2)", "1.25e1", "12.50"),
        ("numeric", "123456789012345678901234567890.10", "123456789012345678901234567890.1"),
    ],
)
def test_a_number_s_pseudonym_is_that_of_the_column_s_own_text(declared: str, given: str, column: str) -> None:
    of = field("$.v", {"mask": "pseudonym", "domain": "integer"}, declared)

    made = json.loads(left(rule("json", of), member(given)), parse_int=str, parse_float=str)["v"]

    assert made == render(of.mask, column, KEY, declared)


def test_without_a_key_a_keyed_mask_shows_nothing() -> None:
    of = rule("json", field("$.a", "email"), field("$.b", {"mask": "pseudonym", "domain": "token"}))

    assert left(of, {"a": "a@b.fr", "b": "x"}, key=None) == b'{"a":null,"b":null}'


@pytest.mark.parametrize(("of", "most"), [("smallint", 2**15 - 1), ("integer", 2**31 - 1), ("bigint", 2**63 - 1)])
def test_a_number_is_masked_as_its_column_would_be_up_to_the_last_one(of: str, most: int) -> None:
    by = rule("json", field("$.n", {"mask": "pseudonym", "domain": "integer"}, of))
    for number in (
        0,
        1,
        7,
        9_999,
        10_000,
        999_999_999,
        10**9,
        most - 1,
        most,
        most + 1,
        -1,
        -most - 1,
        -most - 2,
        10**30,
    ):
        shown = json.loads(left(by, f'{{"n":{number}}}'))["n"]
        fits = -most - 1 <= number <= most
        wanted = render(by.fields[0].mask, str(number), KEY, of) if fits else None
        assert shown == (int(wanted) if wanted is not None else None), number
    assert json.loads(left(by, '{"n":-0}')) == json.loads(left(by, '{"n":0}'))
