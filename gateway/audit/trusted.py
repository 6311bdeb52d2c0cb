"""What time it is as far as pruning is concerned: a clock that was set ahead must not make a year's records old.

The time that is trusted moves as the machine runs (CLOCK_BOOTTIME, which nobody sets), within one life of the process;
it is kept over restarts. Where the clock of the day is ahead of that, because the gateway was stopped meanwhile or
because somebody set it, it is believed only once it has been ahead by the same, within an hour, for `PROOF_S` of
running: a week in which the step is on record (`clock.step`), in the logs and in the metrics. A clock that is behind is
believed at once: nothing is removed too early by it.

INVARIANT: in a day of running nothing more becomes old than in a day, whatever the clock says, until a week has passed.
FAIL CLOSED: without what was kept, the trusted time is that of the newest sealed record.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gateway.audit.segment import Disk

PROOF_S = 7 * 86400.0
SLACK_S = 3600.0


@dataclass(frozen=True, slots=True)
class Trusted:
    """Seconds since 1970 that are trusted; by how much the clock claims to be `ahead`, and how long it has `waited`."""

    now: float
    ahead: float = 0.0
    waited: float = 0.0


def moved(known: Trusted, elapsed: float, wall: float) -> Trusted:
    """The same after so many seconds of running, with that clock."""
    now = known.now + elapsed
    ahead = wall - now
    if ahead <= 0:
        return Trusted(wall)
    if abs(ahead - known.ahead) > SLACK_S:
        return Trusted(now, ahead)
    if known.waited + elapsed >= PROOF_S:
        return Trusted(wall)
    # what it is compared with stays what was claimed first, so that small steps do not add up unseen
    return replace(known, now=now, waited=known.waited + elapsed)


def read_trusted(path: Path) -> Trusted | None:
    """What was kept, None when there is nothing that can be used. Raises `OSError`."""
    try:
        value: Any = json.loads(path.read_bytes())
        found = Trusted(**{name: float(value[name]) for name in ("now", "ahead", "waited")})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None
    return found if 0 <= found.now < 1e11 and 0 <= found.waited < PROOF_S else None


def keep_trusted(path: Path, trusted: Trusted, disk: Disk) -> None:
    """Keep it. Raises `OSError`."""
    disk.replace(path, json.dumps(asdict(trusted)).encode(), durable=True)
