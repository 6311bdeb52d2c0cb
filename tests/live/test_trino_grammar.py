"""What the gateway sends to Trino is Trino's SQL: each text is read by a reader that was made of Trino's grammar."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from dialect_grammar import Statements
from dialect_world import entries, view

from gateway.sql import trino
from gateway.sql.statement import Plan

HERE = Path(__file__).parent / "node"
ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "node"


def faults(texts: list[str]) -> list[list[str]]:
    """What the reader has to say of each text."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.fail("Node.js and npm are needed: apt-get install nodejs npm")
    subprocess.run([ROOT / "deploy" / "prepare.sh", "node", HERE, CACHE], check=True, timeout=120)
    ran = subprocess.run(
        [node, str(HERE / "trino.mjs")], input="\n".join(map(json.dumps, texts)), text=True, capture_output=True,
        check=True, timeout=300, env={"JOURNEY_MODULES": str(CACHE / "node_modules"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return [json.loads(line) for line in ran.stdout.splitlines()]


def sent() -> list[str]:
    made = Statements(7, "trino")
    asked = [one["sql"] for name in ("blind", "legitimate") for one in entries(name, "trino")]
    asked += [made.statement() for _ in range(100)]
    asked += ["select * from employees", "select * from notes", "show tables", "show columns from employees"]
    plans = (trino.analyse(sql, view("trino")) for sql in asked)
    return [plan.rewritten for plan in plans if isinstance(plan, Plan)]


def test_all_that_is_sent_is_trinos() -> None:
    texts = sent()
    assert len(texts) > 280

    found = faults(texts)

    assert len(found) == len(texts)
    assert [(text, why) for text, why in zip(texts, found, strict=True) if why] == []


def test_the_reader_has_faults_to_find() -> None:
    wrong = ["SELECT a FROM t LIMIT 2 OFFSET 3", "SELECT FROM t", "SELECT a FROM t WHERE"]

    assert all(faults(wrong))
