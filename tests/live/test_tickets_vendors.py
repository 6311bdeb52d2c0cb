"""Every vendor's source against a stand-in for the vendor: what is understood, what has ended, what is refused."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import vendor_github
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway_fixture import eventually
from ticket_cases import (
    CASES,
    PROJECT,
    REPOSITORY,
    Case,
    github,
    gitlab,
    jira,
    loaded,
    put_gone,
    servicenow,
    source_settings,
    zendesk,
)
from vendor_server import Asked, Told, VendorServer, bomb, going_wrong

from gateway.access.tickets.polled import PolledSource
from gateway.access.tickets.sources import Sources, open_sources
from gateway.certificates import issue
from gateway.errors import GatewayError, Refusal
from gateway.model import Ticket
from gateway.ports import Sighting


class Stage:
    """One vendor's server and the gateway's source that asks it; `told` is what the trail would get."""

    def __init__(
        self, case: Case, server: VendorServer, sources: Sources, told: list[tuple[str, dict[str, Any]]]
    ) -> None:
        self.case, self.server, self.sources, self.told = case, server, sources, told

    @property
    def source(self) -> PolledSource:
        return next(iter(self.sources.remote.values()))

    def find(self, ticket_id: str = "") -> Ticket | None:
        return self.sources.find(ticket_id or self.case.id)

    def recent(self, ticket_id: str = "") -> Sighting | Refusal | None:
        wanted = ticket_id or self.case.id
        return self.sources.recent([wanted]).get(wanted)

    def outage(self) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            self.find()
        assert caught.value.code == "ticket-source-unavailable"
        return caught.value


@contextlib.contextmanager
def stage_of(case: Case, directory: Path, **settings: Any) -> Iterator[Stage]:
    told: list[tuple[str, dict[str, Any]]] = []
    with VendorServer(case.vendor) as server:
        config = loaded(directory, [source_settings(case, server.url, directory, **{"timeout": "1s", **settings})])
        sources = open_sources(config.tickets, news=lambda kind, fields: told.append((kind, dict(fields))))
        case.put()
        try:
            yield Stage(case, server, sources, told)
        finally:
            sources.close()


@pytest.fixture(params=CASES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with stage_of(CASES[request.param](), tmp_path) as found:
        yield found


@pytest.fixture
def of_jira(tmp_path: Path) -> Iterator[Stage]:
    with stage_of(jira(), tmp_path) as found:
        yield found


def test_a_ticket_is_understood(stage: Stage) -> None:
    found = stage.find()
    assert found is not None
    project = "INC" if stage.case.name == "servicenow" else stage.case.id.partition("-")[0]
    assert (found.id, found.system, found.project, found.status) == (stage.case.id, stage.case.name, project, "open")
    assert (found.customers, found.title) == (("42",), "Payslip of March")
    assert found.assignee == "alice" or found.assignee_email == "alice@example.com"
    assert found.updated_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert found.team == ("support" if stage.case.name == "zendesk" else "")


def test_what_changes_is_seen_by_the_next_question_and_by_the_next_poll(stage: Stage) -> None:
    case = stage.case
    key = _key(stage)
    for ask in (lambda: stage.source.vendor.many([key])[key], lambda: stage.source.vendor.one(key)):
        case.put(status=case.open, assignee="alice", customer="42")
        before = ask()
        case.put(status=case.closed)
        closed = ask()
        case.put(status=case.open, assignee="amir", customer="43")
        other = ask()
        case.put(status=case.open, assignee="")
        nobodys = ask()
        assert before is not None
        assert closed is not None
        assert other is not None
        assert nobodys is not None
        assert closed.status != before.status
        assert before.accounts != other.accounts
        assert nobodys.accounts == ()


def _key(stage: Stage) -> Any:
    from gateway.access.tickets.fields import key_of

    return key_of(stage.source.settings, stage.case.id)


def test_a_ticket_without_an_assignee_is_nobody_s(stage: Stage) -> None:
    stage.case.put(status=stage.case.open, assignee="")
    found = stage.find()
    assert found is not None
    assert (found.assignee, found.assignee_email) == ("", "")


def test_a_deleted_ticket_is_gone_from_questions_and_polls(stage: Stage) -> None:
    assert stage.find() is not None
    stage.case.remove()
    assert stage.find() is None
    assert stage.source.vendor.many([_key(stage)]) == {_key(stage): None}


def test_what_was_never_there_is_not_found(stage: Stage) -> None:
    other = stage.case.id.replace("1423", "1424")
    assert stage.find(other) is None


STRANGE_IDS = (
    "../1423", "-1423", "01423", "1423 ", " 1423", "1423\n", "1423?x=1", "1423#a", "1423%2f..", "1423/../9",
    "..%2f1423", "１４２３", "١٤٢٣", "1423.json", "1423,9", "1423^OR", "1423;", "+1423", "1e3", "0x1", "1423\0",
    "9" * 40,
)  # fmt: skip


@pytest.mark.parametrize("number", STRANGE_IDS)
def test_no_id_but_the_one_form_reaches_the_source(stage: Stage, number: str) -> None:
    project, hyphen = ("INC", "") if stage.case.name == "servicenow" else (stage.case.id.partition("-")[0], "-")
    if stage.case.name == "servicenow" and number == "01423":
        return  # another record's number there
    before = len(stage.server.asked)
    assert stage.find(f"{project}{hyphen}{number}") is None
    assert len(stage.server.asked) == before


@pytest.mark.parametrize("change", [str.lower, lambda i: f"{i} ", lambda i: i.replace("-", "‐"), lambda i: f"X{i}"])
def test_another_spelling_of_an_id_is_no_ticket(stage: Stage, change: Callable[[str], str]) -> None:
    other = change(stage.case.id)
    if other != stage.case.id:
        assert stage.find(other) is None
        assert stage.server.asked == []


def test_a_wrong_token_is_an_outage_that_says_nothing_to_people(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / f"{stage.case.name}.secret").write_text("another")
    refusal = stage.outage().refusal
    assert "another" not in f"{refusal}"
    assert stage.told == [
        (
            "ticket.source",
            {
                "ticket_system": stage.case.name,
                "state": "down",
                "code": "ticket-source-unavailable",
                "reason": f"the ticket source `{stage.case.name}` cannot be asked",
            },
        )
    ]


def test_a_secret_that_cannot_be_read_is_an_outage_and_where_it_lies_is_not_told(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / f"{stage.case.name}.secret").chmod(0o644)
    refusal = stage.outage().refusal
    assert str(tmp_path) not in refusal.message + refusal.hint
    assert str(tmp_path) in refusal.detail


@pytest.mark.parametrize("token", ["se\ncret", "se\x00cret", "secrét", "secret\x7f"])
def test_a_secret_that_cannot_be_sent_is_not_told_either(stage: Stage, tmp_path: Path, token: str) -> None:
    (tmp_path / f"{stage.case.name}.secret").write_text(token)
    refusal = stage.outage().refusal
    assert "cr" not in refusal.detail.replace("credential", "")


def test_an_app_s_key_that_is_none_is_an_outage(tmp_path: Path) -> None:
    with stage_of(github(), tmp_path, auth="app", app="Iv1.abc", installation=12) as stage:
        assert "RSA" in stage.outage().refusal.detail


def test_an_outage_and_its_end_are_told_once_each(stage: Stage) -> None:
    with going_wrong(stage.server, Told(500, {"error": "oops"})):
        stage.outage()
        stage.outage()
    assert stage.find() is not None
    assert stage.find() is not None
    assert [fields["state"] for _, fields in stage.told] == ["down", "up"]


@pytest.mark.parametrize("retry", ["2", "Fri, 31 Dec 9999 23:59:59 GMT", "31536000", "-5", "soon", "9" * 30, ""])
def test_a_source_that_asks_for_it_is_left_alone_but_not_for_ever(of_jira: Stage, retry: str) -> None:
    stage = of_jira
    with going_wrong(stage.server, Told(429, {"message": "Rate limit exceeded"}, {"retry-after": retry})):
        stage.outage()
    asked = len(stage.server.asked)
    stage.outage()
    assert len(stage.server.asked) == asked
    pause = stage.source.vendor.client._paused_until - time.monotonic()  # type: ignore[attr-defined]
    assert 0 < pause <= 60


def test_it_is_asked_again_when_the_pause_is_over(of_jira: Stage) -> None:
    with going_wrong(of_jira.server, Told(429, None, {"retry-after": "1"})):
        of_jira.outage()
    eventually(lambda: not _refused(of_jira))


def _refused(stage: Stage) -> bool:
    try:
        return stage.find() is None
    except GatewayError:
        return True


def test_github_s_own_rate_limit_is_heeded(tmp_path: Path) -> None:
    reset = int(time.time()) + 30
    with stage_of(github(), tmp_path) as stage:
        headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
        with going_wrong(stage.server, Told(403, {"message": "API rate limit exceeded"}, headers)):
            assert "left alone" in stage.outage().refusal.detail
        asked = len(stage.server.asked)
        stage.outage()
        assert len(stage.server.asked) == asked


HOSTILE = {
    "html": Told(200, body=b"<html>log in</html>", headers={"content-type": "text/html"}),
    "nothing": Told(200, body=b""),
    "null": Told(200, body=b"null"),
    "a list": Told(200, body=b"[]"),
    "a number": Told(200, body=b"42"),
    "deep": Told(200, body=b"[" * 100_000 + b"]" * 100_000),
    "deep enough": Told(200, body=b'{"a":' * 70 + b"1" + b"}" * 70),
    "huge": Told(200, body=b'{"a": "' + b"x" * (2 << 20) + b'"}'),
    "endless digits": Told(200, body=b'{"a": ' + b"9" * 100_000 + b"}"),
    "NaN": Told(200, body=b'{"id": NaN}'),
    "infinite": Told(200, body=b'{"id": -Infinity}'),
    "twice": Told(200, body=b'{"id": 1, "id": 2}'),
    "not UTF-8": Told(200, body=b'{"id": "\xff"}'),
    "bomb": bomb(),
    "empty object": Told(200, body=b"{}"),
    "types": Told(
        200, body=b'{"key": [], "fields": 7, "ticket": "x", "number": {}, "iid": {}, "result": 5, "data": 3}'
    ),
    "see other": Told(302, None, {"location": "file:///etc/passwd"}),
    "elsewhere": Told(307, None, {"location": "http://127.0.0.1:9/steal"}),
    "switching": Told(204),
}


@pytest.mark.parametrize("told", HOSTILE.values(), ids=HOSTILE)
def test_an_answer_that_is_none_is_an_outage(stage: Stage, told: Told) -> None:
    with going_wrong(stage.server, told):
        stage.outage()
        if told.body == b"[]" and stage.case.name == "gitlab":
            return  # what GitLab says when there is none of them
        with pytest.raises(GatewayError):
            stage.source._heard(lambda: stage.source.vendor.many([_key(stage)]))
    assert stage.find() is not None


def test_a_moved_permanently_is_followed_by_nobody(stage: Stage) -> None:
    asked = []
    with VendorServer(stage.case.vendor) as other:
        told = Told(301, None, {"location": f"{other.url}/steal"})
        with going_wrong(stage.server, told):
            if stage.case.name == "github":
                assert stage.find() is None
            else:
                stage.outage()
        asked += other.asked
    assert asked == []


def test_a_slow_body_is_given_up_in_time(of_jira: Stage) -> None:
    of_jira.server.drip_s = 0.05
    start = time.monotonic()
    of_jira.outage()
    assert time.monotonic() - start < 3
    of_jira.server.drip_s = 0.0


def test_environment_proxies_do_not_count(of_jira: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert of_jira.find() is not None


def test_the_certificate_has_to_be_that_authority_s(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for place in (ours, theirs):
        place.mkdir()
        made = issue("gateway", ["localhost"])
        for name, pem in (("ca.crt", made.ca), ("gateway.crt", made.certificate), ("gateway.key", made.key)):
            (place / name).write_bytes(pem)
    case = jira()
    case.put()
    with VendorServer(case.vendor, tls=(ours / "gateway.crt", ours / "gateway.key")) as server:
        for authority, works in ((ours, True), (theirs, False), (None, False)):
            more = {"ca": str(authority / "ca.crt")} if authority else {}
            sources = open_sources(loaded(tmp_path, [source_settings(case, server.url, tmp_path, **more)]).tickets)
            if works:
                assert sources.find(case.id) is not None
            else:
                with pytest.raises(GatewayError) as caught:
                    sources.find(case.id)
                assert "CERTIFICATE_VERIFY_FAILED" in caught.value.refusal.detail
            sources.close()


# What only one vendor does.


@pytest.mark.parametrize("server", [False, True])
def test_an_issue_that_moved_to_another_project_is_gone_under_its_old_key(tmp_path: Path, server: bool) -> None:
    case = jira(server=server)
    with stage_of(case, tmp_path) as stage:
        case.vendor.move(case.id, "HR-7")
        assert stage.find() is None
        assert stage.source.vendor.many([_key(stage)]) == {_key(stage): None}
        assert stage.find("HR-7") is None


def test_jira_server_is_asked_for_all_pages(tmp_path: Path) -> None:
    case = jira(server=True)
    case.vendor.page = 3
    with stage_of(case, tmp_path) as stage:
        for number in range(1, 9):
            case.vendor.put(f"SUP-{number}")
        keys = [_key_of(stage, f"SUP-{number}") for number in (*range(1, 9), 77)]
        found = stage.source.vendor.many(keys)
        assert [key.id for key, one in found.items() if one is None] == ["SUP-77"]
        assert len(stage.server.asked) == 3


def _key_of(stage: Stage, ticket_id: str) -> Any:
    from gateway.access.tickets.fields import key_of

    found = key_of(stage.source.settings, ticket_id)
    assert found is not None
    return found


def test_more_tickets_than_one_request_takes_are_asked_for_in_several(tmp_path: Path) -> None:
    case = zendesk()
    with stage_of(case, tmp_path) as stage:
        for number in range(1, 251):
            case.vendor.put(number)
        found = stage.source.vendor.many([_key_of(stage, f"ZD-{number}") for number in range(1, 251)])
        assert len(found) == 250
        assert None not in found.values()
        assert len(stage.server.asked) == 3


def test_zendesk_s_client_credentials_are_asked_for_once(tmp_path: Path) -> None:
    case = zendesk()
    case.vendor.oauth = True
    with stage_of(case, tmp_path, auth="oauth", oauth=_oauth(tmp_path, case.token)) as stage:
        assert stage.find() is not None
        assert stage.find() is not None
        assert [asked.path[0] for asked in stage.server.asked] == ["oauth", "api", "api"]


def _oauth(directory: Path, token: str) -> dict[str, Any]:
    path = directory / "client.secret"
    path.write_text(token)
    path.chmod(0o600)
    return {"token_path": "/oauth/tokens", "client_id": "gateway", "client_secret": {"file": str(path)}}


@pytest.mark.parametrize("gone", [301, 410])
def test_an_issue_that_was_transferred_or_deleted_is_gone(tmp_path: Path, gone: int) -> None:
    with stage_of(github(), tmp_path) as stage:
        assert stage.find() is not None
        put_gone(stage.case.vendor, gone)
        assert stage.find() is None


def test_a_pull_request_of_that_number_is_no_ticket(tmp_path: Path) -> None:
    with stage_of(github(), tmp_path) as stage:
        stage.case.vendor.put(REPOSITORY, 7, pull=True)
        assert stage.find("API-7") is None


def test_the_same_number_in_another_repository_is_another_ticket(tmp_path: Path) -> None:
    case = github()
    case.settings["projects"] = {"API": REPOSITORY, "OPS": "acme/ops"}
    with stage_of(case, tmp_path) as stage:
        case.vendor.put("acme/ops", 1423, labels=["customer:43"])
        first, second = stage.find("API-1423"), stage.find("OPS-1423")
        assert first is not None
        assert second is not None
        assert (first.customers, second.customers) == (("42",), ("43",))


def test_two_assignees_are_nobody(tmp_path: Path) -> None:
    with stage_of(github(), tmp_path) as stage:
        stage.case.vendor.put(REPOSITORY, 1423, assignees=["alice-gh", "amir-gh"])
        found = stage.find()
        assert found is not None
        assert found.assignee == ""


@pytest.mark.parametrize(("several", "customers"), [(False, ()), (True, ("42", "43"))])
def test_two_customers_count_only_where_the_configuration_says_so(
    tmp_path: Path, several: bool, customers: tuple[str, ...]
) -> None:
    case = github()
    case.settings["customer"]["several"] = several
    with stage_of(case, tmp_path) as stage:
        case.vendor.put(REPOSITORY, 1423, labels=["customer:42", "customer:43", "customer:x", "xcustomer:9"])
        found = stage.find()
        assert found is not None
        assert found.customers == customers


def test_an_unchanged_issue_costs_nothing_of_the_rate_limit(tmp_path: Path) -> None:
    with stage_of(github(), tmp_path) as stage:
        for _ in range(5):
            assert stage.find() is not None
        assert (len(stage.server.asked), stage.case.vendor.counted) == (5, 1)
        stage.case.put(status="closed")
        found = stage.find()
        assert found is not None
        assert found.status == "closed"


def test_an_app_signs_in_with_its_key(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    case = github()
    case.vendor.app_key = key.public_key()
    case.token = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with stage_of(case, tmp_path, auth="app", app="Iv1.abc", installation=12) as stage:
        assert stage.find() is not None
        assert stage.find() is not None
        assert case.vendor.tokens == 1


def test_an_issue_that_was_moved_is_gone(tmp_path: Path) -> None:
    with stage_of(gitlab(), tmp_path) as stage:
        stage.case.vendor.put(PROJECT, 1423, moved_to=77)
        assert stage.find() is None
        assert stage.source.vendor.many([_key(stage)]) == {_key(stage): None}


def test_two_records_of_one_number_are_an_outage(tmp_path: Path) -> None:
    with stage_of(servicenow(), tmp_path) as stage:
        stage.case.vendor.doubled.add(stage.case.id)
        stage.outage()


def test_a_source_that_answers_about_another_ticket_is_out(tmp_path: Path) -> None:
    with stage_of(CASES["http"](), tmp_path) as stage:
        stage.case.vendor.cases[9] = stage.case.vendor.cases[1423]

        def other(asked: Asked) -> Told:
            return stage.case.vendor.answer(replace(asked, path=("v2", "cases", "9")))  # type: ignore[no-any-return]

        with going_wrong(stage.server, other):
            stage.outage()


# Comments.


@pytest.mark.parametrize("stage", sorted(CASES.keys() - {"http"}), indirect=True)
def test_a_comment_is_put_once_however_often_it_is_tried(stage: Stage) -> None:
    assert stage.case.comments is not None
    vendor, key, marker = stage.source.vendor, _key(stage), "[gateway grant_1 begin]"
    vendor.comment(key, "alice may read payroll", marker, again=False)
    vendor.comment(key, "alice may read payroll", marker, again=True)
    vendor.comment(key, "the access has ended", "[gateway grant_1 end]", again=True)
    found = stage.case.comments()
    assert len(found) == 2
    assert marker in found[0]


def test_a_comment_is_found_again_among_hundreds(tmp_path: Path) -> None:
    with stage_of(github(), tmp_path) as stage:
        stage.case.vendor.comments[REPOSITORY, 1423] = [{"id": n, "body": f"comment {n}"} for n in range(250)]
        for again in (False, True):
            stage.source.vendor.comment(_key(stage), "a", "[gateway grant_1 begin]", again=again)
        assert len(stage.case.vendor.comments[REPOSITORY, 1423]) == 251


# Polling.


def test_live_tickets_are_polled_in_one_request_and_not_by_who_looks(tmp_path: Path) -> None:
    case = jira()
    with stage_of(case, tmp_path, poll_interval="300ms") as stage:
        for number in range(1, 6):
            case.vendor.put(f"SUP-{number}")
        ids = [f"SUP-{number}" for number in range(1, 6)]
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            stage.sources.recent(ids)
            time.sleep(0.01)
        assert 5 <= len(stage.server.asked) <= 9
        assert {asked.path[-1] for asked in stage.server.asked} == {"bulkfetch"}
        assert stage.sources.recent(ids).keys() == set(ids)


def test_a_hint_is_asked_about_at_once_and_a_flood_of_them_is_one(tmp_path: Path) -> None:
    case = jira()
    with stage_of(case, tmp_path, poll_interval="60s") as stage:
        stage.find()
        stage.recent()
        eventually(lambda: len(stage.server.asked) == 2)
        case.put(status="Done")
        asked = len(stage.server.asked)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            stage.source.hint([case.id, "SUP-999"])
            time.sleep(0.001)
        seen = stage.recent()
        assert isinstance(seen, Sighting)
        assert seen.ticket is not None
        assert seen.ticket.status == "done"
        assert len(stage.server.asked) - asked <= 6


def test_news_that_come_while_the_first_question_is_under_way_are_heard(tmp_path: Path) -> None:
    case = jira()
    with stage_of(case, tmp_path, poll_interval="60s") as stage:

        def slowly(asked: Asked) -> Told:
            told = case.vendor.answer(asked)
            case.put(status="Done")
            stage.source.hint([case.id])
            stage.server.wrong = None
            time.sleep(0.5)
            return told  # type: ignore[no-any-return]

        stage.server.wrong = slowly
        before = stage.find()
        assert before is not None
        eventually(lambda: _status(stage) == "done")


def test_a_source_that_sends_its_news_too_early_is_asked_twice(tmp_path: Path) -> None:
    case = jira()
    with stage_of(case, tmp_path, poll_interval="60s") as stage:
        stage.find()
        stage.recent()
        eventually(lambda: len(stage.server.asked) == 2)
        stage.source.hint([case.id])
        eventually(lambda: len(stage.server.asked) == 3)
        case.put(status="Done")
        assert eventually(lambda: _status(stage) == "done") < 3


def _status(stage: Stage) -> str:
    seen = stage.recent()
    return seen.ticket.status if isinstance(seen, Sighting) and seen.ticket is not None else ""


def test_a_ticket_that_nobody_watches_any_more_is_not_asked_about(tmp_path: Path) -> None:
    with stage_of(jira(), tmp_path, poll_interval="200ms") as stage:
        stage.source.hint([stage.case.id])
        time.sleep(0.4)
        assert stage.server.asked == []


def test_in_an_outage_the_last_answer_grows_old_and_says_why(tmp_path: Path) -> None:
    with stage_of(jira(), tmp_path, poll_interval="200ms") as stage:
        stage.find()
        with going_wrong(stage.server, Told(502)):
            stage.recent()
            eventually(lambda: stage.source.outage is not None)
            time.sleep(0.3)
            seen = stage.recent()
            assert isinstance(seen, Sighting)
            assert seen.outage is not None
            assert time.monotonic() - seen.at > 0.3
            assert isinstance(stage.recent("SUP-2"), Refusal)
        eventually(lambda: isinstance(now := stage.recent(), Sighting) and now.outage is None)


def test_an_older_answer_never_replaces_a_newer_one(of_jira: Stage) -> None:
    newer, older = of_jira.find(), of_jira.source
    older._keep({of_jira.case.id: None}, time.monotonic() - 5)
    seen = of_jira.recent()
    assert isinstance(seen, Sighting)
    assert seen.ticket == newer


BACK_AND_FORTH: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"status": "closed"}, {"status": "open"}),
    ({"assignee": "amir"}, {"assignee": "alice"}),
    ({"assignee": ""}, {"assignee": "alice"}),
    ({"customer": "43"}, {"customer": "42"}),
]


@pytest.mark.parametrize(("there", "back"), BACK_AND_FORTH, ids=str)
@pytest.mark.parametrize("stage", ["jira-cloud", "jira-server", "zendesk"], indirect=True)
def test_what_was_changed_and_changed_back_between_two_answers_is_told(
    stage: Stage, there: dict[str, str], back: dict[str, str]
) -> None:
    before = stage.find()
    stage.case.put(**{name: stage.case.closed if value == "closed" else value for name, value in there.items()})
    stage.case.put(**{name: stage.case.open if value == "open" else value for name, value in back.items()})
    after = stage.find()
    assert before is not None
    assert after is not None
    assert replace(after, updated_at=None) == replace(before, updated_at=None)
    seen = stage.recent()
    assert isinstance(seen, Sighting)
    ((at, was),) = seen.between
    assert at == seen.at
    assert replace(was, updated_at=None) != replace(before, updated_at=None)


@pytest.mark.parametrize("stage", ["jira-cloud", "jira-server"], indirect=True)
def test_what_was_seen_already_is_not_told_again(stage: Stage) -> None:
    stage.find()
    stage.case.put(status=stage.case.closed)
    stage.find()
    stage.case.put(status=stage.case.open)
    stage.find()
    seen = stage.recent()
    assert isinstance(seen, Sighting)
    assert seen.between == ()


# Configuration.


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"url": "https://user:pw@example.com"}, "https://host/"),
    ({"url": "http://example.com"}, "this machine only"),
    ({"url": "file:///etc/passwd"}, "https://host/"),
    ({"url": "https://example.com/?a=b"}, "https://host/"),
    ({"projects": ["sup"]}, "upper case"),
    ({"projects": {"SUP": "../admin"}}, "cannot stand for"),
    ({"projects": {"SUP": "OTHER"}}, "own keys"),
    ({"projects": []}, "at least 1"),
    ({"token": "secret"}, "token"),
    ({"customer": {"field": "a", "pattern": "(a+)+$"}}, "a pattern is"),
    ({"customer": {"field": "a", "pattern": "(a|aa)+"}}, "a pattern is"),
    ({"customer": {"field": "a", "pattern": r"(\w+)\1"}}, "a pattern is"),
    ({"customer": {"field": "a", "pattern": r"\w+\w+\w+(\w+)\d"}}, "three places"),
    ({"customer": {"field": "a", "pattern": "customer"}}, "a pattern is"),
    ({"customer": {"field": "a..b"}}, "a field is"),
    ({"auth": "basic", "user": ""}, "needs `user`"),
    ({"auth": "app"}, "is one of"),
    ({"poll_interval": "10m"}, "poll_interval"),
    ({"poll_interval": "10ms"}, "poll_interval"),
]


@pytest.mark.parametrize(("change", "said"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_configuration_that_cannot_be_safe_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(GatewayError) as caught:
        loaded(tmp_path, [source_settings(jira(), "https://example.com", tmp_path) | change])
    assert said in str(caught.value)
    assert caught.value.code == "configuration-invalid"


def test_two_sources_do_not_answer_for_the_same_project(tmp_path: Path) -> None:
    first = source_settings(jira(), "https://example.com", tmp_path)
    for second, said in (
        ({**first, "system": "other"}, "same project"),
        ({**first, "projects": ["X"]}, "same `system`"),
    ):
        with pytest.raises(GatewayError, match=said):
            loaded(tmp_path, [first, second])


def test_several_sources_are_one_and_a_file_has_the_rest(tmp_path: Path) -> None:
    one, two = jira(), gitlab()
    one.put()
    two.put()
    file = tmp_path / "tickets.yaml"
    file.write_text("tickets: [{id: OPS-1, status: open, customer: 7}, {id: SUP-1423, status: open, customer: 666}]")
    with VendorServer(one.vendor) as first, VendorServer(two.vendor) as second:
        items = [
            source_settings(one, first.url, tmp_path),
            source_settings(two, second.url, tmp_path),
            {"path": str(file)},
        ]
        sources = open_sources(loaded(tmp_path, items).tickets)
        found = {id_: sources.find(id_) for id_ in ("SUP-1423", "WEB-1423", "OPS-1", "NO-1", "nonsense")}
        assert {id_: one.system if one else None for id_, one in found.items()} == {
            "SUP-1423": "jira-cloud",
            "WEB-1423": "gitlab",
            "OPS-1": "tickets",
            "NO-1": None,
            "nonsense": None,
        }
        with going_wrong(first, Told(500)):
            with pytest.raises(GatewayError):
                sources.find("SUP-1423")
            assert sources.find("WEB-1423") is not None
            recent = sources.recent(list(found))
            assert isinstance(recent["OPS-1"], Sighting)
        sources.close()


def test_a_pattern_takes_bounded_time_on_hostile_text(tmp_path: Path) -> None:
    case = jira()
    case.settings["customer"] = {"field": "summary", "pattern": r"\w*\w*(\w*)x"}
    with stage_of(case, tmp_path) as stage:
        case.put(summary="a" * 255)
        start = time.monotonic()
        found = stage.find()
        assert time.monotonic() - start < 2
        case.put(summary="a" * 100_000)
        longer = stage.find()
        assert found is not None
        assert longer is not None
        assert (found.customers, longer.customers) == ((), ())


@pytest.mark.parametrize(
    "hidden", ["42\u202e", "4\u00002", "\ud800", "42\n43", "", " ", None, True, 4.2, ["42", "43"], {"a": 1}]
)
def test_a_customer_that_hides_something_is_none(tmp_path: Path, hidden: Any) -> None:
    with stage_of(jira(), tmp_path) as stage:
        stage.case.put(customer=hidden)
        found = stage.find()
        assert found is not None
        assert found.customers == ()


def test_basic_auth_is_what_rfc_7617_says(of_jira: Stage) -> None:
    of_jira.find()
    sent = of_jira.server.asked[0].headers["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"bot@example.com:jira-secret"


def test_github_names_are_compared_as_github_does(tmp_path: Path) -> None:
    case = github()
    case.settings["projects"] = {"API": "Acme/API"}
    with stage_of(case, tmp_path) as stage:
        assert stage.find() is not None
    assert case.token == vendor_github.TOKEN
