"""Tools that ask MySQL and MariaDB what there is: SQLAlchemy's reflection, shells that complete names, mariadb-dump."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import ssl
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from mysql_house import DATABASE, TARGET, MysqlHouse, payroll_house
from test_mysql_clients import needed

from gateway.cli.connection import from_answer, save_options
from gateway.demo.client import bare_environment
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    with payroll_house(tmp_path_factory.mktemp("mysql-tools"), postgres) as house:
        yield house


@pytest.fixture
def options(mysql: MysqlHouse, tmp_path: Path) -> Path:
    """The file that `gateway open` writes for MySQL's and MariaDB's programs."""
    opened = mysql.opened() | {"host": "localhost", "port": mysql.port}
    return save_options(from_answer(opened, tmp_path), tmp_path)


class Terminal:
    """A program at a terminal, typed at by a test."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self._terminal, other = pty.openpty()
        termios.tcsetwinsize(other, (50, 160))
        self._process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, start_new_session=True,
            env={**bare_environment(), "LANG": "C.UTF-8", "PAGER": "cat", **environment},
        )  # fmt: skip
        os.close(other)
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, pattern: str, seconds: float = 60) -> str:
        """What was said since the last time, once it fits the pattern."""
        deadline = time.monotonic() + seconds
        heard = ""
        while not re.search(pattern, heard):
            assert time.monotonic() < deadline, f"no {pattern!r} in {heard!r}"
            if select.select([self._terminal], [], [], 0.2)[0]:
                more = os.read(self._terminal, 65536).decode(errors="replace")
                if "\x1b[6n" in more:
                    # where the cursor is: what a terminal would answer
                    self.type("\x1b[1;1R")
                more = re.sub(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()].|[=>])", "", more)
                heard, self.said = heard + more, self.said + more
        return heard

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        os.close(self._terminal)


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


def test_the_command_line_completes_a_column_at_a_terminal(options: Path) -> None:
    program = shutil.which("mariadb")
    assert program is not None, "mariadb-client is missing"
    command = [program, f"--defaults-file={options}", "--auto-rehash", "--prompt=>>"]
    with contextlib.closing(Terminal(command, TERM="dumb")) as shell:
        shell.until(">>")
        shell.type("select count(employees.birth_d\t) as found from employees;\n")
        assert re.search(r"birth_date", shell.until(r"\d+ row in set"))
        shell.type("select employees.note\t from employees;\n")
        assert "column-not-available" in shell.until(r"\[[a-z-]+\]")
        shell.type("status\n")
        assert re.search(r"Cipher in use is TLS_\w+", shell.until("Uptime"))


def test_mycli_completes_asks_and_is_refused_at_a_terminal(options: Path, tmp_path: Path) -> None:
    program = shutil.which("mycli")
    needed(program is not None, "mycli is needed: apt-get install mycli")
    home = tmp_path / "home"
    home.mkdir()
    command = [str(program), f"--defaults-file={options}", "--myclirc", str(home / "rc"), DATABASE]
    with contextlib.closing(Terminal(command, TERM="xterm", HOME=str(home))) as shell:
        shell.until(rf"localhost:{DATABASE}>")
        # names are read by another thread, and shown in a menu once they are there
        for _ in range(10):
            shell.type("select id from payslips where payslips.emp")
            with contextlib.suppress(AssertionError):
                shell.until("employee_id", seconds=3)
                break
            shell.type("\x15")
        assert "employee_id" in shell.said
        shell.type("\x15")
        shell.type(f"select count(*) as found from employees where company_id <> {CUSTOMER};\r")
        assert re.search(r"\|\s*0\s*\|", shell.until(r"1 row in set"))
        shell.type("select notes from employees;\r")
        shell.until(r"\[column-not-available\]")
        shell.type("show status like 'Ssl_cipher';\r")
        assert re.search(r"Ssl_cipher\s*\|\s*TLS_", shell.until(r"1 row in set"))
        assert "profile" not in shell.said


def dumped(options: Path, *more: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("mariadb-dump")
    assert program is not None, "mariadb-client is missing"
    return subprocess.run(
        [program, f"--defaults-file={options}", *more], capture_output=True, text=True, check=False, timeout=120,
        env={**bare_environment(), "LANG": "C.UTF-8"},
    )  # fmt: skip


@pytest.mark.parametrize("database", [DATABASE, TARGET])
def test_a_dump_of_permitted_tables_is_masked_and_of_the_customer(
    mysql: MysqlHouse, options: Path, database: str
) -> None:
    done = dumped(options, "--single-transaction", "--no-tablespaces", database)

    assert done.returncode == 0, done.stderr
    # the file has a line for each family of programs
    assert not [line for line in done.stderr.splitlines() if "unknown variable 'loose-ssl-mode" not in line]
    assert set(re.findall(r"CREATE TABLE `(\w+)`", done.stdout)) == {
        "companies",
        "departments",
        "employees",
        "payslips",
    }
    assert "notes" not in done.stdout
    assert "profile" not in done.stdout
    for column in ("email", "iban", "nir", "phone"):
        for (value,) in mysql.truth(f"select {column} from {DATABASE}.employees where {column} is not null"):
            assert f"'{value}'" not in done.stdout, column
    inserted = re.findall(r"^INSERT INTO `employees` .*?;$", done.stdout, re.DOTALL | re.MULTILINE)
    rows = "".join(inserted).count("\n(")
    ((count,),) = mysql.truth(f"select count(*) from {DATABASE}.employees where company_id = {CUSTOMER}")
    assert rows == count
    assert done.stdout.rstrip().splitlines()[-1].startswith("-- Dump completed")


@pytest.mark.parametrize(
    ("more", "code", "hint"),
    [
        ((DATABASE,), "statement-not-allowed", "--single-transaction"),
        (("--single-transaction", "--master-data", DATABASE), "statement-not-allowed", "owner"),
        (("--single-transaction", "mysql"), "target-not-available", "SHOW DATABASES"),
    ],
    ids=["locks", "positions", "another database"],
)
def test_a_dump_that_cannot_be_says_why(options: Path, more: tuple[str, ...], code: str, hint: str) -> None:
    done = dumped(options, "--no-tablespaces", *more)

    assert done.returncode != 0
    assert f"[{code}]" in done.stderr
    assert hint in done.stderr
    assert "INSERT" not in done.stdout
