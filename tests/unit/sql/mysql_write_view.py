"""The payroll of `write_view.py` as MariaDB has it, with the same columns that may be written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import write_view as postgres

from gateway.policy.load import parse_policy
from gateway.sql.catalog import Catalog, Column, Relation, Unique
from gateway.sql.statement import View

POLICY = (
    postgres.POLICY.replace("public.", "shop.")
    .replace("target: payroll", "target: payroll\ndialect: mariadb\nschemas: [shop]")
    .replace("limits: {exact_searches_per_hour: 60}\n", "")
    .replace(", search: exact", "")
)
SCHEMA = """
CREATE TABLE companies (id INT PRIMARY KEY, name VARCHAR(200), plan VARCHAR(200), margin INT);
CREATE TABLE departments (id INT PRIMARY KEY, company_id INT, label VARCHAR(200),
    FOREIGN KEY (company_id) REFERENCES companies (id));
CREATE TABLE countries (code VARCHAR(8) PRIMARY KEY, label VARCHAR(200));
CREATE TABLE projects (id INT PRIMARY KEY, company_id INT);
CREATE TABLE employees (
    id INT AUTO_INCREMENT PRIMARY KEY, company_id INT NOT NULL, department_id INT, country VARCHAR(8), project_id INT,
    name VARCHAR(200), email VARCHAR(200), phone VARCHAR(12), salary INT, status VARCHAR(200) NOT NULL DEFAULT 'new',
    badge VARCHAR(40) UNIQUE, since DATE, visits INT NOT NULL DEFAULT 0, notes VARCHAR(200),
    FOREIGN KEY (company_id) REFERENCES companies (id), FOREIGN KEY (department_id) REFERENCES departments (id),
    FOREIGN KEY (country) REFERENCES countries (code), FOREIGN KEY (project_id) REFERENCES projects (id),
    CHECK (visits >= 0));
CREATE TABLE payslips (
    id BIGINT AUTO_INCREMENT PRIMARY KEY, employee_id INT NOT NULL, period DATE, net INT, UNIQUE (employee_id, period),
    FOREIGN KEY (employee_id) REFERENCES employees (id) ON DELETE CASCADE);
INSERT INTO companies VALUES (42, 'Acme', 'gold', 7), (7, 'Other', 'free', 9);
INSERT INTO departments VALUES (1, 42, 'Sales'), (2, 42, 'IT'), (3, 7, 'Secret');
INSERT INTO countries VALUES ('FR', 'France'), ('BE', 'Belgium');
INSERT INTO employees (id, company_id, department_id, country, name, email, phone, salary, status, badge, since, visits,
    notes) VALUES
    (1, 42, 1, 'FR', 'Ann', 'ann@x.fr', '0612345678', 41000, 'active', 'B1', '2020-01-01', 3, 'n1'),
    (2, 42, 2, 'BE', 'Bob', 'bob@x.fr', '0612345679', 52000, 'active', 'B2', '2021-01-01', 0, 'n2'),
    (3, 42, 2, 'FR', 'Cid', 'cid@x.fr', '0612345670', 38000, 'left', 'B3', '2022-01-01', 1, 'n3'),
    (4, 7, 3, 'FR', 'Eve', 'eve@y.fr', '0700000000', 99000, 'active', 'B4', '2019-01-01', 9, 'n4'),
    (5, 7, 3, 'FR', 'Fay', 'ann@x.fr', '0700000001', 12000, 'active', 'B5', '2018-01-01', 8, 'n5');
INSERT INTO payslips (id, employee_id, period, net) VALUES
    (10, 1, '2024-01-01', 2000), (11, 2, '2024-01-01', 2500), (12, 4, '2024-01-01', 9000);
"""


def _relation(made: Relation) -> Relation:
    columns = tuple(
        Column(one.name, one.number, "varchar(12)" if one.name == "phone" else one.type, one.base, one.category)
        for one in made.columns
    )
    return replace(made, schema="shop", columns=columns)


def _renamed(name: str) -> str:
    return name.replace("public.", "shop.")


_FROM = postgres.CATALOG
CATALOG = Catalog(
    relations={_renamed(name): _relation(one) for name, one in _FROM.relations.items()},
    uniques=frozenset(Unique(_renamed(one.relation), one.touched, one.key) for one in _FROM.uniques),
    references=frozenset(
        replace(one, relation=_renamed(one.relation), other=_renamed(one.other)) for one in _FROM.references
    ),
    checks=frozenset((_renamed(name), columns) for name, columns in _FROM.checks),
    server_version=101106,
    keys={_renamed(name): ("code",) if name == "public.countries" else ("id",) for name in _FROM.relations},
)


def write_view(catalog: Catalog = CATALOG, customer: str = "42", **changes: Any) -> View:
    """The view of one customer, under a grant for writing."""
    given: dict[str, Any] = {
        "policy": parse_policy(POLICY), "catalog": catalog, "customers": (customer,), "write": True,
        "search_path": ("shop",), **changes,
    }  # fmt: skip
    return View(**given)
