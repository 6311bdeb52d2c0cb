"""What must hold between the parts of the section `http` of a policy, once each part is well-formed by itself.

INVARIANT: of two routes with one method, no path is met by both: which rules hold is never a matter of order. Whose
data a request is about is said by something that every such request has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from gateway.policy import graphql_consistency, http_dialects, kinds, shapes
from gateway.policy.http_load import ANSWER, METHODS, statuses_of
from gateway.policy.http_rules import STREAMED, CustomerOf, JsonPath, Value
from gateway.policy.http_values import Given, fits, steps
from gateway.policy.nesting import misfits
from gateway.policy.shapes import Path, Reading

_READ = STREAMED | {"json"}
_BODILESS = frozenset({"get", "head"})
_NEVER_PASSED = frozenset({
    "authorization", "proxy-authorization", "cookie", "cookie2", "host", "content-length", "content-type",
    "content-encoding", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade",
    "expect", "range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "accept",
    "accept-encoding", "forwarded", "via", "x-real-ip", "x-original-url", "x-rewrite-url", "x-original-host",
    "x-http-method", "x-http-method-override", "x-method-override", "x-method", "x-original-uri", "x-original-method",
    "x-override-url", "x-host", "x-original-path", "x-proxy-url", "destination", "request-uri", "content-range",
    "http2-settings", "max-forwards", "traceparent",
    "tracestate", "x-client-ip", "true-client-ip", "cf-connecting-ip", "origin", "referer",
})  # fmt: skip
"""Request headers that no policy can have passed on: the gateway's own to write, or ways around what was judged."""
_NEVER_BEGIN = ("x-forwarded-", "proxy-", "sec-", "access-control-")


def judge(read: dict[str, Any], reading: Reading) -> None:
    """Note the faults of a policy with `http` whose parts do not fit together."""
    http = read["http"]
    takes_sql = http_dialects.judge(read, reading)
    for name in ("tables", "reveal", "write", "functions", "schemas", "categories"):
        if name in read and not (takes_sql and name in http_dialects.TABLES):
            reading.fault((name,), f"`{name}` is for databases; this policy has `http`")
    outbound = http.get("direction", "inbound") == "outbound"
    if outbound != ("recipient" in http):
        wanted = "is missing: who gets what leaves" if outbound else "is for `direction: outbound`"
        reading.fault(("http", "recipient") if "recipient" in http else ("http",), f"`recipient` {wanted}")
    if read.get("mode", "protect") != "protect":
        reading.fault(("mode",), "an HTTP target is protected or not there; it cannot be observed")
    for name, route in http["routes"].items():
        at: Path = ("http", "routes", name)
        if _judge_method(route, at, reading):
            _judge_parameters(route, at, outbound, reading)
            if "graphql" in route:
                graphql_consistency.judge(route, _method(route), at, outbound, reading)
            _judge_customers(route, at, reading)
            _judge_body(route, at, outbound, reading)
            if outbound and route.get("websocket"):
                reading.fault((*at, "websocket"), "what a WebSocket carries does not leave for a sub-processor")
            _judge_answers(route, at, reading)
    _judge_meeting(http["routes"], reading)
    _judge_writes(read, reading)


def reveals(read: dict[str, Any]) -> bool:
    """Whether some field may be seen in clear by an approved request."""
    routes = read["http"]["routes"].values()
    answers = (answer for route in routes for answer in route.get("answers", {}).values())
    operations = (shown for route in routes for _, _, shown in graphql_consistency.shown_fields(route))
    return any(shown.reveal for answer in answers for shown in answer.get("fields", {}).values()) or any(
        shown.reveal for shown in operations
    )


def is_never_passed(header: str) -> bool:
    """Whether no policy can have that request header passed on."""
    return header.lower() in _NEVER_PASSED or header.lower().startswith(_NEVER_BEGIN)


