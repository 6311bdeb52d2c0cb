"""The Roundup source against a real tracker: what is understood, retired items, wrong passwords, comments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from roundup_tracker import PASSWORD, Tracker, roundup
from ticket_cases import loaded, secret

from gateway.access.tickets.fields import key_of
from gateway.access.tickets.sources import Sources, open_sources
from gateway.errors import GatewayError


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    with roundup(tmp_path_factory.mktemp("roundup") / "tracker") as found:
        found.make("user", username="alice", address="alice@example.com", roles="User")
        found.make("keyword", name="customer-42")
        found.make("keyword", name="customer-43")
        yield found


@pytest.fixture
def sources(tracker: Tracker, tmp_path: Path) -> Iterator[Sources]:
    settings = {
        "kind": "roundup", "system": "roundup", "url": tracker.url, "projects": {"ISS": "issue"}, "auth": "basic",
        "user": "admin", "token": secret(tmp_path, "roundup", PASSWORD),
        "customer": {"field": "keyword.name", "pattern": r"customer-(\d+)"}, "states": {"chatting": "open"},
    }  # fmt: skip
    found = open_sources(loaded(tmp_path, settings).tickets)
    yield found
    found.close()


@pytest.fixture
def number(tracker: Tracker) -> str:
    return tracker.make(
        "issue", title="Payslip of March", status="chatting", assignedto="alice", keyword=["customer-42"]
    )


def test_an_issue_is_understood(sources: Sources, number: str) -> None:
    found = sources.find(f"ISS-{number}")
    assert found is not None
    assert (found.status, found.assignee, found.customers, found.project) == ("open", "alice", ("42",), "ISS")
    assert (found.title, found.system) == ("Payslip of March", "roundup")
    assert found.updated_at is not None


def test_what_changes_is_seen(sources: Sources, tracker: Tracker, number: str) -> None:
    tracker.change("issue", number, status="resolved", keyword=["customer-43"], assignedto="-1")
    found = sources.find(f"ISS-{number}")
    assert found is not None
    assert (found.status, found.assignee, found.customers) == ("resolved", "", ("43",))


def test_a_retired_issue_is_gone(sources: Sources, tracker: Tracker, number: str) -> None:
    other = tracker.make("issue", title="Another", status="chatting")
    tracker.retire(f"issue{number}")
    assert sources.find(f"ISS-{number}") is None
    vendor = sources.remote["roundup"].vendor
    keys = [key_of(vendor.settings, f"ISS-{one}") for one in (number, other, "99999")]
    found = vendor.many([key for key in keys if key is not None])
    assert [key.number for key, one in found.items() if one is not None] == [other]


def test_a_wrong_password_is_an_outage(sources: Sources, tmp_path: Path, number: str) -> None:
    (tmp_path / "roundup.secret").write_text("wrong")
    with pytest.raises(GatewayError) as caught:
        sources.find(f"ISS-{number}")
    assert caught.value.code == "ticket-source-unavailable"


def test_a_comment_is_put_once(sources: Sources, tracker: Tracker, number: str) -> None:
    vendor = sources.remote["roundup"].vendor
    key = key_of(vendor.settings, f"ISS-{number}")
    assert key is not None
    for again in (False, True):
        vendor.comment(key, "alice may read payroll", "[gateway grant_1 begin]", again=again)
    assert tracker.messages(number) == ["alice may read payroll [gateway grant_1 begin]"]
