"""Statements that write, over MySQL: what is refused and why, what an approver sees, and that the check distrusts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mysql_write_view import CATALOG, write_view
from ruamel.yaml import YAML

from gateway.errors import GatewayError, Refusal
from gateway.sql import mysql
from gateway.sql.catalog import Reference, Unique
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.tree.check_writes import prove_write
from gateway.sql.tree.grammar import GRAMMARS
from gateway.sql.tree.scopes import resolve
from gateway.sql.tree.write_reading import asked

CORPUS = Path(__file__).parents[2] / "corpus" / "mysql"


def _attacks() -> list[Any]:
    read = YAML(typ="safe").load(CORPUS / "write_attacks.yaml")
    return [pytest.param(sql, code, id=sql[:60]) for code, several in read.items() for sql in several]


def plan_of(sql: str, view: View | None = None) -> Plan:
    plan = mysql.analyse(sql, view or write_view())
    assert isinstance(plan, Plan), (sql, plan)
    return plan


def refused(sql: str, view: View | None = None) -> Refusal:
    made = mysql.analyse(sql, view or write_view())
    assert isinstance(made, Refusal), sql
    return made


@pytest.mark.parametrize(("sql", "code"), _attacks())
def test_an_attack_is_refused_with_its_code(sql: str, code: str) -> None:
    made = refused(sql)
    assert (made.code, bool(made.hint)) == (code, True)


SAID = [
    "update employees e set status = lower(e.status), department_id = 2, visits = default where e.id = 1 limit 2",
    "update payslips set period = '2024-02-02' where id in (select p.id from payslips p)",
    "delete from employees where id = 3",
    "insert into employees (status, department_id) values (lower('X'), 1), (default, null)",
    "insert into payslips (employee_id, period) values (1, '2024-02-02')",
]
BENT = [
    ("= 42", "= 7"),
    ("`gateway_rows` <= 2", "`gateway_rows` <= 200"),
    ("`gateway_rows` <= 3", "`gateway_rows` <= 4"),
    (" THEN TRUE ELSE 18446744073709551615 + `gateway_w`.`gateway_rows` END", " THEN TRUE ELSE TRUE END"),
    (" THEN TRUE ELSE 18446744073709551615 + `gateway_w`.`gateway_scope` END", " THEN TRUE ELSE TRUE END"),
    (" THEN TRUE ELSE 18446744073709551615 + `gateway_b`.`gateway_scope` END", " THEN TRUE ELSE TRUE END"),
    ("COUNT(*) OVER ()", "COUNT(*) OVER (PARTITION BY 1)"),
    ("COUNT(*) OVER ()", "1"),
    ("`gateway_t`.`id` = `gateway_w`.`gateway_k1`", "`gateway_t`.`id` > `gateway_w`.`gateway_k1`"),
    ("`gateway_t`.`id` = `gateway_w`.`gateway_k1`", "TRUE"),
    ("`gateway_t`.`id` AS `gateway_k1`", "`gateway_t`.`company_id` AS `gateway_k1`"),
    ("`e`.`gateway_k1` AS `gateway_k1`", "`e`.`id` AS `gateway_k1`"),
    ("STRAIGHT_JOIN `shop`.`employees`", "STRAIGHT_JOIN `shop`.`companies`"),
    ("STRAIGHT_JOIN", "LEFT JOIN"),
    ("FORCE INDEX (PRIMARY)", ""),
    ("SET `gateway_t`.`status`", "SET `gateway_t`.`salary`"),
    ("SET `gateway_t`.`status`", "SET `gateway_t`.`notes` = 'x', `gateway_t`.`status`"),
    ("`gateway_t`.`visits` = DEFAULT", "`gateway_t`.`visits` = `gateway_t`.`salary`"),
    ("= `gateway_w`.`gateway_v2`", "= `gateway_w`.`gateway_v1`"),
    ("lower(`e`.`status`)", "upper(`e`.`status`)"),
    ("lower(`e`.`status`)", "`e`.`status`"),
    ("(`e`.`id` = 1)", "(`e`.`id` = 2)"),
    (" WHERE (`e`.`id` = 1)", ""),
    ("LIMIT 2) AS `gateway_a`", "LIMIT 20) AS `gateway_a`"),
    ("LIMIT 18446744073709551615) AS `gateway_q`) AS `e`", ") AS `gateway_q`) AS `e`"),
    ("LIMIT 18446744073709551615) AS `gateway_w`", ") AS `gateway_w`"),
    (" AS SIGNED)", " AS CHAR)"),
    ("CAST(`gateway_a`.`gateway_v2` AS SIGNED)", "`gateway_a`.`gateway_v2`"),
    ("`gateway_r`.`company_id` = 42", "TRUE"),
    ("UPDATE (", "UPDATE IGNORE ("),
    ("DELETE `gateway_t` FROM", "DELETE `gateway_w`, `gateway_t` FROM"),
    ("INSERT INTO", "REPLACE INTO"),
    ("INSERT INTO `shop`.`employees`", "INSERT IGNORE INTO `shop`.`employees`"),
    ("(`status`, `department_id`, `company_id`)", "(`status`, `department_id`, `project_id`)"),
    ("(lower('X')", "(lower('Y')"),
    ("(DEFAULT, ", "('x', "),
    (", 42)", ", 7)"),
    (" AND ((`gateway_t`.`company_id` = 42))", ""),
    ("(`gateway_t`.`company_id` = 42)", "(`gateway_t`.`company_id` = 42 OR TRUE)"),
    ("`gateway_q`.`gateway_1` AS `id`", "`gateway_q`.`gateway_2` AS `id`"),
]


def test_each_bend_of_what_is_sent_is_found() -> None:
    view, tried = write_view(), 0
    for sql in SAID:
        sent = plan_of(sql, view).rewritten
        grammar = GRAMMARS["mariadb"]
        read = asked(sql, grammar, view.limits)
        names = resolve(read.question.tree, view, grammar).shown(view)
        prove_write(sent, read, view, grammar, names)
        for old, new in BENT:
            at = sent.find(old)
            while at >= 0:
                bent = sent[:at] + new + sent[at + len(old) :]
                with pytest.raises(GatewayError):
                    prove_write(bent, read, view, grammar, names)
                tried += 1
                at = sent.find(old, at + 1)
    assert tried > 60


def test_each_bend_is_one_of_something_that_is_sent() -> None:
    sent = [plan_of(sql).rewritten for sql in SAID]
    assert [old for old, _ in BENT if not any(old in one for one in sent)] == []


def test_what_is_approved_is_the_same_whatever_its_spacing_and_comments() -> None:
    one = plan_of("update employees set status = 'x' where id = 1").write
    other = plan_of("/* go */ UPDATE  employees\n SET status='x' -- y\n WHERE (id=1);").write
    third = plan_of("update employees set status = 'y' where id = 1").write
    assert one is not None
    assert other is not None
    assert third is not None
    assert one.digest == other.digest != third.digest
    assert one.canonical == "UPDATE `shop`.`employees` AS `employees` SET `status` = 'x' WHERE (`id` = 1)"
    assert (one.relation, one.columns, one.rows, one.approval) == ("shop.employees", ("status",), 2, "statement")


def test_a_preview_is_a_select_of_the_rows_and_of_what_they_would_become() -> None:
    write = plan_of(
        "update employees e set status = concat(status, '!'), visits = default where e.id > 0 limit 9"
    ).write
    assert write is not None
    made = plan_of(write.preview)
    assert made.kinds == (Kind.READ,)
    assert write.preview.startswith(
        "SELECT concat(`status`, '!') AS `new status`, 'DEFAULT' AS `new visits`, `e`.* FROM"
    )
    assert write.preview.endswith("LIMIT 3")
    assert plan_of("insert into countries (code, label) values ('DE', 'x')").write.preview == ""  # type: ignore[union-attr]


def test_literals_are_in_no_record_of_it() -> None:
    plan = plan_of("update employees set status = 'secret word' where id = 77")
    assert plan.normalised == "UPDATE `shop`.`employees` AS `employees` SET `status` = ? WHERE (`id` = ?)"
    assert "secret" not in plan.rewritten_normalised
    assert plan.conceals
    assert plan.relations == ("shop.employees",)


def test_parameters_stay_in_their_order() -> None:
    plan = plan_of("update employees set status = ?, visits = ? + visits where id = ? and since > ? limit ?")
    assert plan.write is not None
    assert plan.write.parameters
    assert plan.rewritten.count("?") == 5


@pytest.mark.parametrize(
    ("changes", "sql", "code", "why"),
    [
        ({"keys": {}}, "update employees set status = 'x'", "statement-not-supported", "no primary key"),
        ({"keys": {}}, "delete from employees where id = 1", "statement-not-supported", "no primary key"),
        ({"held": {"shop.employees": "its engine is MyISAM"}}, "update employees set status = 'x'",
         "statement-not-supported", "MyISAM"),
        ({"held": {"shop.employees": "its engine is MyISAM"}}, "insert into employees (status) values ('x')",
         "statement-not-supported", "MyISAM"),
        ({"stamped": frozenset({("shop.employees", "since")})}, "update employees set phone = '1' where id = 1",
         "column-not-writable", "could be told from `since`"),
        ({"numbered": frozenset({("shop.employees", "salary")})}, "insert into employees (status) values ('x')",
         "read-only", "`salary` is not shown"),
        ({"defaulted": frozenset({("shop.employees", "status")})}, "update employees set status = default where id = 1",
         "column-not-writable", "other columns"),
        ({"references": CATALOG.references | {Reference("?.?", ("?",), "shop.employees", ("?",), "c")}},
         "delete from employees where id = 1", "read-only", "rows that you cannot see"),
        ({"uniques": CATALOG.uniques | {Unique("shop.employees", ("company_id", "status"), ("status",))}},
         "update employees set status = 'x' where id = 1", "column-not-writable", "unique over all customers"),
        ({"checks": frozenset({("shop.employees", ("status", "salary"))})},
         "update employees set status = 'x' where id = 1", "column-not-writable", "not shown"),
    ],
)  # fmt: skip
def test_what_a_constraint_would_tell_cannot_be_written(changes: dict[str, Any], sql: str, code: str, why: str) -> None:
    made = refused(sql, write_view(replace(CATALOG, **changes)))
    assert (made.code, why in made.message) == (code, True), made


def test_a_grant_for_reading_and_a_policy_without_write_write_nothing() -> None:
    view = write_view()
    sql = "update employees set status = 'x' where id = 1"
    assert refused(sql, replace(view, write=False)).code == "read-only"
    assert refused(sql, replace(view, policy=replace(view.policy, write={}))).code == "read-only"
    assert refused("start transaction read write", replace(view, write=False)).code == "read-only"
    assert plan_of("start transaction read write").rewritten == "START TRANSACTION READ WRITE"
    assert plan_of("begin").rewritten == "START TRANSACTION"
    assert plan_of("begin", replace(view, write=False)).rewritten == "START TRANSACTION READ ONLY"
    assert plan_of("set tx_read_only = 0").rewritten == "SET tx_read_only = 0"
    assert refused("set time_zone = '+05:00'", replace(view, fixed=True)).code == "setting-not-allowed"
