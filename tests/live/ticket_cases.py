"""Each vendor's stand-in with the settings that go with it: what the tests of all vendors are run over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vendor_github
import vendor_gitlab
import vendor_jira
import vendor_servicenow
import vendor_zendesk
from vendor_server import Asked, Told

from gateway.config import Config, load_config

REPOSITORY, PROJECT = "acme/api", "acme/web/app"
PEOPLE = {"alice": "alice", "amir": "amir"}


class Itsm:
    """A home-made system, for the generic source: `/v2/cases/NUMBER`, with a key in a header."""

    def __init__(self) -> None:
        self.cases: dict[int, dict[str, Any]] = {}

    def answer(self, asked: Asked) -> Told:
        if asked.headers.get("x-api-key") != "itsm-key":
            return Told(403, {"error": "key"})
        match asked.path:
            case ("v2", "cases", number) if int(number) in self.cases:
                facts = self.cases[int(number)]
                who = {"login": facts["assignee"]} if facts["assignee"] else None
                case = {"ref": f"CASE/{number}", "phase": facts["status"], "owner": who, "account": facts["customer"]}
                return Told(200, {"case": {**case, "subject": "Payslip of March", "at": "2026-03-01T09:30:00Z"}})
        return Told(404, {"error": "no such case"})


@dataclass
class Case:
    """One vendor: `put(status=…, assignee=…, customer=…)` changes the one ticket `id`, `remove` deletes it."""

    name: str
    id: str
    vendor: Any
    settings: dict[str, Any]
    token: str
    put: Callable[..., None]
    remove: Callable[[], None]
    closed: str
    open: str
    comments: Callable[[], list[str]] | None = None


def jira(*, server: bool = False) -> Case:
    vendor = vendor_jira.Jira(server=server)
    auth = {"auth": "bearer", "server": True} if server else {"auth": "basic", "user": vendor_jira.USER}

    def put(**changes: Any) -> None:
        vendor.put("SUP-1423", **changes)

    settings = {
        "kind": "jira", "projects": ["SUP"], **auth, "customer": {"field": "customfield_10042.value"},
        "assignee": {"by": "login" if server else "email"},
    }  # fmt: skip
    name = "jira-server" if server else "jira-cloud"
    return Case(
        name, "SUP-1423", vendor, settings, vendor_jira.TOKEN, put, lambda: vendor.issues.clear(), "Done", "open",
        lambda: [str(one["body"]) for one in vendor.comments.get("SUP-1423", [])],
    )  # fmt: skip


def zendesk() -> Case:
    vendor = vendor_zendesk.Zendesk()

    def put(status: str = "open", assignee: str = "alice", customer: str = "42") -> None:
        vendor.put(1423, status=status, assignee=assignee, organization={"42": 501, "43": 502}[customer])

    settings = {
        "kind": "zendesk", "projects": ["ZD"], "auth": "basic", "user": vendor_zendesk.USER,
        "customer": {"field": "organization.external_id"}, "assignee": {"by": "email"}, "team": {"field": "group.name"},
    }  # fmt: skip
    return Case(
        "zendesk", "ZD-1423", vendor, settings, vendor_zendesk.TOKEN, put, vendor.tickets.clear, "solved",
        "open",
        lambda: [one["body"] for one in vendor.comments.get(1423, [])],
    )  # fmt: skip


def github() -> Case:
    vendor = vendor_github.GitHub()

    def put(status: str = "open", assignee: str = "alice", customer: str = "42") -> None:
        people = [f"{assignee}-gh"] if assignee else []
        vendor.put(REPOSITORY, 1423, state=status, assignees=people, labels=["bug", f"customer:{customer}"])

    settings = {
        "kind": "github", "projects": {"API": REPOSITORY},
        "customer": {"field": "labels.name", "pattern": r"customer:(\d+)"},
        "assignee": {"by": "people", "people": {f"{login}-gh": login for login in PEOPLE}},
    }  # fmt: skip
    return Case(
        "github", "API-1423", vendor, settings, vendor_github.TOKEN, put, lambda: put_gone(vendor, 410), "closed",
        "open",
        lambda: [one["body"] for one in vendor.comments.get((REPOSITORY, 1423), [])],
    )  # fmt: skip


def put_gone(vendor: vendor_github.GitHub, status: int) -> None:
    vendor.put(REPOSITORY, 1423, gone=status)


def gitlab() -> Case:
    vendor = vendor_gitlab.GitLab()

    def put(status: str = "opened", assignee: str = "alice", customer: str = "42") -> None:
        people = [assignee] if assignee else []
        vendor.put(PROJECT, 1423, state=status, assignees=people, labels=["bug", f"customer::{customer}"])

    def remove() -> None:
        vendor.put(PROJECT, 9)
        del vendor.issues[PROJECT, 1423]

    settings = {
        "kind": "gitlab", "projects": {"WEB": PROJECT}, "customer": {"field": "labels", "pattern": r"customer::(\d+)"},
        "states": {"opened": "open"},
    }  # fmt: skip
    return Case(
        "gitlab", "WEB-1423", vendor, settings, vendor_gitlab.TOKEN, put, remove, "closed", "opened",
        lambda: [one["body"] for one in vendor.notes.get((PROJECT, 1423), [])],
    )  # fmt: skip


def servicenow() -> Case:
    vendor = vendor_servicenow.ServiceNow()

    def put(status: str = "2", assignee: str = "alice", customer: str = "42") -> None:
        vendor.put("INC0001423", state=status, assignee=assignee, account=customer)

    settings = {
        "kind": "servicenow", "projects": {"INC": "incident"}, "auth": "basic", "user": vendor_servicenow.USER,
        "customer": {"field": "company/account_number.value"}, "states": {"In Progress": "open"},
    }  # fmt: skip
    return Case(
        "servicenow", "INC0001423", vendor, settings, vendor_servicenow.TOKEN, put, vendor.records.clear, "7",
        "2",
        lambda: vendor.notes.get("idINC0001423", []),
    )  # fmt: skip


def generic() -> Case:
    vendor = Itsm()

    def put(status: str = "open", assignee: str = "alice", customer: str = "42") -> None:
        vendor.cases[1423] = {"status": status, "assignee": assignee, "customer": customer}

    settings = {
        "kind": "http", "projects": {"CASE": "cases"}, "auth": "token", "header": "X-Api-Key",
        "path": "/v2/{project}/{number}", "id": {"field": "case.ref", "pattern": r"CASE/(\d+)"},
        "status": "case.phase", "account": "case.owner.login", "title": "case.subject", "updated": "case.at",
        "customer": {"field": "case.account"},
    }  # fmt: skip
    return Case("http", "CASE-1423", vendor, settings, "itsm-key", put, lambda: vendor.cases.clear(), "done", "open")


CASES: dict[str, Callable[[], Case]] = {
    "jira-cloud": jira,
    "jira-server": lambda: jira(server=True),
    "zendesk": zendesk,
    "github": github,
    "gitlab": gitlab,
    "servicenow": servicenow,
    "http": generic,
}


def secret(directory: Path, name: str, text: str) -> dict[str, str]:
    """A secret's file, for its owner only."""
    path = directory / f"{name}.secret"
    path.write_text(text)
    path.chmod(0o600)
    return {"file": str(path)}


def source_settings(case: Case, url: str, directory: Path, **more: Any) -> dict[str, Any]:
    """The source as an item of `tickets`."""
    return {"system": case.name, "url": url, "token": secret(directory, case.name, case.token), **case.settings, **more}


def loaded(directory: Path, tickets: Any) -> Config:
    """A configuration with these `tickets`, read from a file as the gateway reads it."""
    import json

    path = directory / "gateway.yaml"
    other = {
        "origin": "x", "state": "state", "policies": "policies", "master_key": {"env": "X"},
        "tls": {"certificate": "c", "key": "k"}, "directory": {"path": "people.yaml"},
        "targets": {"payroll": {"host": "h", "database": "d", "user": "u", "password": {"env": "X"}}},
    }  # fmt: skip
    path.write_text(json.dumps({**other, "tickets": tickets}))
    return load_config(path, {})
