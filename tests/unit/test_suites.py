"""The drivers' suites are compared test by test, and each difference that is let pass has its reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML

SUITES = Path(__file__).parents[1] / "suites"


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("suites_run", SUITES / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_test_that_ends_otherwise_is_a_difference_unless_it_is_listed(run: ModuleType) -> None:
    direct = {"a": "passed", "b": "passed", "c": "failed", "d": "passed", "e": "skipped", "f": "failed"}
    through = {"a": "passed", "b": "failed", "c": "passed", "e": "passed", "f": "failed", "g": "passed"}
    wrong, unused = run.compared(direct, through, {"b": "a reason", "a": "another"})
    assert [line.partition(":")[0] for line in wrong] == ["d", "e", "g"]
    assert unused == ["a"]


def test_the_listed_ones_are_a_handful_and_each_has_a_reason() -> None:
    suites = YAML(typ="safe").load((SUITES / "suites.yaml").read_text())
    assert set(suites) == {"asyncpg", "psycopg", "pymysql"}
    for facts in suites.values():
        assert len(facts["differing"]) <= 6
        assert all(len(reason) > 20 for reason in facts["differing"].values())
