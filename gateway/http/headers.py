"""The head of an answer: what it says of its body, strictly, and which of its headers leave.

INVARIANT: a header leaves because it is named here or in the route's answer, once, in visible ASCII; its name is
written by us. What could carry a session, an address, a validator or a length of the hidden never leaves, whatever a
policy names.

Media types are RFC 9110 section 8.3.1, codings section 8.4, Location section 10.2.2, Retry-After section 10.2.3.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.http.withheld import Withheld
from gateway.policy.http_rules import AnswerRule, Route
from gateway.policy.http_values import fits

Headers = Sequence[tuple[bytes, bytes]]
Head = tuple[tuple[str, str], ...]

USUAL: dict[str, tuple[str, ...]] = {
    "json": ("application/json",),
    "ndjson": ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"),
    "csv": ("text/csv",),
    "unmasked": (),
    "empty": (),
}
"""The media types of each kind of answer where its rule names none. What leaves has the first."""

NEVER = frozenset({
    "accept-ranges", "age", "alt-svc", "alternates", "authentication-info", "cache-control", "clear-site-data",
    "connection", "content-digest", "content-encoding", "content-length", "content-location", "content-md5",
    "content-range", "content-type", "cookie", "date", "digest", "etag", "expect-ct", "expires", "keep-alive",
    "last-modified", "link", "location", "nel", "pragma", "proxy-authenticate", "proxy-authentication-info",
    "proxy-authorization", "proxy-connection", "public-key-pins", "refresh", "repr-digest", "report-to",
    "reporting-endpoints", "retry-after", "server", "server-timing", "service-worker-allowed", "set-cookie",
    "set-cookie2", "signature", "signature-input", "sourcemap", "strict-transport-security", "te", "trailer",
    "transfer-encoding",
    "upgrade", "vary", "via", "want-digest", "warning", "www-authenticate", "x-content-type-options",
})  # fmt: skip
"""Headers that no rule can name: those that we write or check ourselves, and those that are nobody's business."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the grammar's word
_NAME = re.compile(_TOKEN)
_MEDIA = re.compile(rf"({_TOKEN}/{_TOKEN})((?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|\"[ !#-\[\]-~]*\"))*)[ \t]*;?")
_PARAMETER = re.compile(rf";[ \t]*({_TOKEN})=({_TOKEN}|\"[ !#-\[\]-~]*\")")
_VISIBLE = re.compile(r"[!-~](?:[ !-~]{0,1022}[!-~])?")
_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
_SECONDS = re.compile(r"[0-9]{1,6}")
_SEGMENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}")
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
_CHARSETS = _UTF8 | {"iso-8859-1", "iso-8859-15", "windows-1252"}
"""Of what passes unmasked: a name that is not known could say anything."""


@dataclass(frozen=True, slots=True)
class Media:
    """What a body says that it is: `type/subtype` and its parameters, lower case."""

    essence: str
    parameters: dict[str, str] = field(default_factory=dict)


def values(headers: Headers, name: str) -> list[str]:
    """What stands under a header, field by field, in their order."""
    wanted = name.encode()
    return [value.decode("latin-1").strip(" \t") for header, value in headers if header.lower() == wanted]


def media(headers: Headers) -> Media | None:
    """What the body is; None where nothing is said.

    Raises: Withheld for what is said twice or in no valid form.
    """
    given = values(headers, "content-type")
    if not given:
        return None
    match = _MEDIA.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        raise Withheld.not_allowed("does not say what it is")
    parameters: dict[str, str] = {}
    for name, value in _PARAMETER.findall(match[2]):
        if name.lower() in parameters:
            raise Withheld.not_allowed("does not say what it is")
        parameters[name.lower()] = value.strip('"').lower()
    return Media(match[1].lower(), parameters)


def admits(rule: AnswerRule, given: Media) -> bool:
    """Whether the rule is for bodies of that type. A structured suffix (RFC 6839) is JSON unless types are named."""
    if rule.content_types:
        return given.essence in {of.lower() for of in rule.content_types}
    if rule.media == "json" and given.essence.startswith("application/") and given.essence.endswith("+json"):
        return True
    return given.essence in USUAL[rule.media]


