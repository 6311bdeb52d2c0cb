"""Any source that answers with a ticket as JSON: where it is and where its fields are says the configuration.

INVARIANT: the answer names the ticket itself (`id`), and counts for that ticket only: a source that answers about
another one, or ignores what it is asked for, justifies nothing.
"""

from __future__ import annotations

from gateway.access.tickets.fields import Account, Found, Key, first, moment, values
from gateway.access.tickets.vendor import AskedOverHttp
from gateway.ticket_settings import HttpTickets


class WebTickets(AskedOverHttp[HttpTickets]):
    """See the module."""

    def one(self, key: Key) -> Found | None:
        """GET the ticket: 404 and 410 say that there is none."""
        settings = self.settings
        names = {"{number}": key.number, "{project}": key.scope}
        segments = []
        for part in settings.path.strip("/").split("/"):
            for name, value in names.items():
                part = part.replace(name, value)  # noqa: PLW2901 - one after the other
            segments.append(part)
        token = {}
        if settings.auth == "token":
            token[settings.header] = self.client.secret(settings.token).decode()
        answer = self.client.get(*segments, headers=token)
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise self.unusable(f"a ticket was answered with {answer.status}")
        document = self.object(answer.json)
        if values(document, settings.id) not in ([key.number], [key.id]):
            raise self.unusable("it answered about another ticket")
        status = first(document, settings.status)
        if not status:
            raise self.unusable("a ticket has no status")
        account = first(document, settings.account)
        return Found(
            title=first(document, settings.title),
            status=status,
            accounts=(Account(account, account, account),) if account else (),
            facts=document,
            updated_at=moment(first(document, settings.updated)),
        )
