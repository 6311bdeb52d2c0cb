"""What a plan holds: what an approver reads, what the trail shows, what leaves for a sub-processor."""

from __future__ import annotations

import json

import pytest
from judging import asked, came, rules, written

from gateway.errors import GatewayError, Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, SentField
from gateway.http.refusing import shown
from gateway.http.request_headers import OVERRIDES
from gateway.policy.http_consistency import is_never_passed
from gateway.policy.masks import render
from gateway.policy.schema import Mask

JSON = ("Content-Type", "application/json")
KEY = bytes(range(32))
OUTBOUND = """\
  direction: outbound
  recipient: Mailer Inc.
  routes:
    send:
      post: /messages
      customer: body.$.company
      write: request
      body:
        media: json
        fields:
          $.company: {mask: pseudonym, domain: token, category: customer, required: true}
          $.to[*].address: {mask: email, domain: keyed, category: contact}
          $.to[*].born: {type: date, mask: year, category: identity}
          $.to[*].salary: {type: integer, mask: bucket, size: 1000, category: pay}
          $.to[*].text: {mask: redact, category: free text}
          $.template: {mask: clear, category: none, choices: [welcome]}
      answers: {2xx: {media: empty}}
    form:
      post: /forms
      customer: body.$.company
      write: request
      body:
        media: form
        fields:
          $.company: {type: integer, mask: bucket, size: 10, category: customer, required: true}
          $.address: {mask: email, domain: keyed, category: contact}
          $.note: {mask: 'null', category: free text}
          $.count: {type: integer, mask: redact, category: pay}
      answers: {2xx: {media: empty}}
"""
SOCKET = """\
  routes:
    live:
      get: /live/{company}
      path: {company: integer}
      customer: path.company
      websocket: unmasked
"""
SHAKE = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


def plan(found: HttpPlan | Refusal) -> HttpPlan:
    assert isinstance(found, HttpPlan), found
    return found


def code(found: HttpPlan | Refusal) -> str:
    assert isinstance(found, Refusal), found
    return found.code


def test_an_approver_reads_the_whole_request_and_the_trail_its_names() -> None:
    found = plan(
        came(asked("PATCH", "/companies/42/employees/7", [JSON], b'{"note": "gone\\nfor good", "status": "left"}'))
    )

    assert found.text == (
        "PATCH /companies/42/employees/7\ncontent-type: application/json\n\n"
        '{"note":"gone\\nfor good","status":"left"}'
    )  # fmt: skip
    assert found.shape == "PATCH /companies/{company_id}/employees/{employee_id} {$.note, $.status}"
    assert found.customers == ("42",)
    assert "gone" not in found.shape + repr(found).replace(found.path, "")


def test_the_shape_names_parameters_and_headers_once() -> None:
    found = plan(
        came(asked("GET", "/companies/42/employees?status=left&status=active&q=a", [("X-Request-Note", "hello")]))
    )

    assert found.shape == "GET /companies/{company_id}/employees?q&status [x-request-note]"
    assert found.text == "GET /companies/42/employees?q=a&status=left&status=active\nx-request-note: hello"


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\u2028", "\x7f", "\U000e0041"])
def test_nothing_hides_from_an_approver(hidden: str) -> None:
    body = json.dumps({"status": "left", "note": f"a{hidden}b"}, ensure_ascii=False).encode()
    found = came(asked("PATCH", "/companies/42/employees/7", [JSON], body))

    if isinstance(found, Refusal):
        assert hidden in {"\u2028", "\x7f"}
        return
    assert hidden not in found.text
    assert hidden.encode() in found.body
    assert json.loads(found.text.partition("\n\n")[2]) == json.loads(found.body)


def test_a_list_that_is_emptied_is_in_the_shape() -> None:
    found = plan(came(asked("POST", "/search", [JSON], b'{"company_id": 42, "text": "a", "tags": [], "filter": {}}')))

    assert found.body == b'{"company_id":42,"filter":{},"tags":[],"text":"a"}'
    assert found.shape == "POST /search {$.company_id, $.filter, $.tags, $.text}"


