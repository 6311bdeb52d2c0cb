"""What the tour does with APIs: calls as a person makes them, and nothing where none can be served."""

from __future__ import annotations

import shlex
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from gateway.demo.backoffice.overview import overview
from gateway.demo.calls import Reply, bearer, curl_line
from gateway.demo.claims import Tour, logins
from gateway.demo.ledger import what_mariadb_shows
from gateway.demo.stage import Stage
from gateway.demo.tour import PARTS
from gateway.demo.trail import Follower
from gateway.engines.http_sessions import proof_of

OTHERS = {f"gateway.demo.{name}" for name in ("story", "proofs", "changes", "ledger")}
OF_APIS = [part for part in PARTS if part.__module__ not in OTHERS]


def test_the_parts_are_told_in_their_order() -> None:
    assert [(part.__doc__ or "").partition(".")[0] for part in PARTS] == [str(n) for n in range(1, len(PARTS) + 1)]


@pytest.mark.parametrize(
    ("part", "why"),
    [
        *((part, "HTTP targets need Python 3.12 or later") for part in OF_APIS),
        (what_mariadb_shows, "no MariaDB is here"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_where_something_is_missing_a_part_says_so_and_claims_nothing(part: Any, why: str, tmp_path: Path) -> None:
    out = StringIO()
    stage = Stage(tmp_path, *(cast("Any", None),) * 3, {}, without="HTTP targets need Python 3.12 or later")
    tour = Tour(Console(file=out, width=200), stage, None, Follower(tmp_path))
    part(tour)
    assert out.getvalue().strip() == f"left out: {why}"
    assert (tour.passed, tour.failed) == (0, [])


def test_the_token_is_the_pass_with_the_user_in_front() -> None:
    opened = {"user": "alice+SUP-1423", "password": "s3cret:with colon"}
    assert proof_of(f"Bearer {bearer(opened)}") == ("alice+SUP-1423", "s3cret:with colon")


def test_a_line_to_paste_holds_a_file_and_no_secret() -> None:
    line = curl_line(Path("/a b/ca.crt"), Path("/a b/alice.header"), "https://localhost:1/x?a=1&b=2", "-X", "PATCH")
    assert shlex.split(line) == [
        "curl", "-sS", "--cacert", "/a b/ca.crt", "-H", "@/a b/alice.header", "-X", "PATCH",
        "https://localhost:1/x?a=1&b=2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (403, '{"code": "read-only"}', "read-only"), (200, '{"code": "read-only"}', ""), (502, "<html>", ""),
        (404, "[1]", ""),
    ],
    ids=["refused", "answered", "no document", "a list"],
)  # fmt: skip
def test_a_reply_has_the_code_of_its_refusal(status: int, text: str, code: str) -> None:
    assert Reply(status, text, "curl /").code == code


def test_people_are_named_where_records_have_their_ids() -> None:
    assert logins(["p-003", "p-999"]) == "bob, p-999"


def test_what_the_data_says_is_text_in_the_page_and_no_markup() -> None:
    company = {"id": 42, "name": "<script>alert(1)</script>", "siret": "<b>", "plan": '"&'}
    page = overview(company, [{"label": "<i>R&D</i>", "staff": 3}])
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;i&gt;R&amp;D&lt;/i&gt;</td><td>3</td>" in page
