"""Policies of HTTP targets: what loads, what is refused and where, and what a digest depends on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from pydantic import TypeAdapter, ValidationError

from gateway.cli.access import whole_columns
from gateway.console.schemas import RevealedColumn
from gateway.errors import Refusal
from gateway.http.masking import Tree
from gateway.model import Principal, Ticket
from gateway.policy.decide import decide_access
from gateway.policy.http_load import statuses_of
from gateway.policy.http_rules import CustomerOf, FieldRule, HttpRules, Parameter, Value
from gateway.policy.http_values import canonical, steps, written
from gateway.policy.load import load_policy, parse_policy
from gateway.policy.schema import Mask, named
from gateway.policy.shapes import DocumentInvalid

CORPUS = Path(__file__).parents[2] / "corpus" / "http"
SMALL = (CORPUS / "backoffice.yaml").read_text(encoding="utf-8")
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
      write: request
      body:
        media: json
        fields:
          $.to: {mask: email, domain: keyed, category: contact, max_length: 100, required: true}
          $.born: {type: date, mask: year, category: identity}
      answers: {202: {media: empty}}
"""


def rules(text: str = SMALL) -> HttpRules:
    found = parse_policy(text).http
    assert found is not None
    return found


def refused(text: str) -> list[str]:
    with pytest.raises(DocumentInvalid) as caught:
        parse_policy(text, "crm.yaml")
    return str(caught.value).splitlines()


def changed(old: str, new: str, text: str = SMALL) -> str:
    assert old in text, old
    return text.replace(old, new, 1)


def test_routes_read_as_they_are_written() -> None:
    found = {route.name: route for route in rules().routes}

    employee, label, pay = found["employee"], found["label"], found["pay"]
    assert employee.template == ("companies", "{company_id}", "employees", "{employee_id}")
    assert employee.method == "GET"
    assert employee.path["company_id"] == Value("integer")
    assert employee.customer == CustomerOf("path", "company_id")
    assert employee.answers[0].customer == ("company_id",)
    iban = Mask("partial", (("keep_end", 3), ("keep_start", 4)))
    assert employee.answers[0].fields[2] == FieldRule(("iban",), iban, "text", reveal=True, identifier=True)
    assert not employee.writes
    assert label.headers == (Parameter("x-company", Value(), required=True),)
    assert label.customer == CustomerOf("header", "x-company")
    assert pay.also == (CustomerOf("body", path=("lines", "*", "company_id")),)
    assert pay.approval == "request"
    assert found["countries"].answers[0].statuses == frozenset(range(200, 300))
    assert found["countries"].template == ("reference", "countries", "")
    assert found["countries"].customer is None


def test_what_may_be_revealed_is_found_under_the_route() -> None:
    assert parse_policy(SMALL).reveal == {"employee": frozenset({"$.iban"})}


def test_an_outbound_target_says_what_becomes_of_every_field() -> None:
    found = rules(OUTBOUND)

    assert (found.direction, found.recipient) == ("outbound", "Mailer Inc.")
    body = found.routes[0].body
    assert body is not None
    assert [(one.path, one.category, one.mask and one.mask.kind) for one in body.fields] == [
        (("born",), "identity", "year"),
        (("to",), "contact", "email"),
    ]
    assert body.fields[1].value == Value(max_length=100)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_length: 40", "max_length: 41"),
        ("choices: [all, contact]", "choices: [all]"),
        ("write: statement", "write: request"),
        ("keep_end: 3, ", "keep_end: 2, "),
        ("customer: $.owner.company_id", "customer: $.company_id"),
        ("2xx: {media: json", "200: {media: json"),
        ("count: $.total}", "count: $.size}"),
        ("$.text: {type: string, max_length: 100, required: true}", "$.text: {type: string, max_length: 100}"),
        ("[path.company_id, 'body.$.lines[*].company_id']", "path.company_id"),
    ],
)
def test_a_digest_depends_on_the_routes(old: str, new: str) -> None:
    assert parse_policy(SMALL).digest != parse_policy(changed(old, new)).digest


