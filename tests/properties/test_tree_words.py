"""Statements whose words were shuffled: each is refused with a documented code, or proven; nothing else happens."""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gateway.errors import CODES, Refusal
from gateway.policy.load import load_policy
from gateway.sql import tree, trino
from gateway.sql.declared import declared
from gateway.sql.statement import View

CORPUS = Path(__file__).parents[1] / "corpus" / "dialects"
POLICY = load_policy(CORPUS / "shop.yaml")
TEXTS = [
    one["sql"] for name in ("attacks", "blind", "legitimate") for one in YAML(typ="safe").load(CORPUS / f"{name}.yaml")
]
WORDS = [word for text in TEXTS for word in re.findall(r"\w+|'[^']*'|[^\w\s]", text)]
EXAMPLES = int(os.environ.get("SQL_MUTANTS", "0")) or 600


def changed(text: str, chance: random.Random) -> str:
    """The text with a few of its words left out, said twice, moved, or taken from elsewhere."""
    words = re.findall(r"\s+|\w+|'[^']*'|[^\w\s]", text)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(words) + 1)
        kind = chance.randrange(4)
        if kind == 0 and words:
            del words[at % len(words)]
        elif kind == 1 and words:
            words.insert(at, words[at % len(words)])
        elif kind == 2:
            words[at:at] = [" ", chance.choice(WORDS), " "]
        elif words:
            words[at % len(words)], words[0] = words[0], words[at % len(words)]
    return "".join(words)


@pytest.mark.parametrize("dialect", ["clickhouse", "mariadb", "trino"])
@pytest.mark.parametrize("seed", range(3))
def test_shuffled_words_are_refused_or_proven(dialect: str, seed: int) -> None:
    chance, room = random.Random(seed), trino if dialect == "trino" else tree
    policy = replace(POLICY, dialect=dialect)
    view = View(policy, declared(policy), ("42",), search_path=("shop",))
    for _ in range(EXAMPLES):
        text = changed(chance.choice(TEXTS), chance)

        found = room.analyse(text, view)

        room.normalise(text, policy)
        room.telling(text, policy)
        if isinstance(found, Refusal):
            assert found.code in CODES
            # what the writing cannot carry over is refused by its own name, and not by the proof of it
            assert found.code != "scope-not-provable", text
            continue
        bare = re.sub(r"'(?:[^']|'')*'", "''", found.rewritten).replace('"', "`")
        assert bare.count("`shop`.") == bare.count(" AS `gateway_t`") + bare.count(" AS `gateway_s")
        assert not re.search(r"\b(?:FROM|JOIN) `(?:employees|companies|payslips|accounts|notes)`", bare), text
