"""Gateways with literals; see `literal_world.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from literal_world import World


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(options.pop("directory", tmp_path / "state"), **options))
        return made[-1]

    yield make
    for world in made:
        if not world.closed:
            world.close()


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    return worlds()