def test_a_digest_does_not_depend_on_layout() -> None:
    assert parse_policy(SMALL).digest == parse_policy(f"# more\n{SMALL}").digest
    swapped = changed("            $.id: clear\n", "")
    swapped = changed("reveal: true}\n", "reveal: true}\n            $.id: clear\n", swapped)
    swapped = changed("choices: [all, contact]", "choices: [contact, all]", swapped)
    swapped = changed(
        "{company_id: integer, employee_id: integer}", "{employee_id: integer, company_id: integer}", swapped
    )
    assert parse_policy(SMALL).digest == parse_policy(swapped).digest


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("http:\n", "tables: {public.a: {scope: none, columns: {id: clear}}}\nhttp:\n", "`tables` is for databases"),
        ("http:\n", "functions: [public.f]\nhttp:\n", "`functions` is for databases"),
        ("target: backoffice\n", "target: backoffice\nmode: observe\n", "cannot be observed"),
        ("      get: /companies/{company_id}/employees\n", "", "a route has one of `get`"),
        ("      get: /export/employees.csv", "      get: /export/employees.csv\n      head: /x", "a route has one of"),
        ("get: /reference/countries/", "get: reference", "wanted a path that begins with `/`"),
        ("get: /reference/countries/", "get: /a//b", "of plain segments"),
        ("get: /reference/countries/", "get: /a/../b", "of plain segments"),
        ("get: /reference/countries/", "get: /a/b.", "of plain segments"),
        ("get: /reference/countries/", "get: /a%20b", "of plain segments"),
        ("get: /reference/countries/", "get: /a;b", "of plain segments"),
        ("get: /reference/countries/", "get: '/a?b'", "of plain segments"),
        ("get: /reference/countries/", "get: '/a/{b}c'", "of plain segments"),
        ("get: /labels/{name}", "get: '/labels/{name}/{name}'", "names each placeholder once"),
        ("path: {name: {type", "path: {nam: {type", "`path` does not say what `{name}` may be"),
        ("path: {document_id: uuid}", "path: {document_id: uuid, x: date}", "the path has no `{x}`"),
        ("path: {document_id: uuid}", "path: {document_id: guid}", "wanted one of string, integer"),
        ("path: {document_id: uuid}", "path: {document_id: {type: uuid, required: true}}", "unknown key `required`"),
        ("q: {type: string, max_length: 40}", "q: {type: string, max_lenght: 40}", "did you mean `max_length`?"),
        ("q: {type: string, max_length: 40}", "q: {type: string, minimum: 1}", "are for numbers"),
        ("q: {type: string, max_length: 40}", "q: {type: string, max_length: 0}", "from 1 to"),
        ("q: {type: string, max_length: 40}", "q: {type: string, pattern: '('}", "not a regular expression"),
        ("q: {type: string, max_length: 40}", "q: {type: string, pattern: '(a+)+'}", "can take for ever"),
        ("q: {type: string, max_length: 40}", "q: {type: string, pattern: 'a*a*b'}", "can take for ever"),
        ("q: {type: string, max_length: 40}", "q: {type: string, pattern: '(.)\\1'}", "can take for ever"),
        ("q: {type: string, max_length: 40}", "q: {type: string, pattern: 'a?a?a?a?a?a'}", "can take for ever"),
        ("q: {type: string, max_length: 40}", "q: {type: string, pattern: 'a{0,9}a{0,9}a{0,9}'}", "can take for ever"),
        ("q: {type: string, max_length: 40}", "q: {type: string, pattern: 'a{1,}b*'}", "can take for ever"),
        ("q: {type: string, max_length: 40}", "q: {type: string, pattern: 'a', max_length: 2000}", "at most 1024"),
        ("minimum: 1, maximum: 1000", "minimum: 9, maximum: 1", "greater than"),
        ("minimum: 1, maximum: 1000", "choices: [a]", "values of the type `integer`"),
        ("minimum: 1, maximum: 1000", "pattern: a", "are for strings"),
        ("X-Request-Note:", "Authorization:", "`Authorization` is never passed on"),
        ("X-Request-Note:", "x-forwarded-for:", "is never passed on"),
        ("X-Request-Note:", "X-HTTP-Method-Override:", "is never passed on"),
        ("      customer: none\n", "", "`customer` is missing"),
        ("customer: none\n", "customer: nobody\n", "wanted where the customer is"),
        ("customer: none\n", "customer: [none, answer]\n", "stand alone"),
        ("customer: none\n", "customer: path.id\n", "there is no path `id`"),
        ("customer: none\n", "customer: query.id\n", "there is no query `id`"),
        ("customer: none\n", "customer: header.id\n", "there is no header `id`"),
        ("customer: none\n", "customer: body.$.id\n", "no such field in the body"),
        ("customer: none\n", "customer: answer\n", "nothing says whose this is"),
        ("company_id: {type: integer, required: true}}\n", "company_id: integer}\n", "it must be `required: true`"),
        (
            "$.company_id: {type: integer, required: true}",
            "$.company_id: {type: integer, required: true, nullable: true}",
            "never be null",
        ),
        ("$.kind: {type: string,", "$.kind: {nullable: true, type: string,", "a form has no null"),
        ("since: date\n", "since: {type: date, nullable: true}\n", "unknown key `nullable`"),
        ("X-Company: {type: string, required: true}", "X-Company: string", "it must be `required: true`"),
        ("$.company_id: {type: integer, required: true}", "$.company_id: integer", "it must be `required: true`"),
        (
            "$.company_id: {type: integer, required: true}",
            "$.company_id: {type: date, required: true}",
            "a customer is",
        ),
        ("customer: path.account\n      write", "customer: answer\n      write", "must be known before"),
        ("      reads: true\n", "", "`write` is missing"),
        ("      write: statement\n      answers", "      answers", "`write` is missing"),
        ("      customer: none\n", "      customer: none\n      write: request\n", "a GET only reads"),
        ("      customer: none\n", "      customer: none\n      reads: true\n", "for a POST"),
        (
            "      customer: none\n",
            "      customer: none\n      websocket: unmasked\n      body: {media: json}\n",
            "no body",
        ),
        ("      customer: none\n", "      customer: none\n      websocket: true\n", "wanted one of unmasked"),
        ("      customer: none\n", "      customer: none\n      subprotocols: [chat]\n", "only a WebSocket has"),
        (
            "      customer: none\n",
            "      customer: none\n      websocket: unmasked\n      subprotocols: ['a, b']\n",
            "a subprotocol of WebSocket",
        ),
        (
            "      customer: none\n",
            "      customer: none\n      websocket: unmasked\n      write: statement\n",
            "messages that are not sent yet",
        ),
        (
            "      customer: none\n",
            "      customer: answer\n      websocket: unmasked\n",
            "nobody reads whose a message is",
        ),
        (
            "      reads: true\n",
            "      reads: true\n      websocket: unmasked\n",
            "a WebSocket begins with a GET",
        ),
        ("  approvers: {teams: [security]}\n", "", "needs the approval of somebody else"),
        ("get: /export/employees.csv", "get: /labels/x", "`export` is met by the same path"),
        ("get: /documents/{document_id}\n", "get: /labels/{document_id}\n", "`document` is met by the same path"),
        (
            "$.status: {type: string, choices: [active, left], required: true}",
            "$.last_name: string",
            "look pseudonyms up",
        ),
        ("$.note: {type: string, max_length: 200}", "$.status.x: date", "lies below `$.status`"),
        ("$.note: {type: string, max_length: 200}", "$.note: {mask: redact, category: x}", "has no `mask`"),
        ("$.tags[*]: {type: string, max_length: 20}", "$.filter[*]: date", "fields of an object elsewhere"),
        ("$.tags[*]: {type: string, max_length: 20}", "$: date", "not of the whole"),
        ("$.tags[*]: {type: string, max_length: 20}", "tags: date", "wanted a path such as"),
        ("$.id: clear\n", "$.id: clear\n            $.id.x: clear\n", "lies below `$.id`"),
        ("$.id: clear\n", "$.id: {mask: clear, reveal: true}\n", "is clear already"),
        ("$.id: clear\n", "$.id: {mask: year, type: integer}\n", "does not fit type"),
        ("$.id: clear\n", "$.id: {mask: clear, type: public.mood}\n", "a type as PostgreSQL spells it"),
        ("$.id: clear\n", "$.id: {mask: klear}\n", "did you mean `clear`?"),
        ("$.id: clear\n", "$.id: {identifier: true}\n", "a field needs a mask"),
        ("count: $.total}", "count: $.employees.total}", "no value beside the array"),
        ("count: $.total}", "count: '$.employees[*].n'}", "no value beside the array"),
        ("count: $.total}", "count: $.employees}", "no value beside the array"),
        ("count: $.total}", "count: '$.other[*].n'}", "no value beside the array"),
        (
            ", count: $.total}",
            ", count: $.total}\n            $.left: {customer: $.id, count: $.total}",
            "another array",
        ),
        (", count: $.total}", ", count: $.total}\n            '$[\"employees\"]': {customer: $.id}", "named twice"),
        ("$.employees: {customer", "'$.employees[*]': {customer", "without `[*]` at its end"),
        ("$.employees: {customer", "$.total: {customer", "something else than an array"),
        ("customer: $.owner.company_id", "customer: '$.owner[*].id'", "the path of one value"),
        ("200: {media: csv,", "200: {media: csv, max_bytes: 9,", "bounded by `limits`"),
        ("fields: {$.id: clear}}\n    document", "fields: {$.id.x: clear}}\n    document", "CSV has columns only"),
        ("204: {media: empty}\n    pay", "2xx: {media: empty}\n    pay", "another answer of such a status"),
        ("204: {media: empty}\n    pay", "204: {media: unmasked}\n    pay", "what may leave unmasked"),
        ("204: {media: empty}\n    pay", "204: {media: empty, fields: {$.a: clear}}\n    pay", "is not read"),
        ("204: {media: empty}\n    pay", "99: {media: empty}\n    pay", "wanted a status such as"),
        ("media: form\n", "media: graphql\n", "wanted one of json, form, passed"),
        ("media: form\n", "media: passed\n", "has no `fields`"),
        ("$.kind: {type", "$.kind.x: {type", "a form has no fields within fields"),
        ("body: {media: passed, content_types: [image/png],", "body: {media: passed,", "what may be passed"),
        ("body: {media: passed, content_types: [image/png],", "body: {media: json,", "nothing could be sent"),
        ("http:\n", "http:\n  recipient: Somebody\n", "is for `direction: outbound`"),
        ("http:\n", "http:\n  direction: sideways\n", "wanted one of inbound, outbound"),
        ("    employee:\n", "    employee: {}\n    other:\n", "`customer` is missing"),
    ],
)
def test_a_fault_is_said_with_its_place(old: str, new: str, wanted: str) -> None:
    faults = refused(changed(old, new))

    assert any(wanted in fault for fault in faults), faults
    assert all(fault.startswith("crm.yaml:") and not fault.startswith("crm.yaml:1:1:") for fault in faults), faults


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("  recipient: Mailer Inc.\n", "", "`recipient` is missing"),
        (", category: contact", "", "needs a `mask` and a `category`"),
        ("mask: year, ", "", "needs a `mask` and a `category`"),
        ("mask: year, ", "mask: email, ", "does not fit type"),
        ("/{company_id}/messages\n      path: {company_id: integer}", "/{company_id}/{a}\n"
         "      path: {company_id: integer, a: string}", "needs `choices` or a `pattern`"),
        ("        media: json\n", "        media: passed\n", "does not leave for a sub-processor"),
        ("  routes:\n", "  routes:\n    live: {get: /live, customer: none, websocket: unmasked}\n",
         "what a WebSocket carries does not leave for a sub-processor"),
    ],
)  # fmt: skip
def test_nothing_leaves_for_a_sub_processor_without_a_word(old: str, new: str, wanted: str) -> None:
    assert any(wanted in fault for fault in refused(changed(old, new, OUTBOUND)))


