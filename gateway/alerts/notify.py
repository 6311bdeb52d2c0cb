"""Telling people about cases: by e-mail, by Slack-compatible and PagerDuty-style webhooks, and by a signed one.

What has to be sent is kept with the case, in the same transaction, and tried until it arrives or a day has passed; the
trail says which. A sink that is slow or gone delays no other one, and nothing else.

INVARIANT: a notice holds no data of a customer, but a rule, its title (a login, a target, a ticket), and the case.
INVARIANT: no redirect is followed, and a proxy of the environment is not used: secrets go where the configuration says.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import httpx2

from gateway.access.context import Context
from gateway.alert_settings import Mail, Sink, Webhook
from gateway.alerts.rules import SEVERITIES
from gateway.errors import GatewayError
from gateway.listener_settings import Listener
from gateway.store import cases as rows
from gateway.store.cases import Case, CaseState, Notice

_LOOK_S, _FIRST_S, _LONGEST_S = 1.0, 5.0, 3_600.0
_LIFE = timedelta(days=1)
_CLAIM = timedelta(minutes=2)
"""How long nobody else sends what a gateway has begun to send."""
_TIMEOUT_S = 10.0
_PAGER = {"low": "info", "medium": "warning", "high": "error", "critical": "critical"}
_TOLD = frozenset({"opened", "reopened", "close"})


class Notifier:
    """Makes notices of cases and delivers them to the sinks of the configuration."""

    def __init__(self, sinks: Iterable[Sink], context: Context, origin: str) -> None:
        self._sinks = {sink.name: sink for sink in sinks}
        self._context, self._origin = context, origin
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self.waiting = 0

    def notices(self, case: Case, what: str) -> list[Notice]:
        """What has to be sent when a case was opened, reopened or closed."""
        if what not in _TOLD:
            return []
        now = self._context.clock()
        body = {
            "case": case.id, "what": "closed" if what == "close" else what, "severity": case.severity,
            "rule": case.rule, "title": plain(case.title), "state": case.state.value, "origin": self._origin,
            "at": now.isoformat(),
        }  # fmt: skip
        return [
            Notice(self._context.new_id("notice"), sink.name, body, now, now)
            for sink in self._sinks.values()
            if SEVERITIES.index(case.severity) >= SEVERITIES.index(sink.severity)
        ]

    async def remind(self, title: str, about: str) -> None:
        """Tell everybody who hears of cases of medium severity something that is no case. Raises `GatewayError`."""
        now = self._context.clock()
        body = {
            "case": about, "what": "reminder", "severity": "medium", "rule": "reminder", "title": plain(title),
            "state": "open", "origin": self._origin, "at": now.isoformat(),
            "see": f"gateway access review show {about} --open",
        }  # fmt: skip
        notices = [
            Notice(self._context.new_id("notice"), sink.name, body, now, now)
            for sink in self._sinks.values()
            if SEVERITIES.index("medium") >= SEVERITIES.index(sink.severity)
        ]
        await self._context.store(rows.put_notices, notices)

    async def run(self, report: Callable[[str, BaseException], None]) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                try:
                    await self.deliver()
                except GatewayError as error:
                    report("alerts", error)
                    await asyncio.sleep(_LONGEST_S / 360)
                await asyncio.sleep(_LOOK_S)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def deliver(self) -> None:
        """Try all whose turn it is, each sink's in their order. Raises `GatewayError`."""
        due = await self._context.store(rows.due, self._context.clock())
        by_sink: dict[str, list[Notice]] = {}
        for notice in due:
            by_sink.setdefault(notice.sink, []).append(notice)
        await asyncio.gather(*(self._sink(self._sinks.get(name), mine) for name, mine in by_sink.items()))
        self.waiting = await self._context.store(rows.waiting)

    async def _sink(self, sink: Sink | None, notices: list[Notice]) -> None:
        for notice in notices:
            # another gateway on the store may be about to send it
            if not await self._context.store(rows.claim, notice, self._context.clock() + _CLAIM):
                continue
            problem = "the sink is not configured any more" if sink is None else await self._send(sink, notice)
            if not problem:
                await self._tried(notice, "sent", self._context.clock(), "")
                continue
            now = self._context.clock()
            if sink is None or now - notice.made_at >= _LIFE:
                await self._tried(notice, "given up", now, problem)
                continue
            wait = min(_FIRST_S * 2 ** min(notice.tries, 12), _LONGEST_S)
            await self._context.store(rows.tried, notice, "waiting", now + timedelta(seconds=wait))
            # the ones behind it would fail as well
            return

    async def _tried(self, notice: Notice, state: str, now: datetime, problem: str) -> None:
        await self._context.record(
            "security.notice", case=str(notice.body["case"]), sink=notice.sink, state=state, count=notice.tries + 1,
            reason=problem,
        )  # fmt: skip
        await self._context.store(rows.tried, notice, state, now)

    async def _send(self, sink: Sink, notice: Notice) -> str:
        """Send it; why that did not work, or an empty text."""
        try:
            async with asyncio.timeout(3 * _TIMEOUT_S):
                if isinstance(sink, Mail):
                    await asyncio.to_thread(_mail, sink, notice)
                    return ""
                return await self._post(sink, notice)
        except (OSError, smtplib.SMTPException, httpx2.HTTPError, TimeoutError) as error:
            # the text of such an error can hold an address with a secret in it
            return type(error).__name__
        except GatewayError as error:
            return error.refusal.message

    async def _post(self, sink: Webhook, notice: Notice) -> str:
        secret = sink.secret.read() if sink.secret is not None else b""
        body = json.dumps(_FORMS[sink.kind](notice, secret), separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "X-Gateway-Delivery": notice.id}
        if sink.kind == "webhook" and secret:
            stamp = str(int(self._context.clock().timestamp()))
            headers["X-Gateway-Signature"] = f"t={stamp},v1={signature(secret, stamp, body)}"
        client = self._clients.get(sink.name)
        if client is None:
            verify = ssl.create_default_context(cafile=str(sink.ca) if sink.ca else None)
            client = self._clients[sink.name] = httpx2.AsyncClient(
                verify=verify, timeout=_TIMEOUT_S, trust_env=False, follow_redirects=False
            )
        address = httpx2.URL(sink.url.read().decode())
        if address.scheme != "https" and not Listener(host=address.host, port=address.port or 80).loopback:
            return "its address is not https"
        answer = await client.post(address, content=body, headers=headers)
        return "" if answer.is_success else f"it answered {answer.status_code}"


