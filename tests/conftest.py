"""What all tests share: how Hypothesis looks for counterexamples."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No test is a timed one: a busy machine must not fail it. CI repeats the same examples in every run; elsewhere each run
# looks further, and what it finds is printed as a blob that reproduces it.
settings.register_profile(
    "gateway", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("ci", settings.get_profile("gateway"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "gateway")
