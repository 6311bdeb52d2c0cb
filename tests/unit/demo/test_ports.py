"""A port is given to one asker: none twice in a process, none that another living process was given."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo import ports
from gateway.errors import GatewayError

FEW = range(14_990, 14_994)
OTHER = f"""
from gateway.demo import ports
ports._below_the_clients = lambda: range({FEW.start}, {FEW.stop})
print(ports.free_port(), flush=True)
input()
"""


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Four ports to give, and reservations of these tests' own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(ports, "_below_the_clients", lambda: FEW)
    monkeypatch.setattr(ports, "_given", set())
    reservations = functools.cache(ports._reservations.__wrapped__)
    monkeypatch.setattr(ports, "_reservations", reservations)
    yield tmp_path
    if (file := reservations()) is not None:
        os.close(file)


def test_no_port_is_given_twice_though_nothing_listens_there_yet(few: Path) -> None:
    assert {ports.free_port() for _ in FEW} == set(FEW)
    with pytest.raises(GatewayError, match="no free port"):
        ports.free_port()


def test_a_port_that_another_process_was_given_is_free_again_when_it_has_ended(few: Path) -> None:
    command = [sys.executable, "-c", OTHER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        ours = {ports.free_port() for _ in FEW[1:]}
        assert ours == set(FEW) - {theirs}
        with pytest.raises(GatewayError, match="no free port"):
            ports.free_port()
        other.communicate("\n")
    assert ports.free_port() == theirs


def test_something_else_in_the_place_of_the_reservations_is_left_alone(few: Path) -> None:
    target = few / "target"
    (few / f"gateway-ports-{os.geteuid()}").symlink_to(target)
    assert ports.free_port() in FEW
    assert not target.exists()


def test_the_usual_port_is_given_while_nobody_listens_there(few: Path) -> None:
    with socket.create_server((ports.HOST, FEW[0])):
        assert ports.free_port(FEW[0]) in FEW[1:]
    assert ports.free_port(FEW[0]) == FEW[0] == ports.free_port(FEW[0])
