"""The gateway's own pages: nothing from outside stands in one but escaped, and nothing in one runs."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CODES, Refusal
from gateway.http import pages
from gateway.http.pages import Choice, Me, Offers, Page, Waiting, Ways

AT = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)
_VOID = {"meta", "input"}


class Reader(HTMLParser):
    """Reads a page strictly: its tags, balanced, their attributes, and its text."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.body.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def every_page(text: str) -> list[Page]:
    """All pages, with that text wherever something from outside stands."""
    refusal = Refusal("ticket-closed", text or "x", text)
    me = Me(text, text, AT, text)
    choice = Choice(text, text, (text, text), "reading", AT)
    chosen = Choice(text, text, (text,), "reading", AT, chosen=True)
    waiting = Waiting(text, text, AT, (text,))
    offers = Offers(write=True, break_glass=True, reveal=[(text, text)])
    return [
        pages.sign_in(text, text, Ways(key=True), refusal, may_be_inside=True, login=text),
        pages.sign_in(text, text, Ways(password=False, provider="browser"), None, may_be_inside=False),
        pages.ceremony(text, text, text, text, refusal, asks=False, provider=False),
        pages.ceremony(text, text, text, text, refusal, asks=True, provider=True),
        pages.tickets(text, me, text, [choice, chosen], [waiting], offers, refusal),
        pages.tickets(text, me, "", [], [], Offers(), None),
        pages.signed_out(text),
        pages.refused(refusal),
    ]


@given(st.text(alphabet="<>\"'&`=/ ax\n{}%;:", max_size=30) | st.text(max_size=30))
def test_nothing_from_outside_changes_a_page(text: str) -> None:
    plain = [[(tag, sorted(found)) for tag, found in Reader(page).tags] for page in every_page("a")]
    made = [[(tag, sorted(found)) for tag, found in Reader(page).tags if tag != "code"] for page in every_page(text)]
    assert made == [[one for one in page if one[0] != "code"] for page in plain] or not text


def test_a_page_runs_nothing_and_sends_to_us_alone() -> None:
    for page in every_page("a"):
        read = Reader(page)
        assert {tag for tag, _ in read.tags} & {"script", "iframe", "object", "embed", "img", "link", "base"} == set()
        for tag, found in read.tags:
            assert not any(name.startswith("on") or name == "style" for name in found), (tag, found)
            for name in ("action", "formaction"):
                assert str(found.get(name, "/.gateway/x")).startswith("/.gateway/")
            if tag == "form":
                assert found["method"] == "post"


def test_the_style_is_the_one_that_the_policy_allows() -> None:
    for page in every_page("a"):
        style = re.search(rb"<style>(.*?)</style>", page.body, re.DOTALL)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1]).digest()).decode()
        policy = dict(page.headers)["content-security-policy"]
        assert f"style-src 'sha256-{digest}'" in policy
        assert all(value.isascii() and value.isprintable() for _, value in page.headers)


@pytest.mark.parametrize("code", CODES)
def test_every_refusal_is_told_with_its_code_and_what_to_do(code: str) -> None:
    refusal = Refusal(code, "the target `payroll` is out")
    page = pages.refused(refusal)
    read = Reader(page)
    assert page.status == CODES[code].http
    assert "The target payroll is out." in read.text
    assert code in read.text
    assert refusal.hint.split("`")[0][1:] in read.text


def test_a_name_in_backticks_is_code_and_a_stray_one_is_itself() -> None:
    assert b"<code>a&lt;b</code>" in pages.refused(Refusal("not-found", "there is no `a<b`")).body
    assert b"There is no ` here" in pages.refused(Refusal("not-found", "there is no ` here")).body


def test_the_page_offers_what_the_policy_has_and_nothing_else() -> None:
    me = Me("alice", "Alice", AT, "secret")

    def offered(offers: Offers) -> set[tuple[str | None, str | None]]:
        read = Reader(pages.tickets("backoffice", me, "", [], [], offers, None))
        return {
            (one["name"], one["value"]) for tag, one in read.tags if tag == "input" and one.get("type") == "checkbox"
        }

    assert offered(Offers()) == set()
    assert offered(Offers(write=True, reveal=[("employee", "$.iban")])) == {
        ("write", "yes"),
        ("reveal", "employee $.iban"),
    }
    assert offered(Offers(break_glass=True)) == {("break_glass", "yes")}
