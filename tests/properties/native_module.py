"""A compiled module of the very source that is tested, built for the test that asks."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

from gateway.wire.build import build


def built(source: Path, directory: Path) -> ModuleType:
    """Build `source` into `directory` and load it; fails with what stood in the way."""
    assert build(source, directory) == ""
    (library,) = directory.glob(f"{source.stem}*")
    loader = ExtensionFileLoader(source.stem, str(library))
    spec = importlib.util.spec_from_file_location(source.stem, library, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
