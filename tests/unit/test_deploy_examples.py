"""What `deploy/` shows people must be true: the example configuration loads, the unit names commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.cli import commands
from gateway.config import load_config

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "gateway.service"


def test_the_example_configuration_loads() -> None:
    config = load_config(ROOT / "deploy" / "etc" / "gateway.yaml", environ={})
    assert config.targets["payroll"].tls == "verify-full"
    assert config.listen.postgres.tls == "required"


def test_every_file_the_example_names_has_its_rights_set() -> None:
    named = set(re.findall(r"\b[\w-]+\.(?:key|password)\b", (ROOT / "deploy" / "etc" / "gateway.yaml").read_text()))
    rights = (ROOT / "deploy" / "systemd" / "gateway.tmpfiles.conf").read_text()
    secret = re.findall(r"^z /etc/gateway/(\S+)\s+0600 gateway gateway$", rights, re.MULTILINE)
    assert named == {"master.key", "server.key", "payroll.password"}
    assert {name for name in named if not any(Path(name).match(pattern) for pattern in secret)} == set()


def test_the_role_in_the_database_is_the_one_that_configurations_name() -> None:
    made = re.search(
        r"^create role (\w+)", (ROOT / "deploy" / "postgres" / "backend-role.sql").read_text(), re.MULTILINE
    )
    assert made is not None
    for path in (ROOT / "deploy" / "etc" / "gateway.yaml", ROOT / "gateway" / "cli" / "templates" / "gateway.yaml"):
        assert re.findall(r"^    user: (\w+)$", path.read_text(), re.MULTILINE) == [made[1]]


def test_the_service_is_where_make_installs_it() -> None:
    makefile = (ROOT / "Makefile").read_text()
    prefix = re.search(r"^PREFIX \?= (\S+)$", makefile, re.MULTILINE)
    assert prefix is not None
    assert f"ExecStart={prefix[1]}/bin/gateway " in UNIT.read_text()
    assert re.search(r"^install:$", makefile, re.MULTILINE)


def test_the_service_runs_commands_that_exist() -> None:
    run = re.findall(r"^Exec\w+=/opt/gateway/bin/gateway (\w+)", UNIT.read_text(), re.MULTILINE)
    assert run == ["serve"]
    assert set(run) <= set(commands())


@pytest.mark.parametrize(
    "setting", ["NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "StateDirectoryMode=0700"]
)
def test_the_service_is_confined(setting: str) -> None:
    assert setting in UNIT.read_text().splitlines()


@pytest.mark.parametrize("name", ["build", "demo", "dev", "run", "test"])
def test_every_locked_requirement_has_hashes_and_no_index(name: str) -> None:
    text = (ROOT / "deploy" / "requirements" / f"{name}.txt").read_text()
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert requirements
    assert [line for line in requirements if "--hash=sha256:" not in line] == []
    assert "://" not in text
    assert "--index" not in text


def test_the_small_locks_are_parts_of_the_large_one() -> None:
    def versions(name: str) -> dict[str, set[str]]:
        text = (ROOT / "deploy" / "requirements" / f"{name}.txt").read_text()
        found: dict[str, set[str]] = {}
        for package, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE):
            found.setdefault(package, set()).add(version)
        return found

    large = versions("dev")
    for name in ("test", "demo", "run"):
        assert {package: found for package, found in versions(name).items() if not found <= large[package]} == {}
