"""The demonstration's APIs behind the gateway, by their own policies: what curl and psql show of one employee, a change
that bob approves, what a sub-processor receives, and what carol finds of it.
"""

from __future__ import annotations

import csv
import json
import ssl
import zipfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from gateway_fixture import House, awaited, open_house
from http_house import HttpHouse

from gateway.demo.backoffice.process import OFFICE, Office
from gateway.demo.company import TARGET, TICKET
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.demo.service import Service
from gateway.demo.simulator.process import SIMULATOR, Simulator
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
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("simulator"))
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()


@pytest.fixture(scope="module")
def place(
    office: Office, simulator: Simulator, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    settings = {"targets": {one.name: one.target(free_port()) for one in (office, simulator)}}
    with open_house(tmp_path_factory.mktemp("house"), postgres, settings=settings, start=False) as house:
        for name in (OFFICE, SIMULATOR):
            for source in POLICIES.glob(f"{name}*.yaml"):
                path = house.company.directory / "policies" / source.name
                path.write_bytes(source.read_bytes())
                path.chmod(0o644)
        house.gateway.start()
        yield house


@pytest.fixture(scope="module")
def client(place: House) -> Iterator[httpx2.Client]:
    with showing(place, place.actor("alice").open(TICKET, "", OFFICE)) as client:
        yield client


def showing(place: House, opened: dict[str, Any]) -> httpx2.Client:
    return HttpHouse.client(HttpHouse(place, None, None, {}), opened)  # type: ignore[arg-type]


def direct(office: Service) -> httpx2.Client:
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


@pytest.mark.parametrize("name", [OFFICE, SIMULATOR])
def test_the_openapi_document_names_every_route_of_the_policy(office: Office, simulator: Simulator, name: str) -> None:
    service = {OFFICE: office, SIMULATOR: simulator}[name]
    with direct(service) as client:
        shown = {"Authorization": f"Bearer {service.token.read_text()}"}
        described = client.get(f"https://localhost:{service.port}/openapi.json", headers=shown).json()
    http = load_policy(POLICIES / f"{name}.yaml").http
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


@pytest.fixture(scope="module")
def signed_in(place: House) -> House:
    for login in ("alice", "bob", "bea", "carol"):
        assert place.command(login, "login", login, otp=True).returncode == 0
    return place


def asked(place: House, *question: str) -> list[dict[str, Any]]:
    done = place.command("carol", "--output", "json", "audit", "ask", *question)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows


def filed(place: House, login: str, *words: str) -> str:
    """The id of the request that `gateway open` filed."""
    done = place.command(login, "--output", "json", "open", TICKET, "--no-wait", *words)
    assert done.returncode == 77, done.stdout + done.stderr
    assert "approval-required" in done.stderr, done.stderr
    return str(json.loads(done.stdout)["request"]["id"])


@served
def test_a_patch_waits_for_bob_who_reads_it_and_runs_once(place: House, signed_in: House) -> None:
    (number, other), (before, _) = zip(
        *place.truth("select id, status from employees where company_id = 42 and status = 'active' limit 2"),
        strict=True,
    )
    path = f"/companies/42/employees/{number}"
    line = f'PATCH {path} {{"status": "on_leave"}}'
    request = filed(place, "alice", "--target", OFFICE, "--request", line, "--reason", "maternity leave")
    shown = place.command("bob", "show", request)
    assert shown.returncode == 0, shown.stderr
    assert f"PATCH {path}" in shown.stdout
    assert '{"status":"on_leave"}' in shown.stdout
    assert "PATCH by the route set_status ($.status), once" in shown.stdout
    assert "row" not in shown.stdout.lower()
    follower = place.follow()
    approved = place.command("bob", "approve", request, "--reason", "seen", "--yes")
    assert approved.returncode == 0, approved.stderr
    with showing(place, place.actor("alice").open(TICKET, line, OFFICE)) as client:
        codes = [
            client.patch(where, json=body).status_code
            for where, body in (
                (f"/companies/42/employees/{other}", {"status": "on_leave"}),
                (path, {"status": "notice"}),
                (path, {"status": "on_leave", "salary": 1}),
                (path, {"status": "on_leave"}),
                (path, {"status": "on_leave"}),
            )
        ]
    assert codes == [403, 403, 403, 200, 403]
    assert place.truth(f"select id, status from employees where id in ({number}, {other}) order by id") == sorted(
        [(number, "on_leave"), (other, "active")]
    )
    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    assert (begin["verb"], begin["columns_written"], begin["approvers"]) == (
        "PATCH",
        ["set_status.$.status"],
        ["p-003"],
    )
    ((row,),) = [asked(place, "writes", "--target", OFFICE)]
    assert (row["record"], row["claims"], row["status"]) == (begin["index"], 1, "ok")
    with place.postgres.connect() as owner:
        owner.execute("update employees set status = %s where id = %s", (before, number))


@served
def test_whoever_approves_a_reveal_sees_which_fields_it_is_about(place: House, signed_in: House) -> None:
    real = truth(place)
    fields = ("--reveal", "employee.$.iban", "--reveal", "export_table.$.email")
    request = filed(place, "alice", "--target", OFFICE, *fields, "--reason", "bank details bounced")
    follower = place.follow()
    shown = place.command("bea", "show", request)
    assert shown.returncode == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines() if line.startswith(("employee.$", "export_table.$"))]
    assert lines == [
        ["employee.$.iban", "GET", "/companies/{company_id}/employees/{employee_id}", "partial"],
        ["export_table.$.email", "GET", "/companies/{company_id}/export.csv", "email", "yes"],
    ]
    assert real["iban"] not in shown.stdout
    looked = awaited(follower, lambda record: record["kind"] == "request.preview")
    assert looked["reveal"] == ["employee.$.iban", "export_table.$.email"]
    assert place.command("bea", "approve", request, "--reason", "seen").returncode == 0
    words = ("--target", OFFICE, *fields, "--reason", "bank details bounced")
    done = place.command("alice", "--output", "json", "open", TICKET, *words)
    assert done.returncode == 0, done.stderr
    with showing(place, json.loads(done.stdout)) as client:
        one = client.get(f"/companies/42/employees/{real['id']}").json()
    assert one["iban"] == real["iban"]
    assert one["email"] != real["email"]


