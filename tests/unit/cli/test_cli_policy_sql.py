"""The `policy` commands on a policy whose routes take SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[2] / "corpus" / "dialects"
POLICY = str(CORPUS / "shop.yaml")
QUERY = ("policy", "explain", POLICY, "--request", "POST /", "--customer", "42", "--header", "content-type: text/plain")


def test_its_cases_run_without_a_target(terminal: Any) -> None:
    said = terminal.run("policy", "test", POLICY)

    assert (said.code, said.out) == (0, "4 of 4 cases are as they should be\n")


def test_cases_of_a_search_engine_run_without_one(terminal: Any) -> None:
    said = terminal.run("policy", "test", str(CORPUS.parent / "search" / "shop.yaml"))

    assert (said.code, said.out) == (0, "4 of 4 cases are as they should be\n")


def test_cases_of_trinos_run_without_one(terminal: Any) -> None:
    text = (CORPUS / "shop.yaml").read_text(encoding="utf-8")
    text = text.replace("    statement: {post: /, dialect: clickhouse}\n", "")
    text = text.replace("question: {get: /, dialect: clickhouse}",
                        "statement: {post: /v1/statement, dialect: trino, catalog: hive}")  # fmt: skip
    text = text.replace("shop_test.yaml", "trino_test.yaml").replace(", search: exact", "")
    (terminal.home / "shop.yaml").write_text(text)
    cases = (CORPUS / "trino_test.yaml").read_text(encoding="utf-8")
    (terminal.home / "trino_test.yaml").write_text(cases)

    said = terminal.run("policy", "test", str(terminal.home / "shop.yaml"))

    assert (said.code, said.out) == (0, "2 of 2 cases are as they should be\n")


def test_a_case_that_does_not_hold_says_what_came(terminal: Any) -> None:
    text = (CORPUS / "shop_test.yaml").read_text(encoding="utf-8")
    (terminal.home / "shop.yaml").write_text((CORPUS / "shop.yaml").read_text(encoding="utf-8"))
    (terminal.home / "shop_test.yaml").write_text(text.replace('"data":[[42]]', '"data":[[7]]', 1))

    said = terminal.run("policy", "test", str(terminal.home / "shop.yaml"))

    assert said.code == 1
    assert "expected `shows` to be" in said.out


def test_a_statement_is_explained_as_it_would_go_on(terminal: Any) -> None:
    said = terminal.run(*QUERY, "--body", "select iban from employees")

    assert said.code == 0
    assert "customer  tables" in said.out
    assert "FROM `shop`.`employees` AS `gateway_t` WHERE (`gateway_t`.`company_id` = 42)" in said.out


def test_a_refused_statement_is_said_to_be(terminal: Any) -> None:
    said = terminal.run(*QUERY, "--body", "select notes from employees")

    assert said.code != 0
    assert "column-not-available" in said.err + said.out


def test_a_mask_that_is_taken_away_is_told(terminal: Any) -> None:
    text = (CORPUS / "shop.yaml").read_text(encoding="utf-8")
    other = terminal.home / "other.yaml"
    other.write_text(
        text.replace("{mask: redact, type: text}\n      status", "{mask: clear, type: text}\n      status", 1)
    )

    said = terminal.run("policy", "diff", POLICY, str(other), "--wider")

    assert said.code == 1
    assert "tables.shop.employees.phone" in said.out
