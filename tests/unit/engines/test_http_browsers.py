"""What a browser's cookie stands for, and everything that ends it; without a socket, at a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.access.values import SignIn
from gateway.engines import http_browsers
from gateway.engines.http_browsers import MOST_UNDER_WAY, Browser, Browsers, UnderWay
from gateway.engines.http_sessions import Entry, Sessions
from gateway.errors import Refusal
from gateway.http_settings import HttpTarget
from gateway.model import Principal

AT = datetime(2026, 11, 28, tzinfo=UTC)
HOST = "192.0.2.7"
OVER = Refusal("session-expired", "the sign-in is over")


class World:
    """Browsers at two targets. `now` is the clock; `answers` what is known of sign-ins; `cuts` what was cut."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.answers: dict[str, SignIn | Refusal] = {}
        self.cuts: list[tuple[Entry, str]] = []
        self.released: list[str] = []
        settings = {
            "engine": "http", "url": "https://api.example", "listen": {"port": 1}, "idle_timeout": "15m",
            "browser": {"lifetime": "4h"},
        }  # fmt: skip
        targets = {name: HttpTarget.model_validate(settings) for name in ("office", "other")}
        sessions = SimpleNamespace(cut=self.cut, heard=lambda entry: None)
        self.browsers = Browsers(
            targets, cast("Sessions", sessions), lambda token: self.answers.get(token, OVER), self.released.append,
            lambda: self.now,
        )  # fmt: skip

    def cut(self, entry: Entry, refusal: Refusal) -> None:
        if entry.ending is None:
            entry.ending = refusal
            self.cuts.append((entry, refusal.code))

    def sign_in(self, login: str = "alice", target: str = "office", host: str = HOST) -> tuple[Browser, str]:
        person = Principal(f"id-{login}", login, login, "", frozenset())
        token = f"gwt_{login}_{len(self.answers)}"
        self.answers[token] = SignIn("signin", person, "totp", AT, AT, AT, token)
        made = self.browsers.signed_in(cast("SignIn", self.answers[token]), target, host, "/a")
        assert not isinstance(made, Refusal)
        return made

    def inside(self, login: str = "alice") -> tuple[Browser, str, Entry]:
        browser, cookie = self.sign_in(login)
        entry = Entry(b"", cast("Any", None), 0.0)
        assert self.browsers.enter(browser, entry) is None
        return browser, cookie, entry


@pytest.fixture
def world() -> World:
    return World()


def code(found: Entry | Refusal) -> str:
    return found.code if isinstance(found, Refusal) else ""


def test_a_cookie_is_of_one_target_and_one_address(world: World) -> None:
    browser, cookie, entry = world.inside()
    assert world.browsers.find("office", cookie, HOST) is browser
    assert world.browsers.inside(browser) is entry
    assert world.browsers.find("other", cookie, HOST) is None
    assert world.browsers.find("office", cookie, "192.0.2.8") is None
    assert world.browsers.find("office", cookie[:-1], HOST) is None
    assert world.browsers.find("office", "", HOST) is None


def test_nothing_that_is_kept_is_the_cookie(world: World) -> None:
    browser, cookie, _ = world.inside()
    assert cookie not in repr(browser)
    assert "gwt_" not in repr(browser)
    assert cookie.encode() not in b"".join(world.browsers._browsers)


def test_who_is_signed_in_is_not_inside_yet(world: World) -> None:
    browser, _ = world.sign_in()
    assert code(world.browsers.inside(browser)) == "ticket-required"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda world, browser: setattr(world, "now", world.now + 4 * 3600), "session-expired"),
        (lambda world, browser: setattr(world, "now", world.now + 901), "session-expired"),
        (lambda world, browser: world.answers.clear(), "session-expired"),
        (lambda world, browser: world.answers.update({browser.token: Refusal("person-inactive", "gone")}),
         "person-inactive"),
        (lambda world, browser: world.browsers.end(browser, OVER), "session-expired"),
    ],
    ids=["its time", "idleness", "the sign-in", "the person", "a sign-out"],
)  # fmt: skip
@pytest.mark.parametrize("asked", [True, False], ids=["at a request", "by the clock"])
def test_what_ends_a_browser_ends_its_session(world: World, change: Any, why: str, asked: bool) -> None:
    browser, cookie, entry = world.inside()
    token = browser.token
    change(world, browser)
    if asked:
        assert code(world.browsers.inside(browser)) == why
    else:
        world.browsers.tick()
    assert world.cuts == [(entry, why)]
    assert browser.token == ""
    assert world.released == [token]
    # it is told why for a while, and then is nobody
    assert world.browsers.find("office", cookie, HOST) is browser
    world.now += 601
    world.browsers.tick()
    assert world.browsers.find("office", cookie, HOST) is None
    assert len(world.browsers) == 0


