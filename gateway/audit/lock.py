"""The lock of a trail's directory: one process writes it, and whoever verifies it sees whether one does (flock(2)).

INVARIANT: it is held for as long as its descriptor is open, and gone with its process however that ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_WAIT_S, _TRIES = 0.02, 5


def take_lock(directory: Path) -> int:
    """A descriptor that holds the lock, negative when another process has it. Raises `OSError`."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_TRIES):
        if _locked(descriptor, fcntl.LOCK_EX):
            return descriptor
        # who verifies the trail holds the lock for an instant, to see whether it is held
        time.sleep(_WAIT_S)
    os.close(descriptor)
    return -1


def is_being_written(directory: Path) -> bool:
    """Whether a process writes the trail in that directory at the moment. Raises `OSError`."""
    with (directory / "lock").open("rb") as file:
        return not _locked(file.fileno(), fcntl.LOCK_SH)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
