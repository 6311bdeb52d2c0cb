"""Webhooks: news of a source, proven, and taken as a hint to ask the source again now; what they say is never believed.

| kind | proof | moment |
|---|---|---|
| jira | `X-Hub-Signature: sha256=…`, HMAC of the body (WebSub, 7) | `timestamp` of the signed body |
| github | `X-Hub-Signature-256`, HMAC of the body | none |
| zendesk | `X-Zendesk-Webhook-Signature`, HMAC of moment and body | `…-Signature-Timestamp` |
| gitlab | `webhook-signature` (Standard Webhooks) for a secret `whsec_…` | `webhook-timestamp` |
| gitlab | `X-Gitlab-Token`, the secret itself | none |
| others | `X-Gateway-Signature: sha256=…`, HMAC of `moment.body` | `X-Gateway-Timestamp`, seconds of Unix time |

All HMACs are SHA-256, compared in constant time. Where the vendor signs a moment it has to be within `window`, and what
was taken once is without effect when it comes again, of the last `_REMEMBERED`.

INVARIANT: a body is read as JSON only after its proof, and changes nothing but when the source is asked.
INVARIANT: unknown systems, systems without a webhook and wrong proofs are refused alike, and recorded; what a flood of
them adds is counted (`refused.py`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.access.answers import parse_json
from gateway.access.context import where
from gateway.access.refused import RefusedLogins
from gateway.access.tickets.fields import key_of, moment
from gateway.access.tickets.polled import PolledSource
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer
from gateway.ports import Clock
from gateway.ticket_settings import GitHub, GitLab, Jira, Remote, ServiceNow, Zendesk

_REMEMBERED = 10_000
_MOST_NAMED = 100

Append = Callable[[str, Mapping[str, Any]], Any]
Headers = Mapping[str, str]


class _Unproven(Exception):
    """Why a hook is not accepted: for the record, not for who sent it."""


class Hooks:
    """The hooks of this process. The event loop's thread only; nothing blocks."""

    def __init__(
        self, sources: Mapping[str, PolledSource], append: Append, clock: Clock, monotonic: Callable[[], float]
    ) -> None:
        self._sources, self._append, self._clock = sources, append, clock
        self._refused = RefusedLogins(append, monotonic)
        self._taken: OrderedDict[bytes, None] = OrderedDict()

    def receive(self, system: str, headers: Headers, body: bytes, peer: Peer) -> Refusal | None:
        """Take a hook; `headers` have lower-case names. Raises `GatewayError("audit-not-writable")`."""
        source = self._sources.get(system)
        try:
            settings = source.settings if source is not None else None
            if source is None or settings is None or settings.webhook is None:
                raise _Unproven("no webhook is set up for it")
            proven = _proof(settings, settings.webhook.secret.read(), headers, body, self._clock())
            if self._seen(system, proven):
                self._note(system, "request-invalid", "it was sent before", peer)
                return None
            ids = _named(source, body)
        except _Unproven as error:
            self._note(system if source is not None else "", "authentication-failed", str(error), peer)
            return _not_accepted()
        except GatewayError as error:
            if error.code == "audit-not-writable":
                raise
            # the secret cannot be read, which is nobody's business out there
            self._note(system, error.code, error.refusal.meaning.meaning, peer)
            return _not_accepted()
        source.hint(ids)
        return None

    def flush(self, older_than_s: float = 60.0) -> None:
        """Record what was counted. Raises `GatewayError("audit-not-writable")`."""
        self._refused.flush(older_than_s)

    def _seen(self, system: str, proven: bytes) -> bool:
        key = hashlib.sha256(system.encode() + b"\0" + proven).digest()
        if key in self._taken:
            return True
        self._taken[key] = None
        while len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
        return False

    def _note(self, system: str, code: str, reason: str, peer: Peer) -> None:
        fields = {**where(peer), "decision": "deny", "code": code, "reason": reason, "ticket_system": system}
        if not self._refused.is_one_of_many("ticket.hook", peer.host, fields):
            self._append("ticket.hook", fields)


