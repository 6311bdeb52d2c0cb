"""Statements for search engines whose words were shuffled: each is refused with a documented code, or proven."""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from test_tree_words import changed

from gateway.errors import CODES, Refusal
from gateway.policy.load import load_policy
from gateway.sql.declared import declared
from gateway.sql.rooms import analyse, normalise, telling
from gateway.sql.statement import View

CORPUS = Path(__file__).parents[1] / "corpus" / "search"
POLICY = load_policy(CORPUS / "shop.yaml")
TEXTS = [one["sql"] for name in ("attacks", "legitimate") for one in YAML(typ="safe").load(CORPUS / f"{name}.yaml")]
EXAMPLES = int(os.environ.get("SQL_MUTANTS", "0")) or 600
MASKED = {"first_name", "last_name", "email", "iban", "salary", "birth_date", "phone", "customer", "note"}


@pytest.mark.parametrize("dialect", ["elasticsearch", "opensearch"])
@pytest.mark.parametrize("seed", range(3))
def test_shuffled_words_are_refused_or_proven(dialect: str, seed: int) -> None:
    chance = random.Random(seed)
    policy = replace(POLICY, dialect=dialect)
    view = View(policy, declared(policy), ("42",), search_path=policy.schemas)
    for _ in range(EXAMPLES):
        text = changed(chance.choice(TEXTS), chance)

        found = analyse(text, view)

        normalise(text, policy)
        telling(text, policy)
        if isinstance(found, Refusal):
            assert found.code in CODES
            # what the writing cannot carry over is refused by its own name, and not by the proof of it
            assert found.code != "scope-not-provable", text
            continue
        mark = '"' if dialect == "elasticsearch" else "`"
        bare = re.sub(r"'(?:[^']|'')*'", "''", found.rewritten)
        selected, _, rest = bare.partition(" FROM ")
        # behind FROM, and in every expression, there is no masked column
        listed = re.sub(rf"{mark}\w+{mark} AS {mark}gateway_\w+{mark}", "", selected)
        scoped = re.sub(rf"^{mark}notes{mark} WHERE \(\({mark}customer{mark} = ''\)\)", "", rest)
        assert not {one for part in (listed, scoped) for one in re.findall(rf"{mark}(\w+){mark}", part)} & MASKED, text
