"""The gateway's own pages on an API's address: plain HTML without a script, in bytes.

INVARIANT: nothing that came from outside is in a page but escaped; a page loads nothing, runs nothing, is framed and
kept by nobody, and sends its forms to its own origin only. The style sheet is allowed by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from http import HTTPStatus

from gateway.errors import Refusal
from gateway.http.browser import PAGES

_STYLE = (
    ":root{color-scheme:light dark;--ink:#1b2330;--soft:#5a6675;--back:#f3f5f8;--card:#fff;--line:#c9d1dc;"
    "--act:#1d5fd0;--on:#fff;--no:#a4262c;--ok:#1a6b3c}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6ebf2;--soft:#9aa7b8;--back:#12161d;--card:#1b212b;--line:#3a4454;"
    "--act:#6ea0ff;--on:#0d1117;--no:#ff8f8f;--ok:#7fd6a2}}"
    "*{box-sizing:border-box}"
    "body{margin:0;padding:2rem 1rem;background:var(--back);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}"
    "main{max-width:36rem;margin:0 auto}"
    "header{display:flex;flex-wrap:wrap;gap:.25rem 1rem;justify-content:space-between;align-items:center;"
    "margin:0 0 1rem}"
    "header p{margin:0;color:var(--soft)}"
    "h1{font-size:1.4rem;margin:0 0 .75rem}h2{font-size:1.05rem;margin:0 0 .5rem}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.25rem;margin:0 0 1rem}"
    "section>:last-child{margin-bottom:0}p{margin:0 0 .75rem}"
    "label{display:block;font-weight:600;margin:.75rem 0 .25rem}"
    "label.choice{font-weight:400;overflow-wrap:anywhere}"
    "details{margin:.75rem 0}summary{cursor:pointer;font-weight:600}"
    "label small{font-weight:400;color:var(--soft)}"
    "input:not([type=checkbox]){width:100%;font:inherit;padding:.5rem .65rem;border:1px solid var(--line);"
    "border-radius:6px;background:var(--back);color:inherit}"
    "form+p{margin-top:1rem}.buttons{display:flex;flex-wrap:wrap;gap:.5rem;margin-top:1rem}"
    "button,a.button{font:inherit;font-weight:600;padding:.5rem .9rem;border:1px solid var(--act);border-radius:6px;"
    "background:var(--act);color:var(--on);cursor:pointer;text-decoration:none;display:inline-block}"
    "button.quiet,a.quiet{background:transparent;color:var(--act)}"
    ":focus-visible{outline:3px solid var(--act);outline-offset:2px}"
    "ul{list-style:none;margin:0 0 .75rem;padding:0}"
    "li{display:flex;flex-wrap:wrap;gap:.5rem 1rem;justify-content:space-between;align-items:center;padding:.6rem 0;"
    "border-top:1px solid var(--line)}li:first-child{border-top:0}li small{color:var(--soft);display:block}"
    "li form{margin:0}"
    "code{font-family:ui-monospace,monospace;overflow-wrap:anywhere}code.large{font-size:1.5rem;letter-spacing:.06em}"
    ".no{border-left:4px solid var(--no)}.yes{border-left:4px solid var(--ok)}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = (
    ("content-type", "text/html; charset=utf-8"),
    (
        "content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # with `no-referrer` a browser would say of our own forms that they came from `null`
    ("referrer-policy", "same-origin"),
    # a page of the API's that opened this one can neither read nor fill it
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("strict-transport-security", "max-age=63072000"),
)
_CLEARED = ("clear-site-data", '"storage"')
"""At a sign-out: what pages of the API kept in the browser, and service workers, go as well."""
_WAIT_S = 10


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of our own: `status`, `headers` in lower case without a length, `body`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ways:
    """How people sign in: with a password and a code, with a password and a security key, at a provider (its flow)."""

    password: bool = True
    key: bool = False
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A live grant of the person's: its id, its ticket and customers, what it allows, until when."""

    id: str
    ticket: str
    customers: tuple[str, ...]
    allows: str
    until: datetime
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request of the person's that waits: its id, its ticket, since when, who can decide about it."""

    id: str
    ticket: str
    since: datetime
    approvers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offers:
    """What a person may ask for beside reading: to write, to do without an approval, to see these fields in clear.

    A field is what it is of (a route or a relation) and its name there.
    """

    write: bool = False
    break_glass: bool = False
    reveal: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Me:
    """Who is signed in, until when; `form` is what our own forms prove themselves with."""

    login: str
    name: str
    until: datetime
    form: str


def redirect(where: str, *headers: tuple[str, str]) -> Page:
    """On to a path of this origin, by GET."""
    return Page(int(HTTPStatus.SEE_OTHER), (("location", where), *_HEADERS[2:], *headers), b"")


