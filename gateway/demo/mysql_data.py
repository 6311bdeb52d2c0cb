"""The payroll data set as MySQL and MariaDB take it: the same rows, in the types that those have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from gateway.demo.data import Dataset

SCHEMA = """
create table companies (
    id int primary key,
    name varchar(200) not null,
    siret varchar(14) not null unique,
    plan varchar(40) not null,
    created_at datetime(6) not null
) default charset = utf8mb4;
create table departments (
    code varchar(10) primary key,
    label varchar(80) not null
) default charset = utf8mb4;
create table employees (
    id int primary key,
    company_id int not null,
    first_name varchar(80) not null,
    last_name varchar(80) not null,
    email varchar(200) not null unique,
    phone varchar(40),
    iban varchar(34),
    nir varchar(15),
    birth_date date not null,
    salary decimal(10, 2) not null,
    department varchar(10) not null,
    job_title varchar(120) not null,
    hired_on date not null,
    status varchar(40) not null,
    notes text,
    profile json not null,
    key employees_company_id (company_id),
    foreign key (company_id) references companies (id),
    foreign key (department) references departments (code)
) default charset = utf8mb4;
create table payslips (
    id bigint primary key,
    employee_id int not null,
    period date not null,
    gross decimal(10, 2) not null,
    net decimal(10, 2) not null,
    paid_on date not null,
    key payslips_employee_id (employee_id),
    foreign key (employee_id) references employees (id)
) default charset = utf8mb4;
"""
DATABASE, ROLE = "payroll", "gateway_ro"
_ROWS = 500


def everything(dataset: Dataset, secret: str) -> Iterator[str]:
    """The statements that make the database, and the account that may read it and do nothing else."""
    yield f"drop database if exists {DATABASE}; create database {DATABASE} default character set utf8mb4;\n"
    yield f"use {DATABASE};\n"
    yield from script(dataset)
    for host in ("localhost", "'127.0.0.1'"):
        yield f"create or replace user {ROLE}@{host} identified by '{secret}';\n"
        yield f"grant select on {DATABASE}.* to {ROLE}@{host};\n"


def script(dataset: Dataset) -> Iterator[str]:
    """The statements that make the four tables and fill them, for a client that reads them from a file."""
    yield SCHEMA
    tables: tuple[tuple[str, Iterable[tuple[Any, ...]]], ...] = (
        ("companies", dataset.companies),
        ("departments", dataset.departments),
        ("employees", dataset.employees),
        ("payslips", dataset.payslips),
    )
    for table, rows in tables:
        batch: list[str] = []
        for row in rows:
            batch.append(f"({', '.join(map(literal, row))})")
            if len(batch) == _ROWS:
                yield f"insert into {table} values {', '.join(batch)};\n"
                batch = []
        if batch:
            yield f"insert into {table} values {', '.join(batch)};\n"


def literal(value: Any) -> str:
    """A value of the data set as a literal; moments are in UTC."""
    if value is None:
        return "null"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return f"'{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
    if isinstance(value, date):
        return f"'{value.isoformat()}'"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
