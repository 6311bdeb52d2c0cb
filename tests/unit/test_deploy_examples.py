"""What `deploy/` shows people must be true: the example configuration loads, the unit names commands that exist."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli import archiving, commands, witness
from gateway.config import load_config

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "gateway.service"
WITNESS = ROOT / "deploy" / "systemd" / "gateway-witness.service"
RESTORE = ROOT / "deploy" / "systemd" / "gateway-restore-test.service"


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


def test_the_witness_runs_a_command_with_options_that_exist() -> None:
    text = WITNESS.read_text().replace("\\\n", " ")
    line = re.search(r"^ExecStart=/opt/gateway/bin/gateway (.*)$", text, re.MULTILINE)
    assert line is not None
    words = line[1].split()
    assert " ".join(words[:2]) in commands()
    known = {name for parameter in inspect.signature(witness.witness).parameters for name in (f"--{parameter}",)}
    assert {word for word in words if word.startswith("--")} - known == {"--ca"}
    assert set(re.findall(r"^LoadCredential=(\w+):", text, re.MULTILINE)) == set(
        re.findall(r"CREDENTIALS_DIRECTORY\}/(\w+)", line[1])
    )
    assert WITNESS.with_suffix(".timer").exists()


def test_the_restore_test_runs_a_command_with_options_that_exist() -> None:
    text = RESTORE.read_text().replace("\\\n", " ")
    line = re.search(r"^ExecStart=/opt/gateway/bin/gateway (.*)$", text, re.MULTILINE)
    assert line is not None
    words = line[1].split()
    assert " ".join(words[:2]) in commands()
    known = {f"--{name}" for name in inspect.signature(archiving.restore_test).parameters}
    assert {word for word in words if word.startswith("--")} - known == {"--config"}
    assert set(re.findall(r"^LoadCredential=(\w+):", text, re.MULTILINE)) == set(
        re.findall(r"CREDENTIALS_DIRECTORY\}/(\w+)", line[1])
    )
    assert RESTORE.with_suffix(".timer").exists()
    assert {"User=gateway", "UMask=0077", "CacheDirectoryMode=0700"} <= set(text.splitlines())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd on this machine")
@pytest.mark.parametrize(
    "unit",
    [UNIT, WITNESS, WITNESS.with_suffix(".timer"), RESTORE, RESTORE.with_suffix(".timer")],
    ids=lambda p: p.name,
)
def test_systemd_understands_every_unit(unit: Path, tmp_path: Path) -> None:
    for path in unit.parent.glob("*.service"):
        (tmp_path / path.name).write_text(
            re.sub(r"^(ExecStart=)\S+", r"\1/bin/true", path.read_text(), flags=re.MULTILINE)
        )
    for path in unit.parent.glob("*.timer"):
        (tmp_path / path.name).write_text(path.read_text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


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