def _judge_method(route: dict[str, Any], at: Path, reading: Reading) -> bool:
    named = [method for method in METHODS if method in route]
    if not route.keys() & {"customer", "graphql", "dialect"}:
        reading.fault(at, "`customer` is missing: where a request says whose data it is about; all, of several")
        return False
    if len(named) != 1:
        reading.fault(at, f"a route has one of {', '.join(f'`{method}`' for method in METHODS)}, with its path")
        return False
    if "dialect" in route:
        if named[0] not in {"get", "post"}:
            reading.fault((*at, named[0]), "SQL is sent by GET or POST")
        return False
    method, writes = named[0], "write" in route
    socket = method == "get" and "websocket" in route
    if socket and route.get("write") == "statement":
        reading.fault((*at, "write"), "nobody can approve messages that are not sent yet: `write: request`")
    if socket and any(customer.place == ANSWER for customer in route["customer"]):
        reading.fault((*at, "customer"), "nobody reads whose a message is: name where the request says it")
    if method in _BODILESS and ((writes and not socket) or "body" in route):
        key = "write" if writes and not socket else "body"
        reading.fault((*at, key), f"a {method.upper()} {'only reads' if key == 'write' else 'has no body'}")
    if "graphql" in route:
        if "websocket" in route:
            reading.fault((*at, "websocket"), "a route takes GraphQL or becomes a WebSocket, and not both")
        return True
    if route.get("reads") and (method != "post" or writes):
        reading.fault((*at, "reads"), "`reads: true` is for a POST that changes nothing, instead of `write`")
    if method not in _BODILESS and not writes and not route.get("reads"):
        also = ", or `reads: true` if it changes nothing" if method == "post" else ""
        reading.fault(
            (*at, method), f"`write` is missing: who approves a {method.upper()}, `statement` or `request`{also}"
        )
    if "subprotocols" in route and "websocket" not in route:
        reading.fault((*at, "subprotocols"), "only a WebSocket has subprotocols")
    if route.get("websocket") and method != "get":
        reading.fault((*at, "websocket"), "a WebSocket begins with a GET")
    if not route.get("websocket") and not route.get("answers"):
        reading.fault(at, "`answers` is missing: nothing of an answer would be shown")
    return True


def _judge_parameters(route: dict[str, Any], at: Path, outbound: bool, reading: Reading) -> None:
    wanted = {segment[1:-1] for segment in _template(route) if segment.startswith("{")}
    for name in sorted(wanted - route.get("path", {}).keys()):
        reading.fault(at, f"`path` does not say what `{{{name}}}` may be")
    for name in route.get("path", {}):
        if name not in wanted:
            reading.fault((*at, "path", name), f"the path has no `{{{name}}}`{shapes.nearest(name, tuple(wanted))}")
    for name in route.get("headers", {}):
        if is_never_passed(name):
            reading.fault((*at, "headers", name), f"`{name}` is never passed on")
    lowered = [name.lower() for name in route.get("headers", {})]
    if len(set(lowered)) != len(lowered):
        reading.fault((*at, "headers"), "a header is named twice")
    if not outbound:
        return
    for kind in ("path", "query", "headers"):
        for name, given in route.get(kind, {}).items():
            if given.value.type == "string" and not (given.value.choices or given.value.pattern):
                # FAIL CLOSED: free text has no mask here, and would leave for the sub-processor as it is
                reading.fault((*at, kind, name), "a text that leaves in a parameter needs `choices` or a `pattern`")


def _judge_customers(route: dict[str, Any], at: Path, reading: Reading) -> None:
    for customer in route.get("customer", ()):
        _judge_customer(route, customer, at, reading)


def _judge_customer(route: dict[str, Any], customer: CustomerOf, at: Path, reading: Reading) -> None:
    here = (*at, "customer")
    of = _given(route, customer)
    if of is not None and of.value.type not in {"string", "integer", "uuid"}:
        reading.fault(here, f"a customer is a string, an integer or a uuid, not a {of.value.type}")
    if customer.place in {"none", ANSWER}:
        _judge_answered(route, customer, at, reading)
    elif of is None:
        near = shapes.nearest(customer.name, _named(route, customer)) if customer.name else ""
        what = f"{customer.place} `{customer.name}`" if customer.name else "such field in the body"
        reading.fault(here, f"there is no {what}{near}")
    elif customer.place != "path" and (not of.required or of.repeated or of.nullable):
        reading.fault(here, "it says whose data it is about: it must be `required: true`, come once, and never be null")


def _given(route: dict[str, Any], customer: CustomerOf) -> Given | None:
    return _named(route, customer).get(customer.path if customer.place == "body" else customer.name)


def _named(route: dict[str, Any], customer: CustomerOf) -> dict[Any, Given]:
    """What a request of the route says in that place."""
    if customer.place == "body":
        return {steps(path): given for path, given in route.get("body", {}).get("fields", {}).items()}
    key = "headers" if customer.place == "header" else customer.place
    return {name.lower() if key == "headers" else name: given for name, given in route.get(key, {}).items()}


