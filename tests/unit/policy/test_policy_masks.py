"""Masks in Python: the table of cases shared with PostgreSQL, keys, options and types."""

from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.policy.kinds import FIRST_NAMES, KINDS, checked, misfit
from gateway.policy.masks import derive_key, render, render_json
from gateway.policy.schema import Mask
from gateway.policy.types import column_type

KEY = bytes(range(32))
CORPUS = Path(__file__).parents[2] / "corpus" / "masks"
GROUPS = [group for file in sorted(CORPUS.glob("*.yaml")) for group in YAML(typ="safe").load(file)]
CASES = [(group["mask"], group["type"], value, wanted) for group in GROUPS for value, wanted in group["cases"]]


def mask_of(given: dict[str, Any]) -> Mask:
    options = dict(given)
    return checked(options.pop("mask"), options)


@pytest.mark.parametrize(("mask", "declared", "value", "wanted"), CASES, ids=lambda part: str(part)[:30])
def test_a_mask_makes_of_a_value_what_the_table_says(
    mask: dict[str, Any], declared: str, value: str | None, wanted: str | None
) -> None:
    made = render(mask_of(mask), value, KEY, declared)

    if declared == "jsonb" and made is not None and wanted is not None:
        assert json.loads(made, parse_float=Decimal) == json.loads(wanted, parse_float=Decimal)
    elif column_type(declared).group == "float" and made is not None and wanted is not None:
        assert float(made) == float(wanted)
    else:
        assert made == wanted


def test_the_table_of_cases_has_every_kind_and_every_pseudonym() -> None:
    assert {group["mask"]["mask"] for group in GROUPS} == set(KINDS)
    domains = {group["mask"]["domain"] for group in GROUPS if group["mask"]["mask"] == "pseudonym"}
    assert domains == {"first_name", "last_name", "company", "token", "uuid", "integer"}


@pytest.mark.parametrize("key", [None, b""])
def test_a_keyed_mask_without_a_key_gives_nothing(key: bytes | None) -> None:
    for mask, declared, value, _ in CASES:
        if KINDS[mask["mask"]].keyed and declared != "jsonb":
            assert render(mask_of(mask), value, key, declared) is None


def test_a_keyed_mask_is_hmac_sha256_of_its_label_and_value() -> None:
    digest = hmac.new(KEY, b"token:Martin", hashlib.sha256).hexdigest()

    assert render(checked("pseudonym", {"domain": "token"}), "Martin", KEY, "text") == f"t_{digest[:20]}"


def test_another_purpose_or_name_gives_other_pseudonyms() -> None:
    master = b"m" * 32
    keys = [
        derive_key(master, "global", ""),
        derive_key(master, "target", "payroll"),
        derive_key(master, "target", "crm"),
        derive_key(master, "ticket", "payroll"),
        derive_key(b"n" * 32, "target", "payroll"),
    ]

    tokens = {render(checked("pseudonym", {"domain": "token"}), "Martin", key, "text") for key in keys}

    assert len(tokens) == len(keys)
    assert derive_key(master, "global", "a") == derive_key(master, "global", "b")


def test_key_derivation_is_hkdf_sha256() -> None:
    """RFC 5869 with the salt left out: extract with zeros, then one block of expand."""
    master = b"m" * 32
    pseudorandom = hmac.digest(b"\0" * 32, master, "sha256")
    info = b"gateway mask key 1\0target\0payroll"

    assert derive_key(master, "target", "payroll") == hmac.digest(pseudorandom, info + b"\1", "sha256")


@pytest.mark.parametrize(("master", "purpose"), [(b"m" * 31, "target"), (b"m" * 32, "session")])
def test_a_short_master_key_or_an_unknown_purpose_gives_no_key(master: bytes, purpose: str) -> None:
    with pytest.raises(ValueError, match=r"master key|purpose"):
        derive_key(master, purpose, "payroll")


