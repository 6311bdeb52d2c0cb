"""Every refusal says what to do next, with commands that exist."""

from __future__ import annotations

import re

import pytest

from gateway.cli import commands
from gateway.errors import CODES, STEPS, GatewayError, Refusal


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_next_step(code: str) -> None:
    assert STEPS[code]
    assert STEPS[code][-1] not in ".,;"
    assert Refusal(code, "x").hint == GatewayError(code, "x").refusal.hint == STEPS[code]


def test_a_refusal_that_says_more_is_not_overruled() -> None:
    assert Refusal("not-found", "x", "gateway people list").hint == "gateway people list"


@pytest.mark.parametrize("code", CODES)
def test_the_commands_of_a_step_exist(code: str) -> None:
    known = set(commands())
    for words in re.findall(r"gateway ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", STEPS[code]):
        assert words in known or words.split()[0] in known, words
