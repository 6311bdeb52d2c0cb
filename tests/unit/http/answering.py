"""Rules, answers and what leaves of them, as tests write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.http.answer import Answer, Limits, Withheld
from gateway.http.problem import problem
from gateway.policy.http_rules import AnswerRule, ArrayRule, FieldRule, JsonPath, Route
from gateway.policy.kinds import checked

KEY = bytes(range(32))
JSON = ((b"Content-Type", b"application/json"),)


def path(text: str) -> JsonPath:
    """`$.employees[*].iban` as a tuple."""
    return tuple(step or "*" for _, step in re.findall(r"(\.([^.\[]+)|\[\*\])", text))


def field(at: str, mask: str | dict[str, Any] = "clear", of: str = "text", *, reveal: bool = False) -> FieldRule:
    options = dict(mask) if isinstance(mask, dict) else {"mask": mask}
    return FieldRule(path(at), checked(options.pop("mask"), options), of, reveal)


def array(at: str, customer: str, count: str | None = None) -> ArrayRule:
    return ArrayRule(path(at), path(customer), None if count is None else path(count))


def rule(media: str = "json", *fields: FieldRule, **more: Any) -> AnswerRule:
    more.setdefault("statuses", frozenset({200}))
    if isinstance(more.get("customer"), str):
        more["customer"] = path(more["customer"])
    return AnswerRule(media=media, fields=fields, **more)


def route(*rules: AnswerRule, **more: Any) -> Route:
    more = {"name": "r", "method": "GET", "template": ("things",)} | more
    return Route(answers=rules, **more)


def answer(
    of: Route | AnswerRule, headers: Sequence[tuple[bytes, bytes]] = JSON, status: int = 200, **more: Any
) -> Answer:
    more = {"customers": ("42",), "key": KEY} | more
    method = more.pop("method", "GET")
    return Answer(of if isinstance(of, Route) else route(of), method, status, headers, **more)


def left(
    of: Route | AnswerRule, body: bytes | str | Any, headers: Sequence[tuple[bytes, bytes]] = JSON, **more: Any
) -> bytes:
    """All that leaves of a body fed at once; what is no text or bytes is written as JSON."""
    text = body if isinstance(body, bytes | str) else json.dumps(body)
    out = answer(of, headers, **more)
    return out.feed(text.encode() if isinstance(text, str) else text) + out.finish()


def in_chunks(out: Answer, chunks: Iterable[bytes]) -> tuple[bytes, Withheld | None]:
    """All that leaves, and what ended it."""
    came = b""
    try:
        for chunk in chunks:
            came += out.feed(chunk)
        came += out.finish()
    except Withheld as fault:
        return came, fault
    return came, None


def seen(out: Answer | Withheld, body: bytes = b"") -> bytes:
    """Every byte that a client sees of it: a problem, or head and body."""
    if isinstance(out, Withheld):
        status, head, body = problem(out.refusal, out.status, out.headers)
    else:
        status, head = out.head()
    lines = "".join(f"{name}: {value}\r\n" for name, value in head)
    return f"{int(status)}\r\n{lines}\r\n".encode() + body


__all__ = [
    "JSON",
    "KEY",
    "Limits",
    "Withheld",
    "answer",
    "array",
    "field",
    "in_chunks",
    "left",
    "route",
    "rule",
    "seen",
]
