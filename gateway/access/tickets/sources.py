"""All configured sources as one: the project's key in a ticket's id says which of them is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from gateway.access.tickets.file import FileTickets
from gateway.access.tickets.github import GitHubTickets
from gateway.access.tickets.gitlab import GitLabTickets
from gateway.access.tickets.http import Client
from gateway.access.tickets.jira import JiraTickets
from gateway.access.tickets.polled import News, PolledSource, Report, Vendor
from gateway.access.tickets.roundup import RoundupTickets
from gateway.access.tickets.servicenow import ServiceNowTickets
from gateway.access.tickets.web import WebTickets
from gateway.access.tickets.zendesk import ZendeskTickets
from gateway.errors import Refusal
from gateway.model import Ticket
from gateway.ports import Sighting
from gateway.ticket_settings import (
    FileTickets as FileSettings,
)  # fmt: skip
from gateway.ticket_settings import (
    GitHub,
    GitLab,
    HttpTickets,
    Jira,
    Remote,
    Roundup,
    ServiceNow,
    Zendesk,
)


class Sources:
    """`ports.TicketSource` over several; an id that none of them answers for is no ticket's."""

    def __init__(
        self, files: Collection[tuple[FileTickets, frozenset[str] | None]], remote: Collection[PolledSource]
    ) -> None:
        self._projects: dict[str, FileTickets | PolledSource] = {}
        self._other: FileTickets | None = None
        self.remote = {source.system: source for source in remote}
        for file, claims in files:
            if claims is None:
                self._other = file
            self._projects |= dict.fromkeys(claims or (), file)
        for source in remote:
            self._projects |= dict.fromkeys(source.settings.projects, source)

    def find(self, ticket_id: str) -> Ticket | None:
        """The ticket as it stands now, or None. Raises `GatewayError("ticket-source-unavailable")`."""
        source = self._of(ticket_id)
        return None if source is None else source.find(ticket_id)

    def recent(self, ticket_ids: Collection[str]) -> Mapping[str, Sighting | Refusal]:
        """What was last heard of these tickets."""
        parts: dict[int, tuple[FileTickets | PolledSource, list[str]]] = {}
        found: dict[str, Sighting | Refusal] = {}
        for ticket_id in ticket_ids:
            source = self._of(ticket_id)
            if source is None:
                found[ticket_id] = Sighting(None, time.monotonic())
            else:
                parts.setdefault(id(source), (source, []))[1].append(ticket_id)
        for source, ids in parts.values():
            found |= source.recent(ids)
        return found

    def close(self) -> None:
        """Join the threads."""
        for source in self.remote.values():
            source.close()

    def _of(self, ticket_id: str) -> FileTickets | PolledSource | None:
        head, hyphen, _ = ticket_id.rpartition("-")
        # a number without a hyphen has its project's letters in front, as ServiceNow's have
        key = head if hyphen else ticket_id.rstrip("0123456789")
        return self._projects.get(key, self._other)


def open_sources(
    settings: Collection[FileSettings | Remote],
    *,
    news: News = lambda _, __: None,
    report: Report = lambda _, __: None,
    monotonic: Callable[[], float] = time.monotonic,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Sources:
    """The sources of that configuration; none is asked yet. Raises `GatewayError("configuration-invalid")`."""
    files = [
        (FileTickets(one.path, system=one.system), one.claims()) for one in settings if isinstance(one, FileSettings)
    ]
    remote = [
        PolledSource(
            _vendor(one, Client(one, monotonic=monotonic, clock=clock)), news=news, report=report, monotonic=monotonic
        )
        for one in settings
        if isinstance(one, Remote)
    ]
    return Sources(files, remote)


def _vendor(settings: Remote, client: Client) -> Vendor:
    match settings:
        case Jira():
            return JiraTickets(settings, client)
        case Zendesk():
            return ZendeskTickets(settings, client)
        case GitHub():
            return GitHubTickets(settings, client)
        case GitLab():
            return GitLabTickets(settings, client)
        case ServiceNow():
            return ServiceNowTickets(settings, client)
        case Roundup():
            return RoundupTickets(settings, client)
        case HttpTickets():
            return WebTickets(settings, client)
    raise AssertionError(f"no module for {type(settings).__name__}")
