"""Names and values of a query, or of a form in a body: taken apart in one strict way, and put together anew.

INVARIANT: every pair has a name and an equals sign, and stands between single ampersands: nothing is dropped, split
otherwise or joined by whoever reads it next. A space is `+` or `%20` coming in and `%20` going out.

The grammar is that of application/x-www-form-urlencoded (WHATWG URL, 5.1), without what it repairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from gateway.http.paths import decoded
from gateway.http.refusing import malformed, not_allowed, shown, too_large
from gateway.policy.http_rules import Parameter
from gateway.policy.http_values import canonical

MOST_PAIRS = 200

_TWICE = re.compile(r"%[0-9A-Fa-f]{2}")
_RAW = re.compile(r"[A-Za-z0-9%+*._~:/?@!$'(),\[\]=-]*")


def pairs(text: str) -> list[tuple[str, str]]:
    """The decoded pairs in their order. Raises: GatewayError."""
    if not text:
        return []
    pieces = text.split("&")
    if len(pieces) > MOST_PAIRS:
        raise too_large(f"the request has more than {MOST_PAIRS} parameters")
    return [_pair(piece) for piece in pieces]


def join(given: Iterable[tuple[str, str]]) -> str:
    """The pairs, encoded in the one way in which they go on."""
    return "&".join(f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in given)


def chosen(
    given: list[tuple[str, str]], rules: tuple[Parameter, ...], kind: str, *, lines: bool = False
) -> list[tuple[str, str]]:
    """The pairs with canonical values in the order of the rules, those that come again in their own order.

    Raises: GatewayError for a name that no rule has, a value that its rule does not allow, and what is missing.
    """
    known: Mapping[str, Parameter] = {rule.name: rule for rule in rules}
    found: dict[str, list[str]] = {}
    for name, value in given:
        rule = known.get(name)
        if rule is None:
            raise not_allowed(f"{shown(kind, name)} is not in the policy", f"leave out the {kind}s it does not name")
        text = canonical(rule.value, value, lines=lines)
        if text is None:
            raise not_allowed(f"the {kind} `{name}` is not of the form that the policy allows")
        if name in found and not rule.repeated:
            raise malformed(f"the {kind} `{name}` comes more than once")
        found.setdefault(name, []).append(text)
    for rule in rules:
        if rule.required and rule.name not in found:
            raise not_allowed(f"the {kind} `{rule.name}` is missing", "send it along")
    return [(rule.name, value) for rule in rules for value in found.get(rule.name, ())]


def _pair(piece: str) -> tuple[str, str]:
    if not _RAW.fullmatch(piece):
        raise malformed("the request's parameters have a character that must be percent-encoded")
    name, equals, value = piece.partition("=")
    if not name or not equals:
        raise malformed("a parameter of the request has no name, or no `=`")
    if "=" in value:
        raise malformed("a parameter of the request has a second `=`; write it as %3D")
    names, values = decoded(name.replace("+", " ")), decoded(value.replace("+", " "))
    if _TWICE.search(names) or _TWICE.search(values):
        raise malformed("a parameter of the request is percent-encoded twice")
    return names, values
