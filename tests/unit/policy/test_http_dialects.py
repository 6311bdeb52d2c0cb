"""Policies of routes that take SQL: what loads, what is refused and where, and what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.policy.diff import differences
from gateway.policy.load import parse_policy
from gateway.policy.shapes import DocumentInvalid

TEXT = (Path(__file__).parents[2] / "corpus" / "dialects" / "shop.yaml").read_text(encoding="utf-8")


def test_a_policy_with_routes_that_take_sql_has_their_tables() -> None:
    policy = parse_policy(TEXT)

    assert policy.dialect == "clickhouse"
    assert policy.http is not None
    assert {route.dialect for route in policy.http.routes} == {"clickhouse"}
    assert policy.tables["shop.employees"].columns["salary"].type == "integer"


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("{post: /, dialect: clickhouse}", "{post: /, dialect: oracle}", "wanted one of clickhouse"),
        ("{post: /, dialect: clickhouse}", "{put: /, dialect: clickhouse}", "SQL is sent by GET or POST"),
        ("{post: /, dialect: clickhouse}", "{post: '/{d}', path: {d: string}, dialect: clickhouse}", "no placeholders"),
        ("{post: /, dialect: clickhouse}", "{post: /, dialect: clickhouse, customer: none}", "has no `customer`"),
        ("{post: /, dialect: clickhouse}", "{post: /, dialect: clickhouse, write: request}", "has no `write`"),
        ("{post: /, dialect: clickhouse}", "{post: /}", "`customer` is missing"),
        ("id: {mask: clear, type: bigint}\n      name", "id: clear\n      name", "`type` is missing"),
        ("type: integer}", "type: whatever}", "`type` is a type as PostgreSQL spells it"),
        ("{mask: bucket, size: 10000, type: integer}", "{mask: bucket, size: 0.5, type: integer}", "more decimals"),
        ("{mask: bucket, size: 10000, type: integer}", "{mask: bucket, size: 1, type: double precision}", "on a float"),
        ("{mask: redact, type: text}\n      status", "{mask: redact, type: inet}\n      status", "not for `inet`"),
        ("{mask: redact, type: text}\n      status", "{mask: json, paths: {a: clear}, type: jsonb}\n      status",
         "mask `json` cannot be rendered by `clickhouse`"),
        ("{mask: redact, type: text}\n      status", "{mask: redact, search: exact, type: boolean}\n      status",
         "`search: exact` cannot be asked of `clickhouse`"),
        ("limits: {exact_searches_per_hour: 1000}\n", "", "`search: exact` needs a budget"),
        ("{mask: bucket, size: 10000, type: integer}",
         "{mask: 'null', aggregate: {min_group: 5, subject: id}, type: integer}", "`aggregate` is for databases"),
        ("{mask: year, type: date}", "{mask: year, type: text}", "does not fit type `text`"),
        ("scope: company_id = ticket.customer", "scope: owner = ticket.customer", "must be one of `columns`"),
        ("    scope: id = ticket.customer", "    scope: created = ticket.customer", "must be one of `columns`"),
        ("company_id: {mask: clear, type: bigint}", "company_id: {mask: clear, type: date}", "customer is an integer"),
        ("shop.countries:", "shop.gateway_x:", "cannot be named in SQL here"),
        ("      phone:", "      gateway_phone:", "cannot be named in SQL here"),
        ("      phone:", "      'a;b':", "cannot be named in SQL here"),
        ("schemas: [shop]", "schemas: [shop]\nfunctions: [shop.x]", "`functions` is for databases"),
        ("schemas: [shop]", "schemas: [shop]\nwrite: {shop.employees: {delete: true}}", "`write` is for databases"),
        ("schemas: [shop]", "schemas: [shop]\nmode: observe", "cannot be observed"),
        ("  shop.employees: [email]", "  shop.employees: [x]", "has no column `x`"),
        ("http:\n", "http:\n  direction: outbound\n  recipient: X\n", "SQL is not sent to sub-processors"),
    ],
)  # fmt: skip
def test_a_fault_is_said(old: str, new: str, wanted: str) -> None:
    assert old in TEXT
    with pytest.raises(DocumentInvalid) as caught:
        parse_policy(TEXT.replace(old, new, 1))

    assert wanted in str(caught.value)


TRINO = (
    TEXT.replace("    statement: {post: /, dialect: clickhouse}\n", "")
    .replace(
        "question: {get: /, dialect: clickhouse}", "statement: {post: /v1/statement, dialect: trino, catalog: hive}"
    )
    .replace(", search: exact", "")
)


def test_a_policy_of_trinos_has_a_catalog() -> None:
    policy = parse_policy(TRINO)

    assert (policy.dialect, policy.catalog) == ("trino", "hive")
    assert parse_policy(TEXT).catalog == ""


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (", catalog: hive", "", "`catalog` is missing"),
        ("catalog: hive", "catalog: Hive", "the name of a catalog, in small letters"),
        ("post: /v1/statement", "post: /", "by POST to /v1/statement"),
        ("post: /v1/statement", "get: /v1/statement", "by POST to /v1/statement"),
        ("dialect: trino", "dialect: clickhouse", "`catalog` is for `dialect: trino`"),
        ("shop.countries:", "shop.Countries:", "has capital letters"),
        ("{mask: bucket, size: 10000, type: integer}", "{mask: bucket, size: 10, type: 'numeric(38,2)'}", "36 digits"),
        ("{mask: redact, type: text}\n      status", "{mask: json, paths: {a: clear}, type: jsonb}\n      status",
         "mask `json` cannot be rendered by `trino`"),
    ],
)  # fmt: skip
def test_a_fault_in_a_policy_of_trinos_is_said(old: str, new: str, wanted: str) -> None:
    assert old in TRINO
    with pytest.raises(DocumentInvalid) as caught:
        parse_policy(TRINO.replace(old, new, 1))

    assert wanted in str(caught.value)


SEARCH = (Path(__file__).parents[2] / "corpus" / "search" / "shop.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("post: /_sql", "post: /", "by POST to /_sql"),
        ("{post: /_sql, dialect: elasticsearch}", "{post: /_sql, dialect: opensearch}", "by POST to /_plugins/_sql"),
        ("dialect: elasticsearch", "dialect: elasticsearch, catalog: x", "`catalog` is for `dialect: trino`"),
        ("scope: customer = ticket.customer", "scope: id in main.employees.id", "`elasticsearch` has no joins"),
        ("note: {mask: initials, type: text}", "note: {mask: json, paths: {a: clear}, type: jsonb}", "has scalars"),
        ("note: {mask: initials, type: text}", "note: {mask: redact, type: bytea}", "has scalars"),
    ],
)
def test_a_fault_in_a_policy_of_a_search_engine_is_said(old: str, new: str, wanted: str) -> None:
    assert old in SEARCH
    assert parse_policy(SEARCH).dialect == "elasticsearch"
    with pytest.raises(DocumentInvalid) as caught:
        parse_policy(SEARCH.replace(old, new, 1))

    assert wanted in str(caught.value)


def test_tables_are_needed_and_are_for_such_routes_only() -> None:
    without = TEXT[: TEXT.index("schemas:")]
    with pytest.raises(DocumentInvalid, match="`tables` is missing"):
        parse_policy(without)
    plain = TEXT.replace("{post: /, dialect: clickhouse}", "{get: /a, customer: none, answers: {200: {media: empty}}}")
    plain = plain.replace("    question: {get: /, dialect: clickhouse}\n", "")
    with pytest.raises(DocumentInvalid, match="`tables` is for databases"):
        parse_policy(plain)
    database = TEXT.replace(TEXT[TEXT.index("http:") : TEXT.index("schemas:")], "")
    with pytest.raises(DocumentInvalid, match="`type` is for SQL over HTTP"):
        parse_policy(database)


def test_a_changed_type_and_a_changed_mask_are_told() -> None:
    old = parse_policy(TEXT)
    typed = parse_policy(TEXT.replace("size: 10000, type: integer", "size: 10000, type: bigint"))
    clear = parse_policy(TEXT.replace("{mask: bucket, size: 10000, type: integer}", "{mask: clear, type: integer}"))

    assert ("changed", "tables.shop.employees.salary.type") in {tuple(one)[:2] for one in differences(old, typed)}
    assert ("wider", "tables.shop.employees.salary") in {tuple(one)[:2] for one in differences(old, clear)}
    assert old.digest not in {typed.digest, clear.digest}
