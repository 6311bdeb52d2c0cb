"""The whole story with remote ticket sources: psql inside, and the news that end it, by poll and by webhook.

Jira Cloud and Zendesk stand in, each with webhooks; the generic source is polled only. Every end is measured from the
change at the source.
"""

from __future__ import annotations

import contextlib
import json
import select
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import psycopg
import pytest
import vendor_jira
import vendor_zendesk
from gateway_fixture import House, awaited, change_yaml, eventually, open_house
from ticket_cases import Case, generic, jira, secret, source_settings, zendesk
from vendor_server import Told, VendorServer, going_wrong

from gateway.demo.company import TARGET
from gateway.demo.postgres import EmbeddedPostgres

WITHIN_S = 5.0
SECRET = b"webhook-secret-of-the-tests"


class Scene:
    """A gateway whose tickets are at these vendors', by name."""

    def __init__(self, house: House, cases: dict[str, Case], servers: dict[str, VendorServer]) -> None:
        self.house, self.cases, self.servers = house, cases, servers

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        """A session of alice's under the vendor's ticket, which is as it should be."""
        case = self.cases[name]
        case.put(status=case.open, assignee="alice", customer="42")
        with self.house.connect("alice", case.id) as connection:
            assert connection.execute("select count(*) from employees").fetchone()
            yield connection

    def hook(self, name: str, headers: dict[str, str], body: bytes) -> httpx2.Response:
        """Send a webhook, as the vendor would."""
        with httpx2.Client(
            verify=ssl.create_default_context(cafile=self.house.company.tls.ca), trust_env=False
        ) as client:
            url = f"https://localhost:{self.house.company.ports['api']}/v1/hooks/tickets/{name}"
            return client.post(url, content=body, headers=headers)


def cut_after(connection: psycopg.Connection[Any], start: float, patience_s: float = 10.0) -> float:
    """Seconds from `start` until the server hangs up on an idle session."""
    sock = connection.fileno()
    ready, _, _ = select.select([sock], [], [], patience_s)
    assert ready, "the session was not cut"
    return time.monotonic() - start


@pytest.fixture(scope="module")
def scene(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("tickets")
    secrets = directory / "secrets"
    secrets.mkdir()
    cases = {"jira-cloud": jira(), "zendesk": zendesk(), "http": generic()}
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(VendorServer(case.vendor)) for name, case in cases.items()}
        hook = {"webhook": {"secret": secret(secrets, "hook", SECRET.decode())}}
        more: dict[str, dict[str, Any]] = {
            "jira-cloud": {**hook, "poll_interval": "60s", "comment": "login"},
            "zendesk": {**hook, "poll_interval": "60s", "comment": "team"},
            "http": {"poll_interval": "2s"},
        }
        tickets = [
            source_settings(case, servers[name].url, secrets, timeout="1s", **more[name])
            for name, case in cases.items()
        ]
        for case in cases.values():
            case.put()
        house = stack.enter_context(open_house(directory / "house", postgres, settings={"tickets": tickets}))
        policy = house.company.directory / "policies" / f"{TARGET}.yaml"

        def admit(tree: Any) -> None:
            tree["access"]["ticket"]["projects"] = ["SUP", "ZD", "CASE"]

        def write_down_addresses(tree: Any) -> None:
            for person in tree["people"]:
                person["email"] = f"{person['login']}@example.com"

        house.gateway.stop()
        change_yaml(policy, admit)
        change_yaml(house.company.directory / "people.yaml", write_down_addresses)
        house.gateway.start()
        yield Scene(house, cases, servers)


HOOKS: dict[str, Callable[[], tuple[dict[str, str], bytes]]] = {
    "jira-cloud": lambda: vendor_jira.signed(SECRET, "SUP-1423"),
    "zendesk": lambda: vendor_zendesk.signed(SECRET, 1423),
}
NEWS: dict[str, dict[str, str]] = {
    "closed": {"status": "closed"},
    "reassigned": {"assignee": "amir"},
    "moved to another customer": {"customer": "43"},
}


@pytest.mark.parametrize("news", NEWS)
@pytest.mark.parametrize("name", ["jira-cloud", "zendesk", "http"])
def test_news_cut_the_session_in_time(scene: Scene, name: str, news: str) -> None:
    case = scene.cases[name]
    scene.house.opened("alice", _put(case), again=True)
    with scene.inside(name) as connection:
        follower = scene.house.follow()
        change = {**NEWS[news]}
        if "status" in change:
            change["status"] = case.closed
        case.put(**change)
        start = time.monotonic()
        if name in HOOKS:
            assert scene.hook(name, *HOOKS[name]()).status_code == 202
        assert cut_after(connection, start) < WITHIN_S
        over = awaited(follower, lambda record: record["kind"] == "grant" and record["state"] == "revoked")
        assert over["ticket"] == case.id
        with pytest.raises(psycopg.Error):
            connection.execute("select 1")
    # what ended is over, though the ticket is as it was before
    case.put(status=case.open, assignee="alice", customer="42")
    with pytest.raises(psycopg.Error):
        scene.house.connect("alice", case.id)


def _put(case: Case) -> str:
    case.put(status=case.open, assignee="alice", customer="42")
    return case.id


