"""The part of the story in which something leaves for a sub-processor, and what that one received."""

from __future__ import annotations

import json

from gateway.demo.api import in_psql, somebody
from gateway.demo.claims import StepFailed, Tour
from gateway.demo.company import TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.simulator.process import SIMULATOR

RECIPIENT = "Barème Services SAS"
_PATH = f"/companies/{CUSTOMER}/simulations"


def what_leaves(tour: Tour) -> None:
    """9. A call to a sub-processor: what leaves is anonymised, and on record."""
    simulator = tour.stage.simulator
    if tour.without_apis() or simulator is None:
        return
    real = somebody(tour)
    shown = in_psql(tour, real["id"])
    names = ("first_name", "last_name", "email", "nir", "birth_date")
    body = {"employee": {name: real[name] for name in names}, "period": "2026-09", "gross": 3140.55}
    caller = tour.caller(SIMULATOR, TICKET)
    more = caller.call("POST", _PATH, {**body, "iban": real["iban"]})
    tour.check(
        "a bank account is refused: the policy does not let it leave",
        more.code == "request-not-allowed" and not simulator.received(),
        f"{more.status} {more.code}; the sub-processor received {len(simulator.received())} requests",
    )
    tour.news()
    answer = caller.call("POST", _PATH, body)
    got = simulator.received()
    if answer.status != 200 or len(got) != 1:
        raise StepFailed(f"{answer.status} {answer.text}, {len(got)} received")
    text, employee = json.dumps(got, ensure_ascii=False), got[0]["employee"]
    tour.check(
        "alice sends a person's data to the simulator; it receives pseudonyms only",
        not any(str(real[name]) in text for name in ("last_name", "email", "nir", "birth_date")),
        text,
    )
    tour.check(
        "they are the pseudonyms that psql shows",
        (employee["first_name"], employee["last_name"]) == (shown["first_name"], shown["last_name"]),
        f"{employee['first_name']} {employee['last_name']}",
    )
    tour.check(
        "the year of birth and the pay by the hundred, no number of a person",
        (employee["birth_date"], got[0]["gross"], employee["nir"]) == (f"{real['birth_date'][:4]}-01-01", 3100, "***"),
        f"{employee['birth_date']}, {got[0]['gross']}, {employee['nir']}",
    )
    tour.check("alice has what she asked for", answer.json["for"] == shown["last_name"], answer.text)
    record = tour.awaited(lambda record: record["kind"] == "statement.begin")
    tour.check(
        "the trail says to whom, about which customer, which categories and how each was masked",
        record is not None
        and (record.get("recipient"), record.get("sent_for")) == (RECIPIENT, [str(CUSTOMER)])
        and not any(str(real[name]) in str(record) for name in names[1:]),
        f"{record['recipient']}: {', '.join(record['sent'])}" if record else "no record",
    )