@served
def test_a_page_leaves_as_it_is_and_is_recorded_as_unmasked(
    place: House, client: httpx2.Client, signed_in: House
) -> None:
    follower = place.follow()
    page = client.get("/companies/42/overview")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert client.get("/companies/43/overview").status_code == 404
    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    assert begin["columns_revealed"] == ["overview.$"]
    assert begin["index"] in [row["record"] for row in asked(place, "reveals", "--target", OFFICE)]


@served
def test_carol_finds_who_looked_somebody_up_through_an_api(
    place: House, client: httpx2.Client, signed_in: House
) -> None:
    real = truth(place)
    follower = place.follow()
    # the policy names no such parameter and no such route: an attempt is found all the same
    assert client.get("/companies/42/employees", params={"email": real["email"].upper()}).status_code == 403
    first = awaited(follower, lambda record: record["kind"] == "statement.refused")
    assert client.get(f"/people/{real['iban']}").status_code == 404
    second = awaited(follower, lambda record: record["kind"] == "statement.refused")
    with showing(place, place.actor("alice").open(TICKET, "", SIMULATOR)) as sending:
        body = {"employee": {"first_name": "A", "last_name": real["last_name"], "nir": real["nir"]}}
        sent = sending.post("/companies/42/simulations", json={**body, "period": "2026-09", "gross": 3000})
        assert sent.status_code == 200
    third = awaited(follower, lambda record: record["kind"] == "statement.begin")
    for value, record in ((real["email"], first), (real["iban"], second), (real["nir"], third)):
        found = asked(place, "subject", "--value", value)
        assert record["index"] in [row["record"] for row in found], value
        assert value not in json.dumps(place.records())
    assert asked(place, "subject", "--value", "nobody@nowhere.example") == []


@served
def test_the_sub_processor_receives_pseudonyms_only_and_the_customer_is_told(
    place: House, simulator: Simulator, signed_in: House, tmp_path: Path
) -> None:
    real = truth(place)
    database = place.actor("alice").open(TICKET, target=TARGET)
    with psycopg.connect(**place.login_as(database["user"], database["password"]), autocommit=True) as connection:
        names = connection.execute(f"select first_name, last_name from employees where id = {real['id']}").fetchone()
    before = len(simulator.received())
    employee = {name: real[name] for name in ("first_name", "last_name", "email", "nir")}
    body = {"employee": {**employee, "birth_date": "1985-07-14"}, "period": "2026-09", "gross": 3140.55}
    with showing(place, place.actor("alice").open(TICKET, "", SIMULATOR)) as client:
        for wrong in (
            {**body, "iban": real["iban"]},
            {**body, "employee": {**employee, "notes": "ill"}},
            {**body, "period": "for Ann Example"},
        ):
            assert client.post("/companies/42/simulations", json=wrong).status_code == 403
        assert client.post("/companies/43/simulations", json=body).status_code == 404
        assert len(simulator.received()) == before
        answer = client.post("/companies/42/simulations", json=body)
    assert answer.status_code == 200
    left = simulator.received()[-1]
    assert (left["employee"]["first_name"], left["employee"]["last_name"]) == names
    assert (left["employee"]["nir"], left["employee"]["birth_date"], left["gross"]) == ("***", "1985-01-01", 3100)
    assert not any(str(real[name]) in json.dumps(left) for name in ("last_name", "email", "nir"))
    report = tmp_path / "42.zip"
    for customer, told in (("42", True), ("41", False)):
        report.unlink(missing_ok=True)
        made = place.command("carol", "audit", "transparency", "--customer", customer, "--out", str(report))
        assert made.returncode == 0, made.stderr
        with zipfile.ZipFile(report) as archive:
            sent = [one["sent"] for one in json.loads(archive.read("data/accesses.json")) if "sent" in one]
            page = archive.read("index.html").decode()
        assert bool(sent) is told
        assert all(list(one) == ["Barème Services SAS"] for one in sent)
        assert ("sent to Barème Services SAS: " in page) is told
        key = (place.company.state / "audit.key.pub").read_text().strip()
        assert place.command("dan", "audit", "verify", str(report), "--key", key).returncode == 0