def _judge_answered(route: dict[str, Any], customer: CustomerOf, at: Path, reading: Reading) -> None:
    if customer.place == ANSWER and "write" in route:
        reading.fault((*at, "customer"), "whose data a request changes must be known before: name where it says it")
    elif customer.place == ANSWER:
        for status, answer in route.get("answers", {}).items():
            if answer["media"] != "empty" and "customer" not in answer and "arrays" not in answer:
                reading.fault((*at, "answers", status), "nothing says whose this is: `customer` or `arrays` is missing")


def _judge_body(route: dict[str, Any], at: Path, outbound: bool, reading: Reading) -> None:
    body, here = route.get("body"), (*at, "body")
    if body is None:
        return
    media, fields = body["media"], body.get("fields", {})
    if media == "passed" and (fields or outbound):
        reading.fault(here, "what is passed as it came has no `fields`, and does not leave for a sub-processor")
    if media == "passed" and "content_types" not in body:
        reading.fault(here, "`content_types` is missing: what may be passed as it came")
    if media == "passed" and any(customer.place == "body" for customer in route.get("customer", ())):
        reading.fault((*at, "customer"), "what is passed as it came is not read: the customer must be elsewhere")
    if media in {"json", "form"} and not fields:
        reading.fault(here, "`fields` is missing: nothing could be sent")
    if media == "form" and any(given.nullable for given in fields.values()):
        reading.fault(here, "a form has no null")
    if media == "form" and any(len(steps(path)) != 1 or "*" in steps(path) for path in fields):
        reading.fault(here, "a form has no fields within fields: write `$.name`")
    _judge_below(fields, (*here, "fields"), reading)
    for path, given in fields.items():
        if outbound != (given.mask is not None) or outbound != bool(given.category):
            wanted = "needs a `mask` and a `category`: it leaves" if outbound else "has no `mask`: it stays with us"
            reading.fault((*here, "fields", path), f"the field {wanted}")


def _judge_below(fields: Mapping[str, Any], at: Path, reading: Reading) -> None:
    """Faults of paths of which one says that the other is something else."""
    known = {steps(path): path for path in fields}
    if len(known) != len(fields):
        reading.fault(at, "a field is named twice")
    for path, text in known.items():
        if not path:
            reading.fault((*at, text), "wanted the path of a field, not of the whole")
    for text, fault in misfits(known):
        reading.fault((*at, text), fault)


def _judge_answers(route: dict[str, Any], at: Path, reading: Reading) -> None:
    seen: set[int] = set()
    for status, answer in route.get("answers", {}).items():
        here: Path = (*at, "answers", status)
        if seen & statuses_of(status):
            reading.fault(here, "there is another answer of such a status")
        seen |= statuses_of(status)
        media, fields, arrays = answer["media"], answer.get("fields", {}), answer.get("arrays", {})
        if media not in _READ and (fields or arrays or "customer" in answer):
            reading.fault(here, f"what is `{media}` is not read: it has no `fields`, `arrays` or `customer`")
        if media == "unmasked" and "content_types" not in answer:
            reading.fault(here, "`content_types` is missing: what may leave unmasked")
        if media == "csv" and (arrays or any(len(steps(p)) != 1 or "*" in steps(p) for p in fields)):
            reading.fault(here, 'CSV has columns only: write `$.name` or `$["a name"]`')
        if media == "csv" and len(answer.get("customer", ("one",))) != 1:
            reading.fault((*here, "customer"), 'CSV has columns only: write `$.name` or `$["a name"]`')
        if media in STREAMED and "max_bytes" in answer:
            reading.fault((*here, "max_bytes"), "what streams is bounded by `limits`")
        _judge_below(fields, (*here, "fields"), reading)
        _judge_arrays(answer, here, reading)


def _judge_arrays(answer: dict[str, Any], at: Path, reading: Reading) -> None:
    fields = {steps(path) for path in answer.get("fields", {})}
    seen: set[JsonPath] = set()
    counts: set[JsonPath | None] = set()
    for text, rule in answer.get("arrays", {}).items():
        path, here = steps(text), (*at, "arrays", text)
        if path[-1:] == ("*",):
            reading.fault(here, "wanted the path of the array, without `[*]` at its end")
        if path in fields or any(
            field[: len(path)] == path and field[len(path)] != "*" for field in fields if len(field) > len(path)
        ):
            reading.fault(here, "it is something else than an array in `fields`")
        if path in seen:
            reading.fault(here, "the array is named twice")
        seen.add(path)
        count = rule.get("count")
        if count is not None and not _is_beside(count, path, fields):
            reading.fault(here, "`count` is no value beside the array that it counts, or around it")
        if count is not None and count in counts:
            reading.fault(here, "`count` counts another array already")
        counts.add(count)


