"""GitHub issues as the published API has them, version 2022-11-28.

https://docs.github.com/en/rest/issues/issues#get-an-issue (301 transferred, 304, 404, 410 deleted);
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api (conditional requests);
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api (403, 429);
https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from vendor_server import Asked, Told

TOKEN = "github_pat_x"


class GitHub:
    """Issues by (repository, number). `app_key` is the public key of the app that may get installation tokens."""

    def __init__(self) -> None:
        self.issues: dict[tuple[str, int], dict[str, Any]] = {}
        self.comments: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self.app_key: rsa.RSAPublicKey | None = None
        self.tokens = 0
        self.counted = 0
        """Requests that count against the rate limit: 304s do not."""

    def put(self, repository: str, number: int, **fields: Any) -> None:
        known = self.issues.get((repository, number), {})
        start = {"state": "open", "assignees": ["alice"], "labels": ["bug", "customer:42"], "gone": 0, "pull": False}
        self.issues[repository, number] = {**start, **known, **fields}

    def answer(self, asked: Asked) -> Told:
        if asked.path[:2] == ("app", "installations"):
            return self._token(asked)
        token = f"ghs_{self.tokens}" if self.app_key else TOKEN
        if asked.headers.get("authorization") != f"Bearer {token}":
            return Told(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
        assert asked.headers["x-github-api-version"] == "2022-11-28"
        match (asked.method, *asked.path):
            case ("GET", "repos", owner, name, "issues", number):
                return self._issue(f"{owner}/{name}", int(number), asked)
            case ("GET", "repos", owner, name, "issues", number, "comments"):
                found, page = self.comments.get((f"{owner}/{name}", int(number)), []), int(asked.one("page", "1"))
                last = f'<https://api.github.com/x?per_page=100&page={-(-len(found) // 100)}>; rel="last"'
                more = {"link": last} if len(found) > 100 else {}
                return Told(200, found[100 * (page - 1) : 100 * page], more)
            case ("POST", "repos", owner, name, "issues", number, "comments"):
                comment = {"id": 1, "body": asked.json()["body"]}
                self.comments.setdefault((f"{owner}/{name}", int(number)), []).append(comment)
                return Told(201, comment)
        return Told(404, {"message": "Not Found"})

    def _issue(self, repository: str, number: int, asked: Asked) -> Told:
        facts = next(
            (value for (name, n), value in self.issues.items() if name.lower() == repository.lower() and n == number),
            None,
        )
        if facts is None:
            self.counted += 1
            return Told(404, {"message": "Not Found"})
        if facts["gone"] == 301:
            self.counted += 1
            moved = "https://api.github.com/repositories/2/issues/9"
            return Told(301, {"message": "Moved Permanently", "url": moved}, {"location": moved})
        if facts["gone"] == 410:
            self.counted += 1
            return Told(410, {"message": "This issue was deleted"})
        issue = {
            "id": 1000 + number,
            "number": number,
            "repository_url": f"https://api.github.com/repos/{repository}",
            "html_url": f"https://github.com/{repository}/issues/{number}",
            "title": "Payslip of March",
            "state": facts["state"],
            "state_reason": None,
            "assignee": {"login": facts["assignees"][0], "id": 5} if facts["assignees"] else None,
            "assignees": [{"login": login, "id": 5} for login in facts["assignees"]],
            "labels": [{"id": 1, "name": name, "color": "f29513"} for name in facts["labels"]],
            "updated_at": "2026-03-01T09:30:00Z",
            "user": {"login": "octocat", "id": 1},
        }
        if facts["pull"]:
            issue["pull_request"] = {"url": f"https://api.github.com/repos/{repository}/pulls/{number}"}
        etag = 'W/"' + hashlib.sha256(json.dumps(issue).encode()).hexdigest() + '"'
        if asked.headers.get("if-none-match") == etag:
            return Told(304, headers={"etag": etag})
        self.counted += 1
        return Told(200, issue, {"etag": etag, "x-ratelimit-remaining": "4999"})

    def _token(self, asked: Asked) -> Told:
        assert self.app_key is not None
        head, claims, signature = asked.headers["authorization"].removeprefix("Bearer ").split(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        self.app_key.verify(raw, f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        said = json.loads(base64.urlsafe_b64decode(claims + "=="))
        now = datetime.now(UTC)
        assert said["iss"] == "Iv1.abc"
        assert said["iat"] <= now.timestamp() < said["exp"] <= now.timestamp() + 600
        self.tokens += 1
        ends = (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Told(201, {"token": f"ghs_{self.tokens}", "expires_at": ends, "permissions": {"issues": "read"}})


def signed(secret: bytes, repository: str, number: int, action: str = "closed") -> tuple[dict[str, str], bytes]:
    """A webhook's headers and body (docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries)."""
    body = json.dumps({"action": action, "issue": {"number": number}, "repository": {"full_name": repository}}).encode()
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {
        "x-hub-signature-256": f"sha256={digest}",
        "x-github-event": "issues",
        "x-github-delivery": "72d3162e",
    }, body
