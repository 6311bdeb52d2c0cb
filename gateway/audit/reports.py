"""Evidence reports: what a stretch of the log shows for the controls of a framework, in a file that proves itself.

    manifest.json     what the report is about, and the SHA-256 of every other file but the last
    index.html        the report, a page for each control in controls/, and the same data as JSON and CSV in data/
    records.jsonl     all records of that time with the proof that none is missing (`export.py`)
    proof.json        that the log holds a record with the digest of the manifest

The signature is the log's own: the making of a report is a record, and the signed head that covers it covers the
report. So whoever has the public key can check, offline, that the records are all of that time; that answers and
figures are those that the records give, by working them out again; and that the gateway took note of this very report.

INVARIANT: pages are made from the data files and from nothing else, and those from the records.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from gateway.audit import pages, recertification, transparency
from gateway.audit.asking import Head, Scope
from gateway.audit.bundle import FORMAT, MANIFEST, PROOF, RECORDS, Contents, json_bytes, problem, unpacked
from gateway.audit.export import Passing, check_export, from_file
from gateway.audit.questions import QUESTIONS
from gateway.audit.verify import Report, verify_proof
from gateway.config import read_model
from gateway.errors import GatewayError

_MOST = 100_000
"""Rows of one answer in a report; its total is always there."""


class Control(BaseModel):
    """A control: what the log shows of it, what it cannot, and the questions whose answers are the evidence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    title: str
    shows: str
    missing: str
    asks: tuple[str, ...]

    @property
    def page(self) -> str:
        """The name of its page."""
        return "".join(c if c.isalnum() else "-" for c in self.id.lower()).strip("-") + ".html"


class Framework(BaseModel):
    """A list of controls."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    controls: tuple[Control, ...]


class _Frameworks(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    frameworks: dict[str, Framework]


def frameworks() -> dict[str, Framework]:
    """The frameworks that there are reports for."""
    return read_model(Path(str(files("gateway.audit").joinpath("frameworks.yaml"))), _Frameworks).frameworks


def contents(name: str, records: Path, report: Report, version: str) -> Contents:
    """The files of a report over an export that `check_export` has found whole. Raises `GatewayError`."""
    framework = frameworks().get(name)
    if framework is None:
        raise GatewayError("not-found", f"there is no report `{name}`", f"there are: {', '.join(sorted(frameworks()))}")
    with records.open("rb") as file:
        line = json.loads(file.readline())
    about = {
        "format": FORMAT, "framework": name, "version": version, "origin": report.origin, "since": line["since"],
        "until": line["until"], "first": line["first"], "end": line["end"], "signed": report.signed_size,
        "root": report.root,
    }  # fmt: skip
    found = _data(framework, records, line, report)
    made: dict[str, bytes] = {}
    for question, answer in found["answers"].items():
        made[f"data/{question}.json"] = json_bytes(answer)
        made[f"data/{question}.csv"] = _csv(answer)
    made["data/figures.json"] = json_bytes(found["figures"])
    made["index.html"] = pages.index(framework, about, found["figures"], found["answers"]).encode()
    for control in framework.controls:
        made[f"controls/{control.page}"] = pages.control(framework, control, about, found["answers"]).encode()
    with records.open("rb") as file:
        digests = {RECORDS: hashlib.file_digest(file, "sha256").hexdigest()}
    digests |= {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}
    return Contents(json_bytes({**about, "files": digests}), made)


def check(file: Path, public_key: str, version: str) -> Report:
    """Check a report. Raises `ValueError` for a malformed key, `OSError` for a file it cannot read."""
    with tempfile.TemporaryDirectory(prefix="gateway-report-") as directory:
        place = Path(directory)
        try:
            manifest = unpacked(file, place)
            proven = verify_proof(place / PROOF, public_key)
            if not proven.ok:
                return proven
            if manifest["framework"] == recertification.NAME:
                return recertification.check(place, manifest, proven)
            record = proven.record or {}
            digest = hashlib.sha256((place / MANIFEST).read_bytes()).hexdigest()
            if record.get("kind") != "audit.report" or record.get("digest") != digest:
                return problem(proven, "the record in the log is of another report")
            if (place / RECORDS).exists():
                return _checked(place, manifest, public_key, version, proven)
            if manifest["framework"] != transparency.NAME:
                return problem(proven, "it has no records")
            return transparency.check(place, manifest, proven, public_key)
        except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            if isinstance(error, ValueError) and not str(error):
                raise
            return problem(Report("", 0, 0, ""), f"it cannot be read: {error}")


def _checked(place: Path, manifest: Mapping[str, Any], public_key: str, version: str, proven: Report) -> Report:
    report = check_export(place / RECORDS, public_key)
    if not report.ok:
        return report
    same_version = manifest["version"] == version
    if same_version:
        again = contents(manifest["framework"], place / RECORDS, report, version)
        if again.manifest != (place / MANIFEST).read_bytes():
            return problem(report, "the pages or the data are not those that the records give")
    note = "pages and data are those that the records give" if same_version else (
        f"made by version {manifest['version']}: its records are whole, its pages were not made again by this one"
    )  # fmt: skip
    named = f"a report `{manifest['framework']}` over records {manifest['first']} to {manifest['end'] - 1}"
    return replace(report, notes=(*report.notes, note, named), record=proven.record)


def _data(framework: Framework, records: Path, line: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Answers and figures, from the leaves of the export alone."""
    passing = Passing()
    question = line["question"]
    minimum = line["first"] if "pruned" in line else 0
    scope = Scope(line["first"], line["end"], question["at"], line["since"], line["until"], minimum=minimum)
    head = Head(report.origin, report.signed_size, report.root)
    try:
        with records.open("rb") as lines:
            lines.readline()
            for first, leaves, offsets in from_file(lines, line["first"], line["end"]):
                passing.take(0, first, leaves, offsets)

            def read(index: int, segment: int, at: int, length: int) -> bytes:  # noqa: ARG001 - one file
                lines.seek(at)
                return lines.read(length)

            asked = sorted({one for control in framework.controls for one in control.asks})
            answers = {one: passing.all(one, read, head, scope, _MOST) for one in asked}
            return {"answers": answers, "figures": passing.figures()}
    finally:
        passing.close()


def _csv(answer: Mapping[str, Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = columns_of(answer)
    writer.writerow(names)
    for row in answer["rows"]:
        writer.writerow([cell(row.get(name)) for name in names])
    return text.getvalue().encode(errors="replace")


def columns_of(answer: Mapping[str, Any]) -> list[str]:
    """The columns of an answer's rows: those that it shows first, then the others."""
    shown = list(answer["columns"])
    return shown + sorted({name for row in answer["rows"] for name in row} - set(shown))


def cell(value: object) -> str:
    """A value that no spreadsheet takes for a formula."""
    text = pages.plain(value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def unknown_questions() -> Iterator[str]:
    """Questions that a framework names and nobody answers; for the tests."""
    for framework in frameworks().values():
        for control in framework.controls:
            yield from (one for one in control.asks if one not in QUESTIONS or QUESTIONS[one].needs)
