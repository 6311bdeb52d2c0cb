"""A small trail to try things on."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.audit.search import Search

ORIGIN = "gateway.example/test"


class StepClock:
    """A clock that moves by a millisecond at each look, and can be set."""

    def __init__(self):
        self.now = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock():
    return StepClock()


@pytest.fixture(scope="session")
def key():
    return Signer.generate(ORIGIN)


@pytest.fixture
def trail(tmp_path):
    """Where the trail lies."""
    return tmp_path / "trail"


@pytest.fixture(scope="session")
def open_search():
    """Opens the search over a trail. What runs these tests over another kind of index has a fixture of this name."""
    return Search


@pytest.fixture
def open_log(trail, key, clock):
    """Opens the trail; what is still open at the end of the test is closed."""
    logs = []

    def open_it(**options):
        options = {"key": key, "segment_bytes": 256 << 10, "reserve_bytes": 0, "interval_s": 30.0} | options
        log = FileLog.open(trail, origin=ORIGIN, clock=clock, **options)
        logs.append(log)
        return log

    yield open_it
    for log in logs:
        log.close()


def begin(number, *, session="S1", **fields):
    """A begin record."""
    return {
        "kind": "statement.begin",
        "session": session,
        "statement": f"Q{number}",
        "login": "alice",
        "person": "u-1001",
        "ticket": "SUP-1423",
        "target": "payroll",
        "customers": ["42"],
        "sql": f"select c{number} from public.employees where id = $1",
        "relations": ["public.employees"],
        "decision": "permit",
        "window_rows": 1000,
        "window_bytes": 65536,
        **fields,
    }


def end(number, *, session="S1", **fields):
    """Its end record."""
    return {"kind": "statement.end", "session": session, "statement": f"Q{number}", "rows": 3, "status": "ok", **fields}


@pytest.fixture
def records():
    """The two builders of records."""
    return begin, end