def check_text(rule: AnswerRule, given: Media) -> None:
    """A body that is read is UTF-8, and CSV has a header.

    Raises: Withheld.
    """
    if rule.media == "unmasked":
        return
    if given.parameters.get("charset", "utf-8") not in _UTF8:
        raise Withheld.not_allowed("is in another character set than UTF-8")
    if rule.media == "csv" and given.parameters.get("header", "present") != "present":
        raise Withheld.not_allowed("is CSV without a header")


def coding(headers: Headers) -> str:
    """How the body is encoded: one coding, or `identity`.

    Raises: Withheld for several.
    """
    given = [part.strip(" \t").lower() for value in values(headers, "content-encoding") for part in value.split(",")]
    codings = [part for part in given if part not in {"", "identity"}]
    if len(codings) > 1:
        raise Withheld.not_allowed("is encoded more than once")
    return {"x-gzip": "gzip"}.get(codings[0], codings[0]) if codings else "identity"


def leaving(rule: AnswerRule, headers: Headers, given: Media | None, location: str = "") -> Head:
    """The headers of what leaves. There is no Content-Length among them: the engine knows how much it sends."""
    left: list[tuple[str, str]] = []
    if rule.media != "empty":
        left.append(("content-type", _content_type(rule, given)))
    left += [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
    left += _only("date", _DATE, headers)
    left += retry_after(headers)
    if location:
        left.append(("location", location))
    for name in dict.fromkeys(name.lower() for name in rule.headers):
        if name not in NEVER and _NAME.fullmatch(name):
            left += _only(name, _VISIBLE, headers)
    return tuple(left)


def retry_after(headers: Headers) -> Head:
    """When to come again, where it is a number of seconds."""
    return tuple(_only("retry-after", _SECONDS, headers))


def location(headers: Headers, routes: Iterable[Route], customers: Collection[str]) -> str:
    """Where the upstream points: a path of a route that may be read, about one of the customers; empty for elsewhere.

    Only plain segments: nothing to decode, no query, no fragment, no authority.
    """
    given = values(headers, "location")
    if len(given) != 1 or not given[0].startswith("/"):
        return ""
    segments = given[0][1:].split("/")
    if not all(_SEGMENT.fullmatch(segment) for segment in segments):
        return ""
    return given[0] if any(_leads_to(route, segments, customers) for route in routes) else ""


def _leads_to(route: Route, segments: list[str], customers: Collection[str]) -> bool:
    if route.method != "GET" or route.graphql is not None or len(route.template) != len(segments):
        return False
    places = [of for of in (route.customer, *route.also) if of is not None]
    if any(of.place != "path" for of in places) or (not places and any(one.customer for one in route.answers)):
        # FAIL CLOSED: the path does not tell whose it is
        return False
    whose = {of.name for of in places}
    for step, segment in zip(route.template, segments, strict=True):
        if not step.startswith("{"):
            if step != segment:
                return False
            continue
        name = step[1:-1]
        if name not in route.path or not fits(route.path[name], segment):
            return False
        if name in whose and segment not in customers:
            return False
    return True


def _content_type(rule: AnswerRule, given: Media | None) -> str:
    # what a policy names is the policy's own text; what it does not name could say anything
    named = given.essence if given is not None and rule.content_types else ""
    essence = named or (rule.content_types or USUAL[rule.media] or ("application/octet-stream",))[0].lower()
    if rule.media == "csv":
        return f"{essence}; charset=utf-8; header=present"
    charset = given.parameters.get("charset", "") if rule.media == "unmasked" and given is not None else ""
    return f"{essence}; charset={charset}" if charset in _CHARSETS else essence


def _only(name: str, form: re.Pattern[str], headers: Headers) -> list[tuple[str, str]]:
    given = values(headers, name)
    return [(name, given[0])] if len(given) == 1 and form.fullmatch(given[0]) else []
