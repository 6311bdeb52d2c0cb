"""A whole gateway with an archive: its operator archives and tries the restore, and the trail says how that went."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_fixture import House, open_house
from record_check import problems
from s3_server import S3, s3_server

from gateway.audit.schema import record_schema
from gateway.audit.verify import verify_log
from gateway.demo.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, S3]]:
    directory = tmp_path_factory.mktemp("archived")
    with s3_server(directory) as server:
        server.bucket("whole")
        archive = {
            "endpoint": server.url, "bucket": "whole", "prefix": "trails",
            "access_key": {"file": str(directory / "s3.access")}, "secret_key": {"file": str(directory / "s3.secret")},
        }  # fmt: skip
        settings = {"audit": {"archive": archive, "segment_size": "256KiB"}}
        with open_house(directory, postgres, settings=settings) as house:
            yield house, server


def run(house: House, *arguments: str) -> Any:
    return house.command("local", "--config", str(house.company.config), *arguments)


def results(house: House) -> list[dict[str, Any]]:
    found = [record for record in house.records() if record["kind"] == "restore.tested"]
    assert [problem for record in found for problem in problems(record, record_schema())] == []
    return found


def key_of(house: House) -> str:
    return str(house.company.state / "audit.key.pub")


def test_an_archive_is_made_restored_verified_indexed_and_recorded(world: tuple[House, S3], tmp_path: Path) -> None:
    house, _ = world
    with house.connect() as connection:
        for number in range(120):
            connection.execute(f"select id, email from employees where id > {number}").fetchall()
    done = run(house, "audit", "archive", "--output", "json")
    assert done.returncode == 0, done.stderr
    size = json.loads(done.stdout)["size"]
    shutil.copy(house.company.state / "audit" / "checkpoint", tmp_path / "witness")
    place = tmp_path / "restored"
    done = run(house, "audit", "restore-test", "--key", key_of(house), "--witness", str(tmp_path / "witness"),
               "--directory", str(place), "--output", "json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["size"], answer["count"]) == ("ok", size, size)
    record = results(house)[-1]
    assert (record["status"], record["size"], record["root"]) == ("ok", size, answer["root"])
    report = verify_log(place / "trail", (house.company.state / "audit.key.pub").read_text())
    assert report.ok
    assert place.stat().st_mode & 0o077 == 0


def test_what_a_witness_saw_later_continues_the_archive(world: tuple[House, S3], tmp_path: Path) -> None:
    house, _ = world
    assert run(house, "audit", "archive").returncode == 0
    house.command("carol", "login", "carol", otp=True)
    trail = house.company.state / "audit"
    witness = tmp_path / "witness"
    archived = int((trail / "checkpoint").read_text().split("\n")[1])
    while int((trail / "checkpoint").read_text().split("\n")[1]) <= archived:
        house.command("carol", "audit", "search")
    shutil.copy(trail / "checkpoint", witness)
    command = ("audit", "restore-test", "--key", key_of(house), "--witness", str(witness))
    assert run(house, *command).returncode == 0
    # without the hashes between, nobody can say whether it does: that is no success
    (tmp_path / "nothing").mkdir()
    done = run(house, *command, "--hashes", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert results(house)[-1]["status"] == "failed"


def test_an_archive_that_was_changed_is_status_3_and_a_record(world: tuple[House, S3]) -> None:
    house, server = world
    assert run(house, "audit", "archive").returncode == 0
    key = next(key for key in sorted(server.keys("whole"), reverse=True) if key.endswith("checkpoint"))
    server.overwrite(key, b"something else", "whole")
    done = run(house, "audit", "restore-test", "--key", key_of(house))
    assert done.returncode == 3
    record = results(house)[-1]
    assert record["status"] == "failed"
    assert "is not what was archived" in record["reason"]


def test_two_people_hold_from_the_command_line(world: tuple[House, S3]) -> None:
    house, _ = world
    for login in ("carol", "bob"):
        house.actor(login)
        assert house.command(login, "login", login, otp=True).returncode == 0
    done = house.command("carol", "audit", "hold", "--customer", "42", "--reason", "court order", "--output", "json")
    assert done.returncode == 0, done.stderr
    act = json.loads(done.stdout)["id"]
    assert house.command("bob", "audit", "confirm", act, "--reason", "seen").returncode == 0
    (hold,) = json.loads(house.command("carol", "audit", "holds", "--output", "json").stdout)
    assert hold["subject"] == {"customer": "42"}
    assert "customer=42" in house.command("carol", "audit", "holds").stdout
    shown = json.loads(house.command("carol", "audit", "prune", "--dry-run", "--output", "json").stdout)
    assert (shown["rule"], shown["segments"]) == ("audit.retention 365d", 0)
    assert house.command("carol", "audit", "prune").returncode == 1
    done = house.command("carol", "audit", "lift-hold", hold["id"], "--reason", "settled", "--output", "json")
    assert house.command("bob", "audit", "confirm", json.loads(done.stdout)["id"]).returncode == 0
    assert json.loads(house.command("carol", "audit", "holds", "--output", "json").stdout) == []
