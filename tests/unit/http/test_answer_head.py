"""Which statuses, media types and headers of an upstream leave, and what stands for the rest."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from answering import JSON, Withheld, answer, field, in_chunks, left, route, rule, seen

from gateway.console.problems import Problem
from gateway.http.headers import NEVER
from gateway.http.problem import problem
from gateway.http.withheld import NOT_FOUND
from gateway.policy.http_rules import CustomerOf, Value

PLAIN = rule("json", field("$.id"))
OWNED = rule("json", field("$.id"), customer="$.c")


def head(*headers: tuple[bytes, bytes], **more: Any) -> dict[str, str]:
    by = more.pop("by", PLAIN)
    return dict(answer(by, headers, **more).head()[1])


# statuses


@pytest.mark.parametrize("status", [100, 101, 103, 200, 201, 204, 206, 226, 300, 301, 302, 304, 307, 600, 999, 0])
def test_a_status_that_no_rule_names_is_a_bad_gateway(status: int) -> None:
    with pytest.raises(Withheld) as fault:
        answer(route(rule("json", field("$.id"), statuses=frozenset({418}))), status=status)
    assert (fault.value.status, fault.value.refusal.code) == (502, "answer-not-allowed")


@pytest.mark.parametrize("status", [100, 101, 206, 226, 304])
def test_some_statuses_never_leave_even_where_a_rule_names_them(status: int) -> None:
    with pytest.raises(Withheld) as fault:
        answer(rule("json", field("$.id"), statuses=frozenset({status})), status=status)
    assert fault.value.refusal.code == "answer-not-allowed"


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 511, 599])
def test_a_failure_of_the_target_is_a_bad_gateway(status: int) -> None:
    with pytest.raises(Withheld) as fault:
        answer(PLAIN, (*JSON, (b"Retry-After", b"30"), (b"X-Error", b"CANARY")), status=status)
    assert (fault.value.status, fault.value.refusal.code) == (502, "target-error")
    assert fault.value.headers == (("retry-after", "30"),)
    assert b"CANARY" not in seen(fault.value)


@pytest.mark.parametrize("status", [401, 407])
def test_the_target_s_word_on_our_credential_is_not_the_client_s(status: int) -> None:
    with pytest.raises(Withheld) as fault:
        answer(PLAIN, ((b"WWW-Authenticate", b'Basic realm="CANARY"'),), status=status)
    assert fault.value.status == 502
    assert b"CANARY" not in seen(fault.value)
    assert b"www-authenticate" not in seen(fault.value)


@pytest.mark.parametrize(("status", "told"), [(400, 400), (403, 403), (409, 409), (422, 422), (429, 429), (499, 400)])
def test_a_refusal_of_the_target_keeps_its_status_and_loses_its_words(status: int, told: int) -> None:
    with pytest.raises(Withheld) as fault:
        answer(PLAIN, JSON, status=status)
    assert (fault.value.status, fault.value.refusal.code) == (told, "target-refused")


def test_a_missing_object_and_another_customer_s_are_the_same_to_the_byte() -> None:
    """Whatever the upstream says of it: the rules, the upstream's 404, and its other words for what is there."""
    faults = []
    for status in (402, 403, 404, 409, 410, 412, 418, 423, 424, 428, 451):
        with pytest.raises(Withheld) as fault:
            answer(OWNED, ((b"Content-Type", b"text/html"), (b"Retry-After", b"1")), status=status)
        faults.append(fault.value)
    for body in (b'{"id": 1, "c": 43}', b'{"id": 1}', b'{"c": null}', b'{"c": 43', b"", b"[]", b" " * (9 << 20)):
        with pytest.raises(Withheld) as fault:
            left(OWNED, body)
        faults.append(fault.value)
    with pytest.raises(Withheld) as fault:
        answer(OWNED, (*JSON, *JSON), status=404)
    faults.append(fault.value)
    with pytest.raises(Withheld) as fault:
        answer(PLAIN, JSON, status=404)
    faults.append(fault.value)

    assert {seen(fault) for fault in faults} == {
        b"404\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n"
        b'x-content-type-options: nosniff\r\n\r\n{"type":"about:blank","title":"Not Found","status":404,'
        b'"detail":"there is no such object, or it is not yours to see","code":"not-found",'
        b'"hint":"look at the name or id again"}'
    }