def signature(secret: bytes, stamp: str, body: bytes) -> str:
    """What a signed webhook carries: HMAC-SHA256 over the moment (seconds since 1970), a full stop, and the body."""
    return hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def plain(text: str) -> str:
    """A text on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def sentence(body: Mapping[str, Any]) -> str:
    """A notice in one line."""
    what = body["see"] if body.get("see") else f"case {body['case']} {body['what']}"
    return f"[{body['severity']}] {body['title']} ({what}, {body['origin']})"


def _webhook(notice: Notice, _: bytes) -> dict[str, Any]:
    return {"id": notice.id, **notice.body}


def _slack(notice: Notice, _: bytes) -> dict[str, Any]:
    text = sentence(notice.body)
    for mark, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(mark, escaped)
    return {"text": text}


def _pagerduty(notice: Notice, secret: bytes) -> dict[str, Any]:
    body = notice.body
    return {
        "routing_key": secret.decode(),
        "event_action": "resolve" if body["state"] == CaseState.CLOSED.value else "trigger",
        "dedup_key": body["case"],
        "payload": {
            "summary": sentence(body)[:1024], "source": body["origin"], "severity": _PAGER[body["severity"]],
            "timestamp": body["at"], "component": "gateway", "class": body["rule"],
        },
    }  # fmt: skip


_FORMS: dict[str, Callable[[Notice, bytes], dict[str, Any]]] = {
    "webhook": _webhook, "slack": _slack, "pagerduty": _pagerduty,
}  # fmt: skip


def _mail(sink: Mail, notice: Notice) -> None:
    """One message by SMTP, blocking. Raises `OSError` and `smtplib.SMTPException`."""
    body = notice.body
    message = EmailMessage()
    message["From"], message["To"] = sink.sender, ", ".join(sink.to)
    message["Subject"] = plain(f"[gateway] [{body['severity']}] {body['title']}")[:200]
    message["Message-ID"] = f"<{notice.id}@gateway.invalid>"
    lines = [f"{name}: {body[name]}" for name in ("title", "severity", "rule", "case", "what", "state", "origin", "at")]
    message.set_content("\n".join([*lines, "", body.get("see") or f"gateway cases show {body['case']}", ""]))
    context = ssl.create_default_context(cafile=str(sink.ca) if sink.ca else None)
    if sink.tls == "implicit":
        server: smtplib.SMTP = smtplib.SMTP_SSL(sink.host, sink.port, timeout=_TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(sink.host, sink.port, timeout=_TIMEOUT_S)
    with server:
        if sink.tls == "starttls":
            server.starttls(context=context)
        if sink.user and sink.password is not None:
            server.login(sink.user, sink.password.read().decode())
        server.send_message(message)
