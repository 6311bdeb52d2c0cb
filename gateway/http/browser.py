"""What a browser's request proves by itself: which cookie it shows, where it comes from, and where it may be sent on.

A browser says by itself whose page a request comes from: `Origin` (RFC 6454, 7) and the `Sec-Fetch-*` fields (W3C Fetch
Metadata, which no script can set). Cookies are RFC 6265bis: `__Host-` cookies are of one host, over TLS, for all paths;
ports do not tell them apart, so the name holds the target's. INVARIANT: a cookie counts only in a request that our own
origin's page, or the person, made; what does not say where it comes from counts as from elsewhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from gateway.errors import GatewayError, Refusal
from gateway.http import paths
from gateway.policy.http_rules import RESERVED

PAGES = f"/{RESERVED}/"
"""Below that path are the gateway's own pages; it leads to no target."""

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")
_QUERY = re.compile(r"[!$&-;=?-Z_a-z~%@]{0,2000}")
_LONGEST_RETURN = 2000
_ACCEPTED = re.compile(r"\s*text/html\s*(?:;|$)", re.IGNORECASE)

Fields = Iterable[tuple[bytes, bytes]]


def is_page(target: str) -> bool:
    """Whether that request-target is one of the gateway's own pages."""
    path = target.partition("?")[0]
    return path == PAGES[:-1] or path.startswith(PAGES)


def is_reserved(segment: str) -> bool:
    """Whether a path that begins with that segment, decoded, is the gateway's own, or could be taken for it."""
    return unicodedata.normalize("NFKC", segment).casefold() == RESERVED


def values(fields: Fields, name: str) -> list[str]:
    """What stands under a header, field by field."""
    wanted = name.encode()
    return [value.decode("latin-1").strip(" \t") for given, value in fields if given.lower() == wanted]


def only(fields: Fields, name: str) -> str:
    """The one value of a header; empty for none, and for several, of which none counts."""
    found = values(fields, name)
    return found[0] if len(found) == 1 else ""


def without_cookies(fields: Fields) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that are judged: a cookie is the gateway's business alone."""
    return tuple(one for one in fields if one[0].lower() != b"cookie")


def cookie_name(target: str) -> str:
    """What a target's cookie is called."""
    return f"__Host-gateway-{target}"


def cookie_of(fields: Fields, target: str) -> str:
    """The value of that target's cookie; empty for none.

    Raises `GatewayError("credentials-ambiguous")` for several: who tossed in the other one is not known.
    """
    wanted = cookie_name(target)
    found = []
    for value in values(fields, "cookie"):
        for pair in value.split(";"):
            name, equals, text = pair.strip(" \t").partition("=")
            if equals and name.strip(" \t") == wanted:
                found.append(text.strip(" \t"))
    if len(found) > 1:
        raise GatewayError(
            "credentials-ambiguous", "the request shows two cookies for one sign-in",
            "delete this site's cookies, and sign in again",
        )  # fmt: skip
    return found[0] if found and _VALUE.fullmatch(found[0]) else ""


def set_cookie(target: str, value: str) -> tuple[str, str]:
    """The header that sets the target's cookie until the browser is closed, or, for no value, takes it away."""
    age = "" if value else "; Max-Age=0"
    return "set-cookie", f"{cookie_name(target)}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{age}"


def is_navigation(fields: Fields) -> bool:
    """Whether a person waits for a page, and not a program for an answer."""
    fields = tuple(fields)
    if only(fields, "sec-fetch-mode") not in ("", "navigate"):
        return False
    return any(_ACCEPTED.match(part) for value in values(fields, "accept") for part in value.split(","))


def comes_from_elsewhere(fields: Fields) -> bool:
    """Whether another site's page, or one of another port of this host, made the request."""
    return only(fields, "sec-fetch-site") not in ("same-origin", "none")


def is_document(fields: Fields) -> bool:
    """Whether the request is for a window of its own: no frame, no script's own reading."""
    return only(fields, "sec-fetch-mode") == "navigate" and only(fields, "sec-fetch-dest") == "document"


def refuse_cookie(method: str, fields: Fields, authority: str) -> Refusal | None:
    """Why a request for the target may not be made by cookie; None where it may.

    Whatever changes something also has to name our own origin. A service worker is refused: it would stand between
    the person and the gateway's own pages.
    """
    fields = tuple(fields)
    site, origins = only(fields, "sec-fetch-site"), values(fields, "origin")
    if not site:
        return _elsewhere("the request does not say where it comes from", "use a browser of 2023 or later, or a pass")
    own = origins == [f"https://{authority.lower()}"]
    safe = method in ("GET", "HEAD")
    if comes_from_elsewhere(fields) or (origins and not own) or (not safe and not (own and site == "same-origin")):
        return _elsewhere("the request was made by a page from elsewhere", "begin it from a page of this address")
    if values(fields, "service-worker") or only(fields, "sec-fetch-dest") == "serviceworker":
        return _elsewhere("the request is for a service worker, which is not let in", "the page works without it")
    return None


def refuse_form(fields: Fields, authority: str) -> Refusal | None:
    """Why a form does not come from a page of ours; None where it does."""
    fields = tuple(fields)
    own = values(fields, "origin") == [f"https://{authority.lower()}"]
    # FAIL CLOSED: a browser that says none of this is no browser that this is for
    if not own or only(fields, "sec-fetch-site") != "same-origin" or not is_document(fields):
        return _elsewhere("the form was not sent by the gateway's own page", "open the page again, and send it there")
    return None


def local_path(text: str) -> str:
    """A path of this origin to send the browser on to; empty where the text is none, or one of our own pages.

    Only a plain path that begins with one `/`: nothing that a browser could read as another host.
    """
    path, mark, query = text.partition("?")
    if len(text) > _LONGEST_RETURN or not text.startswith("/") or not _QUERY.fullmatch(query):
        return ""
    try:
        segments, _ = paths.split(path)
    except GatewayError:
        return ""
    if segments and is_reserved(segments[0]):
        return ""
    return paths.join(segments) + (f"?{query}" if mark else "")


def _elsewhere(why: str, hint: str) -> Refusal:
    return Refusal("cross-site-request", why, hint)
