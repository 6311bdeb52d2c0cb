"""The first parts of the story: who comes in, what is seen, when it ends; `claims.py` says what a claim is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pyotp

from gateway.demo.actor import STEP_S, Actor
from gateway.demo.claims import Tour, an_address, moment, only, values
from gateway.demo.client import Answer, Client
from gateway.demo.company import (
    CLOSED_TICKET,
    FOREIGN_TICKET,
    SECOND_TICKET,
    TARGET,
    TICKET,
    write_people,
    write_tickets,
)
from gateway.demo.data import CUSTOMER
from gateway.errors import GatewayError

HIDDEN = ("notes", "profile")
_CUT_WITHIN_S = 2.0


def who_is_refused(tour: Tour) -> None:
    """1. Who may not come in, and what each of them learns."""
    alice = tour.alice
    tour.news()
    spent = alice.code()
    said: dict[str, str] = {}
    for claim, user, given, code in (
        ("a closed ticket opens nothing", f"alice+{CLOSED_TICKET}", alice.password + spent, "ticket-closed"),
        ("a code works once", f"alice+{TICKET}", alice.password + spent, "authentication-failed"),
        ("a wrong code is refused", f"alice+{TICKET}", alice.password + _wrong_code(alice), "authentication-failed"),
        ("a person who does not exist is refused alike", f"mallory+{TICKET}", "x" * 20, "authentication-failed"),
        ("without a ticket there is no way in", "alice", alice.password + spent, "authentication-failed"),
        ("somebody else's ticket opens nothing", f"alice+{FOREIGN_TICKET}", None, "ticket-not-yours"),
        ("dan is in no allowed team", f"dan+{TICKET}", None, "not-in-team"),
    ):
        login = user.partition("+")[0]
        secret = given
        if secret is None:
            actor = tour.stage.actors[login]
            secret = actor.password + actor.code()
        said[claim] = tour.refused(user, secret)
        tour.check(claim, bool(said[claim]), said[claim])
        # The attempts follow one another, so the next denial is this one.
        record = tour.awaited(lambda record: record["kind"] == "login" and record.get("decision") == "deny")
        tour.check(
            f"... and the trail has it as {code}",
            record is not None and record.get("code") == code and record.get("login", login) == login,
            f"record {record['index']}: {record.get('reason', '')}" if record else "no record",
        )
    vague = {text for claim, text in said.items() if "code" in claim or "alike" in claim}
    tour.check("wrong code, used code and unknown person are told the same", len(vague) == 1)
    told = " ".join(said.values()).lower()
    tour.check(
        "no refusal tells a customer, another person or an address",
        re.search(rf"\b(amir|{CUSTOMER}|{CUSTOMER + 1}|papeterie|127\.0\.0\.1)\b|@", told) is None,
    )
    try:
        alice.open("", target=TARGET)
        tour.check("the API opens nothing without a ticket either", False)
    except GatewayError as error:
        tour.check("the API opens nothing without a ticket either", error.code == "ticket-required", str(error))


def what_alice_sees(tour: Tour) -> None:
    """2. What alice sees of customer 42, and what she does not."""
    session = tour.opened(tour.alice, TICKET)
    try:
        _rows_and_masks(tour, session)
        _questions(tour, session)
        _searches(tour, session)
        _walls(tour, session)
    finally:
        session.close()


def how_access_ends(tour: Tour) -> None:
    """3. Access ends when its reason ends, also in the middle of a session."""
    company, amir = tour.stage.company, tour.stage.actors["amir"]
    answer = tour.alice.open(TICKET, target=TARGET)
    busy = tour.enter(answer["user"], answer["password"])
    idle = tour.enter(answer["user"], answer["password"])
    values(busy.run("select count(*) as n from employees"), "n")
    values(idle.run("select count(*) as n from employees"), "n")
    tour.news()
    closed_at = datetime.now(UTC)
    write_tickets(company.tickets, {TICKET: {"status": "closed"}})
    last, after = _until_cut(busy)
    tour.check(
        f"{TICKET} is closed: the busy session ends, and says why",
        last.closed and last.sqlstate == "57P01",
        f"after {after:.2f} s: {last.error}",
    )
    tour.check("... within two seconds", after <= _CUT_WITHIN_S)
    _both_ended(tour, closed_at, "the idle session ends by itself within two seconds")
    quiet = idle.run("select 1")
    tour.check("... and its client learns why", quiet.closed and bool(quiet.error), quiet.error)
    busy.close()
    idle.close()
    tour.check("the pass is dead", bool(tour.refused(answer["user"], answer["password"])))
    write_tickets(company.tickets)

    session = tour.opened(amir, FOREIGN_TICKET)
    seen = values(session.run("select distinct company_id as c from employees"), "c")
    tour.check(f"amir, with a ticket of customer {CUSTOMER + 1}, sees that customer", seen == [str(CUSTOMER + 1)], seen)
    write_people(company, {"amir": ()})
    last, after = _until_cut(session)
    tour.check(
        "amir leaves the team: his session ends within two seconds",
        last.closed and after <= _CUT_WITHIN_S,
        f"after {after:.2f} s: {last.error}",
    )
    session.close()
    write_people(company, {})

    answer = tour.alice.open(SECOND_TICKET, target=TARGET)
    session = tour.enter(answer["user"], answer["password"])
    values(session.run("select count(*) as n from employees"), "n")
    tour.stage.actors["bea"].revoke(answer["grant"], "the tour")
    last, after = _until_cut(session)
    tour.check(
        "bea of security revokes a grant: the session ends within two seconds",
        last.closed and after <= _CUT_WITHIN_S,
        f"after {after:.2f} s: {last.error}",
    )
    session.close()


def _rows_and_masks(tour: Tour, session: Client) -> None:
    answer = session.run("select * from employees order by id")
    values(answer, "id")
    names = answer.columns
    tour.check("notes and profile do not exist", not set(names) & set(HIDDEN), ", ".join(names))
    real = tour.raw(
        "select id, first_name, last_name, email, phone, iban, nir, birth_date::text, salary::text, hired_on::text,"
        " status, job_title from employees where company_id = %s order by id",
        CUSTOMER,
    )
    tour.check(
        f"all rows are of customer {CUSTOMER}, and all of its rows are there",
        set(answer.column("company_id")) == {str(CUSTOMER)} and answer.column("id") == [str(row[0]) for row in real],
        f"{len(answer.rows)} rows",
    )
    raw = {name: [row[place] for row in real] for place, name in enumerate(_RAW)}
    for name, claim, holds in _MASKS:
        shown = answer.column(name)
        pairs = list(zip(shown, raw[name], strict=True))
        tour.check(f"{name}: {claim}", all(holds(mask, truth) for mask, truth in pairs), f"such as {shown[0]}")

    for name in ("first_name", "last_name"):
        mapped = set(zip(raw[name], answer.column(name), strict=True))
        same = sum(mask == truth for truth, mask in mapped)
        tour.check(
            f"{name}: a pseudonym, the same for the same name",
            len(mapped) == len({truth for truth, _ in mapped}) and same <= len(mapped) // 5,
            f"{len(mapped)} names, {same} of them by chance their own pseudonym",
        )
    slips = session.run("select gross, net from payslips limit 50")
    tour.check("gross and net pay: nothing", set(values(slips, "gross")) == set(slips.column("net")) == {""})


def _questions(tour: Tour, session: Client) -> None:
    def number(text: str) -> int:
        return int(only(values(session.run(text), "n")))

    staff = tour.raw("select count(*) from employees where company_id = %s", CUSTOMER)[0][0]
    slips = tour.raw(
        "select count(*) from payslips p join employees e on e.id = p.employee_id where e.company_id = %s", CUSTOMER
    )[0][0]
    for claim, text, wanted in (
        ("select count(*)", "select count(*) as n from employees", staff),
        ("a join", "select count(*) as n from employees e join payslips p on p.employee_id = e.id", slips),
        ("payslips alone, scoped through their employees", "select count(*) as n from payslips", slips),
        ("a common table expression", "with e as (select * from employees) select count(*) as n from e", staff),
        ("a window", "select max(r) as n from (select row_number() over (order by id) r from employees) w", staff),
        ("one company only", "select count(*) as n from companies", 1),
    ):
        found = number(text)
        tour.check(claim, found == wanted, f"{text} -> {found}")


def _searches(tour: Tour, session: Client) -> None:
    email = an_address(tour)
    tour.news()
    found = session.run(f"select id, email from employees where email = '{email}'")
    real = tour.raw("select id from employees where email = %s", email)[0][0]
    tour.check(
        "an exact search by e-mail finds her, masked",
        values(found, "id") == [str(real)] and found.column("email") != [email],
        found.rows,
    )
    record = tour.awaited(lambda record: record["kind"] == "search.exact")
    tour.check(
        "... and the search is on record without the address",
        record is not None and email not in str(tour.records),
        f"{record['relation']}.{record['column']}" if record else "no record",
    )
    rich = session.run("select salary from employees where salary > 50000")
    tour.check(
        "salary > 50000 compares masked values",
        bool(values(rich, "salary"))
        and all(float(v) > 50000 for v in rich.column("salary"))
        and all(float(v) % 10000 == 0 for v in rich.column("salary")),
        f"{len(rich.rows)} rows",
    )
    tour.check("... and a notice says so", any("mask" in notice.lower() for notice in rich.notices), rich.notices)


def _walls(tour: Tour, session: Client) -> None:
    other = tour.raw("select id, email from employees where company_id = %s order by id limit 1", CUSTOMER + 1)[0]
    for text in (
        f"select id from employees where id = {other[0]}",
        f"select id from employees where email = '{other[1]}'",
        f"select id from employees where company_id = {CUSTOMER + 1}",
        f"select id from public.employees where company_id <> {CUSTOMER} or id = {other[0]}",
        f"select id from payslips where employee_id = {other[0]}",
        f"select id from companies where id = {CUSTOMER + 1}",
    ):
        answer = session.run(text)
        tour.check(f"another customer stays out of sight: {text}", not answer.error and not answer.rows, answer.error)
    for text, sqlstate in (
        ("select notes from employees", "42703"),
        ("select profile from employees", "42703"),
        ("select * from pg_authid", "42P01"),
        ("update employees set status = 'left'", ""),
        ("delete from payslips", ""),
        ("copy employees to program 'cat'", ""),
        ("select pg_read_file('/etc/passwd')", ""),
        ("select pg_sleep(1)", ""),
        ("set role owner", ""),
    ):
        answer = session.run(text)
        tour.check(
            f"refused: {text}",
            bool(answer.error) and not answer.rows and answer.sqlstate.startswith(sqlstate),
            f"{answer.sqlstate} {answer.error}",
        )
    still = session.run("select count(*) as n from employees")
    tour.check("and the session goes on", not still.error, still.error)


_RAW = (
    "id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "iban",
    "nir",
    "birth_date",
    "salary",
    "hired_on",
    "status",
    "job_title",
)

_MASKS: tuple[tuple[str, str, Callable[[str, str], bool]], ...] = (
    ("email", "the address is not hers", lambda mask, truth: mask != truth and "@" in mask),
    ("phone", "only the last two digits", lambda mask, truth: mask != truth and mask[-2:] == truth[-2:]),
    (
        "iban",
        "four characters and the last three",
        lambda mask, truth: (
            mask != truth and mask[:4] == truth[:4] and mask[-3:] == truth[-3:] and truth[8:20] not in mask
        ),
    ),
    ("nir", "nothing of it", lambda mask, truth: not any(truth[i : i + 4] in mask for i in range(len(truth) - 3))),
    ("birth_date", "the year", lambda mask, truth: mask == f"{truth[:4]}-01-01"),
    (
        "salary",
        "rounded to ten thousands",
        lambda mask, truth: float(mask) % 10000 == 0 and abs(float(mask) - float(truth)) <= 10000,
    ),
    ("hired_on", "the month", lambda mask, truth: mask == f"{truth[:7]}-01"),
    ("status", "in clear", lambda mask, truth: mask == truth),
    ("job_title", "in clear", lambda mask, truth: mask == truth),
)


def _wrong_code(actor: Actor) -> str:
    """Six digits that no step around now has."""
    totp, now = pyotp.TOTP(actor.authenticator.secret), int(time.time()) // STEP_S
    right = {totp.generate_otp(step) for step in range(now - 3, now + 4)}
    return next(code for code in map("{:06d}".format, range(1_000_000)) if code not in right)


def _until_cut(session: Client, patience_s: float = 5.0) -> tuple[Answer, float]:
    """Statements until one is answered by the end of the session: that answer, and the seconds it took."""
    start = time.monotonic()
    while True:
        answer = session.run("select count(*) as n from employees")
        after = time.monotonic() - start
        if answer.closed or after > patience_s:
            return answer, after
        time.sleep(0.02)


def _both_ended(tour: Tour, since: datetime, claim: str) -> None:
    ends: list[float] = []
    deadline = time.monotonic() + 4
    while len(ends) < 2 and time.monotonic() < deadline:
        ends += [(moment(r) - since).total_seconds() for r in tour.news() if r["kind"] == "session.end"]
        time.sleep(0.05)
    shown = ", ".join(f"{seconds:.2f} s" for seconds in ends)
    tour.check(claim, len(ends) == 2 and max(ends) <= _CUT_WITHIN_S, f"ends on record after {shown}")
