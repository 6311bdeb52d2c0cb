"""`python -m gateway.wire.build [--require] [FILE.pyx …]`: compile small Cython modules in place.

Without files it is `_walk.pyx` beside this module. Optional by design: without Cython or a C compiler nothing is
built, a line on stderr says so, the exit code is 0 and the Python twin serves. With `--require` that is an error.
The compiler is called as the interpreter's own build called it (`sysconfig`), so no build system is needed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

WALK = Path(__file__).with_name("_walk.pyx")


def build(source: Path, destination: Path | None = None) -> str:
    """Compile one module into `destination` (default: beside it); returns what stood in the way, or nothing."""
    if find_spec("Cython") is None:
        return "Cython is not installed"
    suffix, link = sysconfig.get_config_var("EXT_SUFFIX"), sysconfig.get_config_var("LDSHARED")
    if not suffix or not link:
        return "this interpreter does not say how it was built"
    directory = destination or source.parent
    with TemporaryDirectory(dir=directory, prefix=".build-") as scratch:
        c_file, library = Path(scratch, source.stem + ".c"), Path(scratch, source.stem + suffix)
        headers = ["-I", sysconfig.get_path("include")]
        flags = ["-fPIC", "-O2", "-DNDEBUG", *headers]
        problem = _run([sys.executable, "-m", "cython", "-3", str(source), "-o", str(c_file)]) or _run(
            [*shlex.split(link), *flags, str(c_file), "-o", str(library)]
        )
        if not problem:
            os.replace(library, directory / library.name)
    return problem


def main(arguments: list[str]) -> int:
    """The exit code: 1 when `--require` was given and something was not built."""
    sources = [Path(argument) for argument in arguments if argument != "--require"] or [WALK]
    problems = [(source, problem) for source in sources if (problem := build(source))]
    for source, problem in problems:
        print(f"{source.name} is not compiled, its Python twin serves: {problem}", file=sys.stderr)
    return 1 if problems and "--require" in arguments else 0


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        return f"`{command[0]}` cannot be started: {error.strerror}"
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip()[-2000:] or f"`{command[0]}` failed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
