"""The own test suites of psycopg, asyncpg and PyMySQL, directly against a server and through an observing gateway.

    make suites                          all of it, about twenty minutes
    make suites SUITES_ARGS="asyncpg"    one suite;  -k and whatever follows `--` goes to pytest

A suite passes when each of its tests ends through the gateway as it ends directly, but for those that are listed in
`suites.yaml` with the reason; of a listed test that made no difference this time it is said so. Sources are taken from
where their authors publish them (asyncpg's from its package, those of the others from their repositories at the tag of
the version), or from the directories that ASYNCPG_SOURCE, PSYCOPG_SOURCE and PYMYSQL_SOURCE name; what they need is
installed in an environment of the suites' own below `.cache/suites`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.conninfo import make_conninfo
from ruamel.yaml import YAML

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "live")]

import mariadb  # noqa: E402 (beside this file, where a script's path begins)
from gateway_fixture import House  # noqa: E402 (found in the live tests' directory)
from observed import observing  # noqa: E402

from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres, find_binaries  # noqa: E402

LOGIN = "alice"
TARGET = "postgres"
"""Called like the database, which tests name."""
POLICY = f"""\
target: {TARGET}
mode: observe
access:
  teams: [support]
  ticket: {{projects: [SUP], states: [open]}}
  auto_approve: masked_reads
  duration: {{default: 8h, max: 8h}}
tables:
  public.kept_for_the_policy:
    scope: none
    columns: {{id: clear}}
"""
SETTINGS = {
    # without TLS, as some of the tests put a proxy of their own between, that has none
    "listen": {"postgres": {"max_connections_per_person": 180, "tls": "off"}},
    "limits": {"message": "1GiB"},
}

Outcomes = dict[str, str]


@contextlib.contextmanager
def server() -> Iterator[EmbeddedPostgres]:
    """An empty PostgreSQL whose superuser is called like the person who comes through the gateway."""
    directory = Path(tempfile.mkdtemp(prefix="gateway-suites-"))
    settings = {"max_connections": "300", "max_prepared_transactions": "10", "wal_level": "logical"}
    postgres = EmbeddedPostgres(directory, find_binaries(tls=True), settings=settings)

    try:
        with postgres:
            create = sql.SQL("create role {} superuser login password {}")
            for role in (LOGIN, BACKEND_ROLE):
                made = create.format(sql.Identifier(role), sql.Literal(postgres.password(role)))
                postgres.sql(made.as_string(), database=TARGET)
            postgres.sql("create table public.kept_for_the_policy (id int)", database=TARGET)
            yield postgres
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def place(*, through: bool) -> Iterator[tuple[dict[str, str], House | None]]:
    """libpq's environment for a fresh server, reached directly or through a gateway, and that gateway."""
    with server() as postgres, tempfile.TemporaryDirectory(prefix="gateway-suites-") as directory:
        if not through:
            yield environment(postgres.port, postgres.password(LOGIN)), None
            return
        secret = Path(directory) / "backend.password"
        secret.write_text(postgres.password(LOGIN))
        target = {"user": LOGIN, "database": TARGET, "password": {"file": str(secret)}}
        with observing(Path(directory), postgres, {TARGET: (POLICY, target)}, SETTINGS) as house:
            given = house.parameters()
            yield environment(given["port"], given["password"]), house


def environment(port: int, password: str) -> dict[str, str]:
    return {
        "PGHOST": "localhost",
        "PGPORT": str(port),
        "PGUSER": LOGIN,
        "PGPASSWORD": password,
        "PGDATABASE": TARGET,
        "PGSSLMODE": "disable",
    }


def prepared(cache: Path, suite: str, facts: dict[str, Any]) -> tuple[Path, Path]:
    """The suite's source and the interpreter that has what it needs."""
    python = cache / suite / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(cache / suite / "venv", with_pip=True)
        run([python, "-m", "pip", "install", "-q", *facts["needs"]])
    given = os.environ.get(f"{suite.upper()}_SOURCE")
    source = Path(given) if given else cache / suite / "source"
    if not (source / "tests").is_dir():
        fetch(python, source, facts)
    return source, python


