"""node-postgres against the running gateway: one journey of a JavaScript program, told finding by finding."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from gateway_fixture import House

from gateway.demo.client import bare_environment

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "node"
CACHE = ROOT / ".cache" / "node"

Rows = list[dict[str, str | None]]


@pytest.fixture(scope="session")
def journey(house: House) -> dict[str, Any]:
    """What the program found, by name."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        wanted = "Node.js and npm are needed: apt-get install nodejs npm"
        if os.geteuid() != 0 and not os.environ.get("CI"):
            pytest.skip(wanted)
        pytest.fail(wanted)
    subprocess.run([ROOT / "deploy" / "prepare.sh", "node", HERE, CACHE], check=True, timeout=120)
    given = house.parameters()
    done = subprocess.run(
        [node, str(HERE / "journey.mjs")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            **bare_environment(),
            "JOURNEY_MODULES": str(CACHE),
            "JOURNEY_HOST": given["host"],
            "JOURNEY_PORT": str(given["port"]),
            "JOURNEY_USER": given["user"],
            "JOURNEY_PASSWORD": given["password"],
            "JOURNEY_DATABASE": given["dbname"],
            "JOURNEY_CA": given["sslrootcert"],
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture
def promised(house: House) -> Rows:
    return house.promised()


def numbers(rows: Rows, **wanted: str) -> list[int]:
    return [int(row["id"] or 0) for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_rows_are_what_the_policy_promises(journey: dict[str, Any], promised: Rows) -> None:
    assert journey["simple"] == [f"{row['id']},{row['email']},{row['salary']}" for row in promised]
    assert [name for name, _ in journey["fields"]] == list(promised[0])


def test_parameters_of_every_kind_find_their_rows(journey: dict[str, Any], promised: Rows) -> None:
    assert journey["parameters"] == numbers(promised, department="IT")
    assert journey["array parameter"] == [one for one in numbers(promised) if one <= 5]
    early = [row for row in promised if (row["hired_on"] or "") < "2020-01-01"]
    assert journey["date parameter"] == numbers(early)
    assert journey["null parameter"] == [{"missing": True}]
    assert journey["binary"] == [one for one in numbers(promised) if one < 100]


def test_named_statements_are_prepared_once_and_outlive_a_refusal(journey: dict[str, Any], promised: Rows) -> None:
    technicians, people = numbers(promised, department="IT"), numbers(promised, department="HR")
    assert journey["named"] == [technicians, people, technicians]
    assert journey["named refused"]["code"] == "42P01"
    assert journey["named afterwards"] == technicians


def test_a_named_statement_that_was_deallocated_is_unknown_as_on_the_server(journey: dict[str, Any]) -> None:
    command, error = journey["deallocated"]
    assert command == "DEALLOCATE"
    assert error["code"] == "26000"


def test_a_transaction_block_survives_a_refusal_by_its_savepoint(journey: dict[str, Any]) -> None:
    assert journey["transaction"] == {"inside": ["42P01", "25P02"], "same": True}
    assert journey["committed"] == "COMMIT"
    assert journey["isolation"] == [{"transaction_isolation": "repeatable read"}]


def test_cursors_copy_and_several_statements_work(journey: dict[str, Any], promised: Rows) -> None:
    everyone = numbers(promised)
    assert journey["cursor"] == [everyone[at : at + 10] for at in range(0, len(everyone), 10)]
    assert journey["copy"] == ["id,email", *(f"{row['id']},{row['email']}" for row in promised)]
    assert journey["several"] == [{"a": 1}, {"n": len(everyone)}, {"c": "x"}]


def test_pools_and_queues_keep_their_order(journey: dict[str, Any], promised: Rows) -> None:
    assert journey["pool"] == [[n, len(promised)] for n in range(1, 7)]
    assert journey["queued"] == [1, "42P01", 3]


@pytest.mark.parametrize(
    ("finding", "sqlstate", "code"),
    [
        ("hidden column", "42703", "column-not-available"),
        ("write", "25006", "read-only"),
        ("named refused", "42P01", "relation-not-available"),
        ("wrong pass", "28P01", "authentication-failed"),
    ],
)
def test_refusals_carry_sqlstate_stable_code_and_hint(
    journey: dict[str, Any], finding: str, sqlstate: str, code: str
) -> None:
    error = journey[finding]
    assert error["code"] == sqlstate
    assert f"code: {code}" in error["detail"]
    assert error["hint"]


def test_a_comparison_with_a_masked_column_is_a_notice(journey: dict[str, Any]) -> None:
    assert any("salary` is masked" in notice for notice in journey["notices"])
    assert journey["application name"] == [{"application_name": "journey"}]
