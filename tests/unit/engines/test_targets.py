"""What a target has beyond its policy is announced: once for each change, relations too, and never without bound."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from dialogue import FakeTrail

from gateway.config import load_config
from gateway.engines import targets
from gateway.engines.targets import Targets
from gateway.sql.catalog import Catalog, Column, Relation

POLICY = """\
target: payroll
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  auto_approve: masked_reads
  duration: {default: 1h, max: 8h}
tables:
  public.people:
    scope: id = ticket.customer
    columns: {id: clear}
"""
CONFIG = """\
origin: gateway-1
state: state
tls: {certificate: a.pem, key: b.pem}
master_key: {file: master.key}
directory: {path: people.yaml}
tickets: {path: tickets.yaml}
policies: policies
targets:
  payroll: {host: 127.0.0.1, database: payroll, user: ro, password: {env: PGPW}, tls: off}
"""


class Target:
    """A target whose catalog is whatever the test says, behind the code that watches it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (directory / "policies").mkdir()
        self.policy = directory / "policies" / "payroll.yaml"
        self.policy.write_text(POLICY)
        (directory / "gateway.yaml").write_text(CONFIG)
        self.trail, self.tables = FakeTrail(), {"people": ["id"]}
        monkeypatch.setenv("PGPW", "x")
        monkeypatch.setattr(targets, "read_catalog", lambda _: self.catalog())
        config = load_config(directory / "gateway.yaml", {"PGPW": "x"})
        self.watched = Targets(config, bytes(32), self.trail, lambda *_: None)  # type: ignore[arg-type]

    def catalog(self) -> Catalog:
        return Catalog(
            {
                f"public.{name}": Relation(
                    "public",
                    name,
                    1,
                    "r",
                    tuple(Column(c, n, "integer", "int4", "N") for n, c in enumerate(columns, 1)),
                )
                for name, columns in self.tables.items()
            }
        )

    def news(self) -> list[dict[str, Any]]:
        """What reading the catalog again puts into the trail."""
        before = len(self.trail.records)
        asyncio.run(self.watched.refresh())
        return [dict(one) for one in self.trail.records[before:]]


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    return Target(tmp_path, monkeypatch)


def test_a_new_column_and_a_new_relation_are_announced_once(target: Target) -> None:
    assert target.news() == []
    target.tables = {"people": ["id", "shoe"], "shoes": ["id", "size"]}
    drift = {"kind": "catalog.drift", "target": "payroll"}
    assert target.news() == [
        drift | {"relation": "public.people", "columns": ["shoe"], "reason": "not in the policy"},
        drift | {"relation": "public.shoes", "columns": ["id", "size"], "reason": "relation not in the policy"},
    ]
    assert target.news() == []


def test_only_what_is_new_is_announced_and_what_comes_back_is_new(target: Target) -> None:
    target.tables = {"people": ["id"], "shoes": ["id"]}
    target.news()
    target.tables["shoes"].append("size")
    assert [(one["relation"], one["columns"]) for one in target.news()] == [("public.shoes", ["size"])]
    del target.tables["shoes"]
    assert target.news() == []
    target.tables["shoes"] = ["id"]
    assert [(one["relation"], one["columns"]) for one in target.news()] == [("public.shoes", ["id"])]


def test_a_target_that_was_away_announces_nothing_twice(target: Target) -> None:
    target.tables["shoes"] = ["id"]
    assert len(target.news()) == 1
    people = target.tables.pop("people")
    assert target.news() == []
    assert target.watched.missing()
    target.tables["people"] = people
    assert target.news() == []
    assert not target.watched.missing()


def test_a_crowd_of_relations_is_announced_up_to_a_bound_and_counted(target: Target) -> None:
    target.tables |= {f"t{number:04}": ["id"] for number in range(250)}
    news = target.news()
    assert len(news) == 101
    assert news[-1]["reason"] == "150 more relations are not in the policy, or have columns that are not"
    assert target.news() == []


def test_a_crowd_of_columns_is_announced_up_to_a_bound_and_counted(target: Target) -> None:
    target.tables["wide"] = [f"c{number}" for number in range(1600)]
    (one,) = target.news()
    assert len(one["columns"]) == 100
    assert one["reason"] == "relation not in the policy; 1500 more columns are not listed here"
    assert target.news() == []
