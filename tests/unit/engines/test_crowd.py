"""One address cannot hold the whole door."""

from __future__ import annotations

import pytest

from gateway.access.lockout import network_of
from gateway.engines.crowd import FAILURES, Crowd


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_address_holds_so_many_greetings_and_no_more() -> None:
    crowd = Crowd(2, Clock())
    assert [crowd.admit("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert crowd.admit("10.0.0.2")
    crowd.leave("10.0.0.1")
    assert crowd.admit("10.0.0.1")


def test_after_many_failures_an_address_waits_for_the_minute_to_end() -> None:
    clock = Clock()
    crowd = Crowd(10, clock)
    told = [crowd.failed("10.0.0.1") for _ in range(FAILURES + 5)]
    assert told.count(True) == 1
    assert not crowd.admit("10.0.0.1")
    assert crowd.admit("10.0.0.2")
    clock.now += 61
    assert crowd.admit("10.0.0.1")


def test_failures_far_apart_never_add_up() -> None:
    clock = Clock()
    crowd = Crowd(10, clock)
    for _ in range(FAILURES * 3):
        clock.now += 2
        crowd.failed("10.0.0.1")
    assert crowd.admit("10.0.0.1")


def test_what_is_remembered_is_bounded() -> None:
    crowd = Crowd(10, Clock())
    for number in range(30_000):
        crowd.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(crowd._failures) <= 10_000


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", ""),
        ("local", "local"),
    ],
)
def test_the_place_of_an_address(host: str, place: str) -> None:
    assert network_of(host) == place
