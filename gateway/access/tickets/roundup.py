"""Roundup's REST interface: https://www.roundup-tracker.org/docs/rest.html

Items are asked for one by one, with the labels of what they link to (`@verbose=2`). Paths are relative to the item's
attributes: `organisation.name`, `keyword.name`.
"""

from __future__ import annotations

from typing import Any

from gateway.access.tickets.fields import Account, Found, Key, mapping, moment, scalar
from gateway.access.tickets.vendor import AskedOverHttp
from gateway.ticket_settings import Roundup

_HEADERS = {"x-requested-with": "rest"}
"""Roundup's guard against forged requests of browsers."""


class RoundupTickets(AskedOverHttp[Roundup]):
    """See the module. What a project stands for is the class; Roundup's own assignee is `assignedto`."""

    def one(self, key: Key) -> Found | None:
        """GET the item."""
        path = ("rest", "data", key.scope, key.number)
        answer = self.client.get(*path, params=[("@verbose", "2")], headers=_HEADERS)
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise self.unusable(f"an item was answered with {answer.status}")
        data = self.object(self.object(answer.json).get("data"))
        if data.get("type") != key.scope or scalar(data.get("id")) != key.number:
            raise self.unusable("it answered about another item")
        fields = self.object(data.get("attributes"))
        status = _label(fields.get("status"))
        if not status:
            raise self.unusable("an item has no status")
        who = mapping(fields.get("assignedto"))
        return Found(
            title=fields.get("title") or "",
            status=status,
            accounts=(Account(scalar(who.get("id")), _label(who)),) if who else (),
            facts=fields,
            url=f"{self.settings.url}/{key.scope}{key.number}",
            updated_at=_date(fields.get("activity")),
        )

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """A message, added to the item's."""
        item = ("rest", "data", key.scope, key.number)
        answer = self.client.get(*item, params=[("@verbose", "1")], headers=_HEADERS)
        data = self.object(self.object(answer.json).get("data"))
        etag = scalar(data.get("@etag"))
        if again and self._has(mapping(data.get("attributes")).get("messages"), marker):
            return
        made = self.client.send("POST", ("rest", "data", "msg"), body={"content": f"{text} {marker}"}, headers=_HEADERS)
        id_ = scalar(mapping(mapping(made.json).get("data")).get("id"))
        if made.status != 201 or not id_:
            raise self.unusable(f"a message was answered with {made.status}")
        change = {"@op": "add", "messages": id_}
        done = self.client.send("PATCH", item, body=change, headers={**_HEADERS, "if-match": etag})
        if done.status != 200:
            raise self.unusable(f"adding a message was answered with {done.status}")

    def _has(self, messages: Any, marker: str) -> bool:
        ids = [scalar(one.get("id")) for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
        for id_ in ids[-20:]:
            answer = self.client.get("rest", "data", "msg", id_, headers=_HEADERS)
            attributes = mapping(mapping(mapping(answer.json).get("data")).get("attributes"))
            if marker in str(attributes.get("content", "")):
                return True
        return False


def _label(link: Any) -> str:
    """What a link is called: the one attribute beside its id and address."""
    names = [scalar(value) for name, value in mapping(link).items() if name not in ("id", "link")]
    return names[0] if len(names) == 1 else ""


def _date(value: Any) -> Any:
    """Roundup writes `2026-03-01.09:30:00`."""
    return moment(value.replace(".", "T", 1)) if isinstance(value, str) else None
