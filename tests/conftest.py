"""What all tests share: how Hypothesis looks for counterexamples, and that all that is emitted is looked at."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# No test is a timed one: a busy machine must not fail it. CI repeats the same examples in every run; elsewhere each run
# looks further, and what it finds is printed as a blob that reproduces it.
settings.register_profile(
    "gateway", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("ci", settings.get_profile("gateway"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "gateway")

_LAST = "test_nothing_that_this_run_emitted_is_secret"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at everything that was emitted runs when everything was."""
    items.sort(key=lambda item: item.name == _LAST)


@pytest.fixture(scope="session", autouse=True)
def _emissions() -> Iterator[None]:
    """Follow every gateway of the run; see `tests/live/emitted.py`."""
    from emitted import EMITTED, follow_everything

    restore = follow_everything()
    yield
    restore()
    # each process of a run that is shared out looks at what its own tests left
    assert EMITTED.scan() == []


def pytest_runtest_logfinish() -> None:
    """Search what a test's gateways left, between the tests: in the midst of one it would take its time."""
    emitted = sys.modules.get("emitted")
    if emitted is not None and emitted.EMITTED.due:
        emitted.EMITTED.scan()
