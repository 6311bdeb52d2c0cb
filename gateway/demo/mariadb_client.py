"""MariaDB's own command line as a client, driven by a program."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.client import Answer, bare_environment

_SAID = re.compile(r"^ERROR (\d+)(?: \(([0-9A-Z]{5})\))?(?: at line \d+)?: (.*)$", re.MULTILINE)
_ESCAPED = re.compile(r"\\([tn0\\])")
_PLAIN = {"t": "\t", "n": "\n", "0": "\0", "\\": "\\"}
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class MariaDBClient:
    """What `mariadb --defaults-file=FILE` runs; the file holds where to and as whom."""

    options: Path

    def run(self, statement: str) -> Answer:
        """Run one statement in a session of its own: its rows, or its error."""
        done = subprocess.run(
            [*self.command, "--batch", "--execute", statement], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=_PATIENCE_S, env=bare_environment(),
        )  # fmt: skip
        lines = [tuple(map(_unescaped, line.split("\t"))) for line in done.stdout.splitlines()]
        columns, rows = (lines[0], tuple(lines[1:])) if lines else ((), ())
        return answer(columns, rows, done.stderr) if done.returncode else Answer(columns, rows)

    @property
    def command(self) -> list[str]:
        """The program with its one file of options."""
        return ["mariadb", f"--defaults-file={self.options}"]

    def until_cut(self, statement: str, act: Callable[[], None], patience_s: float) -> tuple[Answer, float]:
        """Run it in one session, act, and run it again and again until an error ends the session.

        The error, and how many seconds after the act it came.
        """
        process = subprocess.Popen(
            [*self.command, "--batch", "--unbuffered", "--skip-reconnect", "--skip-column-names"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=bare_environment(),
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{statement};\n")
            process.stdin.flush()
            if process.stdout.readline():
                act()
                began = time.monotonic()
            while process.poll() is None and time.monotonic() - began < patience_s:
                process.stdin.write(f"{statement};\n")
                process.stdin.flush()
                time.sleep(0.02)
        after = time.monotonic() - began
        if process.poll() is None:
            process.kill()
        _, said = process.communicate(timeout=_PATIENCE_S)
        return answer((), (), said), after


def write_options(path: Path, *, port: int, user: str, password: str, database: str, ca: Path) -> MariaDBClient:
    """Write the file, readable by its owner only, and give the client that reads it."""
    lines = [
        "[client]", "host=localhost", "protocol=tcp", f"port={port}", f"user={user}", f'password="{password}"',
        "default-character-set=utf8mb4", f"ssl-ca={ca}", "loose-ssl-verify-server-cert", "[mysql]",
        f"database={database}", "",
    ]  # fmt: skip
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return MariaDBClient(path)


def answer(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], said: str) -> Answer:
    """What the program said when something went wrong."""
    found = _SAID.search(said)
    error, state = (found[3], found[2] or "") if found else (said.strip() or "the program ended", "")
    return Answer(columns, rows, error=error, sqlstate=state, closed="shutdown" in said or "gone away" in said)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _PLAIN[found[1]], text)
