"""Clients of APIs that are slow, stop reading, open and reset, or stay away: bounded, and everything settled."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from gateway_fixture import awaited, eventually
from http_house import HttpHouse, open_http_house, token
from http_reading import Streams, change_policy, process, resident_kib

from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

ONE = "/companies/42/employees/4200"


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("clients"), postgres) as place:
        yield place


def test_a_client_whose_windows_do_not_grow_holds_no_memory_and_can_go_on(place: HttpHouse) -> None:
    mine = place.opened()
    pid = process(place)
    before = resident_kib(pid)
    lines = 300_000
    with Streams(place, token(mine)) as client:
        stalled = client.ask(f"/companies/42/export?lines={lines}")
        client.read(5, growing=False, until=lambda: len(client.data[stalled]) >= 65_535)
        sent = -1
        while sent != place.office.lines_sent:
            sent = place.office.lines_sent
            time.sleep(0.5)
        assert sent < 100_000
        assert resident_kib(pid) - before < 40_000
        # longer than the API's time-out: it is the client that is waited for
        client.read(6, growing=False)
        assert stalled not in client.ended
        came = len(client.data[stalled])
        client.h2.increment_flow_control_window(came)
        client.h2.increment_flow_control_window(came, stalled)
        client.flush()
        client.read(60, growing=True, until=lambda: stalled in client.ended)
        assert client.ended[stalled] == "whole"
        assert client.data[stalled].count(b"\n") == lines


def test_a_stream_that_stalls_ends_when_its_client_goes(place: HttpHouse) -> None:
    mine = place.opened()
    follower = place.house.follow()
    with Streams(place, token(mine)) as client:
        stream = client.ask("/companies/42/export?lines=3000000")
        client.read(5, growing=False, until=lambda: len(client.data[stream]) >= 65_535)
        time.sleep(0.5)
    end = awaited(follower, lambda record: record["kind"] == "statement.end", 15)
    assert end["status"] == "cut"
    assert end["bytes"] >= 65_535


def test_a_stream_that_stalls_can_be_reset_and_its_connection_goes_on(place: HttpHouse) -> None:
    mine = place.opened()
    follower = place.house.follow()
    with Streams(place, token(mine)) as client:
        stalled = client.ask("/companies/42/export?lines=3000000")
        client.read(5, growing=False, until=lambda: len(client.data[stalled]) >= 65_535)
        client.h2.reset_stream(stalled, 8)
        # what it held of the connection's window is free again
        client.h2.increment_flow_control_window(len(client.data[stalled]))
        client.flush()
        end = awaited(follower, lambda record: record["kind"] == "statement.end", 15)
        assert end["status"] == "cut"
        other = client.ask(ONE)
        client.read(10, growing=True, until=lambda: other in client.ended)
        assert (client.statuses[other], client.ended[other]) == (200, "whole")


def test_a_request_that_comes_slowly_is_timed_beside_another_that_is_answered(place: HttpHouse) -> None:
    mine = place.opened()
    with Streams(place, token(mine)) as client:
        busy = client.ask("/companies/42/export?lines=100000&slow=true")
        slow = client.ask(
            ONE, "PATCH", more=(("content-type", "application/json"), ("content-length", "1000")), end=False
        )
        began = time.monotonic()
        while not client.gone and time.monotonic() - began < 60:
            if not client.gone:
                client.h2.send_data(slow, b" ")
                client.flush()
            client.read(0.5, growing=True)
        assert client.gone
        assert busy not in client.ended


def test_streams_that_are_opened_and_reset_do_not_pile_up(place: HttpHouse) -> None:
    mine = place.opened()
    del place.office.seen[:]
    with Streams(place, token(mine)) as client:
        for _ in range(2_000):
            stream = client.ask(ONE)
            if client.gone:
                break
            client.h2.reset_stream(stream, 8)
            client.flush()
        client.read(10, growing=True, until=lambda: client.gone)
    # what was begun is settled, whatever became of its client
    begun = {one["statement"] for one in place.house.records() if one["kind"] == "statement.begin"}
    eventually(lambda: begun <= {one["statement"] for one in place.house.records() if one["kind"] == "statement.end"})
    with place.client(mine) as other:
        assert other.get(ONE).status_code == 200


def test_a_session_that_is_idle_ends_and_the_next_request_begins_another(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_http_house(tmp_path_factory.mktemp("idle"), postgres, idle="2s") as place:
        mine = place.opened()
        follower = place.house.follow()
        with place.client(mine) as client:
            # an answer that streams for longer than that is not idle
            assert client.get("/companies/42/export?lines=150&slow=true").text.count("\n") == 150
            assert not [one for one in place.house.records() if one["kind"] == "session.end"]
            end = awaited(follower, lambda record: record["kind"] == "session.end", 15)
            assert end["status"] == "ok"
            assert client.get(ONE).status_code == 200
        assert len([one for one in place.house.records() if one["kind"] == "session.begin"]) == 2


def test_a_policy_that_is_read_anew_leaves_nothing_of_the_old_one(place: HttpHouse) -> None:
    """Its rules are forgotten by the process, and come again where the policy does."""
    mine = place.opened()
    with place.client(mine) as client:
        for _ in range(3):
            assert "iban" in client.get(ONE).json()
            change_policy(place, "keep_start: 4,", "keep_start: 2,")
            assert client.get(ONE).json()["iban"].startswith("FR**")
            change_policy(place, "keep_start: 2,", "keep_start: 4,")
