"""Requests as the tests of judging write them, under the policy of the corpus."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.errors import Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.policy.http_rules import HttpRules
from gateway.policy.load import load_policy, parse_policy

CORPUS = Path(__file__).parents[2] / "corpus" / "http"
HEAD = """\
target: crm
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  duration: {default: 1h, max: 1h}
  approvers: {teams: [security]}
http:
"""


@cache
def rules() -> HttpRules:
    found = load_policy(CORPUS / "backoffice.yaml").http
    assert found is not None
    return found


def attacks() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = YAML(typ="safe").load(CORPUS / "attacks.yaml")
    return found


def asked(
    method: str, target: str, headers: list[tuple[str, str]] | None = None, body: bytes = b"", **more: Any
) -> HttpRequest:
    """A request with a host, and with a length when it has a body."""
    written = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers or []]
    if not more.pop("no_host", False):
        written.insert(0, (b"host", more.get("authority", "api").encode()))
    if body:
        written.append((b"content-length", str(len(body)).encode()))
    return HttpRequest(method, target, more.pop("authority", "api"), tuple(written), body, **more)


def request_of(attack: dict[str, Any]) -> HttpRequest:
    """The request of a case of the corpus; `{41}` stands for so many characters."""
    headers = [] if attack.get("headers") == "{many}" else [(n, _grown(v)) for n, v in attack.get("headers", [])]
    headers += [(f"x-{number}", "1") for number in range(101)] if attack.get("headers") == "{many}" else []
    body = b""
    for kind, media in (("json", "application/json"), ("form", "application/x-www-form-urlencoded"), ("body", "")):
        if kind in attack:
            headers += [("content-type", media)] if media else []
            body = _grown(attack[kind], "1" if attack.get("digits") else "x").encode("latin-1")
    method, _, target = _grown(attack["request"]).partition(" ")
    more = {name: attack[name] for name in ("version", "authority", "no_host") if name in attack}
    return asked(method, target, headers, body, **more)


def written(section: str) -> HttpRules:
    """The rules of a section `http` alone."""
    found = parse_policy(HEAD + section).http
    assert found is not None
    return found


def came(request: HttpRequest, customers: tuple[str, ...] = ("42",)) -> HttpPlan | Refusal:
    return judge(request, rules(), customers)


def again(plan: HttpPlan) -> HttpRequest:
    """What goes on, as a request of its own."""
    length = [(b"content-length", str(len(plan.body)).encode())] if plan.body else []
    headers = [(name.encode(), value.encode()) for name, value in plan.headers]
    return HttpRequest(plan.method, plan.target, "api", ((b"host", b"api"), *headers, *length), plan.body)


def _grown(text: str, of: str = "x") -> str:
    if text == "{deep}":
        return '{"company_id":42,"text":' + "[" * 100_000 + "]" * 100_000 + "}"
    if text == "{wide}":
        return '{"company_id":42,"text":"a","tags":[' + ",".join(['"x"'] * 10_001) + "]}"
    text = text.replace("{pairs}", "&".join(["status=left"] * 201))
    return re.sub(r"\{([0-9]+)\}", lambda match: of * int(match[1]), text)
