"""The JSON Schema of records: what is recorded fits it, what is not does not, and it says what every field is."""

import json

import pytest
from record_check import problems

from gateway.audit.encode import record_of
from gateway.audit.schema import _LISTS, _MEANINGS, record_schema
from gateway.audit.segment import read_batches, segments_of
from gateway.record import ANYWHERE, ENVELOPE, KINDS, event

SCHEMA = record_schema()
ENVELOPED = {
    "v": 1, "origin": "log.example", "index": 7, "id": "0193b7a1-0000-7abc-8def-000000000001",
    "time": "2026-11-23T08:00:00.000001Z",
}  # fmt: skip
FITTING = {"array": ["x"], "boolean": True, "integer": 5}


def value_of(name):
    """Something of the form that the field has."""
    if name in _LISTS:
        return ["x"]
    form = _MEANINGS.get(name, ({"type": "string"}, ""))[0]
    if "pattern" in form:
        if name in ("sealed", "subjects"):
            return {"sealed": f"2026-11.{'0' * 64}.cut", "subjects": f"{'x' * 22} +3"}[name]
        return "0" * 64 if "64" in form["pattern"] else "2026-11-23T08:00:00+00:00"
    return form["enum"][0] if "enum" in form else FITTING.get(form["type"], "x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_with_every_field_of_its_kind_fits_and_with_another_one_does_not(kind):
    record = ENVELOPED | event(kind, **{name: value_of(name) for name in KINDS[kind]})
    assert list(problems(record, SCHEMA)) == []
    assert list(problems(record | {"colour": "x"}, SCHEMA))
    for name in KINDS[kind]:
        assert list(problems(record | {name: {"x": 1}}, SCHEMA)), name
    for name in ("v", "origin", "index", "id", "time", "kind"):
        assert list(problems({key: value for key, value in record.items() if key != name}, SCHEMA)), name


def test_what_the_schema_explains_are_fields_that_exist():
    fields = {*ENVELOPE, *ANYWHERE, *(name for names in KINDS.values() for name in names)}
    assert _LISTS | _MEANINGS.keys() <= fields


def test_the_schema_is_json_and_names_its_version():
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$id"].endswith(":1")


@pytest.mark.parametrize("kind", ["mystery", "", None])
def test_an_unknown_kind_fits_nothing(kind):
    assert list(problems(ENVELOPED | {"kind": kind}, SCHEMA))


def test_records_of_a_trail_fit_the_shortened_one_included(open_log, trail, records):
    begin, end = records
    log = open_log()
    log.append(begin(1, sql="select " * 9_000, relations=[f"public.r{i}" for i in range(900)]))
    log.append(end(1, bytes=10))
    log.close()
    stored = [
        record_of(leaf)
        for first, path in segments_of(trail)
        for batch in read_batches(path, first)
        for leaf in batch.leaves
    ]
    assert "truncated" in stored[1]
    assert [list(problems(record, SCHEMA)) for record in stored] == [[]] * len(stored)
