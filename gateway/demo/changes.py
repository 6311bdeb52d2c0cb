"""The part of the story in which one row is changed, with somebody else's approval of the very statement."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.demo.claims import Tour, logins
from gateway.demo.company import TARGET, TICKET
from gateway.demo.data import CUSTOMER
from gateway.errors import GatewayError


def what_alice_changes(tour: Tour) -> None:
    """6. Alice changes one row, once, after bea of security has seen what it would do."""
    alice, bea = tour.alice, tour.stage.actors["bea"]
    employee, before = tour.raw(
        "select id, status from employees where company_id = %s and status <> 'left' order by id limit 1", CUSTOMER
    )[0]
    other, foreign = tour.raw("select id, status from employees where company_id <> %s order by id limit 1", CUSTOMER)[
        0
    ]
    statement = f"update employees set status = 'left' where id = {employee}"
    for claim, text in (
        ("a column that the policy does not name is refused at once", "update employees set salary = 1 where id = 1"),
        ("so is a condition on a masked column", "update employees set status = 'left' where salary > 50000"),
    ):
        tour.check(
            claim,
            refusal_of(partial(alice.open, TICKET, text, TARGET)) in {"column-not-writable", "column-masked"},
            text,
        )

    asked = asked_for(lambda: alice.open(TICKET, statement, TARGET))
    tour.check("her statement waits for somebody else", bool(asked), f"{statement} -> {asked}")
    tour.check("she cannot approve it herself", bool(refusal_of(lambda: alice.approve(asked, "mine"))))
    blind = refusal_of(lambda: bea.approve(asked, "unseen"))
    tour.check("bea cannot approve it unseen", blind == "preview-required", blind)
    shown = bea.preview(asked)
    rows = shown["rows"]
    tour.check(
        "bea sees the one row that it would change, masked",
        len(rows) == 1 and str(employee) in rows[0] and before in rows[0],
        ", ".join(f"{name} {value}" for name, value in zip(shown["columns"], rows[0], strict=True)),
    )
    bea.approve(asked, "the employee has left")

    answer = alice.open(TICKET, statement, TARGET)
    session = tour.enter(answer["user"], answer["password"])
    tour.news()
    elsewhere = session.run(f"update employees set status = 'left' where id = {other}")
    tour.check("another statement is not hers to run", bool(elsewhere.error), elsewhere.error)
    done = session.run(statement)
    now = tour.raw("select status from employees where id = %s", employee)[0][0]
    tour.check("the approved statement runs", not done.error and now == "left", f"{before} -> {now} {done.error}")
    tour.raw("update employees set status = %s where id = %s returning id", before, employee)
    again = session.run(statement)
    still = tour.raw("select status from employees where id = %s", employee)[0][0]
    tour.check("... once: run again, it is refused", bool(again.error) and still == before, again.error)
    session.close()
    untouched = tour.raw("select status from employees where id = %s", other)[0][0]
    tour.check("nobody else's row was touched", untouched == foreign)
    begun = tour.awaited(lambda record: record["kind"] == "session.end") and next(
        (r for r in tour.records if r["kind"] == "statement.begin" and r.get("columns_written")), None
    )
    tour.check(
        "the trail says what was written under whose approval, and not the values",
        begun is not None and bool(begun.get("approvers")) and "'left'" not in str(begun),
        f"{begun['columns_written']}, approved by {logins(begun['approvers'])}" if begun else "no record",
    )


def refusal_of(act: Callable[[], object]) -> str:
    """The code with which that is refused; empty when it is not."""
    try:
        act()
    except GatewayError as error:
        return error.code
    return ""


def asked_for(act: Callable[[], object]) -> str:
    """The id of the request that now waits."""
    try:
        act()
    except GatewayError as error:
        return str(error).partition("`")[2].partition("`")[0] if error.code == "approval-required" else ""
    return ""