def fetch(python: Path, source: Path, facts: dict[str, Any]) -> None:
    if "repository" in facts:
        run(["git", "clone", "-q", "--depth", "1", "--branch", facts["version"], facts["repository"], source])
        return
    with tempfile.TemporaryDirectory() as place:
        wanted = f"{facts['package']}=={facts['version']}"
        run([python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", place, wanted])
        (archive,) = Path(place).iterdir()
        source.mkdir(parents=True)
        # the drivers' own modules stay out: what is installed is tested
        run(["tar", "-xf", archive, "-C", source, "--strip-components=1", "--wildcards", "*/tests"])


def run(command: list[Any]) -> None:
    subprocess.run([str(word) for word in command], check=True)


def outcomes(suite: str, facts: dict[str, Any], cache: Path, pytest: list[str], *, through: bool) -> Outcomes:
    """How each test ended."""
    source, python = prepared(cache, suite, facts)
    report = cache / suite / f"{'gateway' if through else 'direct'}.xml"
    report.unlink(missing_ok=True)
    # a run that was stopped must not be taken for one that crashed
    shutil.rmtree(cache / suite / "pytest", ignore_errors=True)
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-o",
        f"cache_dir={cache / suite / 'pytest'}",
        "--tb=short",
        f"--junitxml={report}",
    ]
    command += ["-o", "junit_family=xunit1", *facts["arguments"], *pytest]
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(report.with_suffix(".log").open("w"))
        variables: dict[str, str] = {}
        if suite == "pymysql":
            databases, house = stack.enter_context(mariadb.place(through=through))
            mariadb.configured(source, databases)
        else:
            variables, house = stack.enter_context(place(through=through))
        own = {
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "HOME": str(cache / suite),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(source),
        }
        if suite == "psycopg":
            # its tests of connection strings want an environment that says nothing
            parts = {"dbname" if name == "PGDATABASE" else name[2:].lower(): value for name, value in variables.items()}
            variables = {"PSYCOPG_TEST_DSN": make_conninfo("", **parts)}
        subprocess.run(
            [str(word) for word in command], cwd=source, env=own | variables, stdout=log, stderr=log, check=False
        )
        if house is not None:
            shutil.copy(house.gateway.log, report.with_suffix(".gateway.log"))
    found = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {part.tag for part in case}
        word = next((one for one in ("failure", "error", "skipped") if one in kinds), "passed")
        found[name] = "failed" if word in ("failure", "error") else word
    seconds = time.monotonic() - began
    counts = Counter(found.values())
    print(f"{suite} {'through the gateway' if through else 'directly'}: {dict(counts)} in {seconds:.0f} s", flush=True)
    return found


def compared(direct: Outcomes, through: Outcomes, listed: dict[str, str]) -> tuple[list[str], list[str]]:
    """The differences that are not listed, and the listed ones (each pattern) that there were not."""
    wrong = []
    used = set()
    for name in sorted({*direct, *through}):
        one, other = direct.get(name, "missing"), through.get(name, "missing")
        if one == other or (one == "failed" and other == "passed"):
            continue
        found = [pattern for pattern in listed if re.search(pattern, name)]
        used.update(found)
        if not found:
            wrong.append(f"{name}: directly {one}, through the gateway {other}")
    return wrong, [pattern for pattern in listed if pattern not in used]


def main() -> int:
    """The exit status: 0 when all suites pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    facts = YAML(typ="safe").load((HERE / "suites.yaml").read_text())
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(facts)}; all otherwise")
    parser.add_argument("--pytest", default=[], nargs=argparse.REMAINDER, help="what follows goes to pytest")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "suites")
    given = parser.parse_args()
    chosen = given.suites or list(facts)
    wrong: list[str] = []
    for suite in chosen:
        found = [outcomes(suite, facts[suite], given.cache, given.pytest, through=through) for through in (False, True)]
        different, unused = compared(*found, facts[suite]["differing"])
        wrong += different
        for pattern in unused:
            print(f"{suite}: `{pattern}` is listed and made no difference this time")
    for line in wrong:
        print(line)
    print("the suites end through the gateway as they do directly" if not wrong else f"{len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
