"""What `gateway init` writes, and what the doctor says about files."""

from __future__ import annotations

import re
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import certificates
from gateway.access.directory.file import FileDirectory
from gateway.access.tickets.file import FileTickets
from gateway.cli import doctor
from gateway.cli.finding import FAIL, OK, WARN, Finding
from gateway.config import Config, load_config, settings
from gateway.directory_settings import KINDS as DIRECTORIES
from gateway.http_settings import HttpTarget
from gateway.policy.load import load_policy
from gateway.target_settings import Target
from gateway.ticket_settings import KINDS
from gateway.ticket_settings import FileTickets as FileSettings


@pytest.fixture
def installed(terminal: Any) -> Path:
    assert terminal.run("init", "here", "--target", "payroll").code == 0
    (terminal.home / "here" / "payroll.password").write_text("x")
    return Path(terminal.home / "here")


def test_the_certificate_has_the_names_that_clients_will_use(terminal: Any) -> None:
    assert terminal.run("init", "there", "--host", "gateway.example.com", "--host", "192.0.2.7").code == 0
    assert {"localhost", "gateway.example.com", "192.0.2.7"} <= set(
        certificates.describe(terminal.home / "there" / "server.crt").names
    )
    assert terminal.run("init", "elsewhere", "--host", "two words").code == 2


def uncommented(text: str) -> str:
    """The configuration with every setting that it shows switched on."""
    return re.sub(r"^( *)#(?=\w)", r"\1", text, flags=re.MULTILINE)


def test_the_configuration_loads_as_it_is(installed: Path) -> None:
    config = load_config(installed / "gateway.yaml", {})
    assert set(config.targets) == {"payroll"}
    assert len(config.master_key.read()) == 64


def test_the_defaults_that_it_shows_are_the_defaults(installed: Path) -> None:
    before = load_config(installed / "gateway.yaml", {})
    text = uncommented((installed / "gateway.yaml").read_text())
    (installed / "all.yaml").write_text(text)
    after = load_config(installed / "all.yaml", {})
    assert after.model_copy(update={"source": None}) == before.model_copy(update={"source": None})


def test_it_shows_every_setting(installed: Path) -> None:
    text = uncommented((installed / "gateway.yaml").read_text())
    (installed / "all.yaml").write_text(text)
    shown = set(_written(load_config(installed / "all.yaml", {})))
    # of the kinds of directories and ticket sources it is the embedded one; the others are shown in comments
    other = {f"tickets.{name}" for kind in KINDS for name in kind.model_fields} - {"tickets.kind"}
    other |= {f"directory.{name}" for kind in DIRECTORIES for name in kind.model_fields}
    other -= {"directory.kind", "directory.path"}
    others = {name for name, _ in settings() if any(name == one or name.startswith(f"{one}.") for one in other)}
    # of the kinds of targets it is a database; an API is shown in comments
    api = {f"targets.NAME.{name}" for name in set(HttpTarget.model_fields) - set(Target.model_fields)}
    example_of_api = text.partition("# An API over HTTP")[2].partition("# What teams may do")[0]
    assert {name.rpartition(".")[2] for name in api} <= set(re.findall(r"(\w+): ", example_of_api))
    others |= {name for name, _ in settings() if any(name == one or name.startswith(f"{one}.") for one in api)}
    names = {name.replace("targets.NAME", "targets.payroll") for name, _ in settings() if name not in others}
    # an export has no default that could be switched on: it is shown as an example
    example = text.partition("# Copies of the trail")[2].partition("exports: {}")[0]
    exports = {name for name in names if name.startswith("exports.")}
    assert exports <= {f"exports.NAME.{name}" for name in re.findall(r"(\w+): ", example)}
    assert shown - {"exports"} == (names - exports) | {f"tickets.{name}" for name in FileSettings.model_fields}


