"""What both programs of Django do first: the models that inspectdb writes, made an application of."""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import call_command


def inspected(directory: str) -> tuple[str, Any]:
    """The models that inspectdb writes, as text and as the module of an application that is made of them."""
    written = io.StringIO()
    call_command("inspectdb", stdout=written)
    package = Path(directory) / "described"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(written.getvalue())
    sys.path.insert(0, directory)
    apps.set_installed_apps(["described"])
    return written.getvalue(), importlib.import_module("described.models")
