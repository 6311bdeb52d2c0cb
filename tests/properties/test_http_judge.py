"""Properties of the judging of requests, whatever a client sends.

| property | held by |
|---|---|
| judging never raises | `test_nothing_that_a_client_sends_raises` |
| what goes on, judged again, is the same plan | `test_what_goes_on_is_judged_to_itself` |
| what goes on has one form, however it was written | `test_two_ways_to_write_a_request_go_on_as_one` |
| whoever reads what goes on reads the same | `test_other_readers_read_what_was_judged` |
| no header goes on that the policy does not name | `test_what_goes_on_is_judged_to_itself` |
"""

from __future__ import annotations

import json
import posixpath
import unicodedata
from functools import cache
from pathlib import Path, PureWindowsPath
from urllib.parse import parse_qsl, quote, unquote

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.policy.http_rules import HttpRules
from gateway.policy.load import load_policy

CORPUS = Path(__file__).parents[1] / "corpus" / "http"
OURS = {"accept", "accept-encoding", "content-type", "traceparent"}

texts = st.text(st.characters(codec="utf-8"), max_size=12)
ids = st.integers(0, 99).map(str)


@cache
def rules() -> HttpRules:
    found = load_policy(CORPUS / "backoffice.yaml").http
    assert found is not None
    return found


def asked(method: str, target: str, body: bytes = b"", media: str = "application/json", *more: str) -> HttpRequest:
    headers = [(b"host", b"api")]
    if body:
        headers += [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode())]
    return HttpRequest(method, target, "api", (*headers, *((one.lower().encode(), b"x") for one in more)), body)


@st.composite
def loosely_encoded(draw: st.DrawFn, text: str) -> str:
    """The text percent-encoded, with more encoded than needs to be."""
    return "".join(f"%{byte:02x}" if draw(st.booleans()) else quote(bytes([byte]), safe="") for byte in text.encode())


@st.composite
def targets(draw: st.DrawFn) -> str:
    pieces = st.sampled_from(
        [
            "companies",
            "42",
            "43",
            "employees",
            "7",
            "..",
            ".",
            "%2e%2e",
            "%2F",
            ";x",
            "",
            "labels",
            "search",
            "%00",
            "a b",
        ]
    ) | texts.map(quote)
    path = "/" + "/".join(draw(st.lists(pieces, max_size=5)))
    names = st.sampled_from(["q", "page", "status", "fields", "company_id", "%71", "q[]", ""]) | texts.map(quote)
    query = "&".join(
        f"{draw(names)}{draw(st.sampled_from(['=', '', '==']))}{draw(texts.map(quote) | ids)}"
        for _ in range(draw(st.integers(0, 3)))
    )
    return f"{path}?{query}" if query else path


@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "TRACE", "get", ""]) | texts,
    target=targets() | texts,
    authority=st.sampled_from(["api", "", "a b"]) | texts,
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"host", b"content-length", b"content-type", b"connection", b"x-company", b"upgrade"])
            | st.binary(max_size=8),
            st.sampled_from([b"api", b"0", b"application/json", b"close", b"42", b"chunked"]) | st.binary(max_size=8),
        ),
        max_size=5,
    ),
    body=st.binary(max_size=40) | st.sampled_from([b'{"company_id":42,"text":"a"}', b"text=a", b"[]", b"{"]),
    version=st.sampled_from(["HTTP/1.1", "HTTP/2"]) | texts,
    customers=st.lists(st.sampled_from(["42", "43", "", "ACME"]) | texts, max_size=3),
)
def test_nothing_that_a_client_sends_raises(
    method: str,
    target: str,
    authority: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    version: str,
    customers: list[str],
) -> None:
    request = HttpRequest(method, target, authority, tuple(headers), body, version)

    assert isinstance(judge(request, rules(), tuple(customers)), HttpPlan | Refusal)


