"""A report as one file: what is in it, how it is written, and that it holds what its manifest names, no more."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.audit.verify import Problem, Report

FORMAT = "gateway.example/report/v1"
RECORDS, MANIFEST, PROOF = "records.jsonl", "manifest.json", "proof.json"
_LARGEST = 1 << 31
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a report is made of, besides the records: its files by name."""

    manifest: bytes
    files: dict[str, bytes]

    @property
    def digest(self) -> str:
        """What stands for the report in the log."""
        return hashlib.sha256(self.manifest).hexdigest()


def write(place: Path, made: Contents, proof: bytes, records: Path | None = None) -> None:
    """Write the file, with all records of its time if they are given. Raises `OSError`."""
    with zipfile.ZipFile(place, "x", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [(MANIFEST, made.manifest), *made.files.items(), (PROOF, proof)]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            archive.writestr(entry, data)
        if records is not None:
            archive.write(records, RECORDS)


def is_report(file: Path) -> bool:
    """Whether the file is one of these, by its looks."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return {MANIFEST, PROOF} <= set(archive.namelist())


def unpacked(file: Path, place: Path) -> dict[str, Any]:
    """Unpack what the manifest names, and nothing else. Raises `ValueError`."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if len(set(names)) != len(names) or sum(one.file_size for one in archive.infolist()) > _LARGEST:
            raise ValueError("a name is in it twice, or it is too large")
        manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
        if manifest["format"] != FORMAT:
            raise ValueError("not a report of this format")
        if {*manifest["files"], MANIFEST, PROOF} != set(names):
            raise ValueError("its files are not those that the manifest names")
        for name in names:
            path = place / name
            if not path.resolve().is_relative_to(place.resolve()):
                raise ValueError("a name leads out of it")
            path.parent.mkdir(parents=True, exist_ok=True)
            data = archive.read(name)
            if name in manifest["files"] and hashlib.sha256(data).hexdigest() != manifest["files"][name]:
                raise ValueError(f"`{name}` is not the file that the manifest names")
            path.write_bytes(data)
    return manifest


def json_bytes(value: Any) -> bytes:
    """The one spelling of a data file."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode(errors="surrogatepass") + b"\n"


def problem(report: Report, what: str) -> Report:
    """The report with something that speaks against it."""
    return replace(report, problems=(*report.problems, Problem(None, what)))
