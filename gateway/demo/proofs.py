"""The parts of the story in which carol finds and proves what was done, and a `kill -9` hides nothing of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.audit.segment import read_batches, segments_of
from gateway.demo.actor import Actor
from gateway.demo.claims import StepFailed, Tour, an_address, only, parsed, values
from gateway.demo.client import stream_copy
from gateway.demo.company import TARGET, TICKET
from gateway.demo.data import CUSTOMER


def what_carol_proves(tour: Tour) -> None:
    """4. Carol, the auditor, finds it all, proves it, and would notice a change of one byte."""
    carol, amir, stage = tour.stage.actors["carol"], tour.stage.actors["amir"], tour.stage
    signed = tour.command(carol, "login", "carol", otp=True)
    tour.check("carol signs in with her second factor", signed.returncode == 0, signed.stderr.strip())
    for claim, arguments, fits in (
        ("person", ("--person", "alice"), lambda r: r.get("login", "alice") == "alice"),
        ("ticket", ("--ticket", TICKET), lambda r: r.get("ticket", TICKET) == TICKET),
        ("customer", ("--customer", str(CUSTOMER)), lambda r: str(CUSTOMER) in r.get("customers", [str(CUSTOMER)])),
        ("code of a refusal", ("--code", "ticket-closed"), lambda r: r.get("code") == "ticket-closed"),
    ):
        found = _searched(tour, carol, *arguments)
        tour.check(f"she finds records by {claim}", bool(found) and all(map(fits, found)), f"{len(found)} records")
    refusals = {record.get("code") for record in _searched(tour, carol, "--kind", "login", "--limit", "500")}
    wanted = {"authentication-failed", "ticket-closed", "ticket-not-yours", "not-in-team"}
    tour.check("every refusal of part 1 is there", wanted <= refusals, ", ".join(sorted(filter(None, refusals))))
    tour.command(amir, "login", "amir", otp=True)
    nosy = tour.command(amir, "audit", "search", "--person", "alice")
    tour.check("amir of support may not read the trail", nosy.returncode == 77, nosy.stderr.strip())

    statements = _searched(tour, carol, "--kind", "statement.begin", "--person", "alice", "--limit", "500")
    literals = ("50000", an_address(tour))
    compared = [record for record in statements if "salary >" in record.get("sql", "")]
    tour.check(
        "statements are kept without their literals",
        bool(compared) and not any(value in str(statements) for value in literals),
        compared[0]["sql"],
    )
    statement = statements[0]
    key = tour.command(carol, "audit", "key").stdout.strip()
    proof = stage.directory / "statement.proof"
    # The signed head follows the trail by up to a second.
    _eventually(
        lambda: tour.command(carol, "audit", "prove", str(statement["index"]), "--out", str(proof)).returncode == 0
    )
    verified = tour.command(carol, "audit", "verify", str(proof), "--key", key)
    tour.check(
        "she exports a proof of one statement and verifies it offline", verified.returncode == 0, verified.stdout
    )
    text = proof.read_bytes()
    proof.write_bytes(text.replace(b"alice", b"amir ", 1))
    forged = tour.command(carol, "audit", "verify", str(proof), "--key", key)
    tour.check("a forged proof does not verify", forged.returncode == 3, forged.stderr.strip())

    trail, copy = stage.company.state / "audit", stage.directory / "copy"
    whole = tour.command(carol, "audit", "verify", str(trail), "--key", key)
    tour.check("the whole trail verifies", whole.returncode == 0, whole.stdout)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(trail, copy)
    touched = int(statement["index"])
    _change_one_byte(copy, touched)
    report = tour.command(carol, "--output", "json", "audit", "verify", str(copy), "--key", key)
    bad = [problem["record"] for problem in parsed(report.stdout)["problems"]]
    tour.check(
        f"with one byte of record {touched} changed on a copy, verification names it and exits 3",
        report.returncode == 3 and bad[:1] == [touched],
        report.stdout,
    )
    shutil.rmtree(copy)


def what_survives_a_kill(tour: Tour) -> None:
    """5. `kill -9` of the gateway in the middle of a large result."""
    stage, carol = tour.stage, tour.stage.actors["carol"]
    answer = tour.alice.open(TICKET, target=TARGET)
    # Wide rows, so that the result is larger than every buffer on its way.
    names = "abcdefgh"
    wide = f"select {', '.join(f'{n}.*' for n in names)} from {', '.join(f'employees {n}' for n in names)}"
    total, enough = 9_000, 1_500
    tour.news()
    lines = stream_copy(tour.psql, stage.login_as(answer["user"]), answer["password"], f"{wide} limit {total}")
    received = 0
    for _ in lines:
        received += 1
        if received == enough:
            stage.gateway.kill()
    tour.check("the client has a part of the result", enough <= received < total, f"{received} of {total} rows")
    tour.news()
    stage.gateway.start()
    unknown = tour.awaited(lambda record: record["kind"] == "statement.unknown")
    announced = int(unknown["rows"]) if unknown else -1
    tour.check("after the restart the trail closes the statement as unknown", unknown is not None)
    tour.check(
        "... and covers every row that the client received",
        announced >= received,
        f"{received} received, up to {announced} on record",
    )
    key = tour.command(carol, "audit", "key").stdout.strip()
    whole = tour.command(carol, "audit", "verify", str(stage.company.state / "audit"), "--key", key)
    tour.check("the trail verifies", whole.returncode == 0, whole.stdout)
    session = tour.enter(answer["user"], answer["password"])
    again = values(session.run("select count(*) as n from employees"), "n")
    tour.check("and alice works on", int(only(again)) > 0, f"{only(again)} employees of customer {CUSTOMER}")
    session.close()


def _searched(tour: Tour, actor: Actor, *arguments: str) -> list[dict[str, Any]]:
    done = tour.command(actor, "--output", "json", "audit", "search", *arguments)
    if done.returncode != 0:
        raise StepFailed(f"audit search: {done.stderr.strip()}")
    found: list[dict[str, Any]] = parsed(done.stdout)
    return found


def _eventually(done: Callable[[], bool], patience_s: float = 5.0) -> None:
    deadline = time.monotonic() + patience_s
    while not done():
        if time.monotonic() > deadline:
            raise StepFailed("a proof was not to be had within some seconds")
        time.sleep(0.5)


def _change_one_byte(trail: Path, index: int) -> None:
    """Turn one letter inside that record into another."""
    for first, path in segments_of(trail):
        for batch in read_batches(path, first):
            if batch.first <= index < batch.size:
                place = index - batch.first
                offset = batch.offsets[place] + batch.leaves[place].index(b"alice")
                with path.open("r+b") as file:
                    file.seek(offset)
                    file.write(b"A")
                return
    raise StepFailed(f"record {index} is not in the files")
