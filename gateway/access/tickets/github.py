"""GitHub issues: https://docs.github.com/en/rest/issues/issues, as of version 2022-11-28.

GitHub lists what changed but neither what was deleted nor what was transferred, so each issue is asked for by itself,
with the validator of the last answer: an unchanged one is a 304, which does not count against the rate limit. An issue
that was transferred is a redirect, and gone here; a pull request is no issue.

Who may label an issue (triage) or edit it may set its customer: name a label that only those get to use whom the policy
trusts, and never a part of the text. Paths are relative to the issue; `labels.name` is all of its labels.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.access.tickets.fields import Account, Found, Key, mapping, moment, scalar
from gateway.access.tickets.http import Answer, Client
from gateway.access.tickets.tokens import jwt_rs256
from gateway.access.tickets.vendor import AskedOverHttp
from gateway.ticket_settings import GitHub

_HEADERS = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
_KNOWN = 1000
_LAST = re.compile(r"[?&]page=([1-9][0-9]{0,5})[^>]*>; rel=\"last\"")


class GitHubTickets(AskedOverHttp[GitHub]):
    """See the module."""

    def __init__(self, settings: GitHub, client: Client) -> None:
        super().__init__(settings, client)
        self._known: OrderedDict[Key, tuple[str, Found | None]] = OrderedDict()

    def one(self, key: Key) -> Found | None:
        """GET issue, if it changed."""
        known = self._known.get(key)
        validator = {"if-none-match": known[0]} if known is not None else {}
        answer = self.client.get(*self._path(key), headers={**self._headers(), **validator})
        if known is not None and answer.status == 304:
            return known[1]
        if answer.status in (404, 410, 301):
            return None
        if answer.status != 200:
            raise self.unusable(f"an issue was answered with {answer.status}")
        found = self._found(key, self.object(answer.json))
        etag = answer.headers.get("etag", "")
        if 0 < len(etag) <= 200 and etag.isascii() and etag.isprintable():
            self._known[key] = etag, found
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        else:
            self._known.pop(key, None)
        return found

    def named_in(self, news: Mapping[str, Any]) -> list[str]:
        """The issue of an `issues` event, under the project's key."""
        number = scalar(mapping(news.get("issue")).get("number"))
        full = scalar(mapping(news.get("repository")).get("full_name")).casefold()
        return [
            f"{key}-{number}" for key, scope in self.settings.projects.items() if number and scope.casefold() == full
        ]

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """Add a comment; on a public repository everybody reads it."""
        path = (*self._path(key), "comments")
        if again:
            # they come oldest first, and what is looked for is new: on the last pages
            page = self._comments(path, 1)
            last = _LAST.search(page.headers.get("link", ""))
            pages = [page] if last is None else [self._comments(path, int(last[1]) - back) for back in (0, 1)]
            if any(self.commented(self.items(one.json, ""), "body", marker) for one in pages):
                return
        answer = self.client.send("POST", path, body={"body": f"{text} {marker}"}, headers=self._headers())
        if answer.status != 201:
            raise self.unusable(f"a comment was answered with {answer.status}")

    def _comments(self, path: tuple[str, ...], page: int) -> Answer:
        return self.client.get(*path, params=[("per_page", "100"), ("page", str(page))], headers=self._headers())

    def _path(self, key: Key) -> tuple[str, ...]:
        return ("repos", *key.scope.split("/"), "issues", key.number)

    def _headers(self) -> dict[str, str]:
        if self.settings.auth != "app":
            return _HEADERS
        return {**_HEADERS, "authorization": f"Bearer {self.client.borrowed(self._installation_token)}"}

    def _installation_token(self) -> tuple[str, float]:
        """https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app"""
        now = int(time.time())
        claims = {"iat": now - 60, "exp": now + 540, "iss": self.settings.app}
        token = self._signed(claims)
        answer = self.client.send(
            "POST",
            ("app", "installations", str(self.settings.installation), "access_tokens"),
            headers={**_HEADERS, "authorization": f"Bearer {token}"},
        )
        given = self.object(answer.json)
        ends = moment(given.get("expires_at"))
        if answer.status != 201 or ends is None:
            raise self.unusable(f"no token was given: {answer.status}")
        return scalar(given.get("token")), ends.timestamp() - now

    def _signed(self, claims: Mapping[str, Any]) -> str:
        try:
            return jwt_rs256(self.client.secret(self.settings.token), claims)
        except ValueError as error:
            raise self.unusable(str(error)) from error

    def _found(self, key: Key, issue: Mapping[str, Any]) -> Found | None:
        place = urlsplit(scalar(issue.get("repository_url"))).path.casefold()
        number = scalar(issue.get("number"))
        if not number or not place:
            raise self.unusable("an issue has no number or no repository")
        if number != key.number or not place.endswith(f"/repos/{key.scope}".casefold()):
            return None
        if issue.get("pull_request") is not None:
            return None
        status = scalar(issue.get("state"))
        if not status:
            raise self.unusable("an issue has no state")
        return Found(
            title=issue.get("title") or "",
            status=status,
            accounts=tuple(
                Account(scalar(one.get("id")), scalar(one.get("login"))) for one in self.items(issue, "assignees")
            ),
            facts=issue,
            url=scalar(issue.get("html_url")),
            updated_at=moment(issue.get("updated_at")),
        )
