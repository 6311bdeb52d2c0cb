"""Resolves the hash-locked requirements anew: `make lock`.

The largest set is resolved first and the others under its versions, so that one environment can hold any of
them. The lock files name no package index: whoever installs uses their own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETS = {
    "dev": ("demo", "test", "dev"),
    "test": ("demo", "test"),
    "demo": ("demo",),
    "run": (),
}


def compile_lock(name: str, source: Path, extras: tuple[str, ...], constraint: Path | None) -> None:
    """Write `name`.txt for every platform and Python >= 3.11."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", "3.11"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate", "--upgrade"]
    command += [part for extra in extras for part in ("--extra", extra)]
    command += ["--constraint", str(constraint)] if constraint else []
    command += ["--output-file", str(HERE / f"{name}.txt"), str(source)]
    subprocess.run(command, check=True)  # noqa: S603 - its own constants


def main() -> None:
    """Resolve all sets."""
    project = HERE.parents[1] / "pyproject.toml"
    for name, extras in SETS.items():
        compile_lock(name, project, extras, HERE / "dev.txt" if name != "dev" else None)
    compile_lock("build", HERE / "build.in", (), HERE / "dev.txt")


if __name__ == "__main__":
    main()