def test_what_an_approval_is_for_changes_with_every_part() -> None:
    base = ("PATCH", "/companies/42/employees/7", [JSON], b'{"status":"left"}')
    others = [
        ("PATCH", "/companies/42/employees/8", [JSON], b'{"status":"left"}'),
        ("PATCH", "/companies/42/employees/7", [JSON], b'{"status":"active"}'),
        ("PATCH", "/companies/42/employees/7", [JSON], b'{"status":"left","note":"x"}'),
        ("GET", "/companies/42/employees/7", [], b""),
        ("PUT", "/companies/42/logo", [("Content-Type", "image/png")], b"abc"),
        ("PUT", "/companies/42/logo", [("Content-Type", "image/png")], b"abd"),
        ("GET", "/companies/42/employees", [("X-Request-Note", "a")], b""),
        ("GET", "/companies/42/employees", [("X-Request-Note", "b")], b""),
    ]
    digests = [plan(came(asked(*one))).digest for one in (base, *others)]

    assert len(set(digests)) == len(digests)


def test_what_only_decorates_does_not_change_what_an_approval_is_for() -> None:
    traced = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    bare, decorated = (
        plan(came(asked("GET", "/companies/42/employees/7", headers)))
        for headers in ([], [traced, ("User-Agent", "x"), ("Authorization", "Bearer y")])
    )

    assert traced in decorated.headers
    assert bare.digest == decorated.digest


