"""The documents name everything that the program has: settings, codes, commands, masks, kinds of records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.audit.questions import QUESTIONS, Question
from gateway.cli import commands
from gateway.config import settings
from gateway.errors import CODES
from gateway.policy.masks import KINDS as MASKS
from gateway.record import ANYWHERE, ENVELOPE, KINDS

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "REFERENCE.md").read_text(encoding="utf-8")
ROWS = {line.split("|")[1].strip(): line for line in REFERENCE.splitlines() if line.startswith("| `")}
DOCUMENTS = ("README.md", "DESIGN.md", "REFERENCE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")


@pytest.mark.parametrize("name", [name for name, _ in settings()])
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in ROWS


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_is_documented_with_its_numbers_and_meaning(code: str) -> None:
    row = ROWS[f"`{code}`"]
    assert CODES[code].sqlstate in row
    assert str(CODES[code].http) in row
    assert CODES[code].meaning in row


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command: str) -> None:
    assert f"`gateway {command}`" in ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_record_is_documented_with_its_fields(kind: str) -> None:
    row = ROWS[f"`{kind}`"]
    assert [field for field in KINDS[kind] if f"`{field}`" not in row] == []


def test_the_envelope_of_records_is_documented() -> None:
    assert [name for name in (*ENVELOPE, *ANYWHERE) if f"`{name}`" not in REFERENCE] == []


@pytest.mark.parametrize("mask", MASKS)
def test_every_mask_is_documented(mask: str) -> None:
    assert f"`{mask}`" in ROWS


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_every_question_is_documented_with_what_it_asks_and_needs(question: Question) -> None:
    row = next(line for line in REFERENCE.splitlines() if line.startswith(f"| **{question.name}** |"))
    assert question.asks in row
    assert [name for name in (*question.needs, *question.takes) if f"`--{name}`" not in row] == []


def test_nothing_is_documented_that_does_not_exist() -> None:
    known = {name for name, _ in settings()} | set(CODES) | set(KINDS) | set(MASKS)
    known |= {f"gateway {command}" for command in commands()}
    known |= {name.strip("`") for name in ROWS if name.startswith(("`GATEWAY_", "`NO_COLOR"))}
    assert {name.strip("`") for name in ROWS} - known == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_the_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    known = set(commands())
    groups = {command.split()[0] for command in known}
    for line in re.findall(r"^gateway (.+)$", text, re.MULTILINE):
        words = [word for word in re.sub(r"--config \S+ ", "", line).split() if not word.startswith("-")]
        name = " ".join(words[:2]) if words[0] in groups and words[0] not in known else words[0]
        assert name in known, line
