"""An authenticator never shows a code twice and never one that is out of date when it arrives."""

from __future__ import annotations

import stat
from pathlib import Path

import pyotp
import pytest

from gateway.demo.actor import STEP_S, Authenticator

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NOON = 1_800_000_000 - 1_800_000_000 % STEP_S


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now
        self.slept: list[float] = []

    def wall(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def an_authenticator(path: Path, clock: Clock) -> Authenticator:
    authenticator = Authenticator(path / "alice.json", wall=clock.wall, sleep=clock.sleep)
    if not authenticator.secret:
        authenticator.hold(SECRET)
    return authenticator


def accepted(code: str, now: float) -> int | None:
    """The step of a code that a verifier with one step of drift takes, as RFC 6238 section 5.2 has it."""
    totp, present = pyotp.TOTP(SECRET), int(now) // STEP_S
    return next((step for step in (present - 1, present, present + 1) if totp.generate_otp(step) == code), None)


@pytest.mark.parametrize("second", [0, 1, 14, 24, 25, 26, 29])
def test_codes_come_in_order_each_once_and_all_are_good(tmp_path: Path, second: int) -> None:
    clock = Clock(NOON + second)
    authenticator = an_authenticator(tmp_path, clock)
    steps = []
    for _ in range(6):
        code = authenticator.spend(lambda _seconds: None)
        steps.append(accepted(code, clock.now))
        assert accepted(code, clock.now + 4) == steps[-1], "still good when it arrives a few seconds later"
    assert None not in steps
    assert steps == sorted(set(steps))  # type: ignore[type-var]


def test_two_or_three_codes_are_at_hand_before_the_first_wait(tmp_path: Path) -> None:
    clock = Clock(NOON + 10)
    authenticator = an_authenticator(tmp_path, clock)
    told: list[float] = []
    for _ in range(3):
        authenticator.spend(told.append)
    assert told == []
    authenticator.spend(told.append)
    assert told == [20.0]
    assert clock.slept == [pytest.approx(20.05)]


def test_a_restart_remembers_what_was_spent(tmp_path: Path) -> None:
    clock = Clock(NOON + 3)
    first = an_authenticator(tmp_path, clock).spend(lambda _seconds: None)
    second = an_authenticator(tmp_path, clock).spend(lambda _seconds: None)
    assert first != second


def test_the_code_of_the_moment_is_shown_until_it_was_spent(tmp_path: Path) -> None:
    clock = Clock(NOON + 12)
    authenticator = an_authenticator(tmp_path, clock)
    assert authenticator.present() == (pyotp.TOTP(SECRET).generate_otp(NOON // STEP_S), 18)
    authenticator.spend(lambda _seconds: None)
    assert authenticator.present()[0], "the first one spent was the one before"
    authenticator.spend(lambda _seconds: None)
    assert authenticator.present() == ("", 18)


def test_the_secret_is_for_its_owner_only(tmp_path: Path) -> None:
    an_authenticator(tmp_path, Clock(NOON))
    assert stat.S_IMODE((tmp_path / "alice.json").stat().st_mode) == 0o600
