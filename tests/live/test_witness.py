"""`gateway audit witness` against a running gateway: it follows growth, a change of key, and tells all else."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_fixture import House, open_house

from gateway.audit.verify import verify_log
from gateway.demo.postgres import EmbeddedPostgres


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The witness's own directory."""
    (tmp_path / "witness").mkdir(mode=0o700)
    return tmp_path / "witness"


@pytest.fixture
def house(postgres: EmbeddedPostgres, tmp_path: Path, place: Path) -> Iterator[House]:
    """A gateway that beats each second and lets a witness in."""
    token = place / "token"
    token.write_text(secrets.token_urlsafe(32))
    token.chmod(0o600)
    settings = {"audit": {"heartbeat": "1s", "witness_token": {"file": str(token)}}}
    with open_house(tmp_path / "house", postgres, settings=settings) as house:
        yield house


class Witness:
    """Looks once at a time, as a timer would have it."""

    def __init__(self, house: House, place: Path) -> None:
        self.house, self.place, self.state = house, place, place / "state.json"
        self.key = (house.company.state / "audit.key.pub").read_text().strip()
        self.hook = place / "hook"
        self.hook.write_text(f'#!/bin/sh\necho "$1" >> {place}/told\ncat >> {place}/told.json\n')
        self.hook.chmod(0o700)

    def look(self, *more: str, token: str = "token") -> tuple[int, dict[str, Any], str]:
        api = f"https://localhost:{self.house.company.ports['api']}/v1/audit/tlog"
        done = self.house.command(
            "mallory", "audit", "witness", api, "--ca", str(self.house.company.tls.ca), "--state", str(self.state),
            "--token", str(self.place / token), "--alarm", str(self.hook), "--silence", "3s", "--once", "--output",
            "json", *more,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr

    def sees(self, expected: tuple[int, str], *more: str) -> tuple[int, dict[str, Any], str]:
        """Look until it says so: what the gateway just did is in its next checkpoint."""
        deadline = time.monotonic() + 60
        while True:
            code, said, err = self.look(*more)
            if (code, said.get("alarm")) == expected or time.monotonic() > deadline:
                assert (code, said.get("alarm")) == expected, err
                return code, said, err

    def begin(self) -> int:
        code, said, err = self.look("--key", self.key, "--cosign", "witness.example/w1")
        assert code == 0, err
        return int(said["size"])

    @property
    def told(self) -> list[str]:
        path = self.place / "told"
        return path.read_text().split() if path.exists() else []


def use(house: House, count: int = 3) -> None:
    with house.connect() as connection:
        for _ in range(count):
            connection.execute("select count(*) from employees")


def test_it_follows_an_idle_gateway_and_tells_one_that_is_gone(house: House, place: Path) -> None:
    witness = Witness(house, place)
    first = witness.begin()
    time.sleep(4)
    _, said, _ = witness.sees((0, ""), "--cosign", "witness.example/w1")
    assert said["size"] > first, "a gateway that nobody uses beats"
    house.gateway.stop()
    code, said, _ = witness.look("--silence", "5m")
    assert code == 0, "it may be back in a moment"
    assert "cannot be reached" in said["what"]
    _, _, err = witness.sees((1, "silent"))
    assert "ALARM (silent)" in err
    witness.look()
    house.gateway.start()
    witness.sees((0, ""))
    assert witness.told == ["silent", "resolved"]
    report = verify_log(house.company.state / "audit", witness.key, witness=witness.state)
    assert report.ok, report.problems


def test_a_wrong_token_sees_nothing(house: House, place: Path) -> None:
    witness = Witness(house, place)
    (place / "other").write_text("x" * 40)
    (place / "other").chmod(0o600)
    code, said, _ = witness.look("--key", witness.key, token="other")
    assert (code, said["size"]) == (0, 0)
    assert "status 401" in said["what"]
    (place / "other").chmod(0o644)
    code, _, err = witness.look("--key", witness.key, token="other")
    assert code == 78
    assert "can be read by others" in err


def test_a_gateway_that_was_put_back_or_forked_is_told(house: House, place: Path) -> None:
    witness = Witness(house, place)
    trail = house.company.state / "audit"
    use(house)
    house.gateway.stop()
    old = shutil.copytree(trail, place / "old")
    house.gateway.start()
    use(house, 30)
    time.sleep(1.5)
    seen = witness.begin()

    house.gateway.stop()
    shutil.rmtree(trail)
    shutil.copytree(old, trail)
    house.gateway.start()
    _, said, _ = witness.sees((3, "rollback"))
    assert said["size"] == seen, "what it remembers is what it saw"
    use(house, 60)
    witness.sees((3, "fork"))  # longer by now, and another history
    assert witness.told == ["rollback", "fork"]
    evidence = sorted((place / "state.json.evidence").iterdir())
    assert len(evidence) == 2
    report = verify_log(trail, witness.key, witness=witness.state)
    assert not report.ok
    assert verify_log(trail, witness.key).ok, "what the directory alone cannot tell"


def test_a_change_of_the_key_goes_through_a_restart_and_is_followed(house: House, place: Path) -> None:
    witness = Witness(house, place)
    witness.begin()
    done = house.command("root", "audit", "rotate-key", "--output", "json")
    assert done.returncode == 0, done.stderr
    following = json.loads(done.stdout)
    assert following["in_force"] is False
    assert "next start" in done.stderr
    assert witness.look()[1]["key"] == witness.key
    house.gateway.stop()
    house.gateway.start()
    use(house)
    time.sleep(1.5)
    code, said, err = witness.look()
    assert (code, said["key"]) == (0, following["key"]), err
    state = house.company.state
    assert (state / "audit.key.pub").read_text().strip() == following["key"]
    assert not (state / "audit.key.next").exists()

    house.gateway.stop()
    done = house.command("root", "audit", "rotate-key", "--output", "json")
    third = json.loads(done.stdout)
    assert third["in_force"] is True, done.stderr
    assert witness.look("--silence", "5m")[0] == 0, "the gateway is away for a moment"
    house.gateway.start()
    use(house)
    time.sleep(1.5)
    assert witness.look()[1]["key"] == third["key"]
    for key in (witness.key, following["key"], third["key"]):
        done = house.command("mallory", "audit", "verify", "--key", key, "--witness", str(witness.state))
        assert done.returncode == 0, done.stderr
    assert house.command("carol", "login", "carol", otp=True).returncode == 0
    proof = house.command("carol", "audit", "prove", "1", "--out", str(place / "proof.json"))
    assert proof.returncode == 0, proof.stderr
    done = house.command("mallory", "audit", "verify", str(place / "proof.json"), "--key", witness.key)
    assert done.returncode == 0, done.stderr
    kinds = [record["kind"] for record in house.records()]
    assert kinds.count("log.rotation") == 2
    assert "log.heartbeat" in kinds


def test_the_loop_looks_again_and_again_until_it_is_stopped(house: House, place: Path) -> None:
    witness = Witness(house, place)
    api = f"https://localhost:{house.company.ports['api']}/v1/audit/tlog"
    command = [
        "audit", "witness", api, "--ca", str(house.company.tls.ca), "--state", str(witness.state), "--token",
        str(place / "token"), "--key", witness.key, "--every", "250ms", "--output", "json",
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "gateway", *command], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "XDG_STATE_HOME": str(place)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        sizes: list[int] = []
        deadline = time.monotonic() + 60
        while len(sizes) < 8 or (sizes[-1] == sizes[0] and time.monotonic() < deadline):
            sizes.append(json.loads(process.stdout.readline())["size"])
        process.terminate()
        process.stdout.close()
        process.wait(10)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
