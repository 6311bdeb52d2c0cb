"""ServiceNow's Table API as it is published.

https://www.servicenow.com/docs/bundle/latest/page/integrate/inbound-rest/concept/c_TableAPI.html
(sysparm_query with IN, sysparm_display_value=all, sysparm_fields with dot-walking); rate limits answer 429.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from typing import Any

from vendor_server import Asked, Told

USER, TOKEN = "gateway", "servicenow-secret"
STATES = {"1": "New", "2": "In Progress", "7": "Closed"}


class ServiceNow:
    """Incidents by number."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.notes: dict[str, list[str]] = {}
        self.doubled: set[str] = set()

    def put(self, number: str, **fields: Any) -> None:
        known = self.records.get(number, {})
        self.records[number] = {"state": "2", "assignee": "alice", "account": "42", **known, **fields}

    def answer(self, asked: Asked) -> Told:
        if asked.headers.get("authorization") != "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode():
            return Told(
                401, {"error": {"message": "User Not Authenticated", "detail": "Required"}, "status": "failure"}
            )
        match (asked.method, *asked.path):
            case ("GET", "api", "now", "table", "incident"):
                found = re.fullmatch(r"numberIN([A-Z0-9,]+)", asked.one("sysparm_query"))
                assert found is not None, asked.raw
                assert asked.one("sysparm_display_value") == "all"
                numbers = [n for n in found[1].split(",") if n in self.records]
                numbers += [n for n in numbers if n in self.doubled]
                fields = asked.one("sysparm_fields").split(",")
                records = [self._record(number, fields) for number in numbers][: int(asked.one("sysparm_limit"))]
                return Told(200, {"result": records}, {"x-total-count": str(len(records))})
            case ("GET", "api", "now", "table", "sys_journal_field"):
                query = re.fullmatch(r"element_id=(\w+)\^element=work_notes\^valueLIKE(.+)", asked.one("sysparm_query"))
                assert query is not None
                there = [{"sys_id": "j"} for note in self.notes.get(query[1], []) if query[2] in note]
                return Told(200, {"result": there[:1]})
            case ("PATCH", "api", "now", "table", "incident", sys_id):
                self.notes.setdefault(sys_id, []).append(asked.json()["work_notes"])
                return Told(200, {"result": {"sys_id": sys_id}})
        return Told(400, {"error": {"message": "Invalid table", "detail": None}, "status": "failure"})

    def _record(self, number: str, fields: list[str]) -> dict[str, Any]:
        facts = self.records[number]
        who = facts["assignee"]
        everything = {
            "number": (number, number),
            "sys_id": (f"id{number}", f"id{number}"),
            "short_description": ("Payslip of March",) * 2,
            "state": (facts["state"], STATES[facts["state"]]),
            "assigned_to": (f"sys{who}" if who else "", who.title()),
            "assigned_to.user_name": (who, who),
            "assigned_to.email": (f"{who}@example.com" if who else "",) * 2,
            "company.account_number": (facts["account"],) * 2,
            "sys_updated_on": ("2026-03-01 09:30:00",) * 2,
        }
        return {name: dict(zip(("value", "display_value"), everything[name], strict=True)) for name in fields}


def signed(secret: bytes, number: str, *, at: float | None = None) -> tuple[dict[str, str], bytes]:
    """What a business rule sends: our own scheme, since ServiceNow has none."""
    stamp, body = str(int(time.time() if at is None else at)), json.dumps({"id": number}).encode()
    digest = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"x-gateway-timestamp": stamp, "x-gateway-signature": f"sha256={digest}"}, body
