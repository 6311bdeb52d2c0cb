"""The bodies of `/v1/login`; what holds for `schemas.py` holds here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.console.schemas import Code

_Token = Annotated[SecretStr, Field(min_length=1, max_length=256)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WaysAnswer(_Body):
    """How people sign in: `password`, or the flows at an identity provider, the safer one first."""

    ways: list[str]
    issuer: str = ""


class LoginBeginBody(_Body):
    """Which flow."""

    flow: Literal["browser", "device"]


class LoginBeginAnswer(_Body):
    """Where to go, and with which code; `token` stands for the login and is nobody else's."""

    token: str
    flow: str
    uri: str
    code: str
    life_s: int
    interval_s: float


class LoginBody(_Body):
    """The token of a login."""

    token: _Token


class LoginLookAnswer(_Body):
    """How a login stands: `waiting`, `confirming`, or `proved`; then for whom, and what `finish` needs: `code`,
    `nothing`, or first an `enrolment`.
    """

    state: str
    interval_s: float
    login: str
    needs: str


class LoginFinishBody(LoginBody):
    """With the code of the moment, where one is needed."""

    otp: Annotated[SecretStr, Field(max_length=64)] = SecretStr("")


class LoginEnrolBeginBody(LoginBody):
    """With an invitation."""

    invitation: Code


class LoginEnrolFinishBody(LoginEnrolBeginBody):
    """The same again, with the first code of the new factor."""

    otp: Code


class LoginRecoverBody(LoginBody):
    """With one of the recovery codes."""

    recovery_code: Code


class LoginRecoverAnswer(_Body):
    """An invitation to enrol a new factor."""

    invitation: str


class ReleaseAnswer(_Body):
    """The login that is nobody's now."""

    login: str
