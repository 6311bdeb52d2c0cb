"""GitLab issues as the published API has them.

https://docs.gitlab.com/api/issues/#single-project-issue and #list-project-issues; https://docs.gitlab.com/api/notes/
https://docs.gitlab.com/user/project/integrations/webhooks/ (X-Gitlab-Token, and signing by Standard Webhooks)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from vendor_server import Asked, Told

TOKEN = "glpat-x"


class GitLab:
    """Issues by (project, iid)."""

    def __init__(self) -> None:
        self.issues: dict[tuple[str, int], dict[str, Any]] = {}
        self.notes: dict[tuple[str, int], list[dict[str, Any]]] = {}

    def put(self, project: str, number: int, **fields: Any) -> None:
        known = self.issues.get((project, number), {})
        start = {"state": "opened", "assignees": ["alice"], "labels": ["customer::42"], "moved_to": None}
        self.issues[project, number] = {**start, **known, **fields}

    def answer(self, asked: Asked) -> Told:
        if asked.headers.get("private-token") != TOKEN:
            return Told(401, {"message": "401 Unauthorized"})
        match (asked.method, *asked.path):
            case ("GET", "api", "v4", "projects", project, "issues"):
                numbers = [int(one) for one in asked.all("iids[]")]
                assert asked.one("scope") == "all"
                found = [self._issue(project, n) for n in numbers if (project, n) in self.issues]
                if not any(name == project for name, _ in self.issues):
                    return Told(404, {"message": "404 Project Not Found"})
                return Told(200, found, {"x-next-page": "", "x-total": str(len(found))})
            case ("GET", "api", "v4", "projects", project, "issues", number):
                if (project, int(number)) not in self.issues:
                    return Told(404, {"message": "404 Not found"})
                return Told(200, self._issue(project, int(number)))
            case ("GET", "api", "v4", "projects", project, "issues", number, "notes"):
                return Told(200, self.notes.get((project, int(number)), [])[::-1])
            case ("POST", "api", "v4", "projects", project, "issues", number, "notes"):
                note = {"id": 1, "body": asked.json()["body"], "internal": asked.json()["internal"]}
                self.notes.setdefault((project, int(number)), []).append(note)
                return Told(201, note)
        return Told(404, {"error": "404 Not Found"})

    def _issue(self, project: str, number: int) -> dict[str, Any]:
        facts = self.issues[project, number]
        return {
            "id": 900 + number,
            "iid": number,
            "project_id": 4,
            "title": "Payslip of March",
            "state": facts["state"],
            "assignees": [{"id": 5, "username": login, "state": "active"} for login in facts["assignees"]],
            "labels": facts["labels"],
            "references": {"short": f"#{number}", "relative": f"#{number}", "full": f"{project}#{number}"},
            "moved_to_id": facts["moved_to"],
            "updated_at": "2026-03-01T09:30:00.000Z",
            "web_url": f"https://gitlab.example.com/{project}/-/issues/{number}",
            "issue_type": "issue",
        }


def body_of(project: str, number: int) -> bytes:
    """An issue event."""
    return json.dumps(
        {"object_kind": "issue", "object_attributes": {"iid": number}, "project": {"path_with_namespace": project}}
    ).encode()


def signed(secret: bytes, project: str, number: int, *, at: float | None = None) -> tuple[dict[str, str], bytes]:
    """A webhook's headers and body, with a signing token (standardwebhooks.com)."""
    body, stamp = body_of(project, number), str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix(b"whsec_"))
    digest = base64.b64encode(hmac.new(key, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{digest}"}, body
