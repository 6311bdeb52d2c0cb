"""Free loopback ports, each given to one asker.

A port is chosen before the server that gets it listens there; until then it looks free to everybody. So each choice is
kept: by this process for its own choices, and by a lock on one byte of a file, at the port's number, for those of the
same user's other processes. The system lets the lock go when the process that holds it ends, however it ends.
"""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import secrets
import socket
import tempfile
from pathlib import Path

from gateway.errors import GatewayError

HOST = "127.0.0.1"
_CLIENTS_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()


def free_port(preferred: int = 0, host: str = HOST) -> int:
    """`preferred` when nothing listens there, else a free port that nobody who asks here was given or will be.

    The system hands out none of them to clients' connections, which could sit on it while its server restarts.
    Raises `GatewayError` when all are taken.
    """
    if preferred and _is_free(preferred, host):
        return preferred
    ports = _below_the_clients()
    first = secrets.randbelow(len(ports))
    for port in itertools.chain(ports[first:], ports[:first]):
        if port not in _given and _is_free(port, host) and _reserved(port):
            _given.add(port)
            return port
    raise GatewayError("configuration-invalid", f"no free port on {host}", "stop what listens there")


def _is_free(port: int, host: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _reserved(port: int) -> bool:
    """Whether no other process of this user has the port by now, as far as can be kept."""
    file = _reservations()
    if file is None:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@functools.cache
def _reservations() -> int | None:
    """The file of the locks, open for as long as this process lives: to close it would let all of them go.

    None when somebody else has put something in its place: each process then knows of its own choices alone.
    """
    path = Path(tempfile.gettempdir()) / f"gateway-ports-{os.geteuid()}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None


def _below_the_clients() -> range:
    """The ports from 15000 on that no client's connection gets, as far as the system tells."""
    try:
        first = int(_CLIENTS_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return range(15_000, first) if first > 16_000 else range(15_000, 32_768)
