"""Evidence reports and what a customer is told, made from a running gateway's trail, checked offline, and forged."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, change_yaml, open_house

from gateway.audit.reports import frameworks, unknown_questions
from gateway.demo.company import TARGET
from gateway.demo.postgres import EmbeddedPostgres

CATEGORIES = {"names": ["public.employees.first_name", "public.employees.last_name"], "bank": ["public.employees.iban"]}


@pytest.fixture(scope="module")
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway with a day's work behind it."""
    with open_house(tmp_path_factory.mktemp("office"), postgres) as house:
        path = house.company.directory / "policies" / f"{TARGET}.yaml"
        change_yaml(path, lambda tree: tree.update({"categories": CATEGORIES}))
        house.gateway.stop()
        house.gateway.start()
        with house.connect() as connection:
            connection.execute("select first_name, iban, department from employees").fetchall()
            with pytest.raises(psycopg.Error):
                connection.execute("select pg_read_file('<script>alert(1)</script>')")
        assert house.command("carol", "login", "carol", otp=True).returncode == 0
        yield house


def made(house: House, place: Path, *words: str) -> Path:
    done = house.command("carol", "audit", *words, "--out", str(place))
    assert done.returncode == 0, done.stderr
    return place


def key(house: House) -> str:
    return (house.company.state / "audit.key.pub").read_text().strip()