@st.composite
def good_requests(draw: st.DrawFn) -> HttpRequest:
    """Requests of which most are let through."""
    which = draw(st.sampled_from(["list", "label", "search", "status", "note"]))
    words = st.text("abcXYZ é€&=+%#?/;-_.~'\"\\<>", max_size=8)
    if which == "list":
        pairs = [
            ("q", draw(words)),
            ("page", str(draw(st.integers(1, 1000)))),
            ("status", "left"),
            ("status", "active"),
        ]
        chosen = [f"{draw(loosely_encoded(n))}={draw(loosely_encoded(v))}" for n, v in pairs if draw(st.booleans())]
        return asked("GET", f"/{draw(loosely_encoded('companies'))}/42/employees?{'&'.join(chosen)}", b"", "", "Cookie")
    if which == "label":
        request = asked("GET", f"/labels/{draw(loosely_encoded(draw(words)))}", b"", "", "Authorization", "X-Other")
        return HttpRequest(
            request.method, request.target, request.authority, (*request.headers, (b"X-Company", b"42")), b""
        )
    if which == "note":
        form = f"kind=mail&text={draw(loosely_encoded(draw(words)))}"
        return asked("POST", "/companies/42/notes", form.encode(), "application/x-www-form-urlencoded")
    body = {"text": draw(words), "company_id": 42, "tags": draw(st.lists(words, max_size=2))}
    if which == "status":
        body = {"note": draw(words), "status": draw(st.sampled_from(["left", "active"]))}
    written = json.dumps(body, indent=draw(st.sampled_from([None, 2])), ensure_ascii=draw(st.booleans())).encode()
    return asked(*(("POST", "/search") if which == "search" else ("PATCH", "/companies/42/employees/7")), written)


@given(good_requests())
def test_what_goes_on_is_judged_to_itself(request: HttpRequest) -> None:
    plan = judge(request, rules(), ("42",))
    if isinstance(plan, Refusal):
        return
    named = OURS | {one.name for one in plan.route.headers}
    assert {name for name, _ in plan.headers} <= named

    sent = [(name.encode(), value.encode()) for name, value in (("host", "api"), *plan.headers)]
    length = [(b"content-length", str(len(plan.body)).encode())] if plan.body else []
    again = HttpRequest(plan.method, plan.target, "api", (*sent, *length), plan.body)

    assert judge(again, rules(), ("42",)) == plan


@given(good_requests())
def test_other_readers_read_what_was_judged(request: HttpRequest) -> None:
    plan = judge(request, rules(), ("42",))
    if isinstance(plan, Refusal):
        return
    once = unquote(plan.path, errors="strict")

    for reader in (posixpath.normpath, unquote, str.casefold, lambda path: unicodedata.normalize("NFKC", path)):
        assert len(reader(once).split("/")) == len(once.split("/"))
    assert posixpath.normpath(once) == once
    assert unquote(once) == once
    assert PureWindowsPath(once).parts[1:] == tuple(once.split("/")[1:])
    pairs = parse_qsl(plan.query, keep_blank_values=True, strict_parsing=bool(plan.query))
    assert pairs == parse_qsl(plan.query.replace(";", "&"), keep_blank_values=True)
    assert {name for name, _ in pairs} <= {rule.name for rule in plan.route.query}
    if plan.route.body is not None and plan.route.body.media == "form":
        form = parse_qsl(plan.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert {f"$.{name}" for name, _ in form} == set(_names(plan))
    elif plan.body:
        assert json.loads(plan.body).keys() == {name.removeprefix("$.").partition("[")[0] for name in _names(plan)}


def _names(plan: HttpPlan) -> list[str]:
    return plan.shape.rpartition(" {")[2].rstrip("}").split(", ")


@given(st.data())
def test_two_ways_to_write_a_request_go_on_as_one(data: st.DataObject) -> None:
    text = data.draw(st.text("abc é€&=+-_.~", min_size=1, max_size=8))
    path, query = "/companies/42/employees", data.draw(loosely_encoded(text))
    members = [("status", "left"), ("note", text)]
    swapped = dict(data.draw(st.permutations(members)))
    escaped = "".join(f"\\u{ord(c):04x}" for c in text)

    reads = [
        judge(asked("GET", f"{path}?q={one}"), rules(), ("42",))
        for one in (query, quote(text, safe=""), quote(text, safe="").replace("%20", "+"))
    ]
    writes = [
        judge(asked("PATCH", "/companies/42/employees/7", body), rules(), ("42",))
        for body in (
            json.dumps(swapped, indent=1).encode(),
            f'{{"status":"left","note":"{escaped}"}}'.encode(),
        )
    ]

    for plans in (reads, writes):
        assert isinstance(plans[0], HttpPlan)
        assert all(plan == plans[0] for plan in plans)
