"""GitLab issues: https://docs.gitlab.com/api/issues/ (single, and a project's by `iids[]`).

An issue that was moved stays behind, closed, with `moved_to_id`; it is gone all the same. Labels and text can be set by
whoever plans: use scoped labels (`customer::42`) in a project where only those get to whom the policy trusts. Paths are
relative to the issue; `labels` is all of its labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway.access.tickets.fields import Account, Found, Key, mapping, moment, scalar
from gateway.access.tickets.vendor import AskedOverHttp, by_project
from gateway.ticket_settings import GitLab

_BATCH = 50


class GitLabTickets(AskedOverHttp[GitLab]):
    """See the module."""

    def one(self, key: Key) -> Found | None:
        """GET a single issue."""
        answer = self.client.get(*self._path(key.scope), key.number, headers=self._headers())
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise self.unusable(f"an issue was answered with {answer.status}")
        return self._found(key, self.object(answer.json))

    def many(self, keys: Collection[Key]) -> dict[Key, Found | None]:
        """GET each project's issues by their numbers, of all states."""
        found: dict[Key, Found | None] = {}
        for scope, group in by_project(keys, _BATCH):
            params = [("iids[]", key.number) for key in group] + [("scope", "all"), ("per_page", "100")]
            answer = self.client.get(*self._path(scope), params=params, headers=self._headers())
            if answer.status == 404:
                found |= dict.fromkeys(group, None)
                continue
            if answer.headers.get("x-next-page"):
                raise self.unusable("a list of issues has a further page")
            by_number = {scalar(issue.get("iid")): issue for issue in self.items(answer.json, "")}
            found |= {
                key: self._found(key, by_number[key.number]) if key.number in by_number else None for key in group
            }
        return found

    def named_in(self, news: Mapping[str, Any]) -> list[str]:
        """The issue of an issue event, under the project's key."""
        number = scalar(mapping(news.get("object_attributes")).get("iid"))
        full = scalar(mapping(news.get("project")).get("path_with_namespace")).casefold()
        return [
            f"{key}-{number}" for key, scope in self.settings.projects.items() if number and scope.casefold() == full
        ]

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """An internal note."""
        path = (*self._path(key.scope), key.number, "notes")
        if again:
            newest = self.client.get(*path, params=[("sort", "desc"), ("per_page", "100")], headers=self._headers())
            if self.commented(self.items(newest.json, ""), "body", marker):
                return
        body = {"body": f"{text} {marker}", "internal": True}
        answer = self.client.send("POST", path, body=body, headers=self._headers())
        if answer.status != 201:
            raise self.unusable(f"a comment was answered with {answer.status}")

    def _path(self, scope: str) -> tuple[str, ...]:
        return ("api", "v4", "projects", scope, "issues")

    def _headers(self) -> dict[str, str]:
        if self.settings.auth != "token":
            return {}
        return {"private-token": self.client.secret(self.settings.token).decode()}

    def _found(self, key: Key, issue: Mapping[str, Any]) -> Found | None:
        place = scalar(mapping(issue.get("references")).get("full")).casefold()
        number = scalar(issue.get("iid"))
        if not number or not place:
            raise self.unusable("an issue has no number or no project")
        if number != key.number or place != f"{key.scope}#{key.number}".casefold():
            return None
        if issue.get("moved_to_id") is not None:
            return None
        status = scalar(issue.get("state"))
        if not status:
            raise self.unusable("an issue has no state")
        return Found(
            title=issue.get("title") or "",
            status=status,
            accounts=tuple(
                Account(scalar(one.get("id")), scalar(one.get("username"))) for one in self.items(issue, "assignees")
            ),
            facts=issue,
            url=scalar(issue.get("web_url")),
            updated_at=moment(issue.get("updated_at")),
        )
