"""The parts of the HTTP engine that need neither a socket nor mitmproxy: proofs, messages, statements, settings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import record
from gateway.cli.connection import from_answer
from gateway.config import load_config
from gateway.engines import http_channel as ipc
from gateway.engines.http_sessions import proof_of, token_of
from gateway.engines.http_statements import Requests, study
from gateway.errors import GatewayError, Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.http_settings import HttpTarget
from gateway.policy.http_rules import AnswerRule
from gateway.policy.load import load_policy, parse_policy
from gateway.policy.schema import Policy
from gateway.sql.cache import Judgement
from gateway.wire.auth import ScramVerifier, known_to, make_verifier, mock_verifier

POLICY = Path(__file__).parents[2] / "corpus" / "http" / "backoffice.yaml"


@given(st.text(min_size=1, max_size=20).filter(lambda text: ":" not in text), st.text(min_size=1, max_size=40))
def test_what_is_shown_is_what_was_given(user: str, secret: str) -> None:
    try:
        shown = token_of(user, secret)
    except UnicodeEncodeError:
        return
    assert proof_of(f"Bearer {shown}") == (user, secret)
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
    assert proof_of(f"basic {basic}") == (user, secret)


@given(st.text(max_size=60))
def test_anything_else_that_is_shown_proves_nothing_or_a_user_and_a_secret(shown: str) -> None:
    for text in (shown, f"Bearer {shown}", f"Basic {shown}", f"Bearer gwh_{shown}"):
        found = proof_of(text)
        assert found is None or (found[0] and found[1])


def test_a_command_line_makes_the_token_that_the_engine_reads(tmp_path: Path) -> None:
    answer = {
        "target": "backoffice", "engine": "http", "host": "gateway.example", "port": 8444, "database": "backoffice",
        "user": "alice+SUP-1", "password": "gwp_x", "sslmode": "verify-full", "ca": "", "ticket": "SUP-1",
        "customers": ["42"], "grant": "grant_1", "expires_at": "2026-11-28T17:00:00Z",
    }  # fmt: skip
    opened = from_answer(answer, tmp_path)
    assert opened.token == token_of("alice+SUP-1", "gwp_x")
    assert opened.url == "https://gateway.example:8444"
    assert "uri" not in opened.as_json()


def test_a_secret_is_known_to_the_verifier_that_was_made_of_it_and_to_no_other() -> None:
    salt = b"x" * 16
    verifiers = [ScramVerifier.parse(make_verifier(secret, 16, salt)) for secret in ("one", "two")]
    assert [known_to(secret, verifiers) for secret in ("one", "two", "three", "")] == [0, 1, None, None]
    assert known_to("one", [mock_verifier("alice", b"k")]) is None


class Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def channel(kind: Any = ipc.ToGate) -> tuple[ipc.Channel, Sink, list[Any]]:
    taken: list[Any] = []
    made, sink = ipc.Channel(kind, taken.append, lambda: None), Sink()
    made.connection_made(sink)  # type: ignore[arg-type]  # as much of a transport as it uses
    return made, sink, taken


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_messages_come_as_they_were_sent_in_whatever_pieces(size: int) -> None:
    said = [ipc.Ready(), ipc.Extend(1, 2, 3), ipc.Settle(1, "ok", 200, "", 3, 4), ipc.Extend(2, 1, 1)]
    speaker, sink, _ = channel()
    for one in said:
        speaker.send(one)
    listener, _, taken = channel()
    data = bytes(sink.written)
    for at in range(0, len(data), size):
        listener.data_received(data[at : at + size])
    assert taken == said


@pytest.mark.parametrize("data", [
    struct.pack(">I", ipc.LIMIT + 1), struct.pack(">I", 3) + b"abc", struct.pack(">I", 0),
    struct.pack(">I", 6) + msgspec.msgpack.encode(["Setup"])[:6],
])  # fmt: skip
def test_nonsense_closes_the_channel(data: bytes) -> None:
    listener, sink, taken = channel()
    listener.data_received(data)
    assert sink.aborted
    assert taken == []


def with_a_json_mask() -> Policy:
    """The policy of a route that has masks within a mask."""
    masks = "{phone: {mask: partial, keep_end: 2}, home.city: clear}"
    fields = f"{{$.profile: {{mask: json, paths: {masks}}}}}"
    text = OUTBOUND.replace("  direction: outbound\n  recipient: Mailer Inc.\n", "")
    text = text[: text.index("    send:")] + text[text.index("    templates:") :]
    return parse_policy(text.replace("{media: empty}", f"{{media: json, fields: {fields}}}"))


@pytest.mark.parametrize("policy", [lambda: load_policy(POLICY), with_a_json_mask], ids=["an office", "json masks"])
def test_rules_arrive_as_they_were(policy: Callable[[], Policy]) -> None:
    rules = policy().http
    assert rules is not None
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(ipc.Rules("digest", rules)), type=ipc.ToProcess)
    assert ipc.frozen(sent.rules) == rules


def test_a_request_that_is_written_out_can_be_approved() -> None:
    rules = load_policy(POLICY).http
    assert rules is not None
    write = study(rules, ("42",), 'PATCH /companies/42/employees/7\n\n{ "status": "left" }\n')
    assert not isinstance(write, Refusal)
    assert (write.verb, write.relation, write.approval) == ("PATCH", "set_status", "statement")
    again = study(rules, ("42",), 'PATCH /companies/42/employees/7\n{"status":"left"}')
    other = study(rules, ("42",), 'PATCH /companies/42/employees/8\n{"status":"left"}')
    assert not isinstance(again, Refusal)
    assert not isinstance(other, Refusal)
    assert write.digest == again.digest != other.digest


OUTBOUND = """\
target: mailer
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  duration: {default: 1h, max: 8h}
  approvers: {teams: [security]}
