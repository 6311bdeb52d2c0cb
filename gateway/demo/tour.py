"""`gateway demo --tour`: the story of the product, acted out with real clients on the same stage as the demo.

Every step prints what it did and what came back; the exit code is 0 only if every claim held, 1 otherwise.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gateway.demo.api import what_the_api_shows
from gateway.demo.api_changes import what_alice_changes_in_the_api
from gateway.demo.changes import what_alice_changes
from gateway.demo.claims import StepFailed, Tour
from gateway.demo.client import find_psql
from gateway.demo.findings import what_carol_finds
from gateway.demo.ledger import what_mariadb_shows
from gateway.demo.outbound import what_leaves
from gateway.demo.proofs import what_carol_proves, what_survives_a_kill
from gateway.demo.stage import claimed, staged, state_directory
from gateway.demo.story import how_access_ends, what_alice_sees, who_is_refused
from gateway.demo.trail import Follower

PARTS: tuple[Callable[[Tour], None], ...] = (
    who_is_refused,
    what_alice_sees,
    how_access_ends,
    what_carol_proves,
    what_survives_a_kill,
    what_alice_changes,
    what_the_api_shows,
    what_alice_changes_in_the_api,
    what_leaves,
    what_mariadb_shows,
    what_carol_finds,
)


def run_tour(state: Path | None = None) -> int:
    """Act the story out; the exit code. Raises `DemoError` when the stage cannot be set."""
    console = Console(highlight=False)
    psql = find_psql()
    started = time.monotonic()

    def tell(sentence: str) -> None:
        console.print(Text(f"      {sentence}", style="dim"))

    with claimed(state_directory("tour", state)) as directory:
        shutil.rmtree(directory / "home", ignore_errors=True)
        with staged(directory, tell, fresh=True) as stage:
            tell(f"the client is {psql or 'psycopg, since no psql with TLS is here'}")
            tour = Tour(console, stage, psql, Follower(stage.company.state / "audit"))
            for part in PARTS:
                tour.act((part.__doc__ or "").strip())
                try:
                    part(tour)
                except StepFailed as error:
                    tour.check(f"this part could not go on: {error}", False)
    took = time.monotonic() - started
    console.print()
    if tour.failed:
        console.print(Text(f"{len(tour.failed)} of {tour.passed + len(tour.failed)} claims do not hold:", "bold red"))
        for claim in tour.failed:
            console.print(Text(f"  - {claim}"))
        return 1
    console.print(Text(f"All {tour.passed} claims hold ({took:.0f} s).", "bold green"))
    return 0