@pytest.mark.parametrize(
    ("kind", "options", "wanted"),
    [
        ("partial", {"keep_start": -1}, "keep_start"),
        ("partial", {"keep_start": True}, "keep_start"),
        ("partial", {"keep_start": "4"}, "keep_start"),
        ("partial", {"keep": 4}, "no option `keep`"),
        ("bucket", {}, "needs `size`"),
        ("bucket", {"size": 0}, "size"),
        ("bucket", {"size": -1}, "size"),
        ("bucket", {"size": "NaN"}, "size"),
        ("bucket", {"size": "1e-10"}, "size"),
        ("bucket", {"size": "many"}, "size"),
        ("pseudonym", {}, "needs `domain`"),
        ("pseudonym", {"domain": "planet"}, "one of first_name"),
        ("email", {"domain": "clear"}, "one of keep, keyed"),
        ("clear", {"keep_end": 1}, "no option"),
        ("json", {}, "needs `paths`"),
        ("json", {"paths": {}}, "paths"),
        ("json", {"paths": {"a..b": "clear"}}, "member names"),
        ("json", {"paths": {"0": "clear"}}, "member names"),
        ("json", {"paths": {"a": "klear"}}, "a mask other than"),
        ("json", {"paths": {"a": {"mask": "json", "paths": {"b": "clear"}}}}, "a mask other than"),
        ("json", {"paths": {"a": "clear", "a.b": "clear"}}, "none lies below"),
        ("json", {"paths": {"a": "year"}}, "strings or numbers"),
    ],
)
def test_an_option_that_is_unknown_missing_or_malformed_is_refused(
    kind: str, options: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(ValueError, match=wanted):
        checked(kind, options)


@pytest.mark.parametrize(
    ("kind", "options", "declared"),
    [
        ("partial", {}, "integer"),
        ("email", {}, "jsonb"),
        ("year", {}, "text"),
        ("year", {}, "time without time zone"),
        ("bucket", {"size": 1}, "money"),
        ("redact", {}, "public.colour"),
        ("redact", {}, "tsvector"),
        ("pseudonym", {"domain": "uuid"}, "integer"),
        ("pseudonym", {"domain": "integer"}, "text"),
        ("truncate_ip", {}, "macaddr"),
        ("json", {"paths": {"a": "clear"}}, "json"),
        ("initials", {}, "text[]"),
        ("nothing-known", {}, "text"),
    ],
)
def test_a_mask_does_not_fit_other_types(kind: str, options: dict[str, Any], declared: str) -> None:
    mask = checked(kind, options) if kind in KINDS else Mask(kind)

    assert misfit(mask, column_type(declared))
    with pytest.raises(ValueError, match=kind):
        render(mask, "x", KEY, declared)


@pytest.mark.parametrize("declared", ["public.colour", "tsvector", "text[]", "integer", "money"])
def test_clear_and_null_fit_every_type(declared: str) -> None:
    assert not misfit(checked("clear", {}), column_type(declared))
    assert not misfit(checked("null", {}), column_type(declared))


@pytest.mark.parametrize(
    ("declared", "base", "sql"),
    [
        ("character varying(10)", "", "pg_catalog.varchar(10)"),
        ("numeric(10,2)", "", "pg_catalog.numeric(10,2)"),
        ("timestamp(3) with time zone", "", "pg_catalog.timestamptz(3)"),
        ("double precision", "", "pg_catalog.float8"),
        ("text[]", "", "pg_catalog.text[]"),
        ("public.address", "varchar", "pg_catalog.varchar"),
        ("public.address", "text", "pg_catalog.text"),
        ("public.colour", "public.colour", "public.colour"),
        ("public.colour", "", "public.colour"),
        ('"My Types".colour', "My Types.colour", '"My Types".colour'),
        ("public.citext", "public.citext", "public.citext"),
        ("ext.e_mail", "ext.citext", "ext.citext"),
    ],
)
def test_a_type_is_named_so_that_nothing_can_stand_in_for_it(declared: str, base: str, sql: str) -> None:
    assert column_type(declared, base).sql == sql


@pytest.mark.parametrize("kind", ["email", "redact", "partial", "null", "initials", "digits"])
def test_citext_takes_the_masks_of_text(kind: str) -> None:
    assert not misfit(checked(kind, {}), column_type("public.citext", "public.citext"))
    assert misfit(checked("year", {}), column_type("public.citext", "public.citext"))
    assert misfit(checked("email", {}), column_type("public.citext_like", "public.citext_like"))


def test_a_document_is_masked_member_by_member_and_the_rest_is_dropped() -> None:
    mask = checked(
        "json", {"paths": {"name.first": "initials", "age": {"mask": "bucket", "size": 10}, "plan": "clear"}}
    )
    document = {"name": {"first": "Jean Dupont", "last": "Martin"}, "age": 47.5, "plan": ["secret"], "notes": "call"}

    made = render_json(mask, document, KEY)

    assert made == {"name": {"first": "J.D."}, "age": 40, "plan": None}


def test_first_names_are_a_power_of_two_and_distinct() -> None:
    assert len(FIRST_NAMES) == len(set(FIRST_NAMES)) == 64


@pytest.mark.parametrize("length", [1, 31, 32, 63, 64, 65, 128, 200])
def test_a_keyed_mask_is_hmac_with_a_key_of_any_length(length: int) -> None:
    key = bytes(number % 251 for number in range(length))
    for text in ("", "Durand", "é\ud800", "x" * 300):
        wanted = hmac.digest(key, f"token:{text}".encode(errors="surrogatepass"), "sha256").hex()[:20]
        assert render(checked("pseudonym", {"domain": "token"}), text, key, "text") == f"t_{wanted}"
