"""Settings of security events: whose cases they are, and who is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.settings import Model, Secret, is_loopback

Severity = Literal["low", "medium", "high", "critical"]
Department = Literal["security", "engineering", "legal", "communication"]


class Mail(Model):
    """An address that is told of security events by SMTP. `tls: off` is for a server on a loopback host only."""

    kind: Literal["mail"]
    name: str = Field(pattern="^[a-z][a-z0-9-]{0,62}$")
    severity: Severity = "medium"
    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "off"] = "starttls"
    ca: Path | None = None
    user: str = ""
    password: Secret | None = None
    sender: str
    to: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _plain_stays_home(self) -> Mail:
        if self.tls == "off" and not is_loopback(self.host):
            raise ValueError("`tls: off` is for a server on a loopback host only")
        return self


class Webhook(Model):
    """An address that is told of security events by HTTP. The address is a secret: who has it can write there."""

    kind: Literal["webhook", "slack", "pagerduty"]
    name: str = Field(pattern="^[a-z][a-z0-9-]{0,62}$")
    severity: Severity = "medium"
    url: Secret
    secret: Secret | None = None
    ca: Path | None = None

    @model_validator(mode="after")
    def _keyed(self) -> Webhook:
        if self.kind != "slack" and self.secret is None:
            raise ValueError("`secret` is needed: what signs a webhook, or the routing key of an event service")
        return self


Sink = Annotated[Mail | Webhook, Field(discriminator="kind")]


def _signed_by(severity: str) -> tuple[Department, ...]:
    everybody: tuple[Department, ...] = ("security", "engineering", "legal", "communication")
    return everybody[: ("low", "medium", "high", "critical").index(severity) + 1]


class Alerts(Model):
    """Security events: rules of one's own, which teams are which departments, who must sign what, who is told.

    Without `departments`, the administrators' teams are security, and security alone signs.
    """

    rules: Path | None = None
    departments: dict[Department, frozenset[str]] = Field(default_factory=dict)
    sign_offs: dict[Severity, tuple[Department, ...]] = Field(default_factory=dict)
    sinks: tuple[Sink, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Alerts:
        if self.departments and "security" not in self.departments:
            raise ValueError("`departments` must say which teams are `security`: they look into cases and close them")
        for severity in ("low", "medium", "high", "critical"):
            for department in self.needed(severity):
                if self.departments and not self.departments.get(department):
                    raise ValueError(
                        f"a case of severity `{severity}` needs the signature of `{department}`, which has no team: "
                        "name one in `departments`, or say in `sign_offs` who signs"
                    )
        if len({sink.name for sink in self.sinks}) != len(self.sinks):
            raise ValueError("two sinks have the same name")
        return self

    def needed(self, severity: Severity) -> tuple[Department, ...]:
        """The departments that sign a case of that severity."""
        return self.sign_offs.get(severity) or (_signed_by(severity) if self.departments else ("security",))
