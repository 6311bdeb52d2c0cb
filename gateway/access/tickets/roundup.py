"""Roundup's REST interface: https://www.roundup-tracker.org/docs/rest.html

Items are asked for as a filtered collection, with the labels of what they link to (`@verbose=2`): asked for by itself
an item that was retired, which is Roundup's way to delete, comes as if nothing had happened. Paths are relative to the
item: `organisation.name`, `keyword.name`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from gateway.access.tickets.fields import Account, Found, Key, mapping, moment, scalar
from gateway.access.tickets.http import Client
from gateway.access.tickets.vendor import AskedOverHttp, by_project
from gateway.ticket_settings import Roundup

_BATCH = 100
_ALWAYS = ("title", "status", "assignedto", "activity")
_LOOKED_AT = 20


class RoundupTickets(AskedOverHttp[Roundup]):
    """See the module. What a project stands for is the class; the assignee is `assignedto`."""

    def __init__(self, settings: Roundup, client: Client) -> None:
        super().__init__(settings, client)
        taken = [settings.customer, *([settings.team] if settings.team else [])]
        self._fields = ",".join(dict.fromkeys((*_ALWAYS, *(one.field.partition(".")[0] for one in taken))))
        url = urlsplit(settings.url)
        # Roundup's guard against forged requests of browsers wants all three
        self._headers = {
            "x-requested-with": "rest", "origin": f"{url.scheme}://{url.netloc}", "referer": f"{settings.url}/",
        }  # fmt: skip

    def one(self, key: Key) -> Found | None:
        """The item of that number."""
        return self.many([key])[key]

    def many(self, keys: Collection[Key]) -> dict[Key, Found | None]:
        """Each class's items by their numbers, the retired ones left out."""
        found: dict[Key, Found | None] = {}
        for class_, group in by_project(keys, _BATCH):
            params = [
                *(("id", key.number) for key in group),
                ("@fields", self._fields),
                ("@verbose", "2"),
                ("@page_size", str(2 * _BATCH)),
            ]
            answer = self.client.get("rest", "data", class_, params=params, headers=self._headers)
            if answer.status != 200:
                raise self.unusable(f"a class was answered with {answer.status}")
            items = self.items(self.object(answer.json).get("data"), "collection")
            by_number = {scalar(item.get("id")): item for item in items}
            if "" in by_number:
                raise self.unusable("an item has no id")
            for key in group:
                found[key] = self._found(key, by_number[key.number]) if key.number in by_number else None
        return found

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """A message of the gateway's own account, added to the item's; needs `auth: basic`, which says who that is."""
        item = ("rest", "data", key.scope, key.number)
        answer = self.client.get(*item, params=[("@verbose", "1"), ("@fields", "messages")], headers=self._headers)
        data = self.object(self.object(answer.json).get("data"))
        if again and self._has(mapping(data.get("attributes")).get("messages"), marker):
            return
        message = {"content": f"{text} {marker}", "author": self.settings.user}
        made = self.client.send("POST", ("rest", "data", "msg"), body=message, headers=self._headers)
        id_ = scalar(mapping(mapping(made.json).get("data")).get("id"))
        if made.status != 201 or not id_:
            raise self.unusable(f"a message was answered with {made.status}")
        unchanged = {"if-match": scalar(data.get("@etag"))}
        change = {"@op": "add", "messages": id_}
        done = self.client.send("PATCH", item, body=change, headers={**self._headers, **unchanged})
        if done.status != 200:
            raise self.unusable(f"adding a message was answered with {done.status}")

    def _has(self, messages: Any, marker: str) -> bool:
        for message in self.items(messages, "")[-_LOOKED_AT:]:
            path = ("rest", "data", "msg", scalar(message.get("id")), "content")
            answer = self.client.get(*path, headers=self._headers)
            if marker in str(mapping(mapping(answer.json).get("data")).get("data", "")):
                return True
        return False

    def _found(self, key: Key, item: Mapping[str, Any]) -> Found:
        status = _label(item.get("status"))
        if not status:
            raise self.unusable("an item has no status")
        who = mapping(item.get("assignedto"))
        return Found(
            title=item.get("title") or "",
            status=status,
            accounts=(Account(scalar(who.get("id")), _label(who)),) if who else (),
            facts=item,
            url=f"{self.settings.url}/{key.scope}{key.number}",
            updated_at=_date(item.get("activity")),
        )


def _label(link: Any) -> str:
    """What a link is called: the one attribute beside its id and address."""
    names = [scalar(value) for name, value in mapping(link).items() if name not in ("id", "link")]
    return names[0] if len(names) == 1 else ""


def _date(value: Any) -> datetime | None:
    """Roundup writes `2026-03-01.09:30:00`."""
    return moment(value.replace(".", "T", 1)) if isinstance(value, str) else None
