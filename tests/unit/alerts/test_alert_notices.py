"""What is sent about a case, to servers that answer well, badly, late or not at all."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from access_world import World
from smtp_server import SmtpServer

from gateway.alert_settings import Mail, Sink, Webhook
from gateway.alerts.notify import Notifier, plain, signature
from gateway.settings import Secret
from gateway.store import cases as rows
from gateway.store.cases import Case, CaseState

SECRET = "s" * 40


class Receiver:
    """An HTTP server on loopback that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], dict[str, Any], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), json.loads(body), body))
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def secret(path: Path, name: str, text: str) -> Secret:
    file = path / name
    file.write_text(text)
    file.chmod(0o600)
    return Secret(file=file)


def webhook(path: Path, url: str, kind: str = "webhook", **more: Any) -> Webhook:
    keyed = {} if kind == "slack" else {"secret": secret(path, f"{kind}.key", SECRET)}
    return Webhook(kind=kind, name=more.pop("name", kind), url=secret(path, f"{kind}.url", url), **keyed, **more)


def case(severity: str = "high", title: str = "alice <b>probes</b> & more", state: CaseState = CaseState.NEW) -> Case:
    from access_world import START

    return Case("case_1", "probing", "person=p1", severity, title, ("p1",), state, START, START, ((1, "ab"),))


async def sent(world: World, sinks: list[Sink], *cases_: Case, what: str = "opened", rounds: int = 1) -> Notifier:
    notifier = Notifier(sinks, world.access.context, "example/1")
    for number, one in enumerate(cases_):
        kept = Case(f"case_{number}", *[getattr(one, name) for name in Case.__slots__[1:]])
        assert await world.access.context.store(rows.put, kept, tuple(notifier.notices(kept, what)))
    for _ in range(rounds):
        await notifier.deliver()
        world.time.advance(3600)
    await notifier.close()
    return notifier


async def test_a_webhook_is_signed(world: World, tmp_path: Path, receiver: Receiver) -> None:
    await sent(world, [webhook(tmp_path, receiver.url)], case())
    ((headers, body, raw),) = receiver.got
    assert (body["case"], body["what"], body["severity"], body["origin"]) == ("case_0", "opened", "high", "example/1")
    stamp, signed = headers["X-Gateway-Signature"].split(",")
    assert signed == f"v1={signature(SECRET.encode(), stamp.removeprefix('t='), raw)}"
    assert headers["X-Gateway-Delivery"] == body["id"]
    record = world.last("security.notice")
    assert (record["state"], record["sink"], record["count"]) == ("sent", "webhook", 1)


async def test_slack_gets_a_line_without_markup(world: World, tmp_path: Path, receiver: Receiver) -> None:
    await sent(world, [webhook(tmp_path, receiver.url, "slack")], case())
    ((headers, body, _),) = receiver.got
    assert body == {"text": "[high] alice &lt;b&gt;probes&lt;/b&gt; &amp; more (case case_0 opened, example/1)"}
    assert "X-Gateway-Signature" not in headers


@pytest.mark.parametrize(
    ("state", "what", "action"), [(CaseState.NEW, "opened", "trigger"), (CaseState.CLOSED, "close", "resolve")]
)
async def test_an_event_service_is_told_of_begin_and_end(
    world: World, tmp_path: Path, receiver: Receiver, state: CaseState, what: str, action: str
) -> None:
    await sent(world, [webhook(tmp_path, receiver.url, "pagerduty")], case(state=state), what=what)
    ((_, body, _),) = receiver.got
    assert (body["event_action"], body["dedup_key"], body["routing_key"]) == (action, "case_0", SECRET)
    assert (body["payload"]["severity"], body["payload"]["class"]) == ("error", "probing")


