"""MySQL's and MariaDB's SQL: what is refused and how, what runs, and what the rewritten text can name."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sqlglot import exp

from gateway.errors import Refusal
from gateway.policy.load import load_policy
from gateway.policy.schema import Mask
from gateway.sql import mysql
from gateway.sql.declared import declared
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.tree.grammar import MARIADB

CORPUS = Path(__file__).parents[2] / "corpus"
POLICY = load_policy(CORPUS / "dialects" / "shop.yaml")

SEED, MUTANTS = 2026, 3000


def view(dialect: str = "mariadb", **more: Any) -> View:
    policy = replace(POLICY, dialect=dialect)
    if dialect == "mysql":
        # it cannot render `initials`
        notes = POLICY.tables["shop.notes"]
        columns = notes.columns | {"note": replace(notes.columns["note"], mask=Mask("redact"))}
        policy = replace(policy, tables=policy.tables | {"shop.notes": replace(notes, columns=columns)})
    return View(policy, declared(policy), **({"customers": ("42",), "search_path": ("shop",)} | more))


def corpus(name: str) -> list[str]:
    read = YAML(typ="safe").load(CORPUS / "mysql" / f"{name}.yaml")
    return read if isinstance(read, list) else [one for several in read.values() for one in several]


def attacks() -> list[Any]:
    read = YAML(typ="safe").load(CORPUS / "mysql" / "attacks.yaml")
    return [
        pytest.param(code, sql, id=f"{code}-{number}")
        for code, several in read.items()
        for number, sql in enumerate(several)
    ]


def numbered(name: str) -> list[Any]:
    return [pytest.param(sql, id=f"{name}-{number}") for number, sql in enumerate(corpus(name))]


def plan(sql: str, **more: Any) -> Plan:
    found = mysql.analyse(sql, view(**more))
    assert isinstance(found, Plan), found
    return found


def refused(sql: str, **more: Any) -> Refusal:
    found = mysql.analyse(sql, view(**more))
    assert isinstance(found, Refusal), found
    return found


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
@pytest.mark.parametrize(("code", "sql"), attacks())
def test_an_attack_is_refused_with_its_code(dialect: str, code: str, sql: str) -> None:
    refusal = refused(sql, dialect=dialect)

    assert refusal.code == code, refusal
    assert refusal.hint


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
@pytest.mark.parametrize("sql", [*numbered("legitimate"), *numbered("blind"), *numbered("clients")])
def test_what_runs_names_no_relation_outside_of_its_derived_table(dialect: str, sql: str) -> None:
    found = plan(sql, dialect=dialect)
    if found.kinds != (Kind.READ,) or "JSON_TABLE" in found.rewritten or "@@" in found.rewritten:
        return
    for table in MARIADB.dialect.parse(found.rewritten)[0].find_all(exp.Table):
        if table.db:
            assert table.db == "shop"
            assert table.alias == "gateway_t" or table.alias.startswith("gateway_s")


@pytest.mark.parametrize("sql", [*numbered("legitimate"), *numbered("clients")])
def test_what_runs_is_one_statement_of_its_own(sql: str) -> None:
    found = plan(sql)

    assert found.parts == 1
    assert mysql.split(found.rewritten) == [found.rewritten]
    assert "/*" not in found.rewritten.replace("/*!40100", "")


def test_parameters_keep_their_number_and_order() -> None:
    found = plan("select id, ? from employees where email = ? and id in (?, 2) and status = ? limit ? offset ?")

    tokens = MARIADB.dialect.tokenize(found.rewritten)
    assert sum(token.token_type.name == "PLACEHOLDER" for token in tokens) == 6
    assert found.subjects == (2,)


def test_a_text_that_is_nearly_one_has_an_answer() -> None:
    chosen = random.Random(SEED)
    texts = [one for name in ("attacks", "blind", "clients", "legitimate") for one in corpus(name)]
    pool = [re.findall(r"\w+|'[^']*'|\s+|[^\s\w]", text) for text in texts]
    words = [word for text in pool for word in text]
    looking = view()
    for _ in range(MUTANTS):
        text = list(chosen.choice(pool)) or [" "]
        for _ in range(chosen.randint(1, 4)):
            at = chosen.randrange(len(text))
            text[at : at + chosen.randint(0, 1)] = [" ", chosen.choice(words), " "][: chosen.choice([0, 3])]
            text = text or [" "]
        said = "".join(text)
        assert isinstance(mysql.analyse(said, looking), Plan | Refusal)
        assert isinstance(mysql.normalise(said, looking.policy), str)
        assert isinstance(mysql.split(said), list | Refusal)


def test_a_session_s_first_statements_pin_what_a_text_means() -> None:
    pinned = " ".join(mysql.session_statements(view(), bytes(32)))

    for needed in ("SET NAMES utf8mb4", "TRANSACTION READ ONLY", "autocommit = 1", "max_statement_time = 30"):
        assert needed in pinned
    for unsafe in ("ANSI_QUOTES", "PIPES_AS_CONCAT", "NO_BACKSLASH_ESCAPES"):
        assert unsafe not in pinned


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select ';'; select \";\"; select `;`", ["select ';'", 'select ";"', "select `;`"]),
        ("select 'a\\';b'; select 2", ["select 'a\\';b'", "select 2"]),
        ("select 1 -- ; x\n; select 2", ["select 1 -- ; x", "select 2"]),
        ("select 1 # ; x\n; select 2", ["select 1 # ; x", "select 2"]),
        ("select 1 /* ; */; select 2;;", ["select 1 /* ; */", "select 2"]),
        ("select 1--1; select 2", ["select 1--1", "select 2"]),
        (" ; ; ", []),
    ],
    ids=["plain", "quotes", "backslash", "dashes", "sharp", "comment", "minus", "nothing"],
)
def test_a_text_is_cut_as_the_server_cuts_it(text: str, parts: list[str]) -> None:
    assert mysql.split(text) == parts


@pytest.mark.parametrize("text", ["select 'a; select 2", "select `a", "select 1 /* x; select 2"])
def test_a_text_whose_end_cannot_be_told_is_not_cut(text: str) -> None:
    found = mysql.split(text)

    assert isinstance(found, Refusal)
    assert found.code == "syntax-error"


@pytest.mark.parametrize(
    ("said", "runs"),
    [
        ("SET NAMES 'utf8' COLLATE 'utf8_general_ci'", "SET NAMES utf8mb4"),
        ("set autocommit = off", "SET autocommit = 0"),
        ("SET @@session.time_zone = '+02:00'", "SET time_zone = '+02:00'"),
        ("set session sql_mode = 'STRICT_TRANS_TABLES'", "DO 0"),
        ("SET character_set_results = NULL", "DO 0"),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
        ("set sql_select_limit = 200, wait_timeout = 5", "SET sql_select_limit = 200"),
        ("begin work", "START TRANSACTION READ ONLY"),
        ("start transaction with consistent snapshot", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"),
        ("commit and no chain", "COMMIT"),
        ("rollback work to savepoint a", "ROLLBACK TO SAVEPOINT `a`"),
        ("kill 5", "KILL CONNECTION 5"),
        ("KILL QUERY 5;", "KILL QUERY 5"),
        ("use `shop`", "USE `shop`"),
    ],
)
def test_a_command_runs_in_the_gateway_s_own_words(said: str, runs: str) -> None:
    assert plan(said).rewritten == runs


def test_what_the_catalog_hides_no_catalog_query_tells() -> None:
    for sql in ("select * from information_schema.columns", "show full columns from employees", "show table status"):
        text = plan(sql).rewritten
        assert "employees" in text or "email" in text
        assert 'notes"' not in text.replace('"shop","notes"', "").replace('["notes"', "")
        assert "secret" not in text


def test_rows_stand_only_where_a_catalog_table_was_named() -> None:
    said = "`information_schema`.`TABLES` AS `gateway_t`"
    text = plan(f"select '{said}' as x, table_name from information_schema.tables").rewritten

    assert f"'{said}' AS `x`" in text
    assert text.count("JSON_TABLE(") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("select id from employees where email = 'alice@example.com'", "alice"),
        ("show tables like 'alice%'", "alice"),
        ("set names 'alice'", "alice"),
        ("kill 123456", "123456"),
        ("insert into employees values ('alice', 5)", "alice"),
        ("select 'alice", "alice"),
        ("/*! alice */", "alice"),
        ("update employees set iban = 0x416c696365", "416c696365"),
        ("insert into employees values (1e15, .25, 1.5e12, 12alice)", "5"),
        ("call p(0b101)", "101"),
        ("FR7612345678 is alice's", "FR76"),
        ("FR7612345678 alice", "FR76"),
    ],
)
def test_a_text_s_literals_are_not_on_record(text: str, shown: str) -> None:
    assert shown not in mysql.normalise(text, view().policy)


@pytest.mark.parametrize(
    "sql",
    [
        "select 'alice@example.com'",
        "select if(email = 'alice@example.com', 1, 0), id as x from employees",
        "select (select max(id) from employees where email = 'alice@example.com') union select 1",
    ],
)
def test_what_runs_is_on_record_without_the_literals_that_name_its_columns(sql: str) -> None:
    found = plan(sql)

    assert "alice" in found.rewritten
    assert "alice" not in found.rewritten_normalised
    assert "alice" not in found.normalised


@pytest.mark.parametrize(
    ("row", "spelled"),
    [
        (("int", "int(11)", None, "10", "0"), "int4"),
        (("int", "int(10) unsigned", None, "10", "0"), "int8"),
        (("bigint", "bigint(20) unsigned", None, "20", "0"), "numeric(20,0)"),
        (("varchar", "varchar(80)", "80", None, None), "varchar(80)"),
        (("decimal", "decimal(10,2)", None, "10", "2"), "numeric(10,2)"),
        (("datetime", "datetime(6)", None, None, None), "timestamp"),
        (("enum", "enum('a','b')", "1", None, None), "mysql.enum"),
        (("blob", "blob", "65535", None, None), "mysql.blob"),
        (("bit", "bit(1)", None, "1", None), "mysql.bit"),
    ],
    ids=["int", "unsigned", "unsigned-bigint", "varchar", "decimal", "datetime", "enum", "blob", "bit"],
)
def test_the_catalog_s_types_are_those_that_policies_know(row: tuple[Any, ...], spelled: str) -> None:
    data, full, length, precision, scale = row
    rows = [("shop", "t", "BASE TABLE", "c", "1", data, full, "YES", length, precision, scale)]
    nothing: dict[str, list[tuple[str | None, ...]]] = {name: [] for name in mysql.catalog_queries(mariadb=True)}
    catalog = mysql.catalog_from_rows({**nothing, "version": [("10.11.6-MariaDB",)], "columns": rows})

    relation = catalog.relation("shop.t")
    assert relation is not None
    assert relation.columns[0].type == spelled
    assert catalog.server_version == 101106


def test_a_comment_of_mariadb_dump_s_hides_no_value_from_who_asks_whom_somebody_looked_up() -> None:
    plain = "SELECT id FROM employees WHERE email = 'someone@example.org'"
    dumped = plain.replace("SELECT ", "SELECT /*!40001 SQL_NO_CACHE */ ", 1)

    assert mysql.telling(dumped, view().policy) == mysql.telling(plain, view().policy) == ("someone@example.org",)
    assert mysql.normalise(dumped, view().policy) == mysql.normalise(plain, view().policy)
    assert plan(dumped).rewritten == plan(plain).rewritten


def test_a_refused_lock_says_what_to_do_instead_of_what_its_comment_is() -> None:
    refusal = refused("LOCK TABLES `employees` READ /*!32311 LOCAL */")

    assert refusal.code == "statement-not-allowed"
    assert "--single-transaction" in refusal.hint


def test_the_target_s_name_is_its_first_database() -> None:
    assert plan(f"USE `{view().policy.target}`").rewritten == plan("USE shop").rewritten


def test_the_client_s_own_tls_is_told_and_no_other_status() -> None:
    pinned = mysql.session_statements(view(), b"", ("TLS_AES_256_GCM_SHA384", "TLSv1.3"))
    (said,) = [one for one in pinned if "TLS_AES" in one]

    for name in re.findall(r"(@\w+) =", said):
        assert name in plan("SHOW STATUS").rewritten
        assert refused(f"SELECT {name}").code == "statement-not-supported"
    assert set(re.findall(r"'(\w+)' AS `Variable_name`", plan("SHOW GLOBAL STATUS").rewritten)) == {
        "Ssl_cipher", "Ssl_version",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select id from employees except select 1", "EXISTS"),
        ("select id from employees intersect select 1", "EXISTS"),
        ("select id from employees fetch first 5 rows only", "LIMIT"),
        ("select count(*) filter (where id = 1) from employees", "CASE"),
        ("select id from employees for update", "leave it out"),
        ("select id into @x from employees", "leave it out"),
        ("select @row := @row + 1 as n, id from employees", "ROW_NUMBER"),
    ],
)
def test_what_is_refused_says_what_to_write_instead(sql: str, told: str) -> None:
    assert told in refused(sql).hint
