"""The part of the story in which alice asks the back office's API about the people whom she saw in psql."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

from gateway.demo.backoffice.process import OFFICE
from gateway.demo.calls import Caller, Reply
from gateway.demo.claims import StepFailed, Tour
from gateway.demo.company import TICKET
from gateway.demo.data import CUSTOMER

PEOPLE = f"/companies/{CUSTOMER}/employees"
SHARED = ("first_name", "last_name", "email", "phone", "iban", "nir", "birth_date")
"""What psql and the API both show of somebody."""
_NEVER = ("last_name", "email", "phone", "iban", "nir", "notes")


def what_the_api_shows(tour: Tour) -> None:
    """7. The same people through the back office's API: masked, of her customer only, under the same pseudonyms."""
    if tour.without_apis():
        return
    office = tour.caller(OFFICE, TICKET)
    real = somebody(tour)
    tour.news()
    shown = office.call("GET", f"{PEOPLE}/{real['id']}")
    one = _document(shown)
    tour.check(
        "an employee by curl: masked",
        not any(str(real[name]) in shown.text for name in _NEVER if real[name]) and one["nir"] == "***",
        shown.seen,
    )
    tour.check("notes and profile are not there at all", not {"notes", "profile"} & one.keys(), ", ".join(one))
    record = tour.awaited(lambda record: record["kind"] == "statement.begin")
    tour.check(
        "the trail has the request, its route and its masked fields, and nobody's value",
        record is not None and record.get("engine") == "http" and len(record.get("columns_masked", ())) >= len(_NEVER),
        record["sql"] if record else "no record",
    )
    _same_pseudonyms(tour, office, one)
    _only_hers(tour, office)
    _only_what_is_named(tour, office, real)


def somebody(tour: Tour) -> dict[str, Any]:
    """What the database really holds of one employee of the customer."""
    names = "id, first_name, last_name, email, phone, iban, nir, birth_date::text, notes"
    (row,) = tour.raw(f"select {names} from employees where company_id = %s order by id limit 1", CUSTOMER)
    return dict(zip(names.replace("::text", "").split(", "), row, strict=True))


def in_psql(tour: Tour, number: int) -> dict[str, str]:
    """What alice sees of that employee in psql."""
    session = tour.opened(tour.alice, TICKET)
    try:
        answer = session.run(f"select {', '.join(SHARED)} from employees where id = {number}")
        if answer.error or len(answer.rows) != 1:
            raise StepFailed(f"psql: {answer.error or 'no row'}")
        return {name: answer.column(name)[0] for name in SHARED}
    finally:
        session.close()


def _same_pseudonyms(tour: Tour, office: Caller, one: dict[str, Any]) -> None:
    sql = in_psql(tour, one["id"])
    tour.check(
        "psql shows her under the same pseudonym, masked alike in every field",
        sql == {name: one[name] for name in SHARED},
        f"{sql['first_name']} {sql['last_name']}, {sql['email']}",
    )
    export = office.call("GET", f"/companies/{CUSTOMER}/export.csv")
    rows = [row for row in csv.DictReader(StringIO(export.text)) if row.get("id") == str(one["id"])]
    tour.check(
        "so does the export",
        len(rows) == 1 and sql == {name: rows[0].get(name) for name in SHARED},
        f"curl /companies/{CUSTOMER}/export.csv -> {export.status}, {len(export.text.splitlines()) - 1} people",
    )


def _only_hers(tour: Tour, office: Caller) -> None:
    foreign = tour.raw("select id from employees where company_id = %s order by id limit 1", CUSTOMER + 1)[0][0]
    missing = office.call("GET", f"{PEOPLE}/99999999")
    for path in (f"/companies/{CUSTOMER + 1}/employees/{foreign}", f"{PEOPLE}/{foreign}"):
        other = office.call("GET", path)
        tour.check(
            "another customer's employee is answered like one that does not exist",
            other.status == 404 and (other.status, other.text) == (missing.status, missing.text),
            other.seen,
        )


def _only_what_is_named(tour: Tour, office: Caller, real: dict[str, Any]) -> None:
    unnamed = office.call("GET", "/openapi.json")
    tour.check("a path that the policy does not name does not exist", unnamed.status in (403, 404), unnamed.seen)
    tour.news()
    search = office.call("GET", f"{PEOPLE}?email={real['email']}")
    tour.check(
        "a parameter that it does not name is refused: nobody is looked up by address here",
        search.code == "request-not-allowed",
        f"{search.status} {search.code}",
    )
    record = tour.awaited(lambda record: record["kind"] == "statement.refused")
    tour.check(
        "... and the attempt is on record without the address",
        record is not None and real["email"] not in str(record),
        f"record {record['index']}: {record.get('reason', '')}" if record else "no record",
    )
    tour.news()
    page = office.call("GET", f"/companies/{CUSTOMER}/overview")
    record = tour.awaited(lambda record: record["kind"] == "statement.begin")
    tour.check(
        "a page for browsers leaves as it is, because one route says so, and the record says so",
        page.status == 200
        and page.text.startswith("<!doctype html>")
        and record is not None
        and record.get("columns_revealed") == ["overview.$"],
        f"{page.line} -> {page.status}, in clear: {record.get('columns_revealed') if record else 'no record'}",
    )


def _document(reply: Reply) -> dict[str, Any]:
    found = reply.json
    if reply.status != 200 or not isinstance(found, dict):
        raise StepFailed(reply.seen)
    return found
