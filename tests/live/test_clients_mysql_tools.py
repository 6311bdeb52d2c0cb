"""Tools that ask MySQL and MariaDB what there is: SQLAlchemy's reflection, a shell's completion."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
import sqlalchemy
from mysql_house import DATABASE, TARGET, MysqlHouse, payroll_house

from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    with payroll_house(tmp_path_factory.mktemp("mysql-tools"), postgres) as house:
        yield house


@pytest.fixture(scope="module")
def engine(mysql: MysqlHouse) -> Iterator[sqlalchemy.Engine]:
    opened = mysql.opened()
    address = sqlalchemy.URL.create(
        "mysql+pymysql", opened["user"], opened["password"], "localhost", mysql.port, TARGET, {"charset": "utf8mb4"}
    )
    context = ssl.create_default_context(cafile=str(mysql.house.company.tls.ca))
    made = sqlalchemy.create_engine(address, connect_args={"ssl": context})
    yield made
    made.dispose()


def test_sqlalchemy_reflects_what_the_policy_shows(engine: sqlalchemy.Engine) -> None:
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    employees = tables.tables["employees"]

    assert {"companies", "departments", "employees", "payslips"} == set(tables.tables)
    assert {"id", "email", "salary"} <= set(employees.columns.keys())
    assert "notes" not in employees.columns
    assert isinstance(employees.c.salary.type, sqlalchemy.Numeric)


def test_sqlalchemy_asks_with_what_it_reflected(engine: sqlalchemy.Engine) -> None:
    employees = sqlalchemy.Table("employees", sqlalchemy.MetaData(), autoload_with=engine)
    wanted = (
        sqlalchemy.select(employees.c.company_id, sqlalchemy.func.count().label("n"))
        .where(employees.c.id > 0, employees.c.status.in_(["active", "left", "open"]) | employees.c.status.is_not(None))
        .group_by(employees.c.company_id)
        .order_by(sqlalchemy.desc("n"))
        .limit(5)
        .offset(0)
    )
    with engine.connect() as connection:
        found = connection.execute(wanted).all()

    assert [row.company_id for row in found] == [CUSTOMER]


def test_sqlalchemy_lists_schemas_and_finds_no_keys(engine: sqlalchemy.Engine) -> None:
    looking = sqlalchemy.inspect(engine)

    assert set(looking.get_schema_names()) == {"information_schema", DATABASE}
    assert looking.get_view_names() == []
    assert looking.get_indexes("employees") == []
    assert looking.has_table("employees")
    assert not looking.has_table("hidden")


def test_the_command_line_completes_names_and_describes(mysql: MysqlHouse) -> None:
    said = (
        "show full columns from employees;\nshow create table employees;\n"
        "select table_name from information_schema.tables;\n"
    )
    done = mysql.client("--auto-rehash", opened=mysql.opened(), text=said)

    assert done.returncode == 0, done.stderr
    assert "CREATE TABLE `employees`" in done.stdout
    assert "notes" not in done.stdout