def _is_beside(count: JsonPath, array: JsonPath, fields: set[JsonPath]) -> bool:
    """Whether there is one such count for one such array, and it is a value."""
    last = max((place for place, step in enumerate(count) if step == "*"), default=-1)
    scope = count[: last + 1]
    below = any(field[: len(count)] == count and field != count for field in (*fields, array))
    outside = count[: len(array)] != array and array[: len(scope)] == scope
    return bool(count) and count[-1] != "*" and outside and not below


def _judge_meeting(routes: dict[str, Any], reading: Reading) -> None:
    known = [(name, route) for name, route in routes.items() if sum(method in route for method in METHODS) == 1]
    for (name, route), (other, another) in combinations(known, 2):
        if _method(route) == _method(another) and _meet(route, another):
            reading.fault(("http", "routes", other, _method(another)), f"`{name}` is met by the same path")


def _meet(one: dict[str, Any], other: dict[str, Any]) -> bool:
    segments = _template(one), _template(other)
    if len(segments[0]) != len(segments[1]):
        return False
    for left, right in zip(*segments, strict=True):
        values = _value(one, left), _value(other, right)
        if not _may_equal(left, right, *values):
            return False
    return True


def _may_equal(left: str, right: str, one: Value | None, other: Value | None) -> bool:
    if one is None or other is None:
        if one is None and other is None:
            return left == right
        text, value = (left, other) if one is None else (right, one)
        return value is not None and fits(value, text)
    if one.choices or other.choices:
        chosen, value = (one, other) if one.choices else (other, one)
        return any(fits(value, text) for text in chosen.choices)
    kinds_of = {one.type, other.type}
    # a number may be written as an integer; other types than text have no text in common
    return "string" in kinds_of or len(kinds_of) == 1 or kinds_of == {"integer", "number"}


def _value(route: dict[str, Any], segment: str) -> Value | None:
    if not segment.startswith("{"):
        return None
    given = route.get("path", {}).get(segment[1:-1])
    return given.value if given is not None else Value()


def _judge_writes(read: dict[str, Any], reading: Reading) -> None:
    routes = read["http"]["routes"]
    writing = {name: route for name, route in routes.items() if "write" in route}
    mutating = [name for name, route in routes.items() if route.get("graphql", {}).get("mutations")]
    if mutating and "approvers" not in read["access"]:
        reading.fault(
            ("http", "routes", mutating[0], "graphql", "mutations"),
            "`access.approvers` is missing: whatever writes needs the approval of somebody else",
        )
    if writing and "approvers" not in read["access"]:
        reading.fault(
            ("http", "routes", next(iter(writing)), "write"),
            "`access.approvers` is missing: whatever writes needs the approval of somebody else",
        )
    keyed = {path[-1]: text for text, path, mask in _masked(routes) if path and kinds.KINDS[mask.kind].keyed}
    for name, route in writing.items():
        for path in route.get("body", {}).get("fields", {}):
            last = (steps(path) or ("",))[-1]
            if last in keyed:
                # FAIL CLOSED: who may choose a value and see its pseudonym learns whose pseudonym that is elsewhere
                reading.fault(
                    ("http", "routes", name, "body", "fields", path),
                    f"`{keyed[last]}` is masked with a key: who may write it could look pseudonyms up",
                )

    for name, route in routes.items():
        for key, of, operation in graphql_consistency.operations(route):
            for at, path in graphql_consistency.argument_paths(operation):
                if key == "mutations" and path[-1] in keyed:
                    reading.fault(
                        ("http", "routes", name, "graphql", key, of, *at),
                        f"`{keyed[path[-1]]}` is masked with a key: who may write it could look pseudonyms up",
                    )


def _masked(routes: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    for name, route in routes.items():
        for answer in route.get("answers", {}).values():
            for path, shown in answer.get("fields", {}).items():
                yield f"{name} {path}", steps(path), shown.mask
        for label, path, shown in graphql_consistency.shown_fields(route):
            yield f"{name} {label}", path, shown.mask


def _template(route: dict[str, Any]) -> tuple[str, ...]:
    return tuple(route[_method(route)])


def _method(route: dict[str, Any]) -> str:
    return next(method for method in METHODS if method in route)
