"""What a client may declare a parameter to be, through the gateway: nothing that names things or can fail."""

from __future__ import annotations

import pytest
from gateway_fixture import House
from raw_client import Raw

from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import postgres as wire

HIDDEN = b"notes"


def answers(house: House, text: str, types: tuple[int, ...], *values: bytes) -> list[tuple[int, bytes]]:
    with Raw(house) as raw:
        raw.log_in()
        raw.send(
            wire.encode_parse(b"", text, types)
            + wire.frame(wire.DESCRIBE, b"S\0")
            + wire.encode_bind(b"", b"", values)
            + wire.encode_execute(b"", 0)
            + wire.encode_sync()
        )
        return raw.until_ready()


def row_type(postgres: EmbeddedPostgres) -> int:
    return int(postgres.sql("select reltype::int from pg_class where oid = 'public.employees'::regclass")[0][0])


@pytest.mark.parametrize("text", ["select ($1).*", "select row_to_json($1)", "select $1"])
def test_a_parameter_of_a_relations_row_type_names_none_of_its_columns(
    house: House, postgres: EmbeddedPostgres, text: str
) -> None:
    commas = b"," * (len(postgres.sql("select * from public.employees limit 1")[0]) - 1)

    seen = answers(house, text, (row_type(postgres),), b"(" + commas + b")")

    assert not [body for _, body in seen if HIDDEN in body]
    described = [body for kind, body in seen if kind == wire.PARAMETER_DESCRIPTION]
    assert all(row_type(postgres).to_bytes(4, "big") not in body for body in described)


def test_a_parameter_of_a_catalogs_row_type_looks_nothing_up(house: House) -> None:
    """A row of pg_am has a column of type regproc."""
    pg_am_row = 10001  # no number of a plain type
    known = answers(house, "select $1", (pg_am_row,), b"(1,x,public.slugify,i)")
    unknown = answers(house, "select $1", (pg_am_row,), b"(1,x,public.nonsense,i)")

    assert [kind for kind, _ in known] == [kind for kind, _ in unknown]


def test_a_parameter_that_is_declared_an_oid_is_what_it_is_compared_with(house: House) -> None:
    seen = answers(house, "select id from employees where id = $1", (26,), b"5")

    described = [body for kind, body in seen if kind == wire.PARAMETER_DESCRIPTION]
    assert described
    assert (26).to_bytes(4, "big") not in described[0]