http:
  direction: outbound
  recipient: Mailer Inc.
  routes:
    send:
      post: /companies/{company_id}/messages
      path: {company_id: integer}
      customer: path.company_id
      write: statement
      body:
        media: json
        fields:
          $.to: {mask: email, domain: keyed, category: contact, required: true}
          $.born: {type: date, mask: year, category: identity}
          $.text: {mask: clear, category: free text}
      answers: {202: {media: empty}}
    templates:
      get: /templates
      customer: none
      answers: {200: {media: empty}}
"""


def outbound(method: str, target: str, body: bytes = b"") -> Judgement:
    rules = parse_policy(OUTBOUND).http
    assert rules is not None
    headers = [(b"host", b"api.test")]
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    plan = judge(HttpRequest(method, target, "api.test", tuple(headers), body), rules, ("41", "42"), key=b"k" * 32)
    assert isinstance(plan, HttpPlan)
    return Requests(lambda digest: digest).judgement(plan, 1, frozenset())


def test_the_record_of_what_leaves_says_to_whom_about_whom_and_how_it_is_masked_and_no_value() -> None:
    body = b'{"to":"ann@example.org","born":"1990-05-17","text":"Dear Ann"}'
    found = outbound("POST", "/companies/42/messages", body)
    assert {name: found.fields[name] for name in ("recipient", "sent_for", "categories", "sent", "relations")} == {
        "recipient": "Mailer Inc.",
        "sent_for": ["42"],
        "categories": ["contact", "free text", "identity"],
        "sent": [
            "path.company_id: clear",
            "$.born: identity, year",
            "$.text: free text, clear",
            "$.to: contact, email",
        ],
        "relations": ["send"],
    }
    assert not any(value in str(found.fields) for value in ("ann", "Ann", "1990"))
    # the seal keeps what left, which is the masked request
    assert "Dear Ann" in str(found.said.texts)
    assert "ann@" not in str(found.said.texts)
    # whoever asks for Ann by her address finds it
    assert found.said.subjects == ("1990-05-17", "Dear Ann", "ann@example.org")
    record.event("statement.begin", **found.fields)
    record.event("statement.refused", **found.fields)


def test_the_record_of_what_leaves_for_nobody_in_particular_says_to_whom() -> None:
    fields = outbound("GET", "/templates").fields
    assert fields["recipient"] == "Mailer Inc."
    assert not {"sent_for", "categories", "sent"} & fields.keys()


def test_what_leaves_is_approved_as_it_was_written_and_shown_as_it_leaves() -> None:
    rules = parse_policy(OUTBOUND).http
    assert rules is not None
    filed = 'POST /companies/42/messages\n{"to": "ann@example.org", "born": "1990-05-17", "text": "Dear Ann"}'
    write = study(rules, ("42",), filed)
    assert not isinstance(write, Refusal)
    assert write.canonical.endswith('{"born":"1990-01-01","text":"Dear Ann","to":"(email)"}')
    ran = outbound("POST", "/companies/42/messages", b'{"born":"1990-05-17","text":"Dear Ann","to":"ann@example.org"}')
    assert ran.plan.write is not None
    assert ran.plan.write.digest == write.digest
    other = outbound(
        "POST", "/companies/42/messages", b'{"born":"1990-05-18","text":"Dear Ann","to":"ann@example.org"}'
    )
    assert other.plan.write is not None
    assert other.plan.write.digest != write.digest


@pytest.mark.parametrize(("text", "code"), [
    ("update employees set status = 'left'", "request-invalid"), ("PATCH", "request-invalid"), ("", "request-invalid"),
    ("PATCH http://other/companies/42", "request-invalid"), ("GET /companies/42/employees/7", "request-invalid"),
    ("PATCH /companies/43/employees/7\n{\"status\":\"left\"}", "not-found"),
])  # fmt: skip
def test_what_is_no_request_that_writes_is_not_filed(text: str, code: str) -> None:
    rules = load_policy(POLICY).http
    assert rules is not None
    found = study(rules, ("42",), text)
    assert isinstance(found, Refusal)
    assert found.code == code


def target(**more: Any) -> HttpTarget:
    return HttpTarget.model_validate({"engine": "http", "url": "https://api.test", "listen": {"port": 0}, **more})


def test_an_address_says_what_requests_are_for() -> None:
    assert (target().host, target().port, target().authority) == ("api.test", 443, "api.test")
    other = target(url="https://[::1]:8443")
    assert (other.host, other.port, other.authority) == ("::1", 8443, "[::1]:8443")
    assert target(url="http://127.0.0.1:80").authority == "127.0.0.1"


@pytest.mark.parametrize("more", [
    {"url": "http://api.test"}, {"url": "ftp://localhost"}, {"url": "https://api.test/v1"}, {"url": "https://u:p@api.test"},
    {"url": "https://api.test?x=y"}, {"url": "https://api.test:0"}, {"url": "https://"}, {"url": "https://[x"},
    {"credentials": {"kind": "header", "name": "Host", "value": {"env": "X"}}},
    {"credentials": {"kind": "header", "name": "a b", "value": {"env": "X"}}},
    {"credentials": {"kind": "basic", "user": "a:b", "password": {"env": "X"}}}, {"credentials": {"kind": "magic"}},
    {"timeout": "0s"}, {"database": "x"},
])  # fmt: skip
def test_what_cannot_be_a_target_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        target(**more)


@pytest.mark.parametrize(("kind", "name", "value"), [
    ({"kind": "bearer", "token": {"env": "API"}}, "authorization", "Bearer s3cret"),
    ({"kind": "basic", "user": "gw", "password": {"env": "API"}}, "authorization", "Basic Z3c6czNjcmV0"),
    ({"kind": "header", "name": "X-Api-Key", "value": {"env": "API"}}, "x-api-key", "s3cret"),
])  # fmt: skip
def test_a_credential_is_one_header(monkeypatch: pytest.MonkeyPatch, kind: Any, name: str, value: str) -> None:
    made = target(credentials=kind).credentials
    assert made is not None
    monkeypatch.setenv("API", "s3cret")
    assert made.header() == (name, value)
    monkeypatch.setenv("API", "s3cret\r\nX: y")
    with pytest.raises(GatewayError):
        made.header()


def test_a_fault_of_a_target_is_told_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("targets:\n  api: {engine: http, url: https://a.test, port: 1}\n  db: {host: x, por: 1}\n")
    with pytest.raises(GatewayError) as refused:
        load_config(path, {})
    message = refused.value.refusal.message
    assert ":2:44: `targets.api.port`" in message
    assert ":3:17: `targets.db.por`" in message


FORM_ROUTE = """
target: mailer
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  duration: {default: 1h, max: 8h}
  approvers: {teams: [security]}
