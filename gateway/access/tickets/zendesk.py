"""Zendesk Support: https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/ (show, show_many, `include`).

A ticket's customer is best its organization's `external_id` or a field of that, which only agents set; the ticket's own
custom fields can be set by whoever files it, unless they are for agents only. Paths are relative to the ticket, with
`organization`, `group` and `assignee` in it as they were side loaded, and `custom`, the custom fields by their ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.access.tickets.fields import Account, Found, Key, mapping, moment, scalar
from gateway.access.tickets.vendor import AskedOverHttp
from gateway.ticket_settings import Zendesk

_BATCH = 100
_INCLUDE = ("include", "users,organizations,groups")
_LISTS = (("organizations", "organization"), ("groups", "group"), ("users", "assignee"))


class ZendeskTickets(AskedOverHttp[Zendesk]):
    """See the module. With `auth: basic`, `user` is `agent@example.com/token` and the token the API token."""

    def one(self, key: Key) -> Found | None:
        """GET tickets/{id}."""
        answer = self.client.get("api", "v2", "tickets", f"{key.number}.json", params=[_INCLUDE])
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise self.unusable(f"a ticket was answered with {answer.status}")
        document = self.object(answer.json)
        return self._found(key, self.object(document.get("ticket")), document)

    def many(self, keys: Collection[Key]) -> dict[Key, Found | None]:
        """GET tickets/show_many; what is deleted or unknown is left out of its answer."""
        found: dict[Key, Found | None] = {}
        ordered = list(keys)
        for start in range(0, len(ordered), _BATCH):
            group = ordered[start : start + _BATCH]
            ids = ("ids", ",".join(key.number for key in group))
            document = self.client.get("api", "v2", "tickets", "show_many.json", params=[ids, _INCLUDE]).json
            if mapping(document).get("next_page"):
                raise self.unusable("show_many has a further page")
            by_id = {scalar(ticket.get("id")): ticket for ticket in self.items(document, "tickets")}
            found |= {
                key: self._found(key, by_id[key.number], document) if key.number in by_id else None for key in group
            }
        return found

    def between(self, key: Key, now: Found, since: datetime) -> list[Found]:
        """What the audits say: states, assignees and organizations before this (newest 100 changes)."""
        path = ("api", "v2", "tickets", key.number, "audits.json")
        answer = self.client.get(*path, params=[("sort_order", "desc")])
        audits = self.items(answer.json, "audits")
        stood, was = [], now
        for audit in audits:
            at = moment(audit.get("created_at"))
            # its moments are whole seconds: what happened in the one that was seen may have come after that
            if at is None or at < since:
                continue
            before = was
            for event in self.items(audit, "events"):
                if event.get("type") == "Change":
                    before = self._undone(before, event, now)
            if before is not was:
                stood.append(before)
            was = before
        return stood[:-1]

    def _undone(self, was: Found, event: Mapping[str, Any], now: Found) -> Found:
        name, text = event.get("field_name"), scalar(event.get("previous_value"))
        if name == "status":
            return replace(was, status=text)
        if name == "assignee_id":
            ours = [one for one in now.accounts if text and one.id == text]
            return replace(was, accounts=tuple(ours) or ((Account(text),) if text else ()))
        if name == "organization_id":
            same = text == scalar(now.facts.get("organization_id"))
            return replace(was, facts={**was.facts, "organization": now.facts.get("organization") if same else None})
        return was

    def named_in(self, news: Mapping[str, Any]) -> list[str]:
        """Of an event webhook its `detail.id`; of a trigger's the `id` that its author put in."""
        detail = scalar(mapping(news.get("detail")).get("id"))
        return [detail] if detail else super().named_in(news)

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """An internal note, which the customer does not see."""
        path = ("api", "v2", "tickets", key.number)
        if again:
            newest = self.client.get(*path, "comments.json", params=[("sort_order", "desc")])
            if self.commented(self.items(newest.json, "comments"), "body", marker):
                return
        body = {"ticket": {"comment": {"body": f"{text} {marker}", "public": False}}}
        answer = self.client.send("PUT", (*path[:3], f"{key.number}.json"), body=body)
        if answer.status != 200:
            raise self.unusable(f"a comment was answered with {answer.status}")

    def _found(self, key: Key, ticket: Mapping[str, Any], document: Mapping[str, Any]) -> Found | None:
        if scalar(ticket.get("id")) != key.number:
            raise self.unusable("it answered about another ticket")
        status = scalar(ticket.get("status"))
        if not status:
            raise self.unusable("a ticket has no status")
        if status == "deleted":
            return None
        facts = dict(ticket)
        for name, member in _LISTS:
            wanted = ticket.get(f"{member}_id")
            loaded = {one.get("id"): one for one in self.items(document, name)} if wanted is not None else {}
            facts[member] = loaded.get(wanted)
        fields = ticket.get("custom_fields")
        facts["custom"] = {
            scalar(one.get("id")): one.get("value")
            for one in (fields if isinstance(fields, list) else [])
            if isinstance(one, dict)
        }
        who = mapping(facts["assignee"])
        account = Account(scalar(ticket.get("assignee_id")), "", scalar(who.get("email")))
        return Found(
            title=ticket.get("subject") or "",
            status=status,
            accounts=(account,) if account.id else (),
            facts=facts,
            url=f"{self.settings.url}/agent/tickets/{key.number}",
            updated_at=moment(ticket.get("updated_at")),
        )
