"""Jira Cloud (REST v3) and Jira Server or Data Center (REST v2).

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/ (get issue, bulk fetch, comments);
https://docs.atlassian.com/software/jira/docs/api/REST/9.17.0/ (issue, search).

Jira finds an issue by a key that it had before, in whatever case. INVARIANT: an answer counts only for the key that it
names itself, so an issue that was moved to another project is gone under the old key.

Cloud is asked about many by bulk fetch and not by JQL: its search lags behind what it searches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.access.tickets.fields import Account, Found, Key, mapping, moment, put, scalar
from gateway.access.tickets.http import Client
from gateway.access.tickets.vendor import AskedOverHttp
from gateway.ticket_settings import Jira

_BATCH = 100
_ALWAYS = ("summary", "status", "assignee", "project", "updated")
_MOST_PAGES = 20


class JiraTickets(AskedOverHttp[Jira]):
    """See the module. Paths are relative to `fields`."""

    def __init__(self, settings: Jira, client: Client) -> None:
        super().__init__(settings, client)
        self._api = ("rest", "api", "2" if settings.server else "3")
        taken = [settings.customer, *([settings.team] if settings.team else [])]
        self._fields = [*_ALWAYS, *dict.fromkeys(one.field.partition(".")[0] for one in taken)]

    def one(self, key: Key) -> Found | None:
        """GET issue."""
        answer = self.client.get(*self._api, "issue", key.id, params=[("fields", ",".join(self._fields))])
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise self.unusable(f"an issue was answered with {answer.status}")
        return self._found(key, self.object(answer.json))

    def many(self, keys: Collection[Key]) -> dict[Key, Found | None]:
        """Bulk fetch of Cloud, or a search for the keys of Server."""
        found: dict[Key, Found | None] = {}
        ordered = list(keys)
        for start in range(0, len(ordered), _BATCH):
            group = ordered[start : start + _BATCH]
            issues = self._searched(group) if self.settings.server else self._fetched(group)
            by_key = {scalar(issue.get("key")): issue for issue in issues}
            found |= {key: self._found(key, by_key[key.id]) if key.id in by_key else None for key in group}
        return found

    def between(self, key: Key, now: Found, since: datetime) -> list[Found]:
        """What the changelog says (100 changes at the most): states, assignees, customers, and projects before this.

        An assignee other than today's is known by the account's id only; who moved an issue took its customer away.
        """
        params = [("fields", "updated"), ("expand", "changelog")]
        answer = self.client.get(*self._api, "issue", key.id, params=params)
        log = self.items(mapping(mapping(answer.json).get("changelog")), "histories")
        dated = [(at, change) for change in log if (at := moment(change.get("created"))) is not None and at > since]
        stood, was = [], now
        for _, change in sorted(dated, key=lambda pair: pair[0], reverse=True):
            before = was
            for item in self.items(change, "items"):
                before = self._undone(before, item, now)
            if before is not was:
                stood.append(before)
            was = before
        # the oldest is how it stood at that moment, which was seen
        return stood[:-1]

    def _undone(self, was: Found, item: Mapping[str, Any], now: Found) -> Found:
        name, text = scalar(item.get("fieldId")) or scalar(item.get("field")), scalar(item.get("fromString"))
        customer = self.settings.customer.field
        if name == "status":
            return replace(was, status=text)
        if name == "assignee":
            id_ = scalar(item.get("from"))
            ours = [one for one in now.accounts if id_ and one.id == id_]
            return replace(was, accounts=tuple(ours) or ((Account(id_),) if id_ else ()))
        if name == customer.partition(".")[0]:
            return replace(was, facts={**was.facts, **put(customer, text)})
        if name in ("Key", "project"):
            return replace(was, facts={})
        return was

    def named_in(self, news: Mapping[str, Any]) -> list[str]:
        """The issue of a webhook (developer.atlassian.com/cloud/jira/platform/webhooks/)."""
        issue = mapping(news.get("issue"))
        moved = [
            scalar(item.get("fromString"))
            for item in mapping(news.get("changelog")).get("items") or ()
            if isinstance(item, dict) and item.get("field") == "Key"
        ]
        return [one for one in (scalar(issue.get("key")), *moved) if one]

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """Add a comment: a document (ADF) in Cloud, text in Server."""
        path = (*self._api, "issue", key.id, "comment")
        if again:
            newest = self.client.get(*path, params=[("orderBy", "-created"), ("maxResults", "100")])
            if self.commented(self.items(newest.json, "comments"), "body", marker):
                return
        line = f"{text} {marker}"
        document = {
            "type": "doc",
            "version": 1,
            "content": [{"type": "paragraph", "content": [{"type": "text", "text": line}]}],
        }
        answer = self.client.send("POST", path, body={"body": line if self.settings.server else document})
        if answer.status != 201:
            raise self.unusable(f"a comment was answered with {answer.status}")

    def _fetched(self, group: list[Key]) -> list[Mapping[str, Any]]:
        body = {"issueIdsOrKeys": [key.id for key in group], "fields": self._fields}
        answer = self.client.send("POST", (*self._api, "issue", "bulkfetch"), body=body)
        return self.items(answer.json, "issues")

    def _searched(self, group: list[Key]) -> list[Mapping[str, Any]]:
        """All pages of it; `validateQuery` lets keys that exist no more be without effect."""
        found: list[Mapping[str, Any]] = []
        for _ in range(_MOST_PAGES):
            body = {
                "jql": f"key in ({', '.join(key.id for key in group)})",
                "fields": self._fields,
                "startAt": len(found),
                "maxResults": _BATCH,
                "validateQuery": False,
            }
            page = self.object(self.client.send("POST", (*self._api, "search"), body=body).json)
            issues = self.items(page, "issues")
            found += issues
            total = page.get("total")
            if not isinstance(total, int) or isinstance(total, bool):
                raise self.unusable("a search has no `total`")
            if len(found) >= total:
                return found
            if not issues:
                break
        raise self.unusable("a search ends before its total")

    def _found(self, key: Key, issue: Mapping[str, Any]) -> Found | None:
        fields = self.object(issue.get("fields"))
        if issue.get("key") != key.id or mapping(fields.get("project")).get("key") != key.scope:
            return None
        status = scalar(mapping(fields.get("status")).get("name"))
        if not status:
            raise self.unusable("an issue has no status")
        who = mapping(fields.get("assignee"))
        account = Account(
            scalar(who.get("accountId") or who.get("key")), scalar(who.get("name")), scalar(who.get("emailAddress"))
        )
        root = self.settings.url
        return Found(
            title=fields.get("summary") or "",
            status=status,
            accounts=(account,) if who else (),
            facts=fields,
            url=f"{root}/browse/{key.id}",
            updated_at=moment(fields.get("updated")),
        )
