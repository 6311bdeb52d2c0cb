"""What a source's answer says about a ticket: where its fields are, and what counts as a customer.

The vendors' modules say what a ticket is called, who has it and where it stands (`Found`); customer and team come from
the fields that the configuration names, relative to `Found.facts`. A path goes through objects by name and through
lists by place, or, without one, through all of their members.

INVARIANT: a value is a text or a whole number of bounded length without control characters, or it is none. A pattern
is tried on bounded texts only, and has to match all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from gateway.access.names import fold_login
from gateway.model import Ticket
from gateway.ticket_settings import PATTERN_INPUT, Remote, ServiceNow, Taken

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_SERVICENOW_NUMBER = re.compile(r"[0-9]{1,18}")
_MOST_VALUES = 100


@dataclass(frozen=True, slots=True)
class Key:
    """A ticket's id, taken apart: the project's key, what that stands for at the source, and the number there."""

    id: str
    project: str
    scope: str
    number: str


@dataclass(frozen=True, slots=True)
class Account:
    """Who has a ticket, as the source knows the person: its own stable id, the login there, the e-mail address."""

    id: str = ""
    login: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A ticket as its source has it. `accounts` are all who have it; `facts` is what paths are relative to."""

    title: str
    status: str
    accounts: tuple[Account, ...]
    facts: Mapping[str, Any] = field(repr=False)
    url: str = ""
    updated_at: datetime | None = None


def key_of(settings: Remote, ticket_id: str) -> Key | None:
    """The id taken apart, when it is one of the source's in the one form that it has there; None else.

    `SUP-01`, `sup-1` and `SUP-1` with other digits are no ids: nothing has two names here.
    """
    if isinstance(settings, ServiceNow):
        project = ticket_id.rstrip("0123456789")
        number = ticket_id[len(project) :]
        fits = _SERVICENOW_NUMBER.fullmatch(number)
    else:
        project, _, number = ticket_id.rpartition("-")
        fits = _NUMBER.fullmatch(number)
    if fits is None or project not in settings.projects:
        return None
    return Key(ticket_id, project, settings.projects[project], number)


def ticket_of(settings: Remote, key: Key, found: Found) -> Ticket:
    """The ticket as the gateway understands it."""
    rule = settings.customer
    customers = tuple(dict.fromkeys(values(found.facts, rule)))
    login, email = _assigned(settings, found.accounts)
    teams = tuple(dict.fromkeys(values(found.facts, settings.team))) if settings.team else ()
    return Ticket(
        id=key.id,
        system=settings.system,
        title=clean(found.title, 1024),
        status=state_of(settings, found.status),
        assignee=login,
        # FAIL CLOSED: which of several customers is meant is not guessed
        customers=customers if len(customers) == 1 or rule.several else (),
        url=found.url if found.url.startswith(("https://", "http://")) else "",
        team=teams[0] if len(teams) == 1 else "",
        updated_at=found.updated_at,
        in_project=key.project,
        assignee_email=email,
    )


def state_of(settings: Remote, status: str) -> str:
    """The state's name in policies: what `states` says, or the source's own in lower case with `_` for spaces."""
    return settings.states.get(status) or re.sub(r"\s+", "_", clean(status, 64).lower())


def put(path: str, text: str) -> dict[str, Any]:
    """Facts in which that path leads to that text."""
    found: Any = text
    for name in reversed(path.split(".")):
        found = {name: found}
    return dict(found)


def values(facts: Any, taken: Taken) -> list[str]:
    """The texts that a field holds, or what the pattern takes of those that match it."""
    found = [one for value in _at(facts, taken.field) if (one := scalar(value))][:_MOST_VALUES]
    if taken.pattern is None:
        return [one for one in found if len(one) <= PATTERN_INPUT]
    pattern = _compiled(taken.pattern)
    matches = [pattern.fullmatch(one) for one in found if len(one) <= PATTERN_INPUT]
    return [match[1] for match in matches if match is not None and match[1]]


def first(facts: Any, path: str | None) -> str:
    """The one text at a path; "" for none or several."""
    found = [one for value in _at(facts, path) if (one := scalar(value))] if path else []
    return found[0] if len(found) == 1 else ""


def scalar(value: Any) -> str:
    """A text or a whole number as text, without spaces around; "" for anything else, and for what hides something."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**18 else ""
    if not isinstance(value, str) or len(value) > 4096:
        return ""
    text = value.strip(" \t\r\n")
    return text if text.isprintable() else ""


def clean(value: Any, limit: int) -> str:
    """A text for people to read: bounded, and without what terminals or records would stumble over."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in value[:limit]).strip()


def mapping(value: Any) -> Mapping[str, Any]:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def moment(value: Any) -> datetime | None:
    """A moment of ISO 8601; ServiceNow's with a space; Jira's with a zone without a colon."""
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _assigned(settings: Remote, accounts: tuple[Account, ...]) -> tuple[str, str]:
    """The assignee's login and e-mail address, as far as the configuration lets them count.

    FAIL CLOSED: a ticket that several have is nobody's.
    """
    if len(accounts) != 1:
        return "", ""
    account, rule = accounts[0], settings.assignee
    for name in (account.id, account.login, account.email):
        if name and name in rule.people:
            return fold_login(rule.people[name]), ""
    if rule.by == "login":
        return fold_login(account.login), ""
    return "", account.email.strip().casefold() if rule.by == "email" and _is_email(account.email) else ""


def _is_email(text: str) -> bool:
    return 3 <= len(text) <= 254 and text.isascii() and text.isprintable() and text.count("@") == 1


def _at(value: Any, path: str) -> Iterator[Any]:
    level: list[Any] = [value]
    for name in path.split("."):
        reached: list[Any] = []
        for one in level:
            if isinstance(one, list):
                members = one[int(name) :][:1] if name.isdecimal() and len(name) < 4 else [_of(m, name) for m in one]
                reached += members
            else:
                reached.append(_of(one, name))
        level = [one for one in reached if one is not None][:_MOST_VALUES]
    for one in level:
        yield from one[:_MOST_VALUES] if isinstance(one, list) else [one]


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)
