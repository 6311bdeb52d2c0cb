"""`--keep`: what a part's own measurement printed, kept in RESULTS.md behind the benchmark's tables.

A later run of the same command replaces it; the benchmark replaces its own part and leaves these alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from loadtests.processes import machine

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = "# The parts by themselves\n"
_FACTS = ("CPU", "system", "Python", "disk of the trail", "load before the run")


class _Both(io.StringIO):
    """Keeps what it passes on."""

    def __init__(self, through: TextIO) -> None:
        super().__init__()
        self._through = through

    def write(self, text: str) -> int:
        """Pass it on and keep it."""
        self._through.write(text)
        return super().write(text)

    def flush(self) -> None:
        """Of what is passed on."""
        self._through.flush()


def measured(name: str, part: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a part's measurement, and keep what it prints if its arguments say so and it succeeds."""
    given = [argument for argument in arguments if argument != "--keep"]
    if len(given) == len(arguments):
        return part(given)
    facts = machine(Path.cwd())
    both = _Both(sys.stdout)
    with contextlib.redirect_stdout(both):
        status = part(given)
    if status == 0:
        command = " ".join(["python -m loadtests", name, *given])
        write(keep(RESULTS.read_text(), command, facts, both.getvalue()))
    return status


def keep(results: str, command: str, facts: dict[str, str], printed: str) -> str:
    """The results with the command's section put in, or in place of the one it had."""
    told = "; ".join(f"{name}: {facts[name]}" for name in _FACTS if name in facts)
    section = f"## `{command}`\n\n{datetime.now(UTC):%Y-%m-%d}; {told}\n\n```text\n{printed.rstrip()}\n```\n"
    bench, sections = split(results)
    kept = re.split(r"^(?=## `)", sections, flags=re.MULTILINE)[1:]
    named = {one.split("`", 2)[1]: one.rstrip() + "\n" for one in kept} | {command: section}
    return f"{bench.rstrip()}\n\n{_HEAD}\n" + "\n".join(named.values())


def split(results: str) -> tuple[str, str]:
    """The benchmark's own part, and the parts by themselves."""
    bench, head, sections = results.partition(_HEAD)
    return bench, head + sections


def write(text: str) -> None:
    """Put the results in their place; a stop in the middle leaves the old ones."""
    new = RESULTS.with_suffix(".new")
    new.write_text(text)
    os.replace(new, RESULTS)