def _written(model: Any, prefix: str = "") -> list[str]:
    """The dotted names that a file set itself."""
    found: list[str] = []
    for name in model.model_fields_set - {"source"}:
        value = getattr(model, name)
        if name == "tickets":
            found += [one for source in value for one in _written(source, "tickets.")]
        elif name == "targets":
            found += [one for key, inner in value.items() for one in _written(inner, f"targets.{key}.")]
        elif hasattr(value, "model_fields_set") and type(value).__name__ != "Secret":
            found += _written(value, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found


def test_every_setting_has_a_word_of_explanation(installed: Path) -> None:
    lines = (installed / "gateway.yaml").read_text().splitlines()
    assert sum(line.lstrip().startswith("# ") for line in lines) > 30


def test_policy_people_and_tickets_are_valid(installed: Path) -> None:
    assert load_policy(installed / "policies" / "payroll.yaml").target == "payroll"
    assert FileDirectory(installed / "people.yaml").find("alice") is None
    assert FileTickets(installed / "tickets.yaml").find("SUP-1423") is None


@pytest.mark.parametrize("name", ["people.yaml", "tickets.yaml"])
def test_the_examples_in_the_comments_are_valid(installed: Path, name: str) -> None:
    text = (installed / name).read_text()
    example = "\n".join(line[4:] for line in text.splitlines() if line.startswith("#   "))
    hashed = "$argon2id$v=19$m=65536,t=3,p=1$" + "A" * 22 + "$" + "A" * 43
    (installed / name).write_text(example.replace("$argon2id$v=19$m=65536,t=3,p=1$…", hashed))
    if name == "people.yaml":
        assert FileDirectory(installed / name).find("alice") is not None
    else:
        assert FileTickets(installed / name).find("SUP-1423") is not None


@pytest.mark.parametrize("name", ["master.key", "server.key", "people.yaml"])
def test_secrets_are_for_their_owner_only(installed: Path, name: str) -> None:
    assert stat.S_IMODE((installed / name).stat().st_mode) == 0o600


def test_nothing_is_ever_overwritten(terminal: Any, installed: Path) -> None:
    before = {path: path.read_bytes() for path in installed.rglob("*") if path.is_file()}
    again = terminal.run("init", "here", "--target", "payroll", "--output", "json")
    assert again.json["written"] == []
    assert {path: path.read_bytes() for path in before} == before


def test_a_certificate_that_is_there_keeps_its_whole_chain(terminal: Any) -> None:
    (terminal.home / "here").mkdir()
    (terminal.home / "here" / "server.crt").write_text("mine")
    written = terminal.run("init", "here", "--output", "json").json["written"]
    assert not {Path(path).name for path in written} & {"ca.crt", "server.key"}


def test_a_link_is_not_followed(terminal: Any) -> None:
    (terminal.home / "here").mkdir()
    (terminal.home / "here" / "master.key").symlink_to(terminal.home / "elsewhere")
    terminal.run("init", "here")
    assert not (terminal.home / "elsewhere").exists()


@pytest.mark.parametrize("target", ["Payroll", "../x", "", "a b"])
def test_a_target_has_a_simple_name(terminal: Any, target: str) -> None:
    assert terminal.run("init", "here", "--target", target).code == 2
    assert not (terminal.home / "here").exists()


def test_the_certificate_is_good_for_strict_clients(installed: Path) -> None:
    described = certificates.describe(installed / "server.crt")
    assert {"localhost", "127.0.0.1", "::1"} <= set(described.names)
    assert certificates.signed_by(installed / "server.crt", installed / "ca.crt")
    assert not certificates.signed_by(installed / "server.crt", installed / "server.crt")
    client, server = ssl.create_default_context(cafile=str(installed / "ca.crt")), ssl.MemoryBIO()
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = ssl.MemoryBIO(), server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(installed / "server.crt", installed / "server.key")
    left = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    right = context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [left, right]
    for _ in range(6):
        for side in tuple(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    assert waiting == []
    assert left.version() == "TLSv1.3"


def levels(findings: list[Finding], check: str) -> list[str]:
    return [finding.level for finding in findings if finding.check == check]


def look(config: Config, name: str) -> list[Finding]:
    return list(getattr(doctor, name)(config))


def open_the_way(directory: Path) -> None:
    """Let everybody come as far as that directory."""
    for above in (directory, *directory.parents):
        if above.stat().st_mode & 0o005 != 0o005:
            above.chmod(0o755)


def test_a_fresh_installation_is_sound(installed: Path) -> None:
    config = load_config(installed / "gateway.yaml", {})
    for name in ("_files", "_master_key", "_certificate", "_clock", "_directory", "_tickets", "_audit"):
        assert {finding.level for finding in look(config, name)} == {OK}, name


def test_loose_modes_are_found(installed: Path) -> None:
    config = load_config((installed / "gateway.yaml").absolute(), {})
    open_the_way(installed)
    (installed / "people.yaml").chmod(0o644)
    (installed / "gateway.yaml").chmod(0o666)
    (installed / "state").chmod(0o755)
    found = look(config, "_files")
    assert levels(found, "files") == [FAIL] * 3
    assert all(finding.mend.startswith("chmod ") for finding in found)


def test_a_file_below_a_closed_directory_is_not_open_to_others(installed: Path) -> None:
    installed.chmod(0o700)
    (installed / "people.yaml").chmod(0o644)
    assert levels(look(load_config(installed / "gateway.yaml", {}), "_files"), "files") == [OK]


@pytest.mark.parametrize(("accounts", "level"), [({"gateway"}, OK), ({"gateway", "eve"}, FAIL)])
def test_a_group_is_others_unless_it_is_one_account(
    installed: Path, monkeypatch: pytest.MonkeyPatch, accounts: set[str], level: str
) -> None:
    open_the_way(installed)
    (installed / "people.yaml").chmod(0o640)
    monkeypatch.setattr(doctor, "_accounts", lambda _group: accounts)
    assert levels(look(load_config(installed / "gateway.yaml", {}), "_files"), "files") == [level]


@pytest.mark.parametrize("content", ["short", ""])
def test_a_weak_master_key_is_found(installed: Path, content: str) -> None:
    (installed / "master.key").write_text(content)
    assert levels(look(load_config(installed / "gateway.yaml", {}), "_master_key"), "master key") == [FAIL]


def test_a_certificate_for_another_name_is_found(installed: Path) -> None:
    config = load_config(installed / "gateway.yaml", {"GATEWAY_LISTEN__API__HOST": "192.0.2.1"})
    assert levels(look(config, "_certificate"), "certificate") == [OK, FAIL]


@pytest.mark.parametrize(("days", "level"), [(-500, FAIL), (-390, WARN), (10, FAIL)])
def test_a_certificate_out_of_its_time_is_found(installed: Path, days: int, level: str) -> None:
    issued = certificates.issue("x", ["localhost", "127.0.0.1"], lambda: datetime.now(UTC) + timedelta(days=days))
    (installed / "server.crt").write_bytes(issued.certificate)
    (installed / "server.key").write_bytes(issued.key)
    (installed / "ca.crt").write_bytes(issued.ca)
    assert levels(look(load_config(installed / "gateway.yaml", {}), "_certificate"), "certificate") == [level]


@pytest.mark.parametrize("name", ["server.crt", "server.key"])
def test_a_certificate_that_does_not_go_with_its_key_is_found(installed: Path, name: str) -> None:
    other = certificates.issue("x", ["localhost"])
    (installed / name).write_bytes(other.certificate if name == "server.crt" else other.key)
    assert levels(look(load_config(installed / "gateway.yaml", {}), "_certificate"), "certificate") == [FAIL]


def test_a_directory_that_cannot_be_read_is_found(installed: Path) -> None:
    (installed / "people.yaml").write_text("people: 7")
    assert levels(look(load_config(installed / "gateway.yaml", {}), "_directory"), "directory") == [FAIL]


def test_too_little_disk_is_found(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(installed / "gateway.yaml", {})
    for free, level in ((1 << 20, FAIL), (300 << 20, WARN), (1 << 40, OK)):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free})())
        assert levels(look(config, "_disk"), "disk") == [level]
