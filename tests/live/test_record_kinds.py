"""Every kind of audit record is made by something that really happens, and is what the schema says.

A kind that this gateway cannot be made to record is named with the test that makes it; a new kind fails here until
somebody has seen it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import psycopg
import pytest
from gateway_fixture import House, awaited, change_yaml, eventually, open_house
from ocsf_check import ocsf_problems
from raw_client import Raw, query
from record_check import problems

from gateway.audit.schema import record_schema
from gateway.audit.verify import verify_log
from gateway.demo.company import TARGET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres
from gateway.exports.ocsf import Sessions, event_of
from gateway.record import KINDS

ELSEWHERE = {
    # the clock of the machine is not ours to set
    "clock.step": "tests/unit/audit/test_audit_pulse.py",
    "engine.process": "tests/live/test_http_faults.py",
    "archive.late": "tests/live/test_archive.py",
    "directory.source": "tests/live/test_directory_story.py",
    "hold.kept": "tests/unit/console/test_api_holds.py",
    "hold.lifted": "tests/unit/console/test_api_holds.py",
    "hold.set": "tests/unit/console/test_api_holds.py",
    "keys.rotated": "tests/live/test_keys_rotate.py",
    "log.pruned": "tests/unit/console/test_api_holds.py",
    "restore.tested": "tests/live/test_restore_test.py",
    "access.review": "tests/unit/access/test_access_suspension.py",
    "delegation": "tests/unit/access/test_access_delegation.py",
    "person.suspension": "tests/unit/access/test_access_suspension.py",
    "audit.act": "tests/unit/console/test_api_acts.py",
    "break_glass.opened": "tests/live/test_break_glass.py",
    "break_glass.overdue": "tests/unit/access/test_access_break_glass.py",
    "break_glass.review": "tests/live/test_break_glass.py",
    "redis.state": "tests/live/test_redis.py",
    "store.restored": "tests/live/test_store_restored.py",
    "security.alert": "tests/live/test_alerts.py",
    "security.case": "tests/live/test_alerts.py",
    "security.notice": "tests/live/test_alerts.py",
    "audit.reconciled": "tests/live/test_reconcile.py",
    "audit.report": "tests/live/test_reports.py",
    "refusals.flood": "tests/live/test_attacks_floods.py",
    "request.preview": "tests/live/test_approvals.py",
    "ticket.comment": "tests/live/test_tickets_comments.py",
    "ticket.hook": "tests/live/test_tickets_story.py",
    "directory.person": "tests/live/test_provider_story.py",
    "ticket.source": "tests/live/test_tickets_story.py",
    "write.claimed": "tests/live/test_approvals.py",
    "write.released": "tests/live/test_approvals.py",
}


def go_through_a_day(house: House) -> None:
    """What people and operators do, one after the other."""
    with house.connect() as connection:
        connection.execute("select id, email from employees").fetchall()
        ((mail,),) = house.truth("select email from employees where company_id = 42 limit 1")
        connection.execute(f"select id from employees where email = '{mail}'").fetchall()
        with pytest.raises(psycopg.Error):
            connection.execute("delete from employees")
        connection.execute("select n from generate_series(1, 4200) n").fetchall()
    assert house.command("carol", "login", "carol", otp=True).returncode == 0
    assert house.command("carol", "audit", "search", "--person", "alice").returncode == 0
    house.actor("amir")
    assert house.command("bob", "login", "bob", otp=True).returncode == 0
    assert house.command("bob", "people", "reset", "amir").returncode == 0
    open_and_erase(house)
    policy = house.company.directory / "policies" / f"{TARGET}.yaml"
    change_yaml(policy, lambda tree: tree["limits"].update({"rows_per_day": 1_000_000}))
    follower = house.follow()
    assert house.gateway.pid is not None
    os.kill(house.gateway.pid, signal.SIGHUP)
    awaited(follower, lambda record: record["kind"] == "policy.change")
    awaited(follower, lambda record: record["kind"] == "log.heartbeat")


def open_and_erase(house: House) -> None:
    sealed = [record["index"] for record in house.records() if "sealed" in record]
    unseal, erase = ["unseal", str(sealed[0])], ["erase", "--customer", str(CUSTOMER)]
    for asked in (unseal, erase):
        done = house.command("carol", "--output", "json", "audit", *asked, "--reason", "a complaint")
        assert house.command("bob", "audit", "confirm", json.loads(done.stdout)["id"]).returncode == 0
        if asked is unseal:
            assert house.command("carol", "audit", *asked, "--reason", "a complaint").returncode == 0


def age_a_key(house: House) -> None:
    """Put a key of long ago into the store of a gateway that is stopped; the next one destroys it."""
    with contextlib.closing(sqlite3.connect(house.company.state / "gateway.sqlite")) as store, store:
        store.execute("insert into sealing_keys values ('key_old', 'seal', '7', '2020-01', x'00', 0)")


def kill_in_the_middle_of_a_result(house: House) -> None:
    with Raw(house) as raw:
        opened = house.opened(again=True)
        raw.log_in(user=opened["user"], password=opened["password"])
        raw.send(query("select n, e.email from generate_series(1, 100000) n, (select * from employees limit 1) e"))
        received = 0
        while raw.message_or_fragment() is not None:
            received += 1
            if received == 3_000:
                house.gateway.kill()
    house.gateway.start()


def test_every_kind_of_record_is_made_by_something_that_happens(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    limits = {"rows_per_statement": 200_000, "rows_per_day": 5_000}
    settings = {"audit": {"heartbeat": "1s", "window_rows": 100}}
    with open_house(tmp_path / "house", postgres, limits=limits, settings=settings) as house:
        go_through_a_day(house)
        house.gateway.stop()
        assert house.command("root", "audit", "rotate-key").returncode == 0
        age_a_key(house)
        house.gateway.start()
        kill_in_the_middle_of_a_result(house)
        eventually(lambda: any(record["kind"] == "statement.unknown" for record in house.records()))
        time.sleep(1)
        house.gateway.stop()
        records = house.records()
    made = {record["kind"] for record in records}
    root = Path(__file__).parents[2]
    for kind, test in ELSEWHERE.items():
        assert kind in (root / test).read_text(), f"{test} makes no {kind}"
    assert set(KINDS) - made - ELSEWHERE.keys() == set()
    schema = record_schema()
    wrong = [(record["kind"], found) for record in records for found in problems(record, schema)]
    assert wrong == []
    sessions = Sessions()
    events = [event_of(record, sessions.whose(record)) for record in records]
    assert [(event["metadata"]["event_code"], found) for event in events for found in ocsf_problems(event)] == []
    report = verify_log(house.company.state / "audit", (house.company.state / "audit.key.pub").read_text().strip())
    assert report.ok, report.problems