@pytest.mark.parametrize("trace", ["00-xyz", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff", "a\tb"])
def test_a_trace_that_is_none_is_dropped(trace: str) -> None:
    found = plan(came(asked("GET", "/companies/42/employees/7", [("traceparent", trace)])))

    assert "traceparent" not in dict(found.headers)


def test_the_target_is_asked_for_what_the_policy_shows_and_for_no_coding() -> None:
    found = plan(
        came(asked("GET", "/export/employees.csv?company_id=42", [("Accept-Encoding", "br"), ("Accept", "*/*")]))
    )

    assert dict(found.headers) == {"accept": "text/csv", "accept-encoding": "identity"}


def test_what_leaves_for_a_sub_processor_is_masked_as_in_sql() -> None:
    body = {
        "company": "42",
        "template": "welcome",
        "to": [{"address": "ann@example.org", "born": "1990-05-17", "salary": 61_234, "text": "call her"}],
    }
    request = asked("POST", "/messages", [JSON], json.dumps(body).encode())

    found = plan(judge(request, written(OUTBOUND), ("42",), key=KEY))

    email = render(Mask("email", (("domain", "keyed"),)), "ann@example.org", KEY, "text")
    company = render(Mask("pseudonym", (("domain", "token"),)), "42", KEY, "text")
    assert json.loads(found.body) == {
        "company": company,
        "to": [{"address": email, "born": "1990-01-01", "salary": 61_000, "text": "***"}],
        "template": "welcome",
    }
    assert found.masked == (
        SentField("$.company", "customer", "pseudonym"),
        SentField("$.template", "none", "clear"),
        SentField("$.to[*].address", "contact", "email"),
        SentField("$.to[*].born", "identity", "year"),
        SentField("$.to[*].salary", "pay", "bucket"),
        SentField("$.to[*].text", "free text", "redact"),
    )
    assert "ann" not in found.text
    assert "61234" not in found.text


def test_a_form_that_leaves_is_masked_too() -> None:
    request = asked(
        "POST", "/forms", [("Content-Type", "application/x-www-form-urlencoded")],
        b"company=42&address=ann%40example.org&note=hello&count=7",
    )  # fmt: skip

    found = plan(judge(request, written(OUTBOUND), ("42",), key=KEY))

    email = render(Mask("email", (("domain", "keyed"),)), "ann@example.org", KEY, "text")
    assert email is not None
    assert found.body == f"address={email.replace('@', '%40')}&company=40&count=0".encode()


def test_a_customer_is_named_in_whichever_case_the_ticket_spells_him() -> None:
    text = SOCKET.replace("company: integer", "company: uuid").replace(
        "websocket: unmasked", "answers: {2xx: {media: empty}}"
    )
    spelled = "0AF76519-16CD-43DD-8448-EB211C80319C", "0af76519-16cd-43dd-8448-eb211c80319c"
    request = asked("GET", f"/live/{spelled[1]}")

    assert plan(judge(request, written(text), (*spelled, spelled[0].replace("0AF", "1AF")))).about == spelled


def test_a_trace_in_which_a_client_may_write_does_not_leave() -> None:
    trace = "traceparent", "00-" + b"salary 61234 eur".hex() + "-" + b"to ann..".hex() + "-01"
    request = asked("POST", "/messages", [JSON, trace], b'{"company":"42"}')

    assert [name for name, _ in plan(judge(request, written(OUTBOUND), ("42",), key=KEY)).headers] == [
        "content-type", "accept", "accept-encoding",
    ]  # fmt: skip


def test_without_a_key_keyed_fields_say_how_they_are_masked() -> None:
    request = asked("POST", "/messages", [JSON], b'{"company":"42","to":[{"address":"ann@example.org"}]}')

    found = plan(judge(request, written(OUTBOUND), ("42",), key=None))

    assert json.loads(found.body) == {"company": "(pseudonym)", "to": [{"address": "(email)"}]}


def test_a_request_is_the_same_whatever_the_key_and_another_when_what_a_mask_hides_differs() -> None:
    def digest(body: bytes, key: bytes | None) -> str:
        return plan(judge(asked("POST", "/messages", [JSON], body), written(OUTBOUND), ("42",), key=key)).digest

    ann = b'{"company":"42","to":[{"address":"ann@example.org","salary":61234}]}'
    respaced = b'{ "to": [{"salary": 61234, "address": "ann@example.org"}], "company": "42" }'
    assert digest(ann, KEY) == digest(ann, None) == digest(ann, KEY[::-1]) == digest(respaced, None)
    # a bucket makes the same of both, and without a key an address is as good as another
    assert digest(ann.replace(b"61234", b"61235"), KEY) != digest(ann, KEY)
    assert digest(ann.replace(b"ann@", b"bob@"), None) != digest(ann, None)
    form = ("Content-Type", "application/x-www-form-urlencoded")

    def of_form(body: bytes, key: bytes | None) -> str:
        return plan(judge(asked("POST", "/forms", [form], body), written(OUTBOUND), ("42",), key=key)).digest

    assert (
        of_form(b"company=42&note=a", None) == of_form(b"note=a&company=42", KEY) != of_form(b"company=42&note=b", None)
    )


def test_what_leaves_outside_of_a_body_is_said_too_and_whom_it_is_about() -> None:
    text = """\
  direction: outbound
  recipient: Mailer Inc.
  routes:
    look:
      get: /companies/{company}/messages
      path: {company: integer}
      customer: path.company
      query: {page: integer, state: {type: string, choices: [sent, failed]}}
      headers: {X-Kind: {type: string, choices: [a, b]}}
      answers: {2xx: {media: empty}}
"""
    request = asked("GET", "/companies/42/messages?state=sent", [("X-Kind", "a")])

    found = plan(judge(request, written(text), ("41", "42"), key=KEY))

    assert [one.text for one in found.masked] == ["path.company: clear", "query.state: clear", "header.x-kind: clear"]
    assert (found.about, found.recipient) == (("42",), "Mailer Inc.")
    inward = plan(
        judge(request, written(text.replace("  recipient: Mailer Inc.\n", "").replace("outbound", "inbound")), ("42",))
    )
    assert (inward.masked, inward.recipient, inward.about) == ((), "", ("42",))


def test_null_leaves_as_null_or_as_what_hides_it() -> None:
    text = OUTBOUND.replace("category: pay}\n          $.to[*].text: {mask: redact,", "category: pay, nullable: true}\n"
                            "          $.to[*].text: {mask: redact, nullable: true,", 1)  # fmt: skip
    request = asked("POST", "/messages", [JSON], b'{"company":"42","to":[{"salary":null,"text":null}]}')

    found = plan(judge(request, written(text), ("42",), key=KEY))

    assert json.loads(found.body)["to"] == [{"salary": None, "text": "***"}]
    assert found.shape == "POST /messages {$.company, $.to[*].salary, $.to[*].text}"


def test_an_undeclared_field_does_not_leave() -> None:
    request = asked("POST", "/messages", [JSON], b'{"company":"42","to":[{"address":"a@b.example","iban":"FR76"}]}')

    assert code(judge(request, written(OUTBOUND), ("42",), key=KEY)) == "request-not-allowed"


def test_another_customers_data_does_not_leave() -> None:
    request = asked("POST", "/messages", [JSON], b'{"company":"43"}')

    assert code(judge(request, written(OUTBOUND), ("42",), key=KEY)) == "not-found"


def test_a_websocket_begins_where_a_route_lets_it() -> None:
    found = plan(judge(asked("GET", "/live/42", [*SHAKE, ("Sec-WebSocket-Extensions", "x")]), written(SOCKET), ("42",)))

    assert dict(found.headers) == {
        "accept": "*/*", "accept-encoding": "identity", "connection": "Upgrade", "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"Upgrade": "h2c"}, "protocol-violation"),
        ({"Upgrade": "websocket, h2c"}, "protocol-violation"),
        ({"Connection": "close"}, "protocol-violation"),
        ({"Sec-WebSocket-Version": "8"}, "protocol-violation"),
        ({"Sec-WebSocket-Key": "short"}, "protocol-violation"),
        ({"Upgrade": None}, "protocol-violation"),
        ({"Upgrade": None, "Connection": "close"}, "request-not-allowed"),
    ],
)
def test_a_handshake_is_whole_or_refused(change: dict[str, str | None], wanted: str) -> None:
    headers = [(name, value) for name, value in (dict(SHAKE) | change).items() if value is not None]

    assert code(judge(asked("GET", "/live/42", headers), written(SOCKET), ("42",))) == wanted


@pytest.mark.parametrize(("offered", "named", "wanted"), [
    (["chat"], "", ""), (["chat"], "chat", "chat"), (["x, chat", "talk ,y"], "talk, chat", "chat, talk"),
    (["chat, chat"], "chat", "chat"), ([], "chat", ""), (["x"], "chat", None), (["Chat"], "chat", None),
    (["chat;q=1"], "chat", None),
])  # fmt: skip
def test_a_websocket_s_subprotocols_are_those_that_the_policy_names(
    offered: list[str], named: str, wanted: str | None
) -> None:
    policy = written(SOCKET + f"      subprotocols: [{named}]\n" if named else SOCKET)
    headers = [*SHAKE, *(("Sec-WebSocket-Protocol", one) for one in offered)]

    found = judge(asked("GET", "/live/42", headers), policy, ("42",))

    if wanted is None:
        assert code(found) == "request-not-allowed"
    else:
        assert dict(plan(found).headers).get("sec-websocket-protocol", "") == wanted


@pytest.mark.parametrize(("origin", "let"), [
    ("https://api", True), ("https://API", True), ("https://api:444", False), ("http://api", False),
    ("https://other", False), ("null", False), ("https://api.other", False), ("https://api/", False), ("", False),
])  # fmt: skip
def test_a_page_of_another_origin_begins_no_websocket(origin: str, let: bool) -> None:
    found = judge(asked("GET", "/live/42", [*SHAKE, ("Origin", origin)]), written(SOCKET), ("42",))

    assert isinstance(found, HttpPlan) == let
    assert let or code(found) == "request-not-allowed"


def test_two_origins_begin_no_websocket() -> None:
    origins = [("Origin", "https://api"), ("Origin", "https://other")]

    assert code(judge(asked("GET", "/live/42", [*SHAKE, *origins]), written(SOCKET), ("42",))) == "request-not-allowed"


def test_a_version_that_is_not_known_is_refused() -> None:
    assert code(came(asked("GET", "/reference/countries/", version="HTTP/1.0"))) == "protocol-violation"


def test_no_refusal_quotes_what_the_client_sent() -> None:
    secret = "4242424242424242"
    requests = [
        asked("GET", f"/companies/42/employees?{secret}=1"),
        asked("GET", f"/companies/42/employees?q={secret * 4}"),
        asked("GET", f"/labels/{secret}/x"),
        asked("POST", "/search", [JSON], f'{{"company_id":42,"text":"a","{secret}":1}}'.encode()),
        asked("POST", "/search", [JSON], f'{{"company_id":{secret},"text":"a"}}'.encode()),
        asked("GET", "/companies/42/employees/7", [("Host", secret)]),
    ]
    for request in requests:
        refusal = came(request)
        assert isinstance(refusal, Refusal)
        assert secret not in repr(refusal)


def test_a_name_is_shown_where_it_reads_like_one() -> None:
    assert shown("field", "salary") == "the field `salary`"
    assert shown("field", "jane.doe@example.org") == "a field"
    assert shown("field", "a" * 50) == "a field"


def test_a_wrong_customer_and_a_missing_thing_are_refused_by_the_same_words() -> None:
    from gateway.http.withheld import NOT_FOUND

    assert came(asked("GET", "/companies/43/employees/7")) == NOT_FOUND
    assert isinstance(GatewayError(NOT_FOUND.code, NOT_FOUND.message, NOT_FOUND.hint).refusal, Refusal)


def test_what_would_lead_elsewhere_can_be_in_no_policy() -> None:
    assert all(is_never_passed(name) for name in OVERRIDES)


def test_every_route_of_the_corpus_is_met_by_some_request() -> None:
    from judging import attacks, request_of

    met = {
        found.route.name
        for attack in attacks()
        if isinstance(found := came(request_of(attack), tuple(attack.get("customers", ["42"]))), HttpPlan)
    }

    assert met == {route.name for route in rules().routes}
