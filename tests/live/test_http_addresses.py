"""Several APIs behind one listening socket: told apart by host and by path, and never taken for one another."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_fixture import awaited
from http_reach import Reach, make_api, open_reach

from gateway.demo.company import TICKET
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.demo.tls import make_server_tls
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

STAFF, LEDGER = "staff.gateway.test", "ledger.gateway.test"
ONE = "/companies/42/employees/4200"
PREFIXES = {"wages": "/payroll", "people": "/people/v2", "billing": ""}
HOSTS = {"wages": STAFF, "people": STAFF, "billing": LEDGER}


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reach]:
    directory = tmp_path_factory.mktemp("addresses")
    # one certificate with all names: what browsers take as leave to use one connection for both
    tls = make_server_tls(directory / "front", "front", (STAFF, LEDGER))
    port = free_port()
    office, ledger = make_api(directory, "office"), make_api(directory, "ledger")
    apis = {"wages": office, "people": office, "billing": ledger}
    settings: dict[str, Any] = {}
    for name in apis:
        secret = directory / f"{name}.secret"
        secret.touch(0o600)
        secret.write_text(f"secret-of-{name}")
        settings[name] = {
            "listen": {
                "port": port, "server_name": HOSTS[name], "prefix": PREFIXES[name], "certificate": str(tls.certificate),
                "key": str(tls.key),
            },
            "credentials": {"kind": "bearer", "token": {"file": str(secret)}},
        }  # fmt: skip
    with contextlib.ExitStack() as stack:
        for api in (office, ledger):
            stack.enter_context(api.serving())
        yield stack.enter_context(open_reach(directory, postgres, apis, settings, port=port, ca=tls.ca))


@pytest.fixture(scope="module")
def opened(place: Reach) -> dict[str, dict[str, Any]]:
    return {name: place.opened(name) for name in PREFIXES}


@pytest.fixture(autouse=True)
def _afresh(place: Reach) -> None:
    for api in place.apis.values():
        del api.seen[:]
        api.location = ""


@pytest.mark.parametrize("name", PREFIXES)
def test_each_is_reached_at_its_own_address_by_its_own_credential(
    place: Reach, opened: dict[str, dict[str, Any]], name: str
) -> None:
    follower = place.house.follow()
    with place.wire(HOSTS[name]) as wire:
        answer = wire.ask(PREFIXES[name] + ONE, f"{HOSTS[name]}:{place.port}", opened[name])
    assert (answer.status, json.loads(answer.body)["api"]) == (200, place.apis[name].name)
    (seen,) = place.apis[name].seen
    assert (seen.target, seen.headers["authorization"]) == (ONE, f"Bearer secret-of-{name}")
    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    assert (begin["target"], begin["sql"]) == (name, "GET /companies/{company_id}/employees/{employee_id}")


def test_a_pass_of_one_is_none_at_another_on_the_same_connection(
    place: Reach, opened: dict[str, dict[str, Any]]
) -> None:
    with place.wire(STAFF) as wire:
        good = wire.ask(f"/payroll{ONE}", STAFF, opened["wages"])
        foreign = wire.ask(f"/people/v2{ONE}", STAFF, opened["wages"])
        nowhere = wire.ask(f"/nothing{ONE}", STAFF, opened["wages"])
        billing = wire.ask(f"/payroll{ONE}", STAFF, opened["billing"])
        again = wire.ask(f"/payroll{ONE}", STAFF, opened["wages"])
    assert (good.status, again.status) == (200, 200)
    assert foreign.code == "authentication-failed"
    assert foreign.whole == nowhere.whole == billing.whole
    assert len(place.apis["wages"].seen) == 2


def test_who_has_no_pass_does_not_learn_which_prefixes_there_are(place: Reach) -> None:
    with place.wire(STAFF) as wire:
        found = [wire.ask(path, STAFF).whole for path in (f"/payroll{ONE}", f"/nothing{ONE}", "/", "/payroll/")]
    assert all(one == found[0] for one in found)
    assert found[0][0] == 401


@pytest.mark.parametrize(("named", "host"), [
    (STAFF, LEDGER), (LEDGER, STAFF), (STAFF, "nobody.gateway.test"), (STAFF, "127.0.0.1"), (STAFF, "localhost"),
    (STAFF, f"{STAFF}."), (STAFF, f"x.{STAFF}"), (STAFF, "[::1]"), ("nobody.gateway.test", "nobody.gateway.test"),
    ("nobody.gateway.test", STAFF), (None, STAFF), (None, LEDGER),
])  # fmt: skip
def test_a_connection_for_one_host_carries_nothing_for_another(
    place: Reach, opened: dict[str, dict[str, Any]], named: str | None, host: str
) -> None:
    with place.wire(named) as wire:
        shown = (None, opened["wages"], opened["billing"])
        found = [wire.ask(f"/payroll{ONE}", host, one) for one in shown]
    assert {answer.status for answer in found} == {421}
    assert all(answer.whole == found[0].whole for answer in found)
    assert found[0].code == "misdirected-request"
    assert not place.apis["wages"].seen
    assert not place.apis["billing"].seen


def test_a_host_that_is_not_there_is_told_like_one_that_is_elsewhere(
    place: Reach, opened: dict[str, dict[str, Any]]
) -> None:
    with place.wire(STAFF) as wire:
        elsewhere = wire.ask(f"/payroll{ONE}", LEDGER, opened["wages"])
        nowhere = wire.ask(f"/payroll{ONE}", "nobody.gateway.test", opened["wages"])
    assert elsewhere.whole == nowhere.whole


@pytest.mark.parametrize("path", [
    f"/people/v2/../payroll{ONE}", f"/people/v2/%2e%2e/%2e%2e/payroll{ONE}", f"/people%2fv2{ONE}", f"//people/v2{ONE}",
    f"/People/v2{ONE}", f"/people/V2{ONE}", f"/%70eople/v2{ONE}", f"/people//v2{ONE}", f"/people/v2%2f..{ONE}",
    f"/people/v2;x{ONE}", f"/people/v2\\{ONE}", f"/people/v2%00{ONE}", f"/people/v2.{ONE}", f"/people/v2 {ONE}",
    f"/payroll/..//people/v2{ONE}", f"/payroll/%2e%2e/people/v2{ONE}", f"/./people/v2{ONE}", f"/people/./v2{ONE}",
    "/people/v2", f"/people{ONE}", f"/people/v2x{ONE}", ONE, f"/payroll/people/v2{ONE}", f"/people/v2/people/v2{ONE}",
    f"/people/v2/{ONE}", f"/people/v2?{ONE}", f"/people/v2#{ONE}", f"/people/v2%3f{ONE}", f"/people/v2%23{ONE}",
    f"/people/v2/%c0%ae%c0%ae/payroll{ONE}", f"/people/v2/\xef\xbc\x8e\xef\xbc\x8e/payroll{ONE}",
])  # fmt: skip
@pytest.mark.parametrize("shown", ["wages", "people"])
def test_no_spelling_of_a_path_reaches_another_api(
    place: Reach, opened: dict[str, dict[str, Any]], path: str, shown: str
) -> None:
    with place.wire(STAFF) as wire:
        answer = wire.ask(path, STAFF, opened[shown])
    assert answer.status in (400, 401, 403, 404)
    assert place.apis["people"].seen == []


def test_one_connection_of_http_2_serves_each_by_its_own_rules(place: Reach, opened: dict[str, dict[str, Any]]) -> None:
    asked = [
        (STAFF, f"/payroll{ONE}", opened["wages"]), (STAFF, f"/people/v2{ONE}", opened["people"]),
        (LEDGER, ONE, opened["billing"]), (STAFF, f"/people/v2{ONE}", opened["wages"]),
        (STAFF, f"/payroll{ONE}", opened["wages"]), (STAFF, f"/people/v2{ONE}", opened["people"]),
    ]  # fmt: skip
    answers = place.h2(STAFF, asked)
    assert [answer.status for answer in answers] == [200, 200, 421, 401, 200, 200]
    # a pseudonym has its target's key
    names = [json.loads(answer.body)["name"] for answer in answers if answer.status == 200]
    assert (names[0], names[1]) == (names[2], names[3])
    assert names[0] != names[1]
    assert not place.apis["billing"].seen


def test_a_connection_to_an_api_is_of_one_target(place: Reach, opened: dict[str, dict[str, Any]]) -> None:
    with place.wire(STAFF) as wire:
        # a pass keeps its connection, and another's gets a new one
        for name in ("wages", "people"):
            for _ in range(3):
                assert wire.ask(PREFIXES[name] + ONE, STAFF, opened[name]).status == 200
    ports: dict[str, set[int]] = {}
    for seen in place.apis["wages"].seen:
        ports.setdefault(seen.headers["authorization"], set()).add(seen.port)
    assert {name: len(found) for name, found in ports.items()} == {
        "Bearer secret-of-wages": 1, "Bearer secret-of-people": 1,
    }  # fmt: skip
    assert not ports["Bearer secret-of-wages"] & ports["Bearer secret-of-people"]


def test_a_redirection_stays_below_the_prefix(place: Reach, opened: dict[str, dict[str, Any]]) -> None:
    place.apis["people"].location = "/companies/42/employees/4201"
    with place.wire(STAFF) as wire:
        answer = wire.ask(f"/people/v2{ONE}", STAFF, opened["people"])
        assert (answer.status, answer.headers["location"]) == (303, "/people/v2/companies/42/employees/4201")
        place.apis["people"].location = ""
        assert wire.ask(answer.headers["location"], STAFF, opened["people"]).status == 200
        place.apis["people"].location = "/people/v2/companies/42/employees/4201"
        assert wire.ask(f"/people/v2{ONE}", STAFF, opened["people"]).code == "answer-not-allowed"


def test_gateway_open_prints_the_address_under_which_the_api_is_reached(place: Reach) -> None:
    signed_in = place.house.command("alice", "login", "alice", otp=True)
    assert signed_in.returncode == 0, signed_in.stderr
    done = place.house.command("alice", "open", TICKET, "--target", "people")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("curl "))
    assert shlex.split(line)[-1] == f"https://{STAFF}:{place.port}/people/v2/"
    assert f"machine {STAFF} login" in done.stderr


def test_doctor_knows_the_names(place: Reach) -> None:
    done = place.house.command("alice", "doctor", "--output", "json")
    findings = [one for one in json.loads(done.stdout) if one["check"] == "target people"]
    assert any(STAFF in one["message"] and one["level"] == "ok" for one in findings), findings
