"""Policies proposed from OpenAPI documents: they load, they say why, and no document gets out of its place."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.cli.openapi import read
from gateway.cli.scaffold_http import HttpDraft, drafted
from gateway.errors import GatewayError
from gateway.policy.http_rules import HttpRules, Parameter, Value
from gateway.policy.load import parse_policy

DOCUMENT = Path(__file__).parents[2] / "corpus" / "http" / "openapi.yaml"
TODAY = date(2026, 1, 1)


def draft(document: Any, tmp_path: Path, customer: str = "") -> HttpDraft:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return drafted("backoffice", read(path), customer, TODAY)


def rules(found: HttpDraft) -> HttpRules:
    http = parse_policy(found.text).http
    assert http is not None
    return http


def document(schema: Any, **more: Any) -> dict[str, Any]:
    """A document with one request whose answer has that schema."""
    return {
        "openapi": "3.0.3",
        "paths": {
            "/companies/{company_id}/x": {
                "get": {
                    "parameters": [{"name": "company_id", "in": "path", "schema": {"type": "integer"}}],
                    "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
                }
            }
        },
    } | more


def test_a_believable_document_gives_a_policy_that_loads() -> None:
    found = drafted("backoffice", read(DOCUMENT), "", TODAY)

    routes = {route.name: route for route in rules(found).routes}
    assert set(routes) == {
        "listEmployees",
        "hire",
        "get_v1_companies_company_id_employees_employee_id",
        "document",
        "search",
    }
    employees = routes["listEmployees"]
    assert employees.template == ("v1", "companies", "{company_id}", "employees")
    assert employees.query == (
        Parameter("q", Value(max_length=40)),
        Parameter("status", Value(choices=("active", "left")), repeated=True),
    )
    masks = {rule.path[-1]: rule.mask.kind for rule in employees.answers[0].fields}
    assert masks["iban"] == "partial"
    assert masks["last_name"] == "pseudonym"
    assert masks["status"] == "clear"
    assert masks["total"] == "clear"
    assert not masks.keys() & {"notes", "extra", "manager"}
    assert [(rule.path, rule.customer, rule.count) for rule in employees.answers[0].arrays] == [
        (("employees",), ("company_id",), ("total",))
    ]
    assert routes["document"].answers[0].customer == ("companyId",)
    assert routes["hire"].approval == "statement"
    body = routes["hire"].body
    assert body is not None
    assert [one.path for one in body.fields] == [("salary",), ("status",), ("tags", "*")]
    assert [one.required for one in body.fields] == [True, True, False]


def test_what_is_left_out_says_why() -> None:
    found = drafted("backoffice", read(DOCUMENT), "", TODAY)

    assert dict(found.left_out) == {
        "GET /v1/companies/{company_id}/employees/me":
            "`get_v1_companies_company_id_employees_employee_id` is met by the same path",
        "GET /v1/export": "it has no answer of a kind that can be masked",
        "GET /v1/health": "nothing says whose data it is about; `customer: none` is for data about nobody",
        "PUT /v1/companies/{company_id}/logo": "its body is multipart/form-data, which is not read",
    }  # fmt: skip
    for line in (
        '# "$.employees[*].notes": left out; free text: by its name',
        '# "$.employees[*].manager": left out; unknown: it refers back to Employee',
        "# $.password: left out; secret by its name",
        "# $.last_name: left out; masked with a key in an answer: who may write it could look pseudonyms up",
        "# filter: left out; it is no plain value, secret, or never passed on",
    ):
        assert line in found.text


def test_every_field_of_an_answer_is_proposed_or_left_out_with_its_reason() -> None:
    found = drafted("backoffice", read(DOCUMENT), "", TODAY)
    fields = sum(len(answer.fields) for route in rules(found).routes for answer in route.answers)
    comments = sum(line.lstrip().startswith('# "$') for line in found.text.splitlines())

    assert (fields, comments) == (found.counts[0] + found.counts[1], found.counts[2])


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    loaded = YAML(typ="safe", pure=True).load(DOCUMENT)

    assert draft(loaded, tmp_path) == drafted("backoffice", read(DOCUMENT), "", TODAY)


HOSTILE = 'x": clear\n  y: {mask: clear}\u2028# \x1b[2J\u202e'


def test_no_name_of_a_document_gets_out_of_its_place(tmp_path: Path) -> None:
    names = [HOSTILE, "ok", "a: b #", "*", ""]
    schema = {"type": "object", "title": HOSTILE, "properties": {name: {"type": "boolean"} for name in names}}
    whole = document(schema)
    operation = whole["paths"]["/companies/{company_id}/x"]["get"]
    operation["operationId"] = HOSTILE
    operation["parameters"] += [
        {"name": HOSTILE, "in": "query", "schema": {"type": "string"}},
        {"name": "q", "in": "query", "schema": {"type": "string", "enum": ["a", HOSTILE]}},
        {"name": "evil\r\nx", "in": "header", "schema": {"type": "string"}},
    ]
    whole["paths"][f"/{HOSTILE}"] = {"get": operation}

    found = draft(whole, tmp_path)

    (route,) = rules(found).routes
    assert ([one.name for one in route.query], route.headers) == (["q"], ())
    assert {rule.path for rule in route.answers[0].fields} == {("ok",), ("a: b #",)}
    assert route.query[0].value.choices == tuple(sorted(("a", HOSTILE)))
    assert not set(found.text) & {"\x1b", "\u2028", "\u202e"}


@pytest.mark.parametrize(
    ("schema", "schemas"),
    [
        ({"$ref": "#/components/schemas/A"}, {"A": {"$ref": "#/components/schemas/A"}}),
        ({"$ref": "#/components/schemas/A"}, {"A": {"allOf": [{"$ref": "#/components/schemas/A"}]}}),
        ({"$ref": "#/components/schemas/A"}, {"A": {"oneOf": [{"$ref": "#/components/schemas/B"}]},
                                              "B": {"anyOf": [{"$ref": "#/components/schemas/A"}]}}),
        ({"$ref": "#/components/schemas/A"}, {"A": {"items": {"$ref": "#/components/schemas/A"}}}),
        ({"$ref": "#/components/schemas/A"},
         {"A": {"properties": {str(n): {"$ref": "#/components/schemas/A"} for n in range(9)}}}),
        ({"$ref": "#/components/schemas/0"},
         {str(n): {"properties": {f"p{m}": {"$ref": f"#/components/schemas/{n + 1}"} for m in range(9)}}
          for n in range(99)}),
        ({"$ref": "#/components/schemas/none"}, {}),
        ({"$ref": "https://elsewhere.example/schema.json"}, {}),
        ({"$ref": "file:///etc/passwd"}, {}),
        ({"type": ["string", "integer"]}, {}),
        ("nonsense", {}),
        ({"properties": "nonsense", "allOf": "nonsense", "required": 7}, {}),
        ({"oneOf": [{"type": "string"}, {"properties": {"a": {"type": "string"}}}]}, {}),
        ({"properties": {"a": {"oneOf": [{"type": "integer"}, {"items": {"type": "integer"}}]}}}, {}),
    ],
)  # fmt: skip
def test_a_document_without_end_or_sense_shows_nothing(schema: Any, schemas: Any, tmp_path: Path) -> None:
    found = draft(document(schema, components={"schemas": schemas}), tmp_path)

    for route in rules(found).routes:
        assert all(not answer.fields for answer in route.answers)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "neither JSON nor YAML"),
        ("a: [", "neither JSON nor YAML"),
        ("[" * 5_000, "neither JSON nor YAML"),
        ("swagger: '2.0'", "no OpenAPI document"),
        ('{"openapi": "3.0.0"}', "no OpenAPI document"),
        ("openapi: 3.0.0\npaths: []", "no OpenAPI document"),
        ("[]", "no OpenAPI document"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_what_is_no_document_is_said(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "openapi.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(GatewayError, match=why) as caught:
        read(path)

    assert caught.value.refusal.code == "request-invalid"


def test_without_a_customer_there_is_no_policy(tmp_path: Path) -> None:
    whole = document({"type": "object"})
    whole["paths"] = {"/x": {"get": {"responses": {"200": {"description": "x"}}}}}

    with pytest.raises(GatewayError, match="nothing in the document says whose"):
        draft(whole, tmp_path)
    with pytest.raises(GatewayError, match="no route can be proposed"):
        draft(whole, tmp_path, "company_id")


def test_a_form_has_plain_fields(tmp_path: Path) -> None:
    whole = document({"type": "object"})
    item = whole["paths"]["/companies/{company_id}/x"]
    schema = {"properties": {"note": {"type": "string"}, "deep": {"properties": {"a": {"type": "string"}}}}}
    item["post"] = item.pop("get") | {
        "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": schema}}},
        "responses": {"204": {"description": "done"}},
    }

    (route,) = rules(draft(whole, tmp_path)).routes

    assert route.body is not None
    assert (route.body.media, [one.path for one in route.body.fields]) == ("form", [("note",)])


def test_the_command_writes_a_file_that_checks(terminal: Any) -> None:
    out = terminal.home / "draft.yaml"

    said = terminal.run("policy", "scaffold", "backoffice", "--openapi", str(DOCUMENT), "--out", str(out))

    assert said.code == 0
    assert "5 routes proposed" in said.err
    assert terminal.run("policy", "check", str(out)).code == 0
    again = terminal.run("policy", "scaffold", "backoffice", "--openapi", str(DOCUMENT), "--out", str(out))
    assert again.code == 1
    assert "cannot be written" in again.err


def test_the_command_says_it_as_json(terminal: Any) -> None:
    said = terminal.run("policy", "scaffold", "backoffice", "--openapi", str(DOCUMENT), "--output", "json")

    assert said.code == 0
    assert said.json["customer"] == "company_id"
    assert len(said.json["left_out"]) == 4
    assert parse_policy(said.json["policy"]).http is not None


def test_what_the_draft_says_another_customer_may_be() -> None:
    found = drafted("backoffice", read(DOCUMENT), "companyId", TODAY)

    assert found.guessed is False
    assert "listEmployees" in found.routes