def sign_in(target: str, to: str, ways: Ways, refusal: Refusal | None, *, may_be_inside: bool, login: str = "") -> Page:
    """The form to sign in with. `may_be_inside`: the browser was led here by another site, so it showed no cookie."""
    inside = (
        "<section><h2>Signed in already?</h2><p>A link from elsewhere led you here; your browser then does not show "
        f'that you are signed in.</p><p><a class="button quiet" href="{escape(to or PAGES)}">Go on</a></p></section>'
        if may_be_inside
        else ""
    )
    if ways.password:
        key = (
            '<button class="quiet" formaction="/.gateway/key">Use a security key</button>'
            "<p>With a security key, leave the code empty.</p>"
            if ways.key
            else ""
        )
        form = (
            '<form method="post" action="/.gateway/sign-in" autocomplete="off">'
            f'<input type="hidden" name="to" value="{escape(to)}">'
            '<label for="login">Name</label>'
            f'<input id="login" name="login" value="{escape(login)}" autocomplete="username" autocapitalize="none" '
            'spellcheck="false" maxlength="64" required autofocus>'
            '<label for="password">Password</label>'
            '<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024" '
            "required>"
            '<label for="code">Code <small>six digits of the moment, from your authenticator</small></label>'
            '<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="16">'
            f'<div class="buttons"><button>Sign in</button>{key}</div></form>'
        )
    else:
        form = (
            "<p>You sign in at your company's identity provider.</p>"
            '<form method="post" action="/.gateway/provider">'
            f'<input type="hidden" name="to" value="{escape(to)}">'
            '<div class="buttons"><button>Sign in there</button></div></form>'
        )
    body = f"{_said(refusal)}{inside}<section>{form}</section>"
    return _page(f"Sign in to {target}", body, refusal.meaning.http if refusal is not None else 200)


def ceremony(
    target: str, form: str, url: str, code: str, refusal: Refusal | None, *, asks: bool, provider: bool
) -> Page:
    """The address that the person has to open, the code to type there, and the button for when that is done.

    `asks`: the gateway's own second factor is needed as well.
    """
    own = (
        '<label for="code">Code <small>six digits of the moment, from your authenticator</small></label>'
        '<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="16" required>'
        if asks
        else ""
    )
    where = "your identity provider" if provider else "your security key"
    opened = (
        f'<p>1. <a href="{escape(url)}" target="_blank" rel="noopener noreferrer">Open the page for {where}</a>.'
        "</p><p>2. Type this code there, where it asks for the code of your command line or terminal:</p>"
        f'<p><code class="large">{escape(code)}</code></p><p>3. When that page says that you are done, go on here.</p>'
    )
    step = opened if not asks else "<p>Your identity provider knows you. Now the second factor.</p>"
    body = (
        f"{_said(refusal)}<section>{step}"
        f'<form method="post" action="/.gateway/go-on"><input type="hidden" name="form" value="{escape(form)}">{own}'
        '<div class="buttons"><button>Go on</button>'
        '<button class="quiet" formnovalidate formaction="/.gateway/sign-out">Stop</button></div></form></section>'
    )
    return _page(f"Sign in to {target}", body, refusal.meaning.http if refusal is not None else 200)


