"""The corpus of GraphQL as requests."""

from __future__ import annotations

import json
import re
from typing import Any

from graphql_world import CORPUS, request
from ruamel.yaml import YAML

from gateway.http.message import HttpRequest

GROWN = {
    "{aliases}": " ".join(f"a{number}: id" for number in range(100)),
    "{bomb}": " ".join(f"fragment F{n} on Employee {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    + " fragment F40 on Employee { id }",
    "{chain}": " ".join(f"fragment F{n} on Employee {{ ...F{n + 1} }}" for n in range(400))
    + " fragment F400 on Employee { id }",
    "{notes}": " ".join(f"n{number}: addNote(companyId: 42, text: $t)" for number in range(59)),
    "{inline}": "... { " * 70 + "__typename" + " }" * 70,
    "{codes}": " ".join(f"c{number}: code" for number in range(70)),
    "{deep}": "[" * 40 + "]" * 40,
}


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = YAML(typ="safe").load(CORPUS / f"{name}.yaml")
    return found


def grown(text: Any) -> Any:
    if isinstance(text, dict):
        return {name: grown(one) for name, one in text.items()}
    if not isinstance(text, str):
        return text
    for name, value in GROWN.items():
        text = text.replace(name, value)
    return re.sub(r"(\S ?)\{x([0-9]+)\}", lambda match: match[1] * int(match[2]), text)


def request_of(case: dict[str, Any]) -> HttpRequest:
    more = {name: case[name] for name in ("target", "method") if name in case}
    headers = case.get("headers", [["content-type", "application/json"]])
    if "body" in case:
        body = grown(case["body"]).encode("latin-1")
    else:
        members = {name: case[name] for name in ("operationName",) if name in case} | case.get("members", {})
        given = {"query": grown(case["query"])} | members
        body = json.dumps(given | ({"variables": grown(case["variables"])} if "variables" in case else {})).encode()
    return request(body, tuple((name, value) for name, value in headers), **more)


ATTACKS = cases("attacks")
CLIENTS = cases("clients")
