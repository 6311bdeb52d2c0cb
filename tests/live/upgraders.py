"""Opens stores, which brings them up, and is killed in the midst where that is asked for; run by
`test_store_revisions_killed.py`.

For each line of JSON `{"store": …, "at": …}` a child opens the store that `races.store_of` reads there and leaves a row
in it. With `at` it is killed by SIGKILL before the statement of that number, or at `commit` before the first commit, or
once the store is `open`. A line of JSON says how each ended: its exit status, or the signal less than zero.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any

import alembic.command  # noqa: F401 - once, and not in every child
import sqlalchemy as sa
from races import store_of

from gateway.store import people


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def child(store: str, at: int | str | None) -> int:
    """Open the store, and say how many statements that took."""
    count = 0

    def statement(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            die()

    sa.event.listen(sa.Engine, "before_cursor_execute", statement)
    if at == "commit":
        sa.event.listen(sa.Engine, "commit", lambda _: die())
    opened = store_of(store)
    if at == "open":
        die()
    took = count
    opened.run_now(people.put_lockout, f"process {os.getpid()}", 1, datetime.now(UTC))
    opened.close()
    return took


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.write(writing, str(child(json.dumps(asked["store"]), asked["at"])).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading) as said:
            took = said.read()
        _, status = os.waitpid(pid, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), int(took or 0)]), flush=True)


if __name__ == "__main__":
    main()
