"""The demonstration's files, read back by the very parts that the gateway reads them with."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.access.directory.file import FileDirectory
from gateway.access.tickets.file import FileTickets
from gateway.config import Config, load_config
from gateway.demo import company as company_module
from gateway.demo.backoffice.process import OFFICE, Office
from gateway.demo.company import (
    CLOSED_TICKET,
    FOREIGN_TICKET,
    PEOPLE,
    PORTS,
    SECOND_TICKET,
    TICKET,
    Company,
    write_company,
    write_people,
    write_tickets,
)
from gateway.demo.postgres import Binaries, EmbeddedPostgres
from gateway.demo.simulator.process import SIMULATOR, Simulator


def a_server(directory: Path) -> EmbeddedPostgres:
    directory.mkdir(exist_ok=True)
    return EmbeddedPostgres(directory, Binaries(Path("/nowhere"), tls=False), port=5999)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    root = tmp_path_factory.mktemp("company")
    return write_company(root / "company", a_server(root / "postgres"), lambda usual: usual)


@pytest.fixture(scope="module")
def config(company: Company) -> Config:
    return load_config(company.config, environ={})


def test_the_configuration_names_the_database_and_the_usual_ports(company: Company, config: Config) -> None:
    target = config.targets["payroll"]
    assert (target.host, target.port, target.database, target.user) == ("127.0.0.1", 5999, "payroll", "gateway_ro")
    assert {name: getattr(config.listen, name).port for name in PORTS} == PORTS
    assert company.moved == ()


def test_the_secrets_can_be_read_and_by_their_owner_only(company: Company, config: Config) -> None:
    assert len(config.master_key.read()) >= 32
    assert config.targets["payroll"].password.read()
    for name in ("master.key", "backend.password", "passwords.json", "tls/server.key"):
        assert stat.S_IMODE((company.directory / name).stat().st_mode) == 0o600


def test_nobody_else_may_change_a_policy_whatever_the_umask_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "checkout" / "gateway" / "demo" / "company.py"
    source = tmp_path / "checkout" / "policies"
    source.mkdir(parents=True)
    (source / "payroll.yaml").write_text("target: payroll\n")
    source.chmod(0o775)
    (source / "payroll.yaml").chmod(0o664)
    monkeypatch.setattr(company_module, "__file__", str(module))
    company_module._copy_policies(tmp_path / "copy", {OFFICE})
    assert {path.stat().st_mode & 0o022 for path in (tmp_path / "copy", tmp_path / "copy" / "payroll.yaml")} == {0}


def test_the_people_have_the_passwords_that_the_demonstration_shows(company: Company) -> None:
    directory = FileDirectory(company.people)
    assert {person.login: set(person.teams) for person in PEOPLE} == {
        "alice": {"support"},
        "amir": {"support"},
        "bob": {"security"},
        "bea": {"security"},
        "carol": {"audit"},
        "dan": {"engineering"},
    }
    alice = directory.check_password("alice", company.passwords["alice"])
    assert alice is not None
    assert alice.teams == {"support"}
    assert directory.check_password("alice", company.passwords["amir"]) is None
    assert {person.id for person in PEOPLE} == {directory.find(login).id for login in company.passwords}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("ticket", "status", "assignee", "customers"),
    [
        (TICKET, "open", "alice", ("42",)),
        (CLOSED_TICKET, "closed", "alice", ("42",)),
        (FOREIGN_TICKET, "open", "amir", ("43",)),
        (SECOND_TICKET, "in_progress", "alice", ("41",)),
        ("SUP-1427", "open", "alice", ()),
        ("OPS-77", "open", "alice", ("42",)),
    ],
)
def test_the_tickets_are_what_the_story_needs(
    company: Company, ticket: str, status: str, assignee: str, customers: tuple[str, ...]
) -> None:
    found = FileTickets(company.tickets, system="tickets").find(ticket)
    assert found is not None
    assert (found.status, found.assignee, found.customers) == (status, assignee, customers)


def test_a_ticket_is_closed_and_opened_again_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "tickets.yaml"
    write_tickets(path, {TICKET: {"status": "closed"}})
    source = FileTickets(path, system="tickets")
    found = source.find(TICKET)
    assert found is not None
    assert found.status == "closed"
    write_tickets(path)
    again = FileTickets(path, system="tickets").find(TICKET)
    assert again is not None
    assert again.status == "open"


def test_the_line_that_the_screen_offers_closes_the_ticket_only(tmp_path: Path) -> None:
    path = tmp_path / "tickets.yaml"
    write_tickets(path)
    # sed's `/SUP-1423/,/status/s/open/closed/`, in Python
    lines, inside = [], False
    for line in path.read_text().splitlines():
        inside = inside or TICKET in line
        lines.append(line.replace("open", "closed", 1) if inside else line)
        inside = inside and "status" not in line
    path.write_text("\n".join(lines) + "\n")
    source = FileTickets(path, system="tickets")
    states = {id_: source.find(id_).status for id_ in (TICKET, FOREIGN_TICKET, "OPS-77")}  # type: ignore[union-attr]
    assert states == {TICKET: "closed", FOREIGN_TICKET: "open", "OPS-77": "open"}


def test_a_person_leaves_a_team_in_the_file(tmp_path: Path) -> None:
    company = write_company(tmp_path / "company", a_server(tmp_path / "postgres"), lambda usual: usual)
    write_people(company, {"amir": ()})
    directory = FileDirectory(company.people)
    amir, alice = directory.find("amir"), directory.find("alice")
    assert amir is not None
    assert alice is not None
    assert amir.teams == frozenset()
    assert alice.teams == {"support"}


def test_a_second_start_keeps_passwords_and_key_and_mends_what_was_edited(tmp_path: Path) -> None:
    server = a_server(tmp_path / "postgres")
    first = write_company(tmp_path / "company", server, lambda usual: usual)
    key = (first.directory / "master.key").read_bytes()
    first.tickets.write_text("tickets: []\n")
    second = write_company(tmp_path / "company", server, lambda usual: usual + 1)
    assert second.passwords == first.passwords
    assert (second.directory / "master.key").read_bytes() == key
    assert FileTickets(second.tickets, system="tickets").find(TICKET) is not None
    assert set(second.moved) == set(PORTS)
    assert load_config(second.config, environ={}).listen.postgres.port == PORTS["postgres"] + 1


def test_only_a_company_with_apis_has_their_targets_and_policies(tmp_path: Path, company: Company) -> None:
    server = a_server(tmp_path / "postgres")
    services = (Office(tmp_path / "office", server, port=5998), Simulator(tmp_path / "simulator", port=5997))
    for one in services:
        one.directory.mkdir(mode=0o700)
        one.token.write_text("t" * 32)
    with_both = write_company(tmp_path / "company", server, lambda usual: usual, services)
    found = load_config(with_both.config, environ={})
    assert set(found.targets) | set(found.apis) == {"payroll", OFFICE, SIMULATOR}
    for name in (OFFICE, SIMULATOR):
        assert found.apis[name].pseudonyms_of == "payroll"
        assert with_both.ports[name] == found.apis[name].listen.port
        assert (with_both.directory / "policies" / f"{name}.yaml").is_file()
        assert not list((company.directory / "policies").glob(f"{name}*"))
    assert set(load_config(company.config, environ={}).apis) == set()