def test_a_policy_has_tables_or_routes() -> None:
    (fault,) = refused(SMALL[: SMALL.index("http:")])

    assert "`tables` is missing, or `http` for an HTTP target" in fault


def test_templates_of_which_no_path_meets_two_stand_side_by_side() -> None:
    text = changed("get: /documents/{document_id}\n", "get: /labels/{document_id}\n")
    text = changed("path: {name: {type: string, max_length: 40}}", "path: {name: integer}", text)
    text = changed("get: /export/employees.csv", "get: /labels/all", text)

    assert len(rules(text).routes) == len(rules().routes)


@pytest.mark.parametrize("text", ["$", "$.a", "$.a[*].b-c", '$["a name"].b', "$[*][*]", '$["a.b"]'])
def test_a_path_is_written_as_it_was_read(text: str) -> None:
    assert written(steps(text)) == text


@pytest.mark.parametrize("text", ["", "a", "$a", "$.", "$..a", "$[0]", '$["*"]', '$["a]', "$.a ", "$.*", '$["a\\n"]'])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="wanted a path such as"):
        steps(text)


def test_statuses_may_be_a_class_or_several() -> None:
    assert statuses_of("200, 404") == {200, 404}
    assert statuses_of("4xx") == frozenset(range(400, 500))


@pytest.mark.parametrize(
    ("value", "text", "wanted"),
    [
        (Value("integer"), "9223372036854775807", "9223372036854775807"),
        (Value("integer"), "9223372036854775808", None),
        (Value("integer"), "-9223372036854775808", "-9223372036854775808"),
        (Value("integer"), "٤", None),
        (Value("integer", 1, 5), "6", None),
        (Value("integer", choices=("1", "2")), "3", None),
        (Value("number"), "1.5e3", "1.5e3"),
        (Value("number"), "1.", None),
        (Value("number", 0), "-0.5", None),
        (Value("number"), "1e1000", None),
        (Value("boolean"), "True", None),
        (Value("date"), "0000-01-01", None),
        (Value("uuid"), "6F9619FF-8B86-D011-B42D-00CF4FC964FF", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        (Value("uuid"), "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}", None),
        (Value("string", pattern="[A-Z]{2}"), "AB", "AB"),
        (Value("string", pattern="[A-Z]{2}"), "AB\n", None),
        (Value("string", max_length=2), "abc", None),
    ],
)
def test_a_value_has_one_form(value: Value, text: str, wanted: str | None) -> None:
    assert canonical(value, text) == wanted


def test_an_array_in_an_array_has_a_count_of_its_own() -> None:
    fields = 'fields: {$.total: clear, "$.employees[*].id": clear}'
    text = changed(fields, 'fields: {"$.teams[*].employees[*].id": clear}')
    text = changed("$.employees: {customer: $.company_id, count: $.total}",
                   "'$.teams[*].employees': {customer: $.company_id, count: '$.teams[*].total'}", text)  # fmt: skip

    found = {route.name: route for route in rules(text).routes}["employees"].answers[0]

    assert found.arrays[0].count == ("teams", "*", "total")
    assert Tree(found).fits({})


def test_every_answer_that_loads_can_be_masked() -> None:
    for route in rules().routes:
        for rule in route.answers:
            Tree(rule)


def test_writing_is_asked_for_as_for_a_database() -> None:
    policy = load_policy(CORPUS / "backoffice.yaml")
    alice = Principal("alice", "alice", "alice", frozenset({"support"}))
    ticket = Ticket("SUP-1", "file", "", "open", "alice", ("42",))
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert not isinstance(decide_access(policy, alice, ticket, now, write=True), Refusal)
    assert not isinstance(decide_access(policy, alice, ticket, now, reveal=[("employee", "$.iban")]), Refusal)
    other = decide_access(policy, alice, ticket, now, reveal=[("employee", "$.last_name")])
    assert isinstance(other, Refusal)
    reading = parse_policy(SMALL[: SMALL.index("    set_status:")])
    refusal = decide_access(reading, alice, ticket, now, write=True)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "read-only"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("public.people.email", ("public.people", "email")),
        ("employee.$.iban", ("employee", "$.iban")),
        ("employees.$.employees[*].iban", ("employees", "$.employees[*].iban")),
        ('list.$[*]["a.b"]', ("list", '$[*]["a.b"]')),
    ],
)
def test_what_is_asked_for_in_clear_is_of_a_relation_or_of_a_route(text: str, wanted: tuple[str, str]) -> None:
    assert named(text) == wanted
    assert ".".join(wanted) == text
    assert whole_columns([text]) == [text]
    TypeAdapter(RevealedColumn).validate_python(text)


@pytest.mark.parametrize("text", ["people.email", "a.b.c.d", "employee.$", "employee.$a.x.y", "a b.$.x.y", "$.a.b.c"])
def test_what_is_asked_for_in_clear_is_named_whole(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        whole_columns([text])
    with pytest.raises(ValidationError):
        TypeAdapter(RevealedColumn).validate_python(text)
