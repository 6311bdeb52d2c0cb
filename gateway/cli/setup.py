"""What all commands share: the global options, the configuration, and signing in.

A sign-in comes from `GATEWAY_LOGIN`, `GATEWAY_PASSWORD` and `GATEWAY_OTP` (for scripts: used once, never kept), else
from the kept token, else from questions asked on the terminal (then kept for 15 minutes).
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typer

from gateway.cli import client, provider
from gateway.cli.client import Api, Server
from gateway.cli.output import say
from gateway.cli.security_keys import through_page
from gateway.config import Config, load_config
from gateway.errors import GatewayError, Refusal

_RECOVERY_CODE = re.compile(r"[a-z2-7]{4}([ -]?[a-z2-7]{4}){3}")
CONFIG_PLACES = (Path("gateway.yaml"), Path("/etc/gateway/gateway.yaml"))


@dataclass
class Setup:
    """The global options of one invocation. `child` is what stood behind `--exec`."""

    config: Path | None = None
    url: str | None = None
    ca: Path | None = None
    output: str = "table"
    child: tuple[str, ...] | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def as_json(self) -> bool:
        """Whether data is to be JSON."""
        return self.output == "json"


_current: ContextVar[Setup] = ContextVar("gateway.cli.setup")


def begin(options: Setup) -> None:
    """Make these the options of the invocation under way."""
    _current.set(options)


def setup() -> Setup:
    """The options of the invocation under way."""
    return _current.get()


def configuration(needed_for: str = "") -> Config:
    """The server's configuration: `--config`, `GATEWAY_CONFIG`, `./gateway.yaml` or `/etc/gateway/gateway.yaml`.

    Raises `GatewayError("configuration-invalid")`.
    """
    chosen = setup()
    named = chosen.config or (Path(chosen.environ["GATEWAY_CONFIG"]) if chosen.environ.get("GATEWAY_CONFIG") else None)
    if named is not None:
        return load_config(named.absolute(), chosen.environ)
    for place in CONFIG_PLACES:
        if place.is_file():
            return load_config(place.absolute(), chosen.environ)
    raise GatewayError(
        "configuration-invalid",
        f"there is no configuration{f' for {needed_for}' if needed_for else ''}",
        hint="name it with --config, or let `gateway init` write one",
    )


def server() -> Server:
    """Where the API is, under the options of the invocation."""
    chosen = setup()
    config = load_config(chosen.config.absolute(), chosen.environ) if chosen.config is not None else None
    return client.find_server(chosen.url, chosen.ca, config, chosen.environ)


def anonymous() -> Api:
    """A connection to the API without a sign-in."""
    return Api(server())


def signed_in() -> Api:
    """A connection to the API as the person; asks when nothing is kept."""
    chosen, where = setup(), server()
    if not chosen.environ.get("GATEWAY_OTP"):
        kept = client.kept_token(where, chosen.environ)
        wanted = chosen.environ.get("GATEWAY_LOGIN")
        if kept is not None and wanted in (None, "", kept[0]):
            api = Api(where, kept[1])
            if _still_good(api):
                if sys.stdin.isatty():
                    api.renew = lambda refusal: _again(where, kept[0], refusal)
                return api
            api.close()
            client.forget_token(chosen.environ)
    return Api(where, sign_in(where)["token"])


def sign_in(where: Server, login: str | None = None, flow: str | None = None) -> dict[str, Any]:
    """Sign in with password and code or security key, or at the identity provider and with a code.

    Keeps the token unless the code came from the environment. `flow` is the provider's to use, the better one of those
    that there are by default.
    """
    environ = setup().environ
    if not environ.get("GATEWAY_PASSWORD"):
        anonymous_api = Api(where)
        try:
            answer = provider.sign_in(anonymous_api, flow, lambda: environ.get("GATEWAY_OTP") or ask_secret("code"))
        finally:
            anonymous_api.close()
        if answer is not None:
            _kept(where, answer)
            return answer
    login = login or environ.get("GATEWAY_LOGIN") or ask("login", getpass.getuser())
    password = environ.get("GATEWAY_PASSWORD") or ask_secret(f"password of {login}")
    otp = environ.get("GATEWAY_OTP") or ask_secret("code (nothing: security key)", needed=False)
    api = Api(where)
    try:
        signed: dict[str, Any]
        if otp:
            signed = api.post("/sign-in", {"login": login, "password": password, "otp": otp})
        else:
            begun = api.post("/sign-in/key", {"login": login, "password": password})
            signed = through_page(api, begun)["sign_in"]
    except GatewayError as error:
        if error.code == "authentication-failed" and _RECOVERY_CODE.fullmatch(otp.strip().lower()):
            refusal = replace(error.refusal, hint="for a recovery code there is `gateway people recover`")
            raise GatewayError.of(refusal) from error
        raise
    finally:
        api.close()
    _kept(where, signed)
    return signed


def _kept(where: Server, answer: dict[str, Any]) -> None:
    environ = setup().environ
    if not environ.get("GATEWAY_OTP"):
        client.remember_token(where, answer, environ)
    client.remember_server(where, environ)


def _again(where: Server, login: str, refusal: Refusal) -> str:
    """The token of a new sign-in of the same person, for what needs a newer second factor."""
    say(refusal.message)
    return str(sign_in(where, login)["token"])


def ask_secret(what: str, *, needed: bool = True) -> str:
    """The answer to a question, not echoed. Raises `GatewayError("second-factor-required")` without a terminal."""
    _need_terminal(what)
    answer = getpass.getpass(f"{what}: ", stream=sys.stderr)
    if needed and not answer:
        raise typer.Abort
    return answer


def ask(what: str, default: str | None = None) -> str:
    """The answer to a question. Raises `GatewayError("second-factor-required")` without a terminal."""
    _need_terminal(what)
    return str(typer.prompt(what, default=default, err=True))


def _need_terminal(what: str) -> None:
    if not sys.stdin.isatty():
        raise GatewayError(
            "second-factor-required",
            f"there is no terminal to ask for: {what}",
            hint="set GATEWAY_LOGIN, GATEWAY_PASSWORD and GATEWAY_OTP, or sign in first with `gateway login`",
        )


def _still_good(api: Api) -> bool:
    try:
        api.get("/whoami")
    except GatewayError as error:
        if error.code in ("session-expired", "authentication-failed", "second-factor-required"):
            return False
        raise
    return True