def _not_accepted() -> Refusal:
    return Refusal("authentication-failed", "the webhook was not accepted", "look at its secret and the clocks")


def _proof(settings: Remote, secret: bytes, headers: Headers, body: bytes, now: datetime) -> bytes:
    """What identifies the hook, once it is proven to be the source's and of now. Raises `_Unproven`."""
    assert settings.webhook is not None
    window = settings.webhook.window

    def in_time(at: datetime | None) -> None:
        if at is None or abs((now - at).total_seconds()) > window:
            raise _Unproven("its moment is missing or too far from now")

    if isinstance(settings, Jira):
        _same(_hex(headers.get("x-hub-signature", "")), _mac(secret, body))
        in_time(_unix(_document(body).get("timestamp"), 1000))
        return body
    if isinstance(settings, GitHub):
        _same(_hex(headers.get("x-hub-signature-256", "")), _mac(secret, body))
        return body
    if isinstance(settings, Zendesk):
        stamp = headers.get("x-zendesk-webhook-signature-timestamp", "")
        _same(_base64(headers.get("x-zendesk-webhook-signature", "")), _mac(secret, stamp.encode() + body))
        in_time(moment(stamp))
        return stamp.encode() + b"\0" + body
    if isinstance(settings, GitLab) and secret.startswith(b"whsec_"):
        id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        expected = _mac(_base64(secret[6:].decode("ascii", "replace")), f"{id_}.{stamp}.".encode() + body)
        offered = [part[3:] for part in headers.get("webhook-signature", "").split(" ")[:8] if part.startswith("v1,")]
        if not any(hmac.compare_digest(_base64(one), expected) for one in offered):
            raise _Unproven("its signature is wrong")
        in_time(_unix(stamp, 1))
        return f"{id_}.{stamp}.".encode() + body
    if isinstance(settings, GitLab):
        _same(headers.get("x-gitlab-token", "").encode(), secret)
        return headers.get("x-gitlab-event-uuid", "").encode() + b"\0" + body
    stamp = headers.get("x-gateway-timestamp", "")
    _same(_hex(headers.get("x-gateway-signature", "")), _mac(secret, stamp.encode() + b"." + body))
    in_time(_unix(stamp, 1))
    return stamp.encode() + b"." + body


def _named(source: PolledSource, body: bytes) -> list[str]:
    """The ids of the tickets that the document is about, as far as they are the source's."""
    settings = source.settings
    found = []
    for name in list(source.vendor.named_in(_document(body)))[:_MOST_NAMED]:
        if key_of(settings, name) is not None:
            found.append(name)
        elif name.isascii() and name.isdigit() and not isinstance(settings, ServiceNow):
            found += [f"{project}-{name}" for project in settings.projects]
    return found


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = parse_json(body)
    except ValueError as error:
        raise _Unproven("it is no JSON") from error
    if not isinstance(found, dict):
        raise _Unproven("it is no JSON object")
    return found


def _mac(secret: bytes, text: bytes) -> bytes:
    return hmac.new(secret, text, hashlib.sha256).digest()


def _same(offered: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(offered, expected):
        raise _Unproven("its signature is wrong" if offered else "it has no signature")


def _hex(header: str) -> bytes:
    try:
        return bytes.fromhex(header.removeprefix("sha256=")) if header.startswith("sha256=") else b""
    except ValueError:
        return b""


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _unix(stamp: Any, per_second: int) -> datetime | None:
    if isinstance(stamp, str) and stamp.isascii() and stamp.isdigit() and len(stamp) <= 15:
        stamp = int(stamp)
    if isinstance(stamp, bool) or not isinstance(stamp, int) or not 0 < stamp < 10**14:
        return None
    seconds = stamp / per_second
    return datetime.fromtimestamp(seconds, UTC) if seconds < 10**11 else None
