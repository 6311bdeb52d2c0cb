"""Signing in at an identity provider from the command line: shows where to go, waits, then asks for the second factor.

INVARIANT: what is kept and sent is the token of the login alone, and that to the gateway alone; tokens of the provider
never come here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from gateway.cli.client import Api
from gateway.cli.output import clean, say
from gateway.errors import GatewayError

_TRIES = 3


def ways(api: Api) -> tuple[list[str], str]:
    """How people sign in there, and at which identity provider; a gateway that does not say so takes passwords."""
    try:
        answer = api.get("/login")
    except GatewayError as error:
        if error.code == "not-found":
            return ["password"], ""
        raise
    return [str(one) for one in answer["ways"]], str(answer["issuer"])


def sign_in(api: Api, flow: str | None, code: Callable[[], str]) -> dict[str, Any] | None:
    """The sign-in that the gateway answers with; None where people have passwords. `code` asks for a code.

    Raises `GatewayError`; `second-factor-required` tells somebody without a factor how to get one.
    """
    token, standing = proved(api, flow)
    if not token:
        return None
    if standing["needs"] == "enrolment":
        raise GatewayError(
            "second-factor-required",
            f"`{standing['login']}` is known now, and has no second factor yet",
            "an administrator invites you (gateway people invite LOGIN); then: gateway people enrol",
        )
    for left in reversed(range(_TRIES)):
        otp = "" if standing["needs"] == "nothing" else code()
        try:
            answer: dict[str, Any] = api.post("/login/finish", {"token": token, "otp": otp})
            return answer
        except GatewayError as error:
            if error.code != "authentication-failed" or not left or not sys.stdin.isatty():
                raise
            say("that was not accepted; once more")
    return None


def proved(api: Api, flow: str | None) -> tuple[str, dict[str, Any]]:
    """The token of a login that the provider has proved, and how that stands; "" where people have passwords."""
    found, issuer = ways(api)
    if found == ["password"]:
        if flow is not None:
            raise GatewayError("request-invalid", "people sign in with a password here", "gateway login")
        return "", {}
    if flow is not None and flow not in found:
        raise GatewayError("request-invalid", f"there is no `--{flow}` here", f"use: --{found[0]}")
    begun = api.post("/login/begin", {"flow": flow or found[0]})
    _show(begun, issuer)
    return str(begun["token"]), _awaited(api, begun)


def _show(begun: dict[str, Any], issuer: str) -> None:
    say(f"sign in at {clean(issuer)}, in any browser: {clean(begun['uri'])}")
    if begun["flow"] == "device":
        say(f"and type this code there: {clean(begun['code'])}")
    else:
        say(f"the last page asks for this code: {clean(begun['code'])}")
    say("both are for you alone: never type a code that somebody sent you")


def _awaited(api: Api, begun: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + begun["life_s"]
    pause = float(begun["interval_s"])
    with Console(stderr=True).status("waiting for the browser (interrupt to stop)"):
        while time.monotonic() < until:
            time.sleep(pause)
            standing: dict[str, Any] = api.post("/login/look", {"token": begun["token"]})
            if standing["state"] == "proved":
                return standing
            pause = float(standing["interval_s"])
    raise GatewayError("session-expired", "nobody signed in at the identity provider in time", "gateway login")