http:
  direction: outbound
  recipient: Mailer Inc.
  routes:
    send:
      post: /companies/{company_id}/messages
      path: {company_id: integer}
      customer: path.company_id
      headers: {X-Campaign: {type: string, choices: [spring, summer]}}
      write: statement
      body:
        media: form
        fields:
          $.to: {mask: email, domain: keyed, category: contact, required: true}
          $.subject: {mask: clear, category: free text}
      answers: {202: {media: empty}}
"""


def sent(rules: Any, body: bytes, *more: tuple[bytes, bytes]) -> HttpPlan:
    headers = (
        (b"host", b"api.test"), (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", b"%d" % len(body)), *more,
    )  # fmt: skip
    found = judge(HttpRequest("POST", "/companies/42/messages", "api.test", headers, body), rules, ("42",), key=b"k")
    assert isinstance(found, HttpPlan), found
    return found


@pytest.mark.parametrize(
    "filed",
    [
        "POST /companies/42/messages\nto=ann%40example.org&subject=Hello",
        "POST /companies/42/messages\nContent-Type: application/x-www-form-urlencoded\n\n"
        "to=ann%40example.org&subject=Hello",
        "POST /companies/42/messages\r\n\r\nto=ann%40example.org&subject=Hello\r\n",
    ],
    ids=["body below", "with its media type", "as curl prints it"],
)
def test_a_form_that_leaves_can_be_filed_and_is_the_request_that_is_sent(filed: str) -> None:
    rules = parse_policy(FORM_ROUTE).http
    assert rules is not None
    write = study(rules, ("42",), filed)
    assert not isinstance(write, Refusal), write
    assert write.digest == sent(rules, b"to=ann%40example.org&subject=Hello").digest
    assert write.digest != sent(rules, b"to=ann%40example.org&subject=Hullo").digest
    assert "ann" not in write.canonical


def test_a_header_that_is_passed_on_is_a_part_of_what_is_filed() -> None:
    rules = parse_policy(FORM_ROUTE).http
    assert rules is not None
    write = study(rules, ("42",), "POST /companies/42/messages\nX-Campaign: spring\n\nto=ann%40example.org")
    assert not isinstance(write, Refusal), write
    assert "x-campaign: spring" in write.canonical
    assert write.digest == sent(rules, b"to=ann%40example.org", (b"x-campaign", b"spring")).digest
    assert write.digest != sent(rules, b"to=ann%40example.org").digest
    unknown = study(rules, ("42",), "POST /companies/42/messages\nX-Campaign: autumn\n\nto=ann%40example.org")
    assert isinstance(unknown, Refusal)


def test_json_may_stand_in_the_first_line() -> None:
    rules = load_policy(POLICY).http
    assert rules is not None
    below = study(rules, ("42",), 'PATCH /companies/42/employees/7\n{"status":"left"}')
    beside = study(rules, ("42",), 'PATCH /companies/42/employees/7 {"status": "left"}')
    assert not isinstance(below, Refusal)
    assert not isinstance(beside, Refusal)
    assert below.digest == beside.digest
    assert isinstance(study(rules, ("42",), "PATCH /companies/42/employees/7 HTTP/1.1"), Refusal)


@pytest.mark.parametrize(
    ("method", "target", "body", "found"),
    [
        ("GET", "/companies/42/employees/71234", b"", ("71234",)),
        # too short to tell who somebody is, of a few choices, the ticket's customer
        ("GET", "/companies/42/employees/7", b"", ()),
        ("PATCH", "/companies/42/employees/71234", b'{"status":"left"}', ("71234",)),
    ],
    ids=["in the path", "too short", "a choice is none"],
)
def test_values_that_tell_who_somebody_is_are_told_of_a_request(
    method: str, target: str, body: bytes, found: tuple[str, ...]
) -> None:
    policy = load_policy(POLICY)
    assert policy.http is not None
    headers = [(b"host", b"api.test")]
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    plan = judge(HttpRequest(method, target, "api.test", tuple(headers), body), policy.http, ("42",))
    assert isinstance(plan, HttpPlan), plan
    said = Requests(lambda digest: digest).judgement(plan, 1, frozenset(), policy.identifiers).said
    assert said.subjects == found


@pytest.mark.parametrize(
    ("target", "body", "found"),
    [
        ("/companies/42/employees?email=ann%40example.org", b"", {"ann@example.org"}),
        ("/employees/ann%40example.org/", b"", {"ann@example.org"}),
        ("/x", b'{"people":[{"iban":"FR76"},{"nir":285}],"n":12}', {"FR76", "285"}),
        ("/x", b"iban=FR76&n=12", {"FR76"}),
        ("/x", b'{"iban":"FR76"', set()),
        ("/x", b"[" * 60_000, set()),
        ("/x?" + "a=b&" * 5_000, b"\xff\xfe", set()),
    ],
    ids=["query", "path", "document", "form", "broken", "deep", "many and binary"],
)
def test_a_refused_request_tells_its_values_as_far_as_it_can_be_read(target: str, body: bytes, found: set[str]) -> None:
    request = HttpRequest("GET", target, "api.test", (), body)
    said = Requests(lambda digest: digest).unread(request, frozenset({"iban", "nir"})).said
    names = {"companies", "employees"}
    assert {str(one) for one in said.subjects} - names == found


def test_the_fields_of_answers_name_identifiers_and_categories() -> None:
    text = OUTBOUND.replace("  direction: outbound\n  recipient: Mailer Inc.\n", "").replace(
        "answers: {200: {media: empty}}",
        'answers: {200: {media: json, fields: {"$[*].iban": {mask: partial, keep_end: 3, identifier: true, '
        'category: bank}, "$[*].total": {mask: clear, category: counts}}}}',
    )
    text = text[: text.index("    send:")] + text[text.index("    templates:") :]
    policy = parse_policy(text)
    assert policy.identifiers == {"iban"}
    assert policy.categories == {"bank": {"templates.$[*].iban"}, "counts": {"templates.$[*].total"}}


def test_the_record_of_a_route_that_passes_what_comes_says_so() -> None:
    """Its fields are those of every statement, and the media types that leave as they are."""
    rules = load_policy(POLICY).http
    assert rules is not None
    masked = judge(
        HttpRequest("GET", "/companies/42/employees/7", "api.test", ((b"host", b"api.test"),)), rules, ("42",)
    )
    assert isinstance(masked, HttpPlan)
    passed = AnswerRule(frozenset({200}), "unmasked", content_types=("text/html", "application/pdf"))
    passing = replace(masked, route=replace(masked.route, name="page", answers=(passed,)))
    requests = Requests(str)
    fields = [requests.judgement(plan, 1, frozenset()).fields for plan in (masked, passing)]
    assert "unmasked" not in fields[0]
    assert fields[1]["unmasked"] == ["text/html", "application/pdf"]
    assert "unmasked" in record.KINDS["statement.begin"]
