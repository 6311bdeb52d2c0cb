"""The master key of a running gateway is changed, the gateway killed in the middle of it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gateway_fixture import House, awaited, change_yaml, open_house

from gateway.access.keys import Sealer
from gateway.access.masters import master_id
from gateway.demo.postgres import EmbeddedPostgres
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.sealed import LITERALS, key_owner
from gateway.store.sealing import SEAL

MANY = 40_000


@pytest.fixture
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("keys"), postgres) as house:
        yield house


def use(house: House, **settings: Any) -> None:
    def change(tree: Any) -> None:
        tree.pop("former_master_keys", None)
        tree.update(settings)

    change_yaml(house.company.config, change)


def doctor(house: House) -> tuple[str, str]:
    """Level and words of what the doctor finds about former keys."""
    found = json.loads(house.command("root", "doctor", "--output", "json").stdout)
    (one,) = [one for one in found if one["check"] == "former master keys"]
    return one["level"], one["message"]


def test_a_rotation_survives_kill_9(office: House) -> None:
    before = office.opened()["password"]
    old = (office.company.directory / "master.key").read_bytes().strip()
    office.gateway.stop()
    fill(office.company.state / "gateway.sqlite", old)
    path = office.company.directory / "new.key"
    path.touch(0o600)
    path.write_text(secrets.token_hex(32))
    new = path.read_bytes()

    use(office, master_key={"file": "new.key"}, former_master_keys=[{"file": "master.key"}])
    office.gateway.start()
    level, message = doctor(office)
    assert level == "warn"
    assert f"need {master_id(old)}" in message
    follower = office.follow()
    rotating = subprocess.Popen(
        [sys.executable, "-P", "-m", "gateway", "--config", str(office.company.config), "keys", "rotate"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    awaited(follower, lambda record: record["kind"] == "keys.rotated", 60)
    office.gateway.kill()
    _, said = rotating.communicate(timeout=60)
    assert rotating.returncode != 0, said

    # with the new key alone it does not start: the old one is not done with
    use(office, master_key={"file": "new.key"})
    serve = [sys.executable, "-P", "-m", "gateway", "--config", str(office.company.config), "serve"]
    refused = subprocess.run(serve, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 78
    assert master_id(old) in refused.stderr

    use(office, master_key={"file": "new.key"}, former_master_keys=[{"file": "master.key"}])
    office.gateway.start()
    done = office.command("root", "keys", "rotate", "--output", "json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["master"], answer["unreadable"]) == (master_id(new), 0)
    assert 0 < answer["waiting"] <= MANY + 3
    level, message = doctor(office)
    assert "any more" in message

    office.gateway.stop()
    use(office, master_key={"file": "new.key"})
    office.gateway.start()
    again = office.opened(again=True)
    assert again["password"] != before
    with office.connect() as connection:
        # pseudonyms are what they were: they derive from the root
        shown = connection.execute("select id, email from employees order by id").fetchall()
    assert [row[1] for row in shown] == [row["email"] for row in office.promised()]
    states = [record["state"] for record in office.records() if record["kind"] == "keys.rotated"]
    assert states == ["begun", "begun", "done"]


def fill(store: Path, master: bytes) -> None:
    """Enough to seal anew that a rotation takes a moment."""
    database = Database(store)
    sealer = Sealer((master,), LITERALS)
    try:

        def key(number: int) -> dict[str, Any]:
            name, customer, month = f"key_{number}", f"c{number}", "2026-01"
            wrapped = sealer.seal(bytes(32), key_owner(name, SEAL, customer, month), secrets.token_bytes)
            row = {"id": name, "use": SEAL, "customer": customer, "month": month, "wrapped": wrapped}
            return row | {"created_at": datetime.now(UTC)}

        keys = [key(number) for number in range(MANY)]
        database.run_now(lambda connection: connection.execute(schema.sealing_keys.insert(), keys))
    finally:
        database.close()
