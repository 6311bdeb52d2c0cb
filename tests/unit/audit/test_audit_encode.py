"""Leaves: one encoding per record, bounded, and nothing that JSON cannot carry exactly."""

import hashlib
import json

import pytest

from gateway.audit.encode import LEAF_LIMIT, canonical, leaf_of, record_of


@pytest.mark.parametrize(
    ("record", "leaf"),
    [
        ({"b": 1, "a": "x"}, b'{"a":"x","b":1}'),
        ({"t": True, "f": False, "n": -3}, b'{"f":false,"n":-3,"t":true}'),
        ({"z": ["b", "a"], "m": {"y": 1, "x": [2]}}, b'{"m":{"x":[2],"y":1},"z":["b","a"]}'),
        ({"e": "é€😀"}, '{"e":"é€😀"}'.encode()),
        # RFC 8785, 3.2.2.2: two-character escapes where they exist, lower-case \u00xx otherwise, nothing else
        ({"s": '\x00\x1f\b\t\n\f\r"\\/\x7f\u2028'}, b'{"s":"\\u0000\\u001f\\b\\t\\n\\f\\r\\"\\\\/\x7f\xe2\x80\xa8"}'),
        ({"i": 2**53 - 1}, b'{"i":9007199254740991}'),
    ],
)
def test_a_record_has_the_canonical_form_of_rfc_8785(record, leaf):
    assert leaf_of(record) == leaf
    assert leaf_of(record_of(leaf)) == leaf
    assert json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == leaf


@pytest.mark.parametrize(
    "value", [1.5, float("nan"), None, b"bytes", {"é": 1}, {1: 2}, [1.0], {"a": {"b": None}}, {1, 2}]
)
def test_what_has_several_spellings_is_refused(value):
    with pytest.raises(TypeError):
        leaf_of({"value": value})


@pytest.mark.parametrize("value", [2**53, -(2**53), [2**60], "\ud800"])
def test_what_json_cannot_carry_is_refused(value):
    with pytest.raises(ValueError):
        leaf_of({"value": value})


def test_a_long_text_is_cut_and_its_whole_is_named_by_length_and_digest():
    sql = "select 'é' || " * 30_000
    leaf = leaf_of({"kind": "statement.begin", "sql": sql})

    record = record_of(leaf)
    assert len(leaf) <= LEAF_LIMIT
    assert sql.startswith(record["sql"])
    assert len(record["sql"].encode()) > 4_000
    assert record["truncated"] == {
        "sql": {"bytes": len(sql.encode()), "sha256": hashlib.sha256(sql.encode()).hexdigest()}
    }


def test_a_long_list_is_cut_and_its_whole_is_named_by_count_and_digest():
    columns = [f"public.employees.column_{i:05d}" for i in range(3_000)]
    record = record_of(leaf_of({"columns_clear": columns}))

    assert record["columns_clear"] == columns[: len(record["columns_clear"])]
    assert record["truncated"]["columns_clear"] == {
        "items": 3_000,
        "sha256": hashlib.sha256(canonical(columns)).hexdigest(),
    }


@pytest.mark.parametrize("catalog", ["pg_catalog.pg_class", "information_schema.columns"])
def test_the_names_of_catalogs_crowd_no_relation_out_of_a_record(catalog):
    read = [*(f"{catalog}_{i:03d}" for i in range(400)), "public.employees", "sales.orders"]
    record = record_of(leaf_of({"sql": "x" * 20_000, "rewritten": "x" * 200_000, "relations": read}))

    assert record["truncated"]["relations"]["items"] == 402
    assert record["relations"][:2] == ["public.employees", "sales.orders"]


def test_what_was_read_is_cut_after_the_text_of_the_statement():
    columns = [f"public.employees.column_{i:02d}" for i in range(90)]
    lists = {f"columns_{how}": columns for how in ("clear", "masked", "revealed")}
    record = record_of(leaf_of({"sql": "x" * 20_000, "rewritten": "x" * 20_000, **lists}))

    assert set(record["truncated"]) == {"sql", "rewritten"}


def test_everything_long_at_once_still_fits():
    record = {f"text{i}": "\x01" * 100_000 for i in range(4)} | {f"list{i}": ["x" * 90] * 5_000 for i in range(8)}
    leaf = leaf_of(record)
    assert len(leaf) <= LEAF_LIMIT
    assert set(record_of(leaf)["truncated"]) == set(record)


def test_a_record_of_too_many_fields_is_refused():
    with pytest.raises(ValueError, match="too long"):
        leaf_of({f"field{i}": "x" * 50 for i in range(500)})


@pytest.mark.parametrize("leaf", [b"", b"[]", b"1", b'{"a":', b"\xff"])
def test_what_is_no_record_is_refused(leaf):
    with pytest.raises(ValueError):
        record_of(leaf)
