"""The demonstration's back office behind the gateway, by its own policy: what curl and psql show of one employee."""

from __future__ import annotations

import csv
import json
import ssl
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from gateway_fixture import House, open_house
from http_house import HttpHouse

from gateway.demo.backoffice.process import OFFICE, Office
from gateway.demo.company import TARGET, TICKET
from gateway.demo.postgres import EmbeddedPostgres, free_port
from gateway.engines.http_support import unsupported
from gateway.policy.load import load_policy

POLICIES = Path(__file__).parents[2] / "policies"
served = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")


@pytest.fixture(scope="module")
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    office = Office(tmp_path_factory.mktemp("office"), postgres)
    office.start()
    try:
        yield office
    finally:
        office.stop()


@pytest.fixture(scope="module")
def place(office: Office, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    target = office.target(free_port())
    settings = {"targets": {OFFICE: target}}
    with open_house(tmp_path_factory.mktemp("house"), postgres, settings=settings, start=False) as house:
        for source in POLICIES.glob(f"{OFFICE}*.yaml"):
            path = house.company.directory / "policies" / source.name
            path.write_bytes(source.read_bytes())
            path.chmod(0o644)
        house.gateway.start()
        yield house


@pytest.fixture(scope="module")
def client(place: House) -> Iterator[httpx2.Client]:
    opened = place.actor("alice").open(TICKET, "", OFFICE)
    with HttpHouse.client(HttpHouse(place, None, None, {}), opened) as client:  # type: ignore[arg-type]
        yield client


def direct(office: Office) -> httpx2.Client:
    verify = ssl.create_default_context(cafile=str(office.directory / "tls" / "ca.crt"))
    return httpx2.Client(verify=verify, trust_env=False)


def truth(place: House) -> dict[str, Any]:
    with place.postgres.connect() as owner:
        names = "id, first_name, last_name, email, phone, iban, nir, notes"
        row = owner.execute(f"select {names} from employees where company_id = 42 order by id limit 1").fetchone()
    assert row is not None
    return dict(zip(names.split(", "), row, strict=True))


def test_nobody_but_the_gateway_is_answered(office: Office) -> None:
    with direct(office) as client:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer guessed"}):
            for path in ("/openapi.json", "/companies/42/employees"):
                answer = client.get(f"https://localhost:{office.port}{path}", headers=headers)
                assert answer.status_code == 401
    assert all(path.stat().st_mode & 0o077 == 0 for path in (office.token, office.directory / "settings.json"))


def test_the_openapi_document_names_every_route_of_the_policy(office: Office) -> None:
    with direct(office) as client:
        shown = {"Authorization": f"Bearer {office.token.read_text()}"}
        described = client.get(f"https://localhost:{office.port}/openapi.json", headers=shown).json()
    http = load_policy(POLICIES / f"{OFFICE}.yaml").http
    assert http is not None
    in_policy = {("/" + "/".join(route.template), route.method.lower()) for route in http.routes}
    assert in_policy == {(path, method) for path, methods in described["paths"].items() for method in methods}


@served
def test_an_employee_is_masked_alike_in_every_form_and_in_psql(place: House, client: httpx2.Client) -> None:
    real = truth(place)
    path = "/companies/42/employees"
    one = client.get(f"{path}/{real['id']}")
    first = client.get(path, params={"per_page": 1})
    lines = client.get("/companies/42/export.ndjson")
    table = client.get("/companies/42/export.csv")
    assert [answer.status_code for answer in (one, first, lines, table)] == [200] * 4
    line = next(line for line in map(json.loads, lines.text.splitlines()) if line["id"] == real["id"])
    row = next(row for row in csv.DictReader(StringIO(table.text)) if row["id"] == str(real["id"]))
    assert one.json() == first.json()["employees"][0] == line
    assert row["last_name"] == line["last_name"]
    for answer in (one, first, lines, table):
        for name in ("email", "phone", "iban", "nir"):
            assert real[name] is None or real[name] not in answer.text
        assert "notes" not in answer.text
        assert "profile" not in answer.text
    database = place.actor("alice").open(TICKET, target=TARGET)
    names = "first_name, last_name, email, phone, iban, nir"
    with psycopg.connect(**place.login_as(database["user"], database["password"]), autocommit=True) as connection:
        in_sql = connection.execute(f"select {names} from employees where id = {real['id']}").fetchone()
    assert in_sql == tuple(one.json()[name] for name in names.split(", "))
    assert one.json()["last_name"] != real["last_name"]


@served
def test_another_customers_employee_and_one_that_is_missing_are_the_same(place: House, client: httpx2.Client) -> None:
    ((foreign,),) = place.truth("select id from employees where company_id = 43 limit 1")
    refused = client.get(f"/companies/43/employees/{foreign}")
    assert refused.status_code == 404
    # on one connection, which no withheld answer ends
    connections = set()
    for _ in range(15):
        for path in (
            f"/companies/42/employees/{foreign}",
            "/companies/42/employees/99999999",
            "/companies/43/employees",
        ):
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (404, refused.text)
            connections.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(connections) == 1


@served
def test_payslips_are_counted_without_their_amounts(place: House, client: httpx2.Client) -> None:
    ((number, count),) = place.truth(
        "select e.id, count(*) from employees e join payslips p on p.employee_id = e.id "
        "where e.company_id = 42 group by e.id order by e.id limit 1"
    )
    answer = client.get(f"/companies/42/employees/{number}/payslips").json()
    assert answer["total"] == len(answer["payslips"]) == count
    assert {(one["gross"], one["net"]) for one in answer["payslips"]} == {(None, None)}
