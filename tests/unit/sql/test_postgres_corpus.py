"""The SQL corpora: what each statement becomes, and what every attack is answered."""

from __future__ import annotations

from typing import Any

import pytest
from sqlviews import cases, view

from gateway.errors import Refusal
from gateway.sql.postgres import analyse
from gateway.sql.statement import Plan


@pytest.fixture(autouse=True)
def _faults_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def see(error: Exception) -> Refusal:
        raise error

    monkeypatch.setattr("gateway.sql.postgres.analysis.fault", see)


@pytest.mark.parametrize("case", cases("sql"), ids=lambda case: case["sql"][:60])
def test_a_statement_becomes_what_the_corpus_says(case: dict[str, Any]) -> None:
    answer = analyse(case["sql"], view())

    if "refused" in case:
        assert isinstance(answer, Refusal), case["why"]
        assert answer.code == case["refused"]
        return
    assert isinstance(answer, Plan), answer
    assert answer.rewritten == case["rewritten"], case["why"]
    assert [f"{one.relation}.{one.column}" for one in answer.raw_uses] == case.get("searches", [])
    assert [one.message.split("`")[1] for one in answer.notices] == case.get("notices", [])


@pytest.mark.parametrize("attack", cases("attacks"), ids=lambda attack: attack["id"])
def test_an_attack_is_refused_or_runs_on_what_the_view_shows(attack: dict[str, Any]) -> None:
    answer = analyse(attack["sql"], view())

    if attack["expect"] == "no-leak":
        assert isinstance(answer, Plan), answer
    else:
        assert isinstance(answer, Refusal), attack["why"]
        assert answer.code == attack["expect"]


def test_every_attack_has_an_id_of_its_own_and_a_reason() -> None:
    attacks = cases("attacks")

    assert len({attack["id"] for attack in attacks}) == len(attacks)
    assert all(attack["why"] for attack in attacks)


@pytest.mark.parametrize("case", cases("sql"), ids=lambda case: case["sql"][:60])
def test_no_literal_remains_in_what_is_recorded(case: dict[str, Any]) -> None:
    answer = analyse(case["sql"], view())

    if isinstance(answer, Plan):
        for text in (answer.normalised, answer.rewritten_normalised):
            assert "'" not in text
            assert "secret" not in text
            assert "DBeaver" not in text
