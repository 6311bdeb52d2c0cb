"""Masks on ClickHouse's engine, MariaDB and Trino's functions, by the table of cases of PostgreSQL and Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from clickhouse_http import clickhouse
from dialect_world import KEY, keys
from mariadb_server import mariadb_server
from ruamel.yaml import YAML
from trino_engine import Engine, Failed

from gateway.policy import dialects
from gateway.policy.kinds import KINDS, checked
from gateway.policy.schema import Mask
from gateway.policy.types import column_type
from gateway.sql.catalog import Column
from gateway.sql.tree.masks import mask_sql
from gateway.sql.tree.writing import string
from gateway.sql.trino import bound

CORPUS = Path(__file__).parents[1] / "corpus" / "masks"
GROUPS = [group for file in sorted(CORPUS.glob("*.yaml")) for group in YAML(typ="safe").load(file)]
Masked = Callable[[Mask, str, list[str | None]], list[str | None]]
"""Values of a declared type under a mask, as text."""
TYPES = {
    "clickhouse": {
        "text": "String", "varchar": "String", "int2": "Int16", "int4": "Int32", "int8": "Int64",
        "date": "Date32", "timestamp": "DateTime64(6, 'UTC')", "timestamptz": "DateTime64(6, 'UTC')", "bool": "Bool",
        "uuid": "UUID",
    },
    "trino": {
        "text": "VARCHAR", "varchar": "VARCHAR", "int2": "SMALLINT", "int4": "INTEGER", "int8": "BIGINT",
        "date": "DATE", "timestamp": "TIMESTAMP(6)", "timestamptz": "TIMESTAMP WITH TIME ZONE", "bool": "BOOLEAN",
        "uuid": "UUID",
    },
    "mariadb": {
        "text": "LONGTEXT", "varchar": "VARCHAR(100)", "int2": "SMALLINT", "int4": "INT", "int8": "BIGINT",
        "date": "DATE", "timestamp": "DATETIME(6)", "timestamptz": "TIMESTAMP(6) NULL", "bool": "BOOL",
        "uuid": "CHAR(36)",
    },
}  # fmt: skip


def mask_of(given: Any) -> Mask:
    options = dict(given) if isinstance(given, dict) else {"mask": given}
    return checked(options.pop("mask"), options)


def rendered(dialect: str) -> list[Any]:
    """The groups of cases that the dialect renders."""
    return [
        pytest.param(dialect, group, id=f"{dialect}-{number}-{group['mask']['mask']}")
        for number, group in enumerate(GROUPS)
        if not dialects.misfit(dialect, mask_of(group["mask"]), column_type(group["type"]))
        and (column_type(group["type"]).name in TYPES[dialect] or column_type(group["type"]).mods)
    ]


def kind(dialect: str, declared: str) -> str:
    of = column_type(declared)
    return TYPES[dialect].get(of.name) or (
        f"Decimal({of.mods[0]}, {of.mods[1]})" if of.mods else TYPES[dialect]["text"]
    )  # fmt: skip


def column(declared: str) -> Column:
    return Column("v", 1, declared, declared, "")


@pytest.fixture(scope="module")
def masked_clickhouse() -> Iterator[Masked]:
    with clickhouse() as server:

        def masked(mask: Mask, declared: str, values: list[str | None]) -> list[str | None]:
            made = []
            for value in values:
                given = "NULL" if value is None else string(value)
                subject = f"CAST({given} AS Nullable({kind('clickhouse', declared)})) AS v"
                expression = mask_sql(mask, "t.v", column(declared), "clickhouse")
                text = f"SELECT toString({expression}) FROM (SELECT {subject}) AS t"
                found = server.rows(text, **{f"param_{name}": key for name, key in keys().items()})
                made.append(found if found == "error" else found[1][0][0])
            return made

        yield masked


@pytest.fixture(scope="module")
def masked_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Masked]:
    with mariadb_server(tmp_path_factory.mktemp("mariadb"), tls=False) as server:
        connection = pymysql.connect(
            host=server.host, port=server.port, user="root", password=server.root_password, charset="utf8mb4",
            autocommit=True,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE m CHARACTER SET utf8mb4")
            cursor.execute("USE m")
            cursor.execute("SET time_zone = '+00:00'")
            for name, value in keys().items():
                cursor.execute(f"SET @{name} = '{value}'")

            def masked(mask: Mask, declared: str, values: list[str | None]) -> list[str | None]:
                cursor.execute("DROP TABLE IF EXISTS t")
                cursor.execute(f"CREATE TABLE t (n INT, v {kind('mariadb', declared)})")
                for number, value in enumerate(values):
                    cursor.execute("INSERT INTO t VALUES (%s, %s)", [number, value])
                expression = mask_sql(mask, "t.v", column(declared), "mariadb")
                cursor.execute(f"SELECT CAST({expression} AS CHAR) FROM t ORDER BY n")
                return [row[0] for row in cursor.fetchall()]

            masked.cursor = cursor  # type: ignore[attr-defined]
            yield masked


@pytest.fixture(scope="module")
def masked_trino() -> Iterator[Masked]:
    engine = Engine()
    engine.connection.execute("SET TimeZone = 'Asia/Kathmandu'")

    def masked(mask: Mask, declared: str, values: list[str | None]) -> list[str | None]:
        made: list[str | None] = []
        expression = mask_sql(mask, "t.v", column(declared), "trino")
        utc = " AT TIME ZONE 'UTC'" if column_type(declared).name == "timestamptz" and mask.kind == "redact" else ""
        for value in values:
            zone = "+00" if value and column_type(declared).name == "timestamptz" else ""
            given = "NULL" if value is None else string(value + zone, standard=True)
            subject = f"CAST({given} AS {kind('trino', declared)}) AS v"
            text = f"SELECT CAST(({expression}){utc} AS VARCHAR) FROM (SELECT {subject}) AS t"
            made.append(engine.run(bound(text, KEY))[2][0][0])
        return made

    yield masked
    engine.close()


def _storable(dialect: str, declared: str, value: str | None) -> bool:
    """Whether a column of the server can hold a value of PostgreSQL's."""
    of = column_type(declared)
    if value is None or of.group not in {"date", "timestamp", "numeric", "boolean"}:
        return True
    if of.group == "boolean":
        return False
    year = value.partition("-")[0]
    if of.group == "numeric":
        return value[:1].isdecimal()
    if not year.isdecimal() or "BC" in value or len(year) > 4:
        return False
    moments = (1970, 2037) if of.name == "timestamptz" else (0, 9999)
    first, last = {"clickhouse": (1900, 2299), "mariadb": moments, "trino": (1, 9999)}[dialect]
    return first <= int(year) <= last


