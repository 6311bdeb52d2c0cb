"""Nothing that any gateway of this run emitted holds a secret or a literal; and a leak would have been found.

The last test runs at the very end of the run (`tests/conftest.py`), over what all others left.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from emitted import EMITTED, Emitted, hidden_values
from gateway_fixture import House, open_house
from receivers import Collector

from gateway.demo.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def leaky(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A gateway that has run and emitted everything that it can; what is planted there is not this run's."""
    place = tmp_path_factory.mktemp("leaky")
    collector = Collector()
    settings = {
        "exports": {"lines": {"kind": "file", "path": str(place / "exported")}},
        "telemetry": {"url": collector.url, "traces": 1.0},
    }
    with open_house(place / "house", postgres, settings=settings) as house:
        house.command("carol", "login", "carol", otp=True)
        with house.connect() as connection:
            connection.execute("select id from employees where last_name = 'Canary-1'").fetchall()
        house.gateway.stop()
    collector.stop()
    return house


def leaks_of(house: House) -> tuple[Emitted, list[str]]:
    emitted = Emitted(codes={b"135790"})
    emitted.watch(house.company.directory, house.gateway.log)
    return emitted, emitted.scan()


def test_what_ran_emitted_nothing_that_it_may_not(leaky: House) -> None:
    emitted, leaks = leaks_of(leaky)
    assert leaks == []
    assert emitted.scanned > 3_000
    kinds = {what.partition(" of ")[0].partition(" (")[0] for what in emitted.secrets.values()}
    assert kinds >= {"the password", "master.key", "backend.password", "a second factor", "state/audit.key"}


PLANTED: dict[str, Callable[[House], str]] = {
    "a password": lambda house: house.company.passwords["alice"],
    "a password and a code": lambda house: f'"{house.company.passwords["bob"]}123456"',
    "a pass": lambda house: house.opened()["password"],
    "a token": lambda house: house.actor("alice")._token,
    "a second factor": lambda house: house.actor("alice").authenticator.secret,
    "a code": lambda house: '{"otp": "135790"}',
    "a recovery code": lambda house: "abcd-efgh-2345-mnop",
    "the master key": lambda house: (house.company.directory / "master.key").read_text().strip(),
    "the backend's password": lambda house: (house.company.directory / "backend.password").read_text().strip(),
    "the audit key": lambda house: (house.company.state / "audit.key").read_text().split()[-1],
    "a hash": lambda house: "$argon2id$v=19$m=65536",
    "a verifier": lambda house: "SCRAM-SHA-256$4096:",
    "a hidden value": lambda house: max(hidden_values()).decode(),
    "a literal": lambda house: "where a = 'zqxj101q'",
    "a literal in upper case": lambda house: "ZQXJ101Q",
}


@pytest.mark.parametrize("secret", PLANTED)
@pytest.mark.parametrize("where", ["log", "trail", "export"])
def test_a_leak_is_found(leaky: House, tmp_path: Path, secret: str, where: str) -> None:
    text = PLANTED[secret](leaky)
    log = tmp_path / "gateway.log"
    log.write_bytes(leaky.gateway.log.read_bytes())
    planted = {
        "log": log,
        "trail": leaky.company.state / "audit" / "segments" / "planted.log",
        "export": leaky.directory / "exported.planted",
    }[where]
    try:
        with planted.open("ab") as file:
            file.write(b'{"event": "' + text.encode() + b' "}\n')
        emitted = Emitted(codes={b"135790"})
        emitted.watch(leaky.company.directory, log)
        (leak,) = emitted.scan()
    finally:
        planted.unlink()
    assert str(planted) in leak
    assert text not in leak, "what reports a leak does not leak"


def test_answers_of_the_api_are_remembered(leaky: House) -> None:
    leaky.opened()
    assert any(what == "an answer's password" for what in EMITTED.secrets.values())
    assert any(what == "an answer's token" for what in EMITTED.secrets.values())
    assert any(what == "an answer's invitation" for what in EMITTED.secrets.values())


def test_nothing_that_this_run_emitted_is_secret() -> None:
    assert EMITTED.scan() == []
    assert EMITTED.scanned > 0