def tickets(
    target: str,
    me: Me,
    to: str,
    choices: Sequence[Choice],
    waiting: Sequence[Waiting],
    offers: Offers,
    refusal: Refusal | None,
) -> Page:
    """Who is signed in, under which ticket, until when; which others there are, and how to get one."""
    hidden = f'<input type="hidden" name="form" value="{escape(me.form)}">'
    head = (
        f"<header><p>Signed in as <strong>{escape(me.name or me.login)}</strong> ({escape(me.login)}) until "
        f"{_time(me.until)}</p>"
        f'<form method="post" action="/.gateway/sign-out">{hidden}<button class="quiet">Sign out</button></form>'
        "</header>"
    )
    now = next((one for one in choices if one.chosen), None)
    go = (
        f'<p><a class="button" href="{escape(to)}">Go to {escape(to)}</a></p>'
        if to
        else "<p>The pages of this address are open to you now, in this browser.</p>"
    )
    inside = (
        f'<section class="yes"><h2>You work under {escape(now.ticket)}</h2><p>{_about(now)}.</p>{go}</section>'
        if now is not None
        else ""
    )
    rows = "".join(
        f"<li><span><strong>{escape(one.ticket)}</strong><small>{_about(one)}</small></span>"
        f'<form method="post" action="/.gateway/enter">{hidden}<input type="hidden" name="to" value="{escape(to)}">'
        f'<button name="grant" value="{escape(one.id)}">Work under {escape(one.ticket)}</button></form></li>'
        for one in choices
        if not one.chosen
    )
    listed = f"<section><h2>{'Change to' if now else 'Your access'}</h2><ul>{rows}</ul></section>" if rows else ""
    held = "".join(
        f"<li><span><strong>{escape(one.ticket)}</strong><small>request <code>{escape(one.id)}</code>, since "
        f"{_time(one.since)}{_deciders(one)}</small></span></li>"
        for one in waiting
    )
    awaited = (
        f"<section><h2>Waiting for approval</h2><ul>{held}</ul><p>This page looks again every {_WAIT_S} seconds.</p>"
        "</section>"
        if held
        else ""
    )
    asking = (
        f"<section><h2>{'Another ticket' if choices else 'Which ticket do you work on?'}</h2>"
        f'<form method="post" action="/.gateway/open" autocomplete="off">{hidden}'
        f'<input type="hidden" name="to" value="{escape(to)}">'
        '<label for="ticket">Ticket</label>'
        '<input id="ticket" name="ticket" maxlength="64" autocapitalize="none" spellcheck="false" required>'
        '<label for="reason">Reason <small>for whoever approves; not always needed</small></label>'
        '<input id="reason" name="reason" maxlength="500">'
        f"{_offered(offers)}"
        '<div class="buttons"><button>Open</button></div></form>'
        f"<p>From a terminal: <code>gateway open TICKET --target {escape(target)}</code></p></section>"
    )
    body = f"{head}{_said(refusal)}{inside}{listed}{awaited}{asking}"
    again = (("refresh", f"{_WAIT_S}; url={PAGES}"),) if held and refusal is None else ()
    return _page(target, body, refusal.meaning.http if refusal is not None else 200, *again)


def signed_out(target: str, *headers: tuple[str, str]) -> Page:
    """Nobody is signed in any more."""
    body = (
        f'<section class="yes"><p>Nobody is signed in to {escape(target)} in this browser.</p>'
        f'<p><a class="button quiet" href="{PAGES}">Sign in again</a></p></section>'
    )
    return _page("Signed out", body, 200, _CLEARED, *headers)


def refused(refusal: Refusal, status: int = 0, headers: tuple[tuple[str, str], ...] = ()) -> Page:
    """A refusal, for somebody who waits for a page; `status` is for where the code's own would be too coarse."""
    link = f'<p><a class="button quiet" href="{PAGES}">Who I am, and under which ticket</a></p>'
    return _page("That was refused", _said(refusal, link), status or refusal.meaning.http, *headers)


def _said(refusal: Refusal | None, more: str = "") -> str:
    if refusal is None:
        return ""
    hint = f"<p>{_sentence(refusal.hint)}.</p>" if refusal.hint else ""
    return (
        f'<section class="no" role="alert"><p><strong>{_sentence(refusal.message)}.</strong></p>{hint}'
        f"<p>Code: <code>{escape(refusal.code)}</code></p>{more}</section>"
    )


def _sentence(text: str) -> str:
    """A message of ours as a sentence: names, which stand in backticks, as code, and a command by itself too."""
    if text.startswith("gateway "):
        return f"<code>{escape(text)}</code>"
    parts = escape((text[:1].upper() + text[1:]).rstrip(".")).split("`")
    if len(parts) % 2 == 0:
        # a backtick that stands alone is somebody's own
        return "`".join(parts)
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _about(one: Choice) -> str:
    customers = ", ".join(one.customers)
    return f"customer {escape(customers)}; {escape(one.allows)}; until {_time(one.until)}"


def _offered(offers: Offers) -> str:
    write = _box("write", "yes", "also to write, which somebody else approves") if offers.write else ""
    glass = (
        _box("break_glass", "yes", "without an approval, in an emergency: security is told at once, and it is reviewed")
        if offers.break_glass
        else ""
    )
    fields = "".join(
        _box("reveal", f"{of} {name}", f"<code>{escape(name)}</code> of {escape(of)}") for of, name in offers.reveal
    )
    clear = (
        f"<details><summary>Fields to see in clear, which somebody else approves</summary>{fields}</details>"
        if fields
        else ""
    )
    return f"{write}{glass}{clear}"


def _box(name: str, value: str, label: str) -> str:
    return f'<label class="choice"><input type="checkbox" name="{name}" value="{escape(value)}"> {label}</label>'


def _deciders(one: Waiting) -> str:
    return f"; can be approved by {escape(', '.join(one.approvers))}" if one.approvers else ""


def _time(at: datetime) -> str:
    return f'<time datetime="{at.isoformat(timespec="seconds")}">{at:%d %b %H:%M} UTC</time>'


def _page(title: str, body: str, status: int, *headers: tuple[str, str]) -> Page:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return Page(int(status), (*_HEADERS, *headers), text.encode())