def test_an_outage_of_the_directory_ends_nothing_by_itself(world: World) -> None:
    browser, _, entry = world.inside()
    world.answers[browser.token] = Refusal("directory-unavailable", "it cannot be asked")
    assert world.browsers.inside(browser) is entry
    assert world.cuts == []


def test_requests_keep_it_from_being_idle_and_so_does_one_that_runs(world: World) -> None:
    browser, _, entry = world.inside()
    for _ in range(10):
        world.now += 800
        assert world.browsers.inside(browser) is entry
    entry.running.add(cast("Any", object()))
    world.now += 2000
    world.browsers.tick()
    assert browser.ended is None
    entry.running.clear()
    world.browsers.tick()
    assert code(world.browsers.inside(browser)) == "session-expired"


def test_a_session_that_was_cut_lets_nothing_through_and_the_person_stays_signed_in(world: World) -> None:
    browser, _, entry = world.inside()
    world.cut(entry, Refusal("grant-revoked", "the grant was revoked"))
    assert code(world.browsers.inside(browser)) == "grant-revoked"
    assert browser.signed_in


def test_another_ticket_ends_the_session_before(world: World) -> None:
    browser, _, entry = world.inside()
    other = Entry(b"", cast("Any", None), 0.0)
    assert world.browsers.enter(browser, other) is None
    assert world.cuts == [(entry, "session-expired")]
    assert world.browsers.inside(browser) is other


def test_a_session_that_comes_after_the_sign_out_is_cut(world: World) -> None:
    browser, _ = world.sign_in()
    world.browsers.end(browser, OVER)
    late = Entry(b"", cast("Any", None), 0.0)
    assert world.browsers.enter(browser, late) == OVER
    assert world.cuts == [(late, "session-expired")]


def test_a_person_has_so_many_browsers_and_the_oldest_gives_way(world: World) -> None:
    first, _, entry = world.inside()
    for _ in range(20):
        world.now += 1
        world.sign_in()
    assert first.ended is not None
    assert world.cuts == [(entry, "session-expired")]
    assert sum(one.signed_in for one in world.browsers._browsers.values()) == 20
    stranger, _ = world.sign_in("amir")
    assert stranger.signed_in


def test_ceremonies_that_nobody_finishes_are_bounded_and_pass(world: World) -> None:
    way = UnderWay(False, "https://x", "abcd-efgh", "secret")
    made = [world.browsers.begin("office", HOST, "", way) for _ in range(60)]
    assert sum(isinstance(one, Refusal) for one in made) == 20
    for number in range(MOST_UNDER_WAY):
        world.browsers.begin("office", f"198.51.{number // 250}.{number % 250}", "", way)
    assert len(world.browsers) == MOST_UNDER_WAY
    elsewhere = world.browsers.begin("office", "203.0.113.1", "", way)
    assert isinstance(elsewhere, Refusal)
    assert elsewhere.code == "too-many-attempts"
    # who has proven himself still gets in
    assert world.sign_in()[0].signed_in
    world.now += 601
    world.browsers.tick()
    world.now += 601
    world.browsers.tick()
    assert not isinstance(world.browsers.begin("office", HOST, "", way), Refusal)


def test_a_ceremony_opens_nothing(world: World) -> None:
    begun = world.browsers.begin("office", HOST, "", UnderWay(True, "https://x", "c", "s"))
    assert not isinstance(begun, Refusal)
    assert code(world.browsers.inside(begun[0])) == "ticket-required"
    assert not begun[0].signed_in


def test_all_cookies_differ(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_browsers, "_MOST_OF_A_PERSON", 1000)
    cookies = {world.sign_in()[1] for _ in range(100)}
    forms = {one.form for one in world.browsers._browsers.values()}
    assert len(cookies | forms) == 200
    assert {len(one) for one in cookies} == {43}
