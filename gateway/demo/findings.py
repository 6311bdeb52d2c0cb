"""The part of the story in which carol asks about what went through the APIs, with the questions of auditors."""

from __future__ import annotations

import json
import zipfile
from typing import Any

from gateway.demo.actor import Actor
from gateway.demo.api import somebody
from gateway.demo.backoffice.process import OFFICE
from gateway.demo.claims import StepFailed, Tour, logins, parsed
from gateway.demo.data import CUSTOMER
from gateway.demo.outbound import RECIPIENT
from gateway.demo.simulator.process import SIMULATOR


def what_carol_finds(tour: Tour) -> None:
    """11. Carol finds all of it: requests, the change, what left, and who looked somebody up."""
    if tour.without_apis():
        return
    carol = tour.stage.actors["carol"]
    signed = tour.command(carol, "login", "carol", otp=True)
    if signed.returncode != 0:
        raise StepFailed(signed.stderr.strip())
    searched = tour.command(carol, "--output", "json", "audit", "search", "--target", OFFICE, "--limit", "500")
    requests = [one["sql"] for one in parsed(searched.stdout) if one["kind"] == "statement.begin"]
    tour.check(
        "she finds every request to the API, without its values",
        len(requests) >= 4 and all("{company_id}" in sql for sql in requests),
        ", ".join(dict.fromkeys(requests)),
    )
    sent = _asked(tour, carol, "transmissions", "--customer", str(CUSTOMER))
    tour.check(
        "what left for whom",
        [(row["recipient"], row["sent_for"], row["status"]) for row in sent] == [(RECIPIENT, [str(CUSTOMER)], "ok")],
        "; ".join(f"{row['login']} to {row['recipient']}: {', '.join(row['categories'])}" for row in sent),
    )
    written = _asked(tour, carol, "writes", "--target", OFFICE)
    tour.check(
        "what was changed, and that bob approved it",
        [(row["login"], logins(row["approvers"])) for row in written] == [("alice", "bob")],
        "; ".join(f"{row['sql']} by {row['login']}, approved by {logins(row['approvers'])}" for row in written),
    )
    clear = _asked(tour, carol, "reveals", "--target", OFFICE)
    tour.check(
        "what left unmasked",
        [row["columns_revealed"] for row in clear] == [["overview.$"]],
        "; ".join(f"{row['login']}: {row['columns_revealed']}" for row in clear),
    )
    email = somebody(tour)["email"]
    about = _asked(tour, carol, "subject", "--value", email)
    found = {(row["target"], row["kind"]) for row in about}
    wanted = {(SIMULATOR, "statement.begin"), (OFFICE, "statement.refused")}
    tour.check(
        "who used one person's address: in psql, in what left, and in the attempt at the API",
        wanted <= found and len(found) > len(wanted),
        f"{email}: " + ", ".join(sorted(f"{target} ({kind})" for target, kind in found)),
    )
    _told(tour, carol)


def _told(tour: Tour, carol: Actor) -> None:
    place = tour.stage.directory / "customer.zip"
    place.unlink(missing_ok=True)
    made = tour.command(carol, "audit", "transparency", "--customer", str(CUSTOMER), "--out", str(place))
    if made.returncode != 0:
        raise StepFailed(made.stderr.strip())
    with zipfile.ZipFile(place) as archive:
        accesses = json.loads(archive.read("data/accesses.json"))
    sent = [one["sent"] for one in accesses if "sent" in one]
    key = tour.command(carol, "audit", "key").stdout.strip()
    verified = tour.command(carol, "audit", "verify", str(place), "--key", key)
    tour.check(
        "the report that the customer may have names the recipient and the categories, and verifies",
        verified.returncode == 0 and [list(one) for one in sent] == [[RECIPIENT]],
        f"{len(accesses)} accesses; sent: {sent}",
    )


def _asked(tour: Tour, carol: Actor, *question: str) -> list[dict[str, Any]]:
    done = tour.command(carol, "--output", "json", "audit", "ask", *question)
    if done.returncode != 0:
        raise StepFailed(f"audit ask {question[0]}: {done.stderr.strip()}")
    rows: list[dict[str, Any]] = parsed(done.stdout)["rows"]
    return rows
