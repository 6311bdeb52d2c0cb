"""`second_factor` of gateway.yaml: how recent a second factor has to be for what, and where security keys are asked.

INVARIANT: an age can be made stricter than the default, never looser: 15 minutes are what approvals, reads of the
trail, unsealing, acts of two people and resets are designed for.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gateway.settings import Model, Seconds

LOOSEST_S = 900.0
"""The oldest that a second factor may be for anything below."""

Age = Annotated[Seconds, Field(ge=30.0, le=LOOSEST_S)]


class Fresh(Model):
    """The greatest age of the second factor for each action: the one table of what needs a recent one.

    `open` is opening access, `break_glass` opening it without approval, `approve` deciding requests, looking at what
    they would change and naming delegates, `review` judging a break-glass access and who may ask for what, `audit`
    reading the trail, `act` asking for, confirming and carrying out what needs two people (unsealing, erasing, holds),
    `case` each step of a security event, `people` invitations, resets, suspensions and further keys of one's own.
    """

    open: Age = LOOSEST_S
    break_glass: Age = LOOSEST_S
    approve: Age = LOOSEST_S
    review: Age = LOOSEST_S
    audit: Age = LOOSEST_S
    act: Age = LOOSEST_S
    case: Age = LOOSEST_S
    people: Age = LOOSEST_S


class WebAuthn(Model):
    """Security keys: `rp_id` is the name that they are bound to, "" for none; `origins` are where the pages answer.

    With `same_address`, the browser must come from the address that the command came from.
    """

    rp_id: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$")
    origins: tuple[str, ...] = ()
    same_address: bool = True

    @model_validator(mode="after")
    def _fits(self) -> WebAuthn:
        if bool(self.rp_id) != bool(self.origins):
            raise ValueError("`rp_id` and `origins` belong together")
        for origin in self.origins:
            parts = urlsplit(origin)
            host = parts.hostname or ""
            if (
                parts.scheme != "https"
                or origin != f"https://{parts.netloc}"
                or "@" in origin
                or origin.endswith(":443")
            ):
                raise ValueError(f"an origin is https://host or https://host:port: `{origin}`")
            if host != self.rp_id and not host.endswith(f".{self.rp_id}"):
                raise ValueError(f"the origin `{origin}` is not below `{self.rp_id}`")
        return self


class SecondFactor(Model):
    """What is asked of second factors."""

    fresh: Fresh = Fresh()
    webauthn: WebAuthn = WebAuthn()
