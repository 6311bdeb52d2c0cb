"""A record that was laid out once is the record that the slow road would have made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.audit.checkpoint import Signer
from gateway.audit.encode import record_of
from gateway.audit.log import FileLog
from gateway.record import Form

CONSTANT = {"session": "s1", "status": "ok", "begin": 3}
VARIABLES = ("statement", "rows", "tag")


@pytest.fixture
def log(tmp_path: Path) -> FileLog:
    return FileLog.open(tmp_path / "log", origin="here", key=Signer.generate("here"), clock=lambda: datetime.now(UTC))


@pytest.mark.parametrize(
    "values",
    [
        ("s1.1", 3, "SELECT 3"),
        ("s1.1", 0, ""),
        ("s1.1", 2**53 - 1, "FETCH 1"),
        ("s1.1", 3, 'quoted "tag"'),
        ("s1.1", 3, "back\\slash % percent"),
        ("s1.1", 3, "café \u2028 \x7f \0"),
        ("s1.1", 3, "long " * 5000),
    ],
)
def test_a_form_gives_the_same_record_as_its_mapping(log: FileLog, values: tuple[str, int, str]) -> None:
    seen: list[dict[str, object]] = []
    log.subscribe(seen.append)
    form = Form("statement.end", (CONSTANT,), VARIABLES)
    log.append_form(form, ("s0.0", 1, "SELECT 1"))
    log.append_form(form, values)
    log.append(form.record(values))
    log.close()
    by_form, by_mapping = (
        {k: v for k, v in record.items() if k not in ("id", "index", "time")} for record in seen[-3:-1]
    )
    assert by_form == by_mapping
    assert by_form["kind"] == "statement.end"


def test_times_and_ids_grow_through_both_roads(log: FileLog) -> None:
    seen: list[dict[str, str]] = []
    log.subscribe(seen.append)
    form = Form("statement.end", (CONSTANT,), VARIABLES)
    for number in range(50):
        if number % 2:
            log.append_form(form, (f"s1.{number}", 1, "t"))
        else:
            log.append(form.record((f"s1.{number}", 1, "t")))
    log.close()
    ids = [record["id"] for record in seen]
    assert ids == sorted(set(ids))
    assert [record["time"] for record in seen] == sorted({record["time"] for record in seen})


def test_a_form_refuses_fields_that_its_kind_does_not_have() -> None:
    with pytest.raises(ValueError, match="no field"):
        Form("statement.end", ({"secret": 1},), ())


def test_constants_with_percent_signs_survive(log: FileLog) -> None:
    seen: list[dict[str, object]] = []
    log.subscribe(seen.append)
    form = Form("statement.refused", ({"session": "s", "sql": "a LIKE $1 % 3 -- 100%%", "code": "x"},), ("statement",))
    log.append_form(form, ("s.1",))
    log.close()
    assert next(r for r in seen if r["kind"] == "statement.refused")["sql"] == "a LIKE $1 % 3 -- 100%%"
    assert record_of(b'{"a":1}') == {"a": 1}