def test_operators_are_told_why_a_document_was_not_found() -> None:
    for body, why in ((b'{"c": 42, "c": 43}', "answer-unreadable"), (b" " * (9 << 20), "answer-too-large")):
        with pytest.raises(Withheld) as fault:
            left(OWNED, body)
        assert fault.value.refusal.detail.startswith(f"{why}: ")
        assert why.encode() not in seen(fault.value)
    with pytest.raises(Withheld) as fault:
        left(OWNED, b'{"c": 43}')
    assert fault.value.refusal.detail == ""


def test_a_404_is_ours_even_where_a_rule_names_it() -> None:
    by = route(OWNED, rule("json", field("$.error"), statuses=frozenset({404})))

    with pytest.raises(Withheld) as fault:
        answer(by, JSON, status=404)

    assert fault.value.refusal == NOT_FOUND


def test_a_named_error_leaves_by_its_rule() -> None:
    by = route(PLAIN, rule("json", field("$.code"), statuses=frozenset({422})))

    out = answer(by, ((b"Content-Type", b"application/problem+json"),), status=422)
    body = out.feed(b'{"code": "too-long", "detail": "CANARY"}') + out.finish()

    assert (out.head()[0], body) == (422, b'{"code":"too-long"}')


# media types


@pytest.mark.parametrize(
    "given",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"',
     "application/json ; charset=us-ascii", "application/hal+json", "application/problem+json; profile=x",
     "application/json;"],
)  # fmt: skip
def test_json_says_that_it_is_json_in_utf_8_and_leaves_as_such(given: str) -> None:
    assert head((b"content-type", given.encode()))["content-type"] == "application/json"


@pytest.mark.parametrize(
    "given",
    ["", "json", "application", "application/", "/json", "text/json", "text/html", "text/plain", "application/xml",
     "application/json; charset=utf-16", "application/json; charset=latin1", "application/json; charset=utf-7",
     "application/json; charset=utf-8; charset=utf-16", "application/json; charset", "application/json charset=utf-8",
     "application/json, text/html", "application/json\x00", "application/json;charset=utf-8\r\nx: y", "image/svg+xml",
     "application/jsonp", "application/json-seq", "multipart/mixed; boundary=x", "text/x+json", "application/j son",
     "*/*"],
)  # fmt: skip
def test_what_is_not_json_in_utf_8_is_withheld(given: str) -> None:
    with pytest.raises(Withheld) as fault:
        head((b"content-type", given.encode()))
    assert fault.value.refusal.code == "answer-not-allowed"


