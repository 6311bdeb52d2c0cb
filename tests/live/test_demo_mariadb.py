"""MariaDB as a child process: what it keeps beside its data is its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from mariadb_server import mariadb_cursor

pytestmark = pytest.mark.live

PLACE = "select @@tmpdir"


def test_a_server_that_starts_leaves_the_temporary_tables_of_another_alone(tmp_path: Path) -> None:
    with mariadb_cursor(tmp_path / "one") as one:
        one.execute("create database shop")
        one.execute("create temporary table shop.kept (a int) engine=Aria transactional=0")
        with mariadb_cursor(tmp_path / "other") as other:
            other.execute(PLACE)
            assert other.fetchall() == ((str(tmp_path / "other" / "temporary"),),)
        one.execute("insert into shop.kept values (7)")
        one.execute("select a from shop.kept")
        assert one.fetchall() == ((7,),)
        one.execute(PLACE)
        assert one.fetchall() == ((str(tmp_path / "one" / "temporary"),),)
