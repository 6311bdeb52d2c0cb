"""`deploy/prepare.sh` tells who is not root what is missing, at once and in words to act on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A directory that stands for the whole PATH: what the script needs, and a person who is not root."""
    for name in ("tr", "sh", "find", "xargs", "rm"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    _program(tmp_path / "id", "echo 1000")
    return tmp_path


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def prepare(machine: Path, *arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", ROOT / "deploy" / "prepare.sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"PATH": str(machine), **more},
        cwd=cwd,
    )


def test_the_newest_python_is_taken_wherever_it_is_and_an_older_one_when_there_is_no_other(machine: Path) -> None:
    for name in ("ls", "sort"):
        (machine / name).symlink_to(str(shutil.which(name)))
    _program(machine / "python3.11", "exit 0")
    kept = machine / "pyenv" / "versions"

    def found() -> str:
        return prepare(machine, "python", PYENV_ROOT=str(machine / "pyenv")).stdout.strip()

    assert found() == str(machine / "python3.11")
    for version, works in (("3.12.1", True), ("3.12.10", True), ("3.13.0", False)):
        program = kept / version / "bin" / f"python{version.rpartition('.')[0]}"
        program.parent.mkdir(parents=True)
        _program(program, "exit 0" if works else "exit 1")
    assert found() == str(kept / "3.12.10" / "bin" / "python3.12")
    _program(machine / "python3.12", "exit 0")
    assert found() == str(machine / "python3.12")
    assert prepare(machine, "python", PYTHON="python3.11").stdout.strip() == str(machine / "python3.11")


@pytest.mark.parametrize("have", [(), ("node",), ("npm",), ("node", "npm")])
def test_each_program_is_missed_by_itself(machine: Path, have: tuple[str, ...]) -> None:
    for name in have:
        _program(machine / name, "exit 0")
    done = prepare(machine, "debian", "node")
    missing = [package for name, package in (("node", "nodejs"), ("npm", "npm")) if name not in have]
    if not missing:
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Software is missing that only root can install: {' '.join(missing)}",
        f"Run: sudo apt-get install {' '.join(missing)}",
    ]


def test_what_one_can_do_without_is_not_spoken_of(machine: Path) -> None:
    done = prepare(machine, "wish", "client", "node")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_a_compiler_the_twins_are_announced_and_the_next_call_tries_again(machine: Path) -> None:
    environment = machine / "venv"
    (environment / "bin").mkdir(parents=True)
    _program(
        environment / "bin" / "python", f'case "$2" in *CC*) echo no-compiler ;; *) echo {machine}/Python.h ;; esac'
    )
    stale = machine / "gateway" / "_old.so"
    stale.parent.mkdir()
    stale.touch()
    done = prepare(machine, "native", str(environment), cwd=machine)
    assert done.returncode == 1
    assert not stale.exists(), "what was compiled from other sources is gone"
    said, mend = done.stderr.splitlines()
    assert "twins in Python serve" in said
    assert mend == "To change that: sudo apt-get install gcc libc6-dev"
    assert "if $(PREPARE) native $(VENV); then touch $@; fi" in (ROOT / "Makefile").read_text()
