"""Jira as its published API has it: enough of an instance to be asked about issues and to be commented on.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-get
https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-bulkfetch-post
https://docs.atlassian.com/software/jira/docs/api/REST/9.17.0/#api/2/search-search
https://developer.atlassian.com/cloud/jira/platform/webhooks/ and .../rate-limiting/
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from vendor_server import Asked, Told

USER, TOKEN = "bot@example.com", "jira-secret"
START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
_MISSING = {"errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {}}


class Jira:
    """Issues by key; `moved` maps keys they had before. Server when `server`, with pages of `page`."""

    def __init__(self, *, server: bool = False, page: int = 50) -> None:
        self.server, self.page = server, page
        self.issues: dict[str, dict[str, Any]] = {}
        self.moved: dict[str, str] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.changes = 0
        self.comments: dict[str, list[dict[str, Any]]] = {}
        self.api = ("rest", "api", "2" if server else "3")

    def put(self, key: str, **fields: Any) -> None:
        known = self.issues.get(key, {})
        start = {
            "status": "open",
            "assignee": "alice",
            "customer": "42",
            "summary": "Payslip of March",
            "updated": START,
        }
        self.issues[key] = {**start, "updated": START, **known, **fields}
        items = [
            self._item(name, known[name], value) for name, value in fields.items() if known.get(name, value) != value
        ]
        if items:
            self.changes += 1
            moment = START + timedelta(seconds=self.changes)
            self.issues[key]["updated"] = moment
            entry = {"id": str(self.changes), "created": _stamp(moment), "items": items}
            self.histories.setdefault(key, []).insert(0, entry)

    def _item(self, name: str, old: str, new: str) -> dict[str, Any]:
        if name == "customer":
            return {"field": "Customer", "fieldId": "customfield_10042", "fromString": old, "toString": new}
        account = f"JIRAUSER{len(old)}" if self.server else f"557058:{old}"
        return {"field": name, "fieldId": name, "from": account if old else None, "fromString": old, "toString": new}

    def move(self, key: str, to: str) -> None:
        self.issues[to] = self.issues.pop(key)
        self.moved[key] = to

    def answer(self, asked: Asked) -> Told:
        basic = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        if asked.headers.get("authorization") != (f"Bearer {TOKEN}" if self.server else basic):
            return Told(401, {"message": "Client must be authenticated to access this resource.", "status-code": 401})
        if asked.path[:3] != self.api:
            return Told(404, body=b"<html>dead link</html>", headers={"content-type": "text/html"})
        rest = asked.path[3:]
        match (asked.method, *rest):
            case ("GET", "issue", key):
                found = self._find(key)
                if found is None:
                    return Told(404, _MISSING)
                issue = self._issue(found, asked.one("fields").split(","))
                if asked.one("expand") == "changelog":
                    histories = self.histories.get(found, [])
                    issue["changelog"] = {
                        "startAt": 0,
                        "maxResults": 100,
                        "total": len(histories),
                        "histories": histories,
                    }
                return Told(200, issue)
            case ("POST", "issue", "bulkfetch") if not self.server:
                wanted = asked.json()
                found_keys = {self._find(key) for key in wanted["issueIdsOrKeys"]} - {None}
                issues = [self._issue(str(key), wanted["fields"]) for key in sorted(map(str, found_keys))]
                missing = [key for key in wanted["issueIdsOrKeys"] if self._find(key) is None]
                errors = [{"id": key, "errorMessage": "Issue does not exist"} for key in missing]
                return Told(200, {"expand": "names,schema", "issues": issues, "issueErrors": errors})
            case ("POST", "search") if self.server:
                return self._search(asked.json())
            case ("GET", "issue", key, "comment"):
                found = self.comments.get(key, [])
                return Told(200, {"startAt": 0, "maxResults": 100, "total": len(found), "comments": found[::-1]})
            case ("POST", "issue", key, "comment"):
                if key not in self.issues:
                    return Told(404, _MISSING)
                body = asked.json()["body"]
                assert isinstance(body, str) == self.server, "Cloud takes documents, Server takes text"
                comment = {"id": str(len(self.comments) + 10000), "body": body}
                self.comments.setdefault(key, []).append(comment)
                return Told(201, comment)
        return Told(404, {"errorMessages": ["null for uri"], "errors": {}})

    def _find(self, key: str) -> str | None:
        """Jira looks case-insensitively, and follows issues that moved."""
        upper = key.upper()
        upper = self.moved.get(upper, upper)
        return upper if upper in self.issues else None

    def _search(self, wanted: dict[str, Any]) -> Told:
        keys = re.fullmatch(r"key in \(([A-Z0-9_, -]+)\)", wanted["jql"])
        assert keys is not None, wanted["jql"]
        found = [self._find(key) for key in keys[1].split(", ")]
        if wanted.get("validateQuery", True) is not False and None in found:
            return Told(400, {"errorMessages": ["An issue with key 'X-1' does not exist for field 'key'."]})
        there = sorted({key for key in found if key})
        start = wanted["startAt"]
        size = min(self.page, wanted["maxResults"])
        issues = [self._issue(key, wanted["fields"]) for key in there[start : start + size]]
        return Told(200, {"startAt": start, "maxResults": size, "total": len(there), "issues": issues})

    def _issue(self, key: str, fields: list[str]) -> dict[str, Any]:
        facts = self.issues[key]
        who = facts["assignee"]
        person: dict[str, Any] | None = None
        if who and self.server:
            person = {"name": who, "key": f"JIRAUSER{len(who)}", "emailAddress": f"{who}@example.com", "active": True}
        elif who:
            person = {"accountId": f"557058:{who}", "emailAddress": f"{who}@example.com", "displayName": who.title()}
        everything = {
            "summary": facts["summary"],
            "status": {"name": facts["status"], "statusCategory": {"key": "indeterminate"}},
            "assignee": person,
            "project": {"key": key.rpartition("-")[0], "name": "Support"},
            "updated": _stamp(facts["updated"]),
            "customfield_10042": {"self": f"https://x/{facts['customer']}", "value": facts["customer"], "id": "1"},
            "description": "a text that nobody asked for",
        }
        return {"id": "10002", "key": key, "fields": {name: everything[name] for name in fields if name in everything}}


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def signed(secret: bytes, key: str, *, at: float | None = None, **more: Any) -> tuple[dict[str, str], bytes]:
    """A webhook's headers and body."""
    moment = int((time.time() if at is None else at) * 1000)
    body = json.dumps(
        {"timestamp": moment, "webhookEvent": "jira:issue_updated", "issue": {"key": key}, **more}
    ).encode()
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {"x-hub-signature": f"sha256={digest}", "x-atlassian-webhook-identifier": "abc"}, body
