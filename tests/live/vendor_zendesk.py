"""Zendesk Support as its published API has it.

https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/(show, show_many, include);
https://developer.zendesk.com/api-reference/introduction/rate-limits/ (429 with Retry-After);
https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_audits/;
https://developer.zendesk.com/documentation/webhooks/verifying/ (the signature).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from vendor_server import Asked, Told

USER, TOKEN = "agent@example.com/token", "zendesk-secret"
START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
AGENTS = {"alice": 7, "amir": 8}


class Zendesk:
    """Tickets by number; an organization's external id is the customer."""

    def __init__(self) -> None:
        self.tickets: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.organizations = {501: "42", 502: "43"}
        self.oauth = False
        self.audits: dict[int, list[dict[str, Any]]] = {}
        self.changes = 0

    def put(self, number: int, **fields: Any) -> None:
        known = self.tickets.get(number, {})
        start = {"status": "open", "assignee": "alice", "organization": 501, "segment": "vip", "group": "support"}
        self.tickets[number] = {**start, "updated": START, **known, **fields}
        changed = {name: known[name] for name, value in fields.items() if known.get(name, value) != value}
        if changed:
            self.changes += 1
            self.tickets[number]["updated"] = START + timedelta(seconds=self.changes)
            events = [_event(name, old) for name, old in changed.items()]
            audit = {"id": self.changes, "created_at": _stamp(self.tickets[number]["updated"]), "events": events}
            self.audits.setdefault(number, []).insert(0, audit)

    def answer(self, asked: Asked) -> Told:
        basic = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        if asked.path == ("oauth", "tokens"):
            form = dict(pair.split("=") for pair in asked.body.decode().split("&"))
            assert form["grant_type"] == "client_credentials"
            right = form["client_secret"] == TOKEN
            return (
                Told(200, {"access_token": "short-lived", "expires_in": 300}) if right else Told(401, {"error": "no"})
            )
        if asked.headers.get("authorization") != ("Bearer short-lived" if self.oauth else basic):
            return Told(401, {"error": "Couldn't authenticate you"})
        include = asked.one("include").split(",")
        match (asked.method, *asked.path):
            case ("GET", "api", "v2", "tickets", "show_many.json"):
                ids = [int(one) for one in asked.one("ids").split(",")]
                assert len(ids) <= 100
                found = [self._ticket(one) for one in ids if one in self.tickets]
                answer = {"tickets": found, "count": len(found), "next_page": None, "previous_page": None}
                return Told(200, answer | self._loaded(found, include))
            case ("GET", "api", "v2", "tickets", number, "audits.json"):
                assert asked.one("sort_order") == "desc"
                return Told(200, {"audits": self.audits.get(int(number), [])[:100], "next_page": None})
            case ("GET", "api", "v2", "tickets", number, "comments.json"):
                return Told(200, {"comments": self.comments.get(int(number), [])[::-1], "next_page": None})
            case ("GET", "api", "v2", "tickets", name) if name.endswith(".json"):
                number = int(name.removesuffix(".json"))
                if number not in self.tickets:
                    return Told(404, {"error": "RecordNotFound", "description": "Not found"})
                ticket = self._ticket(number)
                return Told(200, {"ticket": ticket} | self._loaded([ticket], include))
            case ("PUT", "api", "v2", "tickets", name):
                number = int(name.removesuffix(".json"))
                comment = asked.json()["ticket"]["comment"]
                assert comment["public"] is False
                self.comments.setdefault(number, []).append({"id": len(self.comments), "body": comment["body"]})
                return Told(200, {"ticket": self._ticket(number)})
        return Told(404, {"error": "InvalidEndpoint", "description": "Not found"})

    def _ticket(self, number: int) -> dict[str, Any]:
        facts = self.tickets[number]
        return {
            "id": number,
            "url": f"https://example.zendesk.com/api/v2/tickets/{number}.json",
            "subject": "Payslip of March",
            "status": facts["status"],
            "assignee_id": AGENTS.get(facts["assignee"]),
            "organization_id": facts["organization"],
            "group_id": 31,
            "requester_id": 99,
            "custom_fields": [{"id": 360001, "value": facts["segment"]}],
            "updated_at": _stamp(facts["updated"]),
        }

    def _loaded(self, tickets: list[dict[str, Any]], include: list[str]) -> dict[str, Any]:
        assert include == ["users", "organizations", "groups"]
        people = {number: login for login, number in AGENTS.items()}
        users = {one["assignee_id"] for one in tickets} & people.keys()
        return {
            "users": [{"id": one, "email": f"{people[one]}@example.com", "role": "agent"} for one in users],
            "organizations": [
                {"id": one, "name": f"Company {external}", "external_id": external}
                for one, external in self.organizations.items()
            ],
            "groups": [{"id": 31, "name": "support"}],
        }


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _event(name: str, old: Any) -> dict[str, Any]:
    fields = {"assignee": "assignee_id", "organization": "organization_id"}
    value = AGENTS.get(old) if name == "assignee" else old
    shown = None if value is None else str(value)
    return {"id": 1, "type": "Change", "field_name": fields.get(name, name), "previous_value": shown}


def signed(secret: bytes, number: int, *, at: datetime | None = None) -> tuple[dict[str, str], bytes]:
    """A webhook's headers and body."""
    stamp = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = json.dumps(
        {
            "type": "zen:event-type:ticket.status_changed",
            "subject": f"zen:ticket:{number}",
            "detail": {"id": str(number)},
        }
    ).encode()
    digest = base64.b64encode(hmac.new(secret, stamp.encode() + body, hashlib.sha256).digest()).decode()
    return {
        "x-zendesk-webhook-signature": digest,
        "x-zendesk-webhook-signature-timestamp": stamp,
        "x-zendesk-webhook-id": "01GV",
    }, body
