"""The part of the story in which one request that changes something runs, after somebody else has read that request."""

from __future__ import annotations

import json
from functools import partial

from gateway.demo.api import PEOPLE
from gateway.demo.backoffice.process import OFFICE
from gateway.demo.changes import asked_for, refusal_of
from gateway.demo.claims import Tour, logins
from gateway.demo.company import TICKET
from gateway.demo.data import CUSTOMER


def what_alice_changes_in_the_api(tour: Tour) -> None:
    """8. A PATCH waits for bob of security, who reads the very request; then it runs, once."""
    if tour.without_apis():
        return
    alice, bob = tour.alice, tour.stage.actors["bob"]
    employee, before = tour.raw(
        "select id, status from employees where company_id = %s and status = 'active' order by id limit 1", CUSTOMER
    )[0]
    other = tour.raw(
        "select id from employees where company_id = %s and status = 'active' order by id offset 1 limit 1", CUSTOMER
    )[0][0]
    path, to = f"{PEOPLE}/{employee}", {"status": "notice"}
    request = f"PATCH {path}\n{json.dumps(to)}"

    reading = tour.caller(OFFICE, TICKET)
    early = reading.call("PATCH", path, to)
    tour.check("with access to read, a PATCH is refused", early.status == 403, f"{early.status} {early.code}")
    wide = f"PATCH {path}\n{json.dumps({**to, 'salary': 99_000})}"
    code = refusal_of(partial(alice.open, TICKET, wide, OFFICE))
    tour.check("one that sets more than the policy names is not even filed", code == "request-not-allowed", wide)

    asked = asked_for(lambda: alice.open(TICKET, request, OFFICE))
    tour.check("her request waits for somebody else", bool(asked), f"{request} -> {asked}")
    shown = bob.preview(asked)["would_write"]["canonical"]
    tour.check(
        "bob sees the exact request, as it would be sent",
        shown.startswith(f"PATCH {path}\n") and '{"status":"notice"}' in shown,
        shown,
    )
    bob.approve(asked, "her contract ends")

    office = tour.caller(OFFICE, TICKET, request)
    tour.news()
    elsewhere = office.call("PATCH", f"{PEOPLE}/{other}", to)
    tour.check("the same for somebody else is not hers to send", elsewhere.status == 403, elsewhere.seen)
    done = office.call("PATCH", path, to)
    now = _status(tour, employee)
    tour.check("the approved request runs", done.status == 200 and now == "notice", f"{done.seen}: {before} -> {now}")
    tour.raw("update employees set status = %s where id = %s returning id", before, employee)
    again = office.call("PATCH", path, to)
    still = _status(tour, employee)
    tour.check("... once: sent again, it is refused", again.status == 403 and still == before, again.seen)
    record = tour.awaited(lambda record: record["kind"] == "statement.end" and record.get("tag") == "HTTP 200")
    begins = [r for r in tour.records if r["kind"] == "statement.begin"]
    begun = next((r for r in begins if r.get("columns_written") == ["set_status.$.status"]), None)
    tour.check(
        "the trail says who changed what under whose approval, and not the value",
        record is not None
        and begun is not None
        and logins(begun.get("approvers", ())) == "bob"
        and "notice" not in str(begun),
        f"{begun['sql']}, approved by {logins(begun['approvers'])}" if begun else "no record",
    )


def _status(tour: Tour, employee: int) -> str:
    return str(tour.raw("select status from employees where id = %s", employee)[0][0])