def check(house: House, place: Path, *, known: str = "") -> tuple[int, str]:
    done = house.command("dan", "audit", "verify", str(place), "--key", known or key(house))
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def evidence(office: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(office, tmp_path_factory.mktemp("made") / "iso.zip", "report", "iso27001")


def test_every_framework_asks_what_can_be_answered() -> None:
    assert set(frameworks()) == {"iso27001", "soc2", "pci", "gdpr"}
    assert list(unknown_questions()) == []
    pages = [control.page for one in frameworks().values() for control in one.controls]
    assert all(page.count("/") == 0 and page.endswith(".html") for page in pages)


@pytest.mark.parametrize("name", ["iso27001", "soc2", "pci", "gdpr"])
def test_a_report_says_what_the_log_shows_and_verifies_offline(office: House, tmp_path: Path, name: str) -> None:
    place = made(office, tmp_path / "report.zip", "report", name)
    assert place.stat().st_mode & 0o077 == 0
    code, said = check(office, place)
    assert code == 0, said
    assert "pages and data are those that the records give" in said
    with zipfile.ZipFile(place) as archive:
        names = archive.namelist()
        assert {f"controls/{one.page}" for one in frameworks()[name].controls} <= set(names)
        figures = json.loads(archive.read("data/figures.json"))
        assert (figures["sessions"], figures["statements"], figures["customers_accessed"]) == (1, 1, 1)
        assert figures["statements_refused"] == 1
        for page in (archive.read(one).decode() for one in names if one.endswith(".html")):
            assert "<script" not in page
            assert "http:" not in page
            assert "src=" not in page


def test_the_key_of_another_log_believes_nothing(office: House, evidence: Path) -> None:
    from gateway.audit.checkpoint import Signer

    code, said = check(office, evidence, known=Signer.generate("demo.gateway.example/1").verifier.text)
    assert code == 3, said


def forged(place: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(place) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def _figure(files: dict[str, bytes]) -> None:
    files["data/figures.json"] = files["data/figures.json"].replace(b'"sessions": 1', b'"sessions": 0')


def _figure_and_manifest(files: dict[str, bytes]) -> None:
    import hashlib

    _figure(files)
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["data/figures.json"] = hashlib.sha256(files["data/figures.json"]).hexdigest()
    files["manifest.json"] = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def _record(files: dict[str, bytes]) -> None:
    lines = files["records.jsonl"].splitlines(keepends=True)
    del lines[5]
    files["records.jsonl"] = b"".join(lines)


def _more(files: dict[str, bytes]) -> None:
    files["controls/extra.html"] = b"<p>all is well</p>"


def _less(files: dict[str, bytes]) -> None:
    del files["controls/a-8-2.html"]


def _outside(files: dict[str, bytes]) -> None:
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["../escaped"] = "0" * 64
    files["manifest.json"] = json.dumps(manifest).encode()
    files["../escaped"] = b""


def _proof(files: dict[str, bytes]) -> None:
    files["proof.json"] = files["proof.json"].replace(b"audit.report", b"audit.rep0rt")


@pytest.mark.parametrize("change", [_figure, _figure_and_manifest, _record, _more, _less, _outside, _proof])
def test_a_forged_report_is_found(
    office: House, evidence: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None]
) -> None:
    code, said = check(office, forged(evidence, tmp_path / "forged.zip", change))
    assert code == 3, said
    assert not (tmp_path / "escaped").exists()


def test_a_report_of_another_ones_records_is_found(office: House, evidence: Path, tmp_path: Path) -> None:
    other = made(office, tmp_path / "other.zip", "report", "iso27001", "--from", "1d")

    def change(files: dict[str, bytes]) -> None:
        with zipfile.ZipFile(other) as archive:
            files["proof.json"] = archive.read("proof.json")

    code, said = check(office, forged(evidence, tmp_path / "mixed.zip", change))
    assert code == 3
    assert "another report" in said


def test_the_records_verify_without_the_gateway(office: House, evidence: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    verifier = Path(__file__).parents[2] / "gateway" / "audit" / "verify.py"
    shutil.copy(verifier, tmp_path / "verify.py")
    with zipfile.ZipFile(evidence) as archive:
        for name in ("records.jsonl", "proof.json"):
            archive.extract(name, tmp_path)
    for name in ("records.jsonl", "proof.json"):
        done = subprocess.run(
            [sys.executable, "-I", "verify.py", name, "--key", key(office)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def told(office: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(office, tmp_path_factory.mktemp("told") / "42.zip", "transparency", "--customer", "42")


def test_a_customer_is_told_who_when_why_and_what_and_nothing_private(office: House, told: Path) -> None:
    code, said = check(office, told)
    assert code == 0, said
    with zipfile.ZipFile(told) as archive:
        assert "records.jsonl" not in archive.namelist()
        (access,) = json.loads(archive.read("data/accesses.json"))
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert (access["staff"], access["teams"], access["rows"] > 10) == (1, ["support"], True)
    assert access["purpose"] == "support for the ticket SUP-1423"
    assert access["read masked"] == ["bank", "names"]
    assert access["read"] == ["employees: department"]
    ids = {record["person"] for record in office.records() if "person" in record}
    assert len(ids) > 1
    for private in ("alice", "carol", "Alice", "127.0.0.1", "select ", *ids):
        assert private.encode() not in everything, private


def test_another_customer_is_told_of_nothing(office: House, tmp_path: Path) -> None:
    place = made(office, tmp_path / "41.zip", "transparency", "--customer", "41")
    assert check(office, place)[0] == 0
    with zipfile.ZipFile(place) as archive:
        assert json.loads(archive.read("data/accesses.json")) == []


def _no_access(files: dict[str, bytes]) -> None:
    files["data/accesses.json"] = b"[]\n"


def _other_hash(files: dict[str, bytes]) -> None:
    evidence: Any = json.loads(files["data/evidence.json"])
    evidence[0]["hash"] = "0" * 64
    files["data/evidence.json"] = json.dumps(evidence).encode()


@pytest.mark.parametrize("change", [_no_access, _other_hash, _proof])
def test_what_a_customer_was_told_cannot_be_changed(
    office: House, told: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None]
) -> None:
    code, said = check(office, forged(told, tmp_path / "forged.zip", change))
    assert code == 3, said


@pytest.mark.parametrize("words", [("report", "iso27001"), ("transparency", "--customer", "42")])
def test_reports_are_for_auditors(office: House, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert office.command("bob", "login", "bob", otp=True).returncode == 0
    done = office.command("bob", "audit", *words, "--out", str(tmp_path / "x.zip"))
    assert done.returncode == 77
    assert not (tmp_path / "x.zip").exists()
