"""What is forwarded to a target: nothing that is not permitted at the moment of it, whatever happened meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mitmproxy")

from mitmproxy.connection import Client
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow

from gateway.engines.http_channel import Permitted, Place, Setup
from gateway.engines.http_proxy.door import Door, make_options
from gateway.engines.http_proxy.places import Reached, Way
from gateway.engines.http_proxy.reply import Reply
from gateway.engines.http_proxy.stream import REPLY, WAY, Stream
from gateway.errors import Refusal
from gateway.policy.http_rules import HttpRules

CUT = Refusal("grant-revoked", "the grant was revoked", fatal=True)


def reply() -> Reply:
    """A write that is permitted, and of which nothing was done yet."""
    permit = Permitted(
        1, 1, "backoffice", "POST", "/refunds", (), b"{}", "digest", "refund", ("42",), b"k", frozenset(), 100, 1000,
        True,
    )  # fmt: skip
    route: Any = SimpleNamespace(name="refund", answers=())
    rules: Any = SimpleNamespace(routes=(route,))
    found: HttpRules = rules
    return Reply(permit, found)


def way() -> Way:
    """A way to an API."""
    place = Place("backoffice", "api.example", 443, "api.example", False, "", 5.0, 900.0, "", b"", b"")
    return Reached(Setup((place,), (), "", "", ""), place).way(upgrades=False)


def forwarded(given: Reply | None, meanwhile: Callable[[], None] = lambda: None) -> bool:
    """Whether a request goes on; `meanwhile` happens while its target is connected to."""
    client = Client(peername=("127.0.0.1", 5), sockname=("127.0.0.1", 6), timestamp_start=0)
    stream = Stream(Context(client, make_options()), 1)
    stream.flow = tflow.tflow()
    if given is not None:
        stream.flow.metadata[REPLY] = given
        stream.flow.metadata[WAY] = way()
    working = stream.make_server_connection()
    try:
        next(working)
        meanwhile()
        working.send((stream.flow.server_conn, None))
    except StopIteration as end:
        return bool(end.value)
    raise AssertionError("it waits for more than the connection")


def test_what_is_permitted_is_forwarded_and_known_to_be() -> None:
    given = reply()
    assert forwarded(given)
    assert given.forwarded
    assert given.outcome() == "unknown"


def test_what_nobody_permitted_is_not_forwarded() -> None:
    assert not forwarded(None)


def test_a_write_whose_client_left_while_its_target_was_connected_to_is_not_forwarded() -> None:
    given = reply()

    def leave() -> None:
        given.settled = True
        assert given.outcome() == "error", "its approval is given back"

    assert not forwarded(given, leave)
    assert not given.forwarded


def test_a_write_that_is_cut_while_its_target_is_connected_to_is_not_forwarded() -> None:
    given = reply()

    def cut() -> None:
        given.refusal = CUT

    assert not forwarded(given, cut)
    assert given.outcome() == "error"


def test_a_write_that_is_cut_in_the_moment_of_its_permit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = reply()
    given.refusal = CUT

    async def begin(_message: Any) -> Reply:
        return given

    door = Door.__new__(Door)
    flow: Any = tflow.tflow()
    for name, value in {
        "_gate": SimpleNamespace(begin=begin), "_flows": set(), "_coming": {}, "_shown": b"", "client": "client",
        "transports": {"client": None},
    }.items():  # fmt: skip
        setattr(door, name, value)
    monkeypatch.setattr(Door, "_begun", lambda _door, _flow: SimpleNamespace(secret="gwh_", headers=()))
    asyncio.run(door._on_request(flow))
    assert flow.response is not None
    assert b"grant-revoked" in flow.response.content
    assert given.outcome() == "error"