async def test_only_what_is_bad_enough_and_new_is_told(world: World, tmp_path: Path, receiver: Receiver) -> None:
    sink = webhook(tmp_path, receiver.url, severity="high")
    notifier = await sent(world, [sink], case("medium"))
    assert list(notifier.notices(case("critical"), "grew")) == []
    assert len(notifier.notices(case("critical"), "opened")) == 1
    assert receiver.got == []


async def test_what_fails_is_tried_again_in_order(world: World, tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [500, 503, 200, 200]
    notifier = await sent(world, [webhook(tmp_path, receiver.url)], case(), case(), rounds=3)
    assert [body["case"] for _, body, _ in receiver.got] == ["case_0", "case_0", "case_0", "case_1"]
    assert notifier.waiting == 0
    assert [record["count"] for record in world.trail.of("security.notice")] == [3, 1]


async def test_no_redirect_is_followed(world: World, tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [307]
    notifier = await sent(world, [webhook(tmp_path, receiver.url)], case())
    assert len(receiver.got) == 1
    assert notifier.waiting == 1


async def test_after_a_day_it_is_given_up_and_that_is_a_record(world: World, tmp_path: Path) -> None:
    await sent(world, [webhook(tmp_path, "http://127.0.0.1:9")], case(), rounds=26)
    (record,) = world.trail.of("security.notice")
    assert (record["state"], record["reason"]) == ("given up", "ConnectError")


@pytest.mark.parametrize("url", ["http://192.0.2.1/hook", "ftp://127.0.0.1.example/", "http://example.invalid/"])
async def test_an_address_that_is_not_https_gets_nothing(world: World, tmp_path: Path, url: str) -> None:
    notifier = await sent(world, [webhook(tmp_path, url)], case())
    assert notifier.waiting == 1


async def test_a_sink_that_hangs_delays_no_other(world: World, tmp_path: Path, receiver: Receiver) -> None:
    hanging = socket.create_server(("127.0.0.1", 0))
    port = hanging.getsockname()[1]
    sinks: list[Sink] = [
        webhook(tmp_path, receiver.url), webhook(tmp_path, f"http://127.0.0.1:{port}", "slack", name="hangs"),
    ]  # fmt: skip
    notifier = Notifier(sinks, world.access.context, "example/1")
    one = case()
    await world.access.context.store(rows.put, one, tuple(notifier.notices(one, "opened")))
    delivering = asyncio.ensure_future(notifier.deliver())
    for _ in range(200):
        await asyncio.sleep(0.02)
        if receiver.got:
            break
    assert len(receiver.got) == 1
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    await notifier.close()
    hanging.close()


async def test_a_message_by_smtp_over_tls(world: World, tmp_path: Path) -> None:
    with SmtpServer(tmp_path, tls=True) as server:
        sink = Mail(
            kind="mail", name="soc", host="localhost", port=server.port, ca=tmp_path / "ca.crt", user="gw",
            password=secret(tmp_path, "mail.password", "mail-secret"), sender="gateway@example.test",
            to=("soc@example.test", "cto@example.test"),
        )  # fmt: skip
        await sent(world, [sink], case(title="alice\r\nBcc: eve@example.test\r\n\r\nprobes"))
    assert server.recipients == ["soc@example.test", "cto@example.test"]
    assert "Subject: [gateway] [high] alice Bcc: eve@example.test probes\r\n" in server.message
    assert "\r\nBcc:" not in server.message
    assert "gateway cases show case_0" in server.message
    assert server.encrypted
    assert "mail-secret" not in server.clear


async def test_a_server_without_tls_gets_no_message(world: World, tmp_path: Path) -> None:
    with SmtpServer(tmp_path, tls=False) as server:
        sink = Mail(kind="mail", name="soc", host="localhost", port=server.port, sender="a@b.test", to=("c@d.test",))
        notifier = await sent(world, [sink], case())
    assert server.message == ""
    assert notifier.waiting == 1


def test_a_text_is_one_plain_line() -> None:
    assert plain("a\x1b[31m\r\nb\u2028c\x00 d ") == "a [31m b c d"
