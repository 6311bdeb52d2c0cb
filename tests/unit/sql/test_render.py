"""Masks and customers as SQL text: what is refused, and how what is made is spelled."""

from __future__ import annotations

import re

import pytest

from gateway.errors import GatewayError
from gateway.policy.kinds import KINDS, checked
from gateway.policy.schema import Mask
from gateway.sql.catalog import Column
from gateway.sql.render import literal_sql, mask_settings, mask_sql

MASKS = [
    checked("partial", {"keep_start": 4, "keep_end": 3}),
    checked("email", {"domain": "keyed"}),
    *(checked("pseudonym", {"domain": d}) for d in ("first_name", "last_name", "company", "token", "uuid")),
    checked("digits", {}),
    checked("initials", {}),
    checked("truncate_ip", {}),
    checked("redact", {}),
    checked("null", {}),
]


def column(declared: str, base: str = "") -> Column:
    return Column("v", 1, declared, base or declared, "")


def test_settings_are_the_padded_blocks_of_hmac() -> None:
    """RFC 2104: the key, zeros up to 64 bytes, each byte with 0x36 or 0x5c."""
    settings = mask_settings(b"\x01" * 32)

    assert settings == {
        "gateway.mask_inner": "37" * 32 + "36" * 32,
        "gateway.mask_outer": "5d" * 32 + "5c" * 32,
    }
    with pytest.raises(ValueError, match="32 bytes"):
        mask_settings(b"short")


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_everything_in_a_mask_is_qualified(mask: Mask) -> None:
    text = re.sub(r"E?'(?:[^'\\]|\\.|'')*'", "''", mask_sql(mask, "t.v", column("text")))

    called = set(re.findall(r"([a-zA-Z_.]+)\(", text)) - {"CAST", "OPERATOR", "COALESCE", "LEAST", "GREATEST"}
    assert all(name.startswith("pg_catalog.") for name in called), called
    assert not re.findall(r" AS (?!pg_catalog\.)", text)
    bare = re.sub(r"OPERATOR\(pg_catalog\.[^)]+\)", "", text)
    assert not re.findall(r"[-+*/<>=~!@#%^&|?]", bare)


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_no_mask_carries_a_key(mask: Mask) -> None:
    key = b"\xab" * 32
    text = mask_sql(mask, "t.v", column("text"))

    assert not any(value in text for value in mask_settings(key).values())
    assert ("gateway.mask_inner" in text) == KINDS[mask.kind].keyed


def test_a_clear_column_is_left_alone() -> None:
    assert mask_sql(checked("clear", {}), 't."E mail"', column("public.colour")) == 't."E mail"'


def test_null_keeps_the_type() -> None:
    assert mask_sql(checked("null", {}), "t.v", column("numeric(10,2)")) == "CAST(NULL AS pg_catalog.numeric(10,2))"
    assert mask_sql(checked("null", {}), "t.v", column("public.mood", "public.mood")) == "CAST(NULL AS public.mood)"


def test_a_mask_that_does_not_fit_is_refused() -> None:
    with pytest.raises(GatewayError, match="column `v`: mask `year` does not fit type `text`") as caught:
        mask_sql(checked("year", {}), "t.v", column("text"))
    assert caught.value.code == "policy-invalid"

    with pytest.raises(GatewayError, match="there is no mask `rot13`"):
        mask_sql(Mask("rot13"), "t.v", column("text"))


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        ("integer", "42", "CAST('42' AS pg_catalog.int4)"),
        ("integer", "0", "CAST('0' AS pg_catalog.int4)"),
        ("integer", "-2147483648", "CAST('-2147483648' AS pg_catalog.int4)"),
        ("bigint", "9223372036854775807", "CAST('9223372036854775807' AS pg_catalog.int8)"),
        ("text", "O'Brien", "CAST('O''Brien' AS pg_catalog.text)"),
        ("text", "a\\'; --", "CAST(E'a\\\\''; --' AS pg_catalog.text)"),
        ("character varying(3)", "é日😀", "CAST('é日😀' AS pg_catalog.varchar(3))"),
        (
            "uuid",
            "6F1F2A3E-93A7-4A64-8F2B-2F8A1A3C4D5E",
            "CAST('6f1f2a3e-93a7-4a64-8f2b-2f8a1a3c4d5e' AS pg_catalog.uuid)",
        ),
    ],
)
def test_a_customer_becomes_a_constant_of_the_columns_type(declared: str, value: str, text: str) -> None:
    assert literal_sql(value, column(declared)) == text


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        *(
            ("integer", bad)
            for bad in ("", " 42", "42 ", "42\n", "+42", "042", "-0", "4_2", "4.0", "1e3", "0x2a", "٤٢", "42 or 1=1")
        ),
        ("integer", "2147483648"),
        ("integer", "-2147483649"),
        ("smallint", "32768"),
        ("bigint", "9223372036854775808"),
        ("bigint", "99999999999999999999"),
        ("uuid", "6f1f2a3e93a74a648f2b2f8a1a3c4d5e"),
        ("uuid", "{6f1f2a3e-93a7-4a64-8f2b-2f8a1a3c4d5e}"),
        ("uuid", "6f1f2a3e-93a7-4a64-8f2b-2f8a1a3c4d5e\n"),
        ("text", ""),
        ("text", "a\0b"),
        ("text", "a\nb"),
        ("text", "\ud800"),
        ("text", "x" * 1001),
        ("character varying(3)", "abcd"),
        ("character(3)", "abc"),
        ("boolean", "true"),
        ("numeric", "42"),
        ("date", "2024-01-01"),
        ("text[]", "{a}"),
        ("public.colour", "red"),
    ],
)
def test_a_customer_that_does_not_fit_is_refused(declared: str, value: str) -> None:
    with pytest.raises(GatewayError, match="the ticket's customer") as caught:
        literal_sql(value, column(declared))

    assert caught.value.code == "customer-invalid"
    assert value == "" or len(value) < 4 or value not in caught.value.refusal.message


def test_a_customer_of_a_domain_compares_as_its_base() -> None:
    assert literal_sql("42", column("public.company_id", "int4")) == "CAST('42' AS pg_catalog.int4)"
