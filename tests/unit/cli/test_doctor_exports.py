"""What the doctor says of exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.doctor_exports import examine
from gateway.cli.finding import FAIL, OK, WARN
from gateway.config import Config
from gateway.exports.cursor import Cursor, cursor_path, exports_path, prepare_directory, write_cursor

ORIGIN = "gateway-1"


def config(tmp_path: Path, **export: object) -> Config:
    return Config.model_validate(
        {
            "origin": ORIGIN,
            "state": tmp_path / "state",
            "tls": {"certificate": "a", "key": "b"},
            "master_key": {"env": "X"},
            "directory": {"path": "p"},
            "tickets": {"path": "t"},
            "policies": "policies",
            "targets": {"payroll": {"host": "h", "database": "d", "user": "u", "password": {"env": "X"}}},
            "exports": {"lines": {"kind": "file", "path": tmp_path / "lines", **export}},
        }
    )


def said(config: Config) -> list[tuple[str, str]]:
    return [(finding.level, finding.message) for finding in examine(config)]


def test_a_file_that_has_not_begun(tmp_path: Path) -> None:
    (where, position) = said(config(tmp_path))
    assert where == (OK, f"lines go to {tmp_path / 'lines'}, 704 MiB at the most")
    assert position == (OK, "it has no cursor yet: it begins when the gateway next starts")


def test_files_that_may_fill_the_trails_disk(tmp_path: Path) -> None:
    (where, _) = said(config(tmp_path, keep=10_000, rotate="64GiB"))
    assert where[0] == WARN
    assert "on the trail's disk" in where[1]


@pytest.mark.parametrize(
    ("cursor", "level", "message"),
    [
        (Cursor(ORIGIN, 40), OK, "40 of 100 signed records are taken, 60 wait"),
        (Cursor("another", 40), WARN, "its cursor is of the trail `another`"),
        (Cursor(ORIGIN, 100, "", 3), WARN, "it said of 3 records that it will never take them"),
    ],
)
def test_how_far_it_has_got(tmp_path: Path, cursor: Cursor, level: str, message: str) -> None:
    one = config(tmp_path)
    write_cursor(cursor_path(prepare_directory(one.state), "lines"), cursor)
    one.audit_path.mkdir()
    (one.audit_path / "checkpoint").write_text(f"{ORIGIN}\n100\n{'A' * 43}=\n\n— {ORIGIN} AAAAAAAA\n")
    assert (level, message) in said(one)


def test_a_cursor_that_cannot_be_read(tmp_path: Path) -> None:
    one = config(tmp_path)
    prepare_directory(one.state)
    cursor_path(exports_path(one.state), "lines").write_text("[]")
    assert said(one)[-1][0] == FAIL


def test_a_file_among_the_gateways_own(tmp_path: Path) -> None:
    one = config(tmp_path, path=tmp_path / "state" / "audit" / "x")
    assert said(one)[0] == (FAIL, "the export `lines` may not write among the gateway's own files")


def test_a_place_that_does_not_exist(tmp_path: Path) -> None:
    (found,) = said(config(tmp_path, path=tmp_path / "nowhere" / "lines"))
    assert found[0] == FAIL