@pytest.mark.parametrize("name", HOOKS)
def test_closed_and_opened_again_at_once_is_closed(scene: Scene, name: str) -> None:
    case = scene.cases[name]
    scene.house.opened("alice", _put(case), again=True)
    with scene.inside(name) as connection:
        # what it stood like before is known only once the watcher has heard of it
        time.sleep(1)
        case.put(status=case.closed)
        case.put(status=case.open)
        start = time.monotonic()
        assert scene.hook(name, *HOOKS[name]()).status_code == 202
        assert cut_after(connection, start) < WITHIN_S


def test_a_ticket_that_was_deleted_ends_it_too(scene: Scene) -> None:
    case = scene.cases["http"]
    scene.house.opened("alice", _put(case), again=True)
    with scene.inside("http") as connection:
        case.remove()
        assert cut_after(connection, time.monotonic()) < WITHIN_S
    case.put()


def test_an_unsigned_hook_is_refused_recorded_and_has_no_effect(scene: Scene) -> None:
    headers, body = HOOKS["jira-cloud"]()
    follower = scene.house.follow()
    wrong = {**headers, "x-hub-signature": "sha256=" + "0" * 64}
    for name, sent in (("jira-cloud", wrong), ("jira-cloud", {}), ("unknown", headers), ("http", headers)):
        answer = scene.hook(name, sent, body)
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication-failed")
        record = awaited(follower, lambda record: record["kind"] == "ticket.hook")
        assert record["decision"] == "deny"
        assert record["address"].startswith("127.0.0.1")


def test_the_same_hook_again_is_recorded_and_asks_nobody(scene: Scene) -> None:
    headers, body = HOOKS["jira-cloud"]()
    assert scene.hook("jira-cloud", headers, body).status_code == 202
    follower = scene.house.follow()
    assert scene.hook("jira-cloud", headers, body).status_code == 202
    record = awaited(follower, lambda record: record["kind"] == "ticket.hook")
    assert record["reason"] == "it was sent before"


def test_a_hook_for_a_ticket_that_nobody_uses_asks_nobody(scene: Scene) -> None:
    asked = len(scene.servers["jira-cloud"].asked)
    assert scene.hook("jira-cloud", *vendor_jira.signed(SECRET, "SUP-99")).status_code == 202
    assert scene.hook("jira-cloud", *vendor_jira.signed(SECRET, "../../admin")).status_code == 202
    time.sleep(0.6)
    assert all("SUP-99" not in one.body.decode() for one in scene.servers["jira-cloud"].asked[asked:])


def test_a_hook_that_is_too_large_or_no_json_is_refused(scene: Scene) -> None:
    assert scene.hook("jira-cloud", {}, b"x" * (300 << 10)).status_code == 413
    headers, body = vendor_zendesk.signed(SECRET, 1)
    assert scene.hook("zendesk", headers, body[:-1]).status_code == 401


def test_in_an_outage_nobody_new_gets_in_and_who_is_in_goes_on_for_the_grace(scene: Scene) -> None:
    case = scene.cases["http"]
    scene.house.opened("alice", _put(case), again=True)
    with scene.inside("http") as connection:
        follower = scene.house.follow()
        with going_wrong(scene.servers["http"], Told(503, None, {"retry-after": "31536000"})):
            down = awaited(follower, lambda record: record["kind"] == "ticket.source")
            assert (down["state"], down["ticket_system"]) == ("down", "http")
            assert connection.execute("select 1").fetchone() == (1,)
            with pytest.raises(psycopg.Error) as caught:
                scene.house.connect("alice", case.id)
            assert "ticket-source-unavailable" in str(caught.value)
            refused = scene.house.command("alice", "open", case.id, "--target", TARGET)
            assert refused.returncode != 0


def test_comments_say_who_until_when_and_nothing_else(scene: Scene) -> None:
    texts = {name: scene.cases[name].comments for name in ("jira-cloud", "zendesk")}
    for name, who in (("jira-cloud", "alice may read"), ("zendesk", "somebody of support may read")):
        comments = texts[name]
        assert comments is not None
        eventually(lambda comments=comments, who=who: any(who in one for one in comments()))  # type: ignore[misc]
        eventually(lambda comments=comments: any("was ended" in one for one in comments()))  # type: ignore[misc]
        assert all(
            "Alice" not in one and "example.com" not in one and "42" not in one.split("[")[0] for one in comments()
        )
        begins = [one for one in comments() if "begin]" in one]
        assert len(begins) == len(set(begins))


def test_the_command_shows_what_is_understood(scene: Scene) -> None:
    case = scene.cases["zendesk"]
    _put(case)
    found = scene.house.command("root", "ticket", "check", case.id, "--output", "json")
    assert found.returncode == 0, found.stderr
    shown = json.loads(found.stdout)
    expected = {"customers": ["42"], "state": "open", "project": "ZD", "assignee": "alice@example.com"}
    assert {name: shown[name] for name in expected} == expected
    missing = scene.house.command("root", "ticket", "check", "ZD-9")
    assert missing.returncode == 77
    assert "ticket-not-found" in missing.stderr or "there is no ticket" in missing.stderr


def test_the_doctor_asks_every_source(scene: Scene) -> None:
    said = scene.house.command("root", "doctor").stdout
    assert "tickets jira-cloud: http://127.0.0.1" in said
    with going_wrong(scene.servers["zendesk"], Told(500)):
        said = scene.house.command("root", "doctor").stdout
        assert "fail  tickets zendesk" in said.lower()
