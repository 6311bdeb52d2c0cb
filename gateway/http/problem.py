"""Refusals as RFC 9457 problem documents, in bytes: the shape of those of the gateway's own API.

INVARIANT: the same refusal gives the same bytes; nothing of the request or of the upstream's answer is in them.
"""

from __future__ import annotations

from http import HTTPStatus

from gateway.errors import Refusal
from gateway.http.json_text import write

MEDIA_TYPE = "application/problem+json"

Problem = tuple[int, tuple[tuple[str, str], ...], bytes]
"""A status, headers, and a body; for HEAD, leave the body out."""


def problem(refusal: Refusal, status: int = 0, headers: tuple[tuple[str, str], ...] = ()) -> Problem:
    """The answer for a refusal; `status` is for where the code's own would be too coarse."""
    status = status or refusal.meaning.http
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": refusal.message,
        "code": refusal.code,
        "hint": refusal.hint,
    }
    body = write({name: value for name, value in document.items() if value != ""})
    challenge = (("www-authenticate", 'Bearer realm="gateway"'),) if status == HTTPStatus.UNAUTHORIZED else ()
    own = (("content-type", MEDIA_TYPE), ("cache-control", "no-store"), ("x-content-type-options", "nosniff"))
    return int(status), (*own, *challenge, *headers), body
