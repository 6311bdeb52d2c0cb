"""What `gateway doctor` finds in the file that keeps the state; servers are in `tests/live/test_store_postgres.py`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.cli import doctor_store
from gateway.cli.finding import FAIL, OK
from gateway.store.database import Database
from gateway.store.migrate import HEAD
from gateway.store.opening import open_store
from gateway.store_settings import Store
from tests.unit.store.old_stores import lay_down, old_stores

NAME = "gateway.sqlite"


def found(state: Path) -> tuple[str, str]:
    config: Any = SimpleNamespace(store=Store(), state=state)
    (finding,) = doctor_store.examine(config)
    assert finding.check == "store"
    return finding.level, finding.message


def beside(state: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in state.iterdir()}


def test_a_store_that_is_not_there_yet_is_none_to_worry_about(tmp_path: Path) -> None:
    assert found(tmp_path) == (OK, "has no tables yet")
    assert beside(tmp_path) == {}
    assert found(tmp_path / "missing") == (OK, "has no tables yet")


def test_a_store_says_its_revision_whether_the_gateway_runs_or_not(tmp_path: Path) -> None:
    database = open_store(Store(), tmp_path)
    assert found(tmp_path) == (OK, f"has revision {HEAD}")
    database.close()
    before = beside(tmp_path)
    assert found(tmp_path) == (OK, f"has revision {HEAD}")
    assert beside(tmp_path) == before


@pytest.mark.parametrize("old", old_stores("sqlite")[:3], ids=str)
def test_what_the_next_start_brings_is_said_and_not_done(tmp_path: Path, old: Any) -> None:
    lay_down(old, tmp_path / NAME)
    before = beside(tmp_path)
    assert found(tmp_path) == (OK, f"has revision {old.version}; the next start brings it up to {HEAD}")
    assert beside(tmp_path) == before


def test_a_store_of_a_newer_program_is_found(tmp_path: Path) -> None:
    database = Database(tmp_path / NAME)
    database.run_now(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '0099'"))
    level, message = found(tmp_path)
    database.close()
    assert level == FAIL
    assert message.startswith(f"the store has revision 0099; this program knows revisions up to {HEAD}")


def test_a_damaged_store_is_found(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"not a database at all, but long enough to look like one" * 40)
    assert found(tmp_path) == (FAIL, "the gateway's store cannot be used (DatabaseError)")


def test_the_log_of_a_gateway_that_was_killed_is_read_and_stays(tmp_path: Path) -> None:
    running, left = tmp_path / "running", tmp_path / "left"
    running.mkdir(), left.mkdir()
    lay_down(old_stores("sqlite")[0], running / NAME)
    database = Database(running / NAME)
    for name in (NAME, f"{NAME}-wal"):
        (left / name).write_bytes((running / name).read_bytes())
        (left / name).chmod(0o600)
    database.close()
    before = beside(left)
    assert found(left) == (OK, f"has revision {HEAD}")
    after = beside(left)
    assert {name: after[name] for name in before} == before
    assert {mode & 0o777 for _, mode in after.values()} == {0o600}
