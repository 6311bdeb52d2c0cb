"""What a claim of the tour is: something that was observed, printed with whether it held.

INVARIANT: a claim holds only by what was seen at the client, in the trail or by the verifier; nothing is taken from
what the gateway says about itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from gateway.demo.actor import Actor
from gateway.demo.calls import Caller, bearer
from gateway.demo.client import Answer, Client, ConnectionRefused, bare_environment, connect
from gateway.demo.company import PEOPLE, TARGET
from gateway.demo.data import CUSTOMER
from gateway.demo.stage import Stage
from gateway.demo.trail import Follower

_WAIT_S = 5.0


class StepFailed(Exception):
    """The story cannot go on from here."""


@dataclass
class Tour:
    """The stage, the count of what failed, and the records seen so far, oldest first."""

    console: Console
    stage: Stage
    psql: str | None
    follower: Follower
    failed: list[str] = field(default_factory=list)
    passed: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def alice(self) -> Actor:
        """Who the story is about."""
        return self.stage.actors["alice"]

    def act(self, title: str) -> None:
        """Begin a part of the story."""
        self.console.print()
        self.console.print(Text(title, style="bold"), soft_wrap=True)

    def tell(self, sentence: str) -> None:
        """Say something that is neither good nor bad."""
        self.console.print(Text(f"      {sentence}", style="dim"), soft_wrap=True)

    def check(self, claim: str, holds: bool, seen: object = "") -> bool:
        """Print whether a claim holds, with what was seen."""
        mark = Text("  ok  ", style="green") if holds else Text(" FAIL ", style="bold red")
        self.console.print(mark + Text(claim), soft_wrap=True)
        if seen != "":
            self.tell(str(seen).replace("\n", " / ")[:300])
        if holds:
            self.passed += 1
        else:
            self.failed.append(claim)
        return holds

    def enter(self, user: str, secret: str) -> Client:
        """A session of an ordinary client. Raises `ConnectionRefused`."""
        return connect(self.psql, self.stage.login_as(user), secret)

    def refused(self, user: str, secret: str) -> str:
        """What the client was told when it was not let in; "" when it was."""
        try:
            self.enter(user, secret).close()
        except ConnectionRefused as refused:
            return str(refused)
        return ""

    def opened(self, actor: Actor, ticket: str) -> Client:
        """Open access for the ticket and enter with the pass."""
        answer = actor.open(ticket, target=TARGET)
        return self.enter(answer["user"], answer["password"])

    def caller(self, target: str, ticket: str, statement: str = "") -> Caller:
        """Alice with a pass for an API, or for one request to it that was approved."""
        answer = self.alice.open(ticket, statement, target)
        company = self.stage.company
        return Caller(f"https://localhost:{company.ports[target]}", company.tls.ca, bearer(answer))

    def without_apis(self) -> bool:
        """Whether no API is served here; says why not."""
        if self.stage.without:
            self.tell(f"left out: {self.stage.without}")
        return bool(self.stage.without)

    def news(self) -> list[dict[str, Any]]:
        """Records since the last look."""
        fresh = list(self.follower.news())
        self.records += fresh
        return fresh

    def awaited(self, fits: Callable[[dict[str, Any]], bool], seconds: float = _WAIT_S) -> dict[str, Any] | None:
        """The first record after the last look that fits, waiting for it; None when it does not come."""
        deadline = time.monotonic() + seconds
        while True:
            found = next(filter(fits, self.news()), None)
            if found is not None or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def raw(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the database really holds, asked past the gateway as its owner."""
        return self.stage.postgres.sql(text, *parameters)

    def command(self, actor: Actor, *arguments: str, otp: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the `gateway` command as that person, with a home of their own."""
        home = self.stage.directory / "home" / actor.login
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        environment = {**bare_environment(), "XDG_STATE_HOME": str(home), "HOME": str(home)}
        if otp:
            environment |= {"GATEWAY_PASSWORD": actor.password, "GATEWAY_OTP": actor.code()}
        return subprocess.run(
            [sys.executable, "-P", "-m", "gateway", "--config", str(self.stage.company.config), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=environment,
            cwd=home,
        )


def logins(ids: Iterable[str]) -> str:
    """People by their logins, where records name them by their ids."""
    known = {person.id: person.login for person in PEOPLE}
    return ", ".join(known.get(one, one) for one in ids)


def an_address(tour: Tour) -> str:
    """The e-mail address of an employee of the customer, as it really is."""
    return str(tour.raw("select email from employees where company_id = %s order by id limit 1", CUSTOMER)[0][0])


def moment(record: dict[str, Any]) -> datetime:
    """When a record was made."""
    return datetime.fromisoformat(record["time"]).astimezone(UTC)


def values(answer: Answer, name: str) -> list[str]:
    """A column of an answer. Raises `StepFailed` with the error instead of a result."""
    if answer.error:
        raise StepFailed(f"{answer.sqlstate} {answer.error}")
    return answer.column(name)


def only(items: Iterable[str]) -> str:
    """The one item. Raises `StepFailed`."""
    found = list(items)
    if len(found) != 1:
        raise StepFailed(f"one value was expected, not {len(found)}")
    return found[0]


def parsed(text: str) -> Any:
    """JSON that a command printed. Raises `StepFailed`."""
    try:
        return json.loads(text)
    except ValueError:
        raise StepFailed(f"no JSON: {text[:120]!r}") from None
