"""The part of the story in which alice meets the same people in MariaDB, with its own command line."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.demo.api import SHARED, in_psql, somebody
from gateway.demo.claims import StepFailed, Tour, moment, only, parsed, values
from gateway.demo.client import Answer
from gateway.demo.company import LEDGER, TICKET, write_tickets
from gateway.demo.data import CUSTOMER
from gateway.demo.mariadb_client import MariaDBClient, write_options

_CUT_WITHIN_S = 2.0
_NULL = "NULL"


def what_mariadb_shows(tour: Tour) -> None:
    """10. The same payroll data in MariaDB, by its own command line: under the same pseudonyms, with the same walls."""
    if tour.stage.mariadb is None:
        tour.tell("left out: no MariaDB is here")
        return
    client = _entered(tour)
    _same_people(tour, client)
    _walls(tour, client)
    _catalog(tour, client)
    _ends(tour, client)
    _found(tour)


def _entered(tour: Tour) -> MariaDBClient:
    company = tour.stage.company
    opened = tour.alice.open(TICKET, target=LEDGER)
    return write_options(
        tour.stage.directory / "ledger.cnf", port=company.ports["mysql"], user=opened["user"],
        password=opened["password"], database=LEDGER, ca=company.tls.ca,
    )  # fmt: skip


def _same_people(tour: Tour, client: MariaDBClient) -> None:
    real = somebody(tour)
    tour.news()
    one = _good(client.run(f"select {', '.join(SHARED)} from employees where id = {real['id']}"))
    shown = {name: only(one.column(name)) for name in SHARED}
    record = tour.awaited(lambda record: record["kind"] == "statement.begin")
    tour.check(
        "an employee by mariadb: masked, and the trail has the statement without its values",
        shown["nir"] == "***"
        and not any(str(real[name]) in shown.values() for name in ("email", "phone", "iban", "nir", "birth_date"))
        and record is not None
        and record["target"] == LEDGER
        and str(real["id"]) not in record["sql"],
        record["sql"] if record else "no record",
    )
    sql = in_psql(tour, real["id"])
    tour.check(
        "psql shows her under the same pseudonym, masked alike in every field",
        sql == shown,
        f"{shown['first_name']} {shown['last_name']}, {shown['email']}",
    )
    staff = tour.raw("select count(*) from employees where company_id = %s", CUSTOMER)[0][0]
    counted = _good(client.run("select count(*) as n, count(distinct company_id) as c from employees"))
    tour.check(
        f"all rows are of customer {CUSTOMER}, and all of its rows are there",
        counted.rows == ((str(staff), "1"),),
        f"{counted.rows}",
    )
    slips = _good(client.run("select gross, net from payslips limit 50"))
    tour.check("gross and net pay: nothing", {*slips.column("gross"), *slips.column("net")} == {_NULL})


def _walls(tour: Tour, client: MariaDBClient) -> None:
    other = tour.raw("select id from employees where company_id = %s order by id limit 1", CUSTOMER + 1)[0][0]
    for text in (
        f"select id from employees where id = {other}",
        f"select e.id from employees e join companies c on c.id = e.company_id where c.id <> {CUSTOMER}",
        f"select id from payslips where employee_id = {other}",
    ):
        answer = client.run(text)
        tour.check(f"another customer stays out of sight: {text}", not answer.error and not answer.rows, answer.error)
    for text, code in (
        ("select notes from employees", "column-not-available"),
        ("select user, authentication_string from mysql.user", "relation-not-available"),
        ("select load_file('/etc/passwd')", "function-not-allowed"),
        ("select email from employees into outfile '/tmp/addresses'", ""),
        ("select sleep(5)", "function-not-allowed"),
        ("select /*! iban */ 1 from employees", ""),
        ("grant select on *.* to alice", ""),
    ):
        answer = client.run(text)
        tour.check(
            f"refused: {text}",
            bool(answer.error) and not answer.rows and (code in answer.error if code else "[" in answer.error),
            answer.error,
        )


def _catalog(tour: Tour, client: MariaDBClient) -> None:
    tables = [row[0] for row in _good(client.run("show tables")).rows]
    columns = values(client.run("describe employees"), "Field")
    tour.check(
        "SHOW TABLES and DESCRIBE tell what the policy has, and nothing else",
        tables == ["companies", "departments", "employees", "payslips"] and not {"notes", "profile"} & set(columns),
        f"{', '.join(tables)}; employees: {', '.join(columns)}",
    )


def _ends(tour: Tour, client: MariaDBClient) -> None:
    company = tour.stage.company
    tour.news()
    began = datetime.now(UTC)

    def close() -> None:
        nonlocal began
        began = datetime.now(UTC)
        write_tickets(company.tickets, {TICKET: {"status": "closed"}})

    last, after = client.until_cut("select count(*) from employees", close, 5.0)
    record = tour.awaited(
        lambda record: record["kind"] == "session.end" and record.get("target") == LEDGER and moment(record) > began
    )
    tour.check(
        f"{TICKET} is closed: its session in MariaDB ends within two seconds, and says why",
        record is not None
        and bool(record.get("code"))
        and (moment(record) - began).total_seconds() <= _CUT_WITHIN_S
        and bool(last.error),
        f"after {after:.2f} s: {last.error}",
    )
    write_tickets(company.tickets)


def _found(tour: Tour) -> None:
    carol = tour.stage.actors["carol"]
    signed = tour.command(carol, "login", "carol", otp=True)
    if signed.returncode != 0:
        raise StepFailed(signed.stderr.strip())
    searched = tour.command(carol, "--output", "json", "audit", "search", "--target", LEDGER, "--limit", "500")
    found = parsed(searched.stdout)
    kinds = {one["kind"] for one in found}
    refused = {one.get("code") for one in found if one["kind"] == "statement.refused"}
    tour.check(
        "carol finds all of it: sessions, statements, and what was refused",
        {"session.begin", "statement.begin", "statement.end", "statement.refused"} <= kinds
        and {"column-not-available", "relation-not-available", "function-not-allowed"} <= refused,
        ", ".join(sorted(filter(None, refused))),
    )


def _good(answer: Answer) -> Answer:
    if answer.error:
        raise StepFailed(f"{answer.sqlstate} {answer.error}")
    return answer