def _comparable(text: str | None, declared: str, dialect: str) -> str | None:
    """Without what is only spelling: PostgreSQL's time zone, and in ClickHouse the noughts at an end."""
    if text is None or column_type(declared).group == "timestamp":
        return text.removesuffix("+00").removesuffix(".000000") if text is not None else None
    if column_type(declared).group == "numeric" and dialect != "mariadb" and "." in text:
        text = f"0{text}" if text.startswith(".") else text
        return text.rstrip("0").rstrip(".")
    return {"f": "0" if dialect == "mariadb" else "false"}.get(text, text) if declared == "boolean" else text


@pytest.mark.parametrize(("dialect", "group"), [*rendered("clickhouse"), *rendered("mariadb"), *rendered("trino")])
def test_a_mask_makes_of_each_value_what_the_table_says(
    request: pytest.FixtureRequest, dialect: str, group: dict[str, Any]
) -> None:
    masked: Masked = request.getfixturevalue(f"masked_{dialect}")
    cases = [case for case in group["cases"] if _storable(dialect, group["type"], case[0])]

    given = [value.removesuffix("+00") if value and ":" in value and "-" in value[:8] else value for value, _ in cases]
    if column_type(group["type"]).group != "timestamp":
        given = [value for value, _ in cases]
    made = masked(mask_of(group["mask"]), group["type"], given)

    wanted = [_comparable(expected, group["type"], dialect) for _, expected in cases]
    assert [_comparable(one, group["type"], dialect) for one in made] == wanted


def test_every_kind_of_mask_is_tried() -> None:
    for dialect, more in (("clickhouse", {"digits"}), ("mariadb", set()), ("trino", {"digits"})):
        tried = {param.values[1]["mask"]["mask"] for param in rendered(dialect)}

        assert tried == KINDS.keys() - {"json", "digits"} | more


def test_a_keyed_mask_of_trino_without_its_key_is_refused_by_the_server() -> None:
    engine = Engine()
    text = mask_sql(checked("email", {}), "'alice@example.com'", column("text"), "trino")

    with pytest.raises(Failed):
        engine.run(f"SELECT {text}")
    engine.close()


@pytest.mark.parametrize("value", ["''", "NULL"])
def test_a_keyed_mask_of_mariadb_without_its_key_is_null(masked_mariadb: Any, value: str) -> None:
    for name in keys():
        masked_mariadb.cursor.execute(f"SET @{name} = {value}")
        try:
            assert masked_mariadb(checked("email", {}), "text", ["alice@example.com"]) == [None]
            assert masked_mariadb(checked("pseudonym", {"domain": "company"}), "text", ["Acme"]) == [None]
        finally:
            masked_mariadb.cursor.execute(f"SET @{name} = '{keys()[name]}'")


def test_a_keyed_mask_of_clickhouse_without_its_key_is_refused_by_the_server() -> None:
    with clickhouse() as server:
        text = mask_sql(checked("email", {}), "'alice@example.com'", column("text"), "clickhouse")
        status, answer = server.post(f"SELECT {text}")

        assert status == 400
        assert "gateway_" in answer