@pytest.mark.parametrize(
    "headers",
    [(), ((b"Content-Type", b"application/json"), (b"content-type", b"application/json")),
     ((b"Content-Type", b"application/json"), (b"content-type", b"text/html"))],
)  # fmt: skip
def test_a_type_said_twice_or_not_at_all_is_withheld(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(Withheld):
        head(*headers)


def test_the_types_that_a_rule_names_are_the_only_ones_and_leave_as_it_writes_them() -> None:
    by = rule("json", field("$.id"), content_types=("application/vnd.pay+json", "application/x-pay"))

    assert head((b"Content-Type", b"Application/X-Pay"), by=by)["content-type"] == "application/x-pay"
    with pytest.raises(Withheld):
        head(*JSON, by=by)


def test_a_route_answers_in_several_media() -> None:
    csv, ndjson = rule("csv", field("$.id")), rule("ndjson", field("$.id"))
    by = route(PLAIN, csv, ndjson, rule("empty", statuses=frozenset({200, 204})))

    assert head((b"Content-Type", b"text/csv; charset=utf-8"), by=by)["content-type"] == (
        "text/csv; charset=utf-8; header=present"
    )
    assert head((b"Content-Type", b"application/x-ndjson"), by=by)["content-type"] == "application/x-ndjson"
    assert head(*JSON, by=by)["content-type"] == "application/json"
    assert "content-type" not in head(by=by)


@pytest.mark.parametrize("given", ["text/csv; header=absent", "text/csv; charset=windows-1252"])
def test_csv_without_a_header_or_in_another_character_set_is_withheld(given: str) -> None:
    with pytest.raises(Withheld):
        head((b"Content-Type", given.encode()), by=rule("csv", field("$.id")))


# no body


def test_an_empty_answer_has_no_byte() -> None:
    by = rule("empty", statuses=frozenset({204}))

    assert left(by, b"", (), status=204) == b""
    for chunks in ([b"CANARY"], [b"", b"C"]):
        came, fault = in_chunks(answer(by, (), status=204), chunks)
        assert (came, fault and fault.refusal.code) == (b"", "answer-unreadable")


def test_an_answer_to_head_is_a_head_without_a_length() -> None:
    out = answer(
        PLAIN, (*JSON, (b"Content-Length", b"4711"), (b"ETag", b'"x"'), (b"Content-Encoding", b"gzip")), method="HEAD"
    )

    assert (out.feed(b""), out.finish(), out.rows) == (b"", b"", 0)
    assert set(dict(out.head()[1])) == {"content-type", "cache-control", "x-content-type-options"}
    with pytest.raises(Withheld):
        answer(PLAIN, JSON, method="HEAD").feed(b"x")


def test_a_head_does_not_tell_whether_another_customer_s_object_is_there() -> None:
    faults = []
    for status, headers in ((200, JSON), (200, ()), (404, JSON), (410, ())):
        with pytest.raises(Withheld) as fault:
            answer(OWNED, headers, status=status, method="HEAD")
        faults.append(seen(fault.value))
    assert len(set(faults)) == 1


@pytest.mark.parametrize("media", ["empty", "unmasked"])
def test_a_customer_in_a_body_that_nobody_reads_is_another_s(media: str) -> None:
    with pytest.raises(Withheld) as fault:
        answer(
            rule(media, customer="$.c", content_types=("application/pdf",)), ((b"Content-Type", b"application/pdf"),)
        )
    assert fault.value.refusal == NOT_FOUND


def test_unmasked_content_passes_as_it_is_only_where_its_type_is_named() -> None:
    by = rule("unmasked", content_types=("application/pdf",))

    assert left(by, b"%PDF\x00\xff", ((b"Content-Type", b"application/pdf"),)) == b"%PDF\x00\xff"
    assert answer(by, ((b"Content-Type", b"application/pdf"),)).streams
    for charset, told in ((b"UTF-8", "; charset=utf-8"), (b'"windows-1252"', "; charset=windows-1252"), (b"x", "")):
        made = head((b"Content-Type", b"application/pdf; charset=" + charset), by=by)
        assert made["content-type"] == f"application/pdf{told}"
    for headers in (JSON, ((b"Content-Type", b"text/html"),), ()):
        with pytest.raises(Withheld):
            answer(by, headers)
        with pytest.raises(Withheld):
            answer(rule("unmasked"), headers)


# headers

ALWAYS = {"content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff"}


def test_headers_leave_by_name_and_only_in_visible_ascii() -> None:
    by = rule("json", field("$.id"), headers=("X-Total", "x-b", "x-c", "x-d", "x-e", "x-f", "x-g", "bad name", "x:y"))

    made = head(
        *JSON,
        (b"X-Total", b" 5 "),
        (b"X-B", "é".encode()),
        (b"X-C", b"a\r\nSet-Cookie: b"),
        (b"X-D", b"a"),
        (b"x-d", b"b"),
        (b"X-E", b""),
        (b"X-F", b"a\x00b"),
        (b"X-G", b"x" * 1025),
        (b"bad name", b"a"),
        (b"x:y", b"a"),
        (b"X-Other", b"CANARY"),
        by=by,
    )

    assert made == ALWAYS | {"x-total": "5"}


def test_no_rule_makes_a_dangerous_header_leave() -> None:
    by = rule("json", field("$.id"), headers=tuple(NEVER))
    headers = [(name.encode(), b"CANARY") for name in NEVER if name not in {"content-type", "content-encoding"}]

    assert head(*JSON, *headers, by=by) == ALWAYS


def test_a_date_and_a_time_to_wait_leave_only_as_such() -> None:
    good = ((b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"), (b"Retry-After", b"120"))
    bad = ((b"Date", b"CANARY"), (b"Retry-After", b"Sun, 06 Nov 1994 08:49:37 GMT"))

    assert head(*JSON, *good) == ALWAYS | {"date": "Sun, 06 Nov 1994 08:49:37 GMT", "retry-after": "120"}
    assert head(*JSON, *bad) == ALWAYS
    assert head(*JSON, *good, *good) == ALWAYS


# where it points

COMPANY = {"company": Value("integer")}
READ = route(PLAIN, template=("companies", "{company}", "people", "{id}"), path={**COMPANY, "id": Value("integer")})
READ_OWN = route(PLAIN, template=("companies", "{company}"), path=COMPANY, customer=CustomerOf("path", "company"))


def test_a_redirect_leads_nowhere_where_the_path_does_not_tell_whose_it_is() -> None:
    by = rule("empty", statuses=frozenset({201}))
    told = rule("json", field("$.id"), customer=("owner",))
    path = {"id": Value("integer")}
    for other in (
        route(told, template=("documents", "{id}"), path=path),
        route(PLAIN, template=("documents", "{id}"), path=path, customer=CustomerOf("query", "company")),
    ):
        assert "location" not in head((b"Location", b"/documents/7"), by=by, status=201, routes=(other,))


@pytest.mark.parametrize(
    ("location", "leads"),
    [
        ("/companies/42", True),
        ("/companies/43", False),
        ("/companies/42/people/7", True),
        ("/companies/42/people/7/", False),
        ("/companies/42/people/x", False),
        ("/companies/042", False),
        ("/companies/42/people/7?token=CANARY", False),
        ("/companies/42/people/7#CANARY", False),
        ("/companies/42/people/..", False),
        ("/companies/42/people/.", False),
        ("/companies/42/people/%2e%2e", False),
        ("/companies/42/people/a;b", False),
        ("/companies/42/people/" + "a" * 129, False),
        ("/elsewhere", False),
        ("//evil.example/people", False),
        ("https://upstream.internal/companies/42", False),
        ("companies/42", False),
        ("\\companies\\42", False),
        ("/companies\\42", False),
        ("/companies/é", False),
        ("javascript:alert(1)", False),
        ("", False),
    ],
)
def test_a_redirect_leads_to_a_route_of_the_ticket_s_customer_or_nowhere(location: str, leads: bool) -> None:
    by = rule("empty", statuses=frozenset({303}))
    routes = (READ, READ_OWN)
    headers = ((b"Location", location.encode()),)

    if leads:
        assert head(*headers, by=by, status=303, routes=routes)["location"] == location
    else:
        with pytest.raises(Withheld) as fault:
            head(*headers, by=by, status=303, routes=routes)
        assert location == "" or location.encode() not in seen(fault.value)


def test_a_redirect_does_not_lead_to_what_only_takes_writes() -> None:
    post = route(PLAIN, method="POST", template=("companies", "{company}"), path=COMPANY)

    with pytest.raises(Withheld):
        head((b"Location", b"/companies/42"), by=rule("empty", statuses=frozenset({303})), status=303, routes=(post,))


def test_where_something_was_made_is_told_only_if_the_rule_says_so() -> None:
    headers = (*JSON, (b"Location", b"/companies/42"))
    silent = rule("json", field("$.id"), statuses=frozenset({201}))
    telling = rule("json", field("$.id"), statuses=frozenset({201}), headers=("Location",))

    assert "location" not in head(*headers, by=silent, status=201, routes=(READ_OWN,))
    assert head(*headers, by=telling, status=201, routes=(READ_OWN,))["location"] == "/companies/42"
    assert "location" not in head(*headers, by=telling, status=201, routes=())
    assert "location" not in head(*headers, (b"location", b"/companies/42"), by=telling, status=201, routes=(READ_OWN,))


# problems


def test_a_problem_has_the_shape_of_those_of_the_gateway_s_api() -> None:
    for code, status in itertools.product(("not-found", "target-refused", "authentication-failed"), (0, 409)):
        from gateway.errors import Refusal

        made, headers, body = problem(Refusal(code, "why"), status, (("retry-after", "1"),))
        document = json.loads(body)
        assert Problem.model_validate(document).status == made == document["status"]
        assert dict(headers)["content-type"] == "application/problem+json"
        assert headers[-1] == ("retry-after", "1")
        assert ("www-authenticate" in dict(headers)) == (made == 401)
