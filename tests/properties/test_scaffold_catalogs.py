"""Whatever a catalog has, the proposal is a policy that loads and fits it, and says in YAML what the draft says."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.cli import scaffold
from gateway.cli.scaffold import drafted
from gateway.cli.scaffold_text import cases_text, policy_text, quote, spoken, vetted
from gateway.engines.survey import Sample, Structure
from gateway.errors import GatewayError
from gateway.policy.cases import parse_cases
from gateway.policy.load import nameable, parse_policy
from gateway.policy.paths import Reference
from gateway.sql.catalog import Catalog, Column, Relation

NASTY = "\"'\\:#{}[]&*!|>%@`,-?~= .\n\r\t\x00\x1b\x85\x9b\xa0\u2028\u2029\u202e\ufeff\ud7ff\uffff\U0001f600éß"
WORDS = ["id", "email", "name", "none", "null", "true", "company", "companies", "customers", "birth date", "token", "x"]
TYPES = {
    "integer": "int4", "bigint": "int8", "uuid": "uuid", "text": "text", "character varying(20)": "varchar",
    "numeric(10,2)": "numeric", "date": "date", "timestamp with time zone": "timestamptz", "boolean": "bool",
    "inet": "inet", "jsonb": "jsonb", "text[]": "text[]", "money": "money", "public.mood": "public.mood",
    "public.citext": "public.citext", 'public."we\nird"': "text", "double precision": "float8",
    'public."o\ndd\x1b"': "public.o\ndd\x1b",
}  # fmt: skip
VALUES = ["1", "42", "a@b.example", "+33 6 39 98 12 34", "", "NaN", "active", "2001-02-03", "\x00\u202e", "'\"\n: {"]
NAMES = st.one_of(
    st.sampled_from(WORDS), st.text(NASTY + "ab", min_size=1, max_size=12), st.text(min_size=1, max_size=8)
)


@dataclass
class Visit:
    """Stands for a visit to a target that has what the test made up."""

    found: Structure
    values: tuple[str, ...]

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None: ...

    def structure(self, schemas: tuple[str, ...]) -> Structure:
        return self.found

    def sample(self, schema: str, relation: str, kind: str, columns: tuple[str, ...], rows: int) -> Sample:
        return Sample(len(self.values), True, dict.fromkeys(columns, self.values), "" if self.values else "not sampled")


@st.composite
def structures(draw: Any) -> Structure:
    relations: dict[str, Relation] = {}
    for number, name in enumerate(draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))):
        columns = tuple(
            Column(column, place, declared, TYPES[declared], "E" if "mood" in declared else "X")
            for place, column in enumerate(draw(st.lists(NAMES, max_size=6, unique=True)), 1)
            for declared in [draw(st.sampled_from(sorted(TYPES)))]
        )
        relation = Relation("public", name, number, draw(st.sampled_from("rvmpfS")), columns)
        relations[relation.qualified] = relation
    key = Column("id", 1, "integer", "int4", "N")
    relations["public.companies"] = Relation("public", "companies", 0, "r", (key,))
    ends = [(name, one.name) for name, relation in relations.items() for one in relation.columns]
    other = st.one_of(st.just(("public.companies", "id")), st.sampled_from(ends))
    pairs = draw(st.lists(st.tuples(st.sampled_from(ends), other), max_size=6))
    return Structure(
        Catalog(relations),
        {
            name: frozenset({one.columns[0].name})
            for name, one in relations.items()
            if one.columns and draw(st.booleans())
        },
        tuple(Reference(*here, *there, draw(st.booleans())) for here, there in pairs),
        {},
        frozenset(end for end in ends if end[0] == "public.companies" or draw(st.integers(0, 9))),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=structures(), values=st.lists(st.sampled_from(VALUES), max_size=8), data=st.data())
def test_every_catalog_gives_a_policy_that_loads_and_fits_or_a_reason(
    found: Structure, values: list[str], data: st.DataObject
) -> None:
    config: Any = type("Config", (), {"databases": {"main": object()}})
    ends = [f"{name}.{one.name}" for name, relation in found.catalog.relations.items() for one in relation.columns]
    customer = data.draw(st.one_of(st.just(""), st.just("public.companies.id"), st.sampled_from(ends)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaffold, "Survey", lambda _: Visit(found, tuple(values)))
        refused = ""
        try:
            draft = drafted(config, "main", ("public",), customer, 500)
            text = vetted(draft)
        except GatewayError as error:
            refused = error.refusal.message if error.code == "policy-invalid" else error.code
    event(refused or "proposed")
    if refused:
        assert refused in {"request-invalid", "no relation can be proposed"}
        return
    policy = parse_policy(text)
    assert list(policy.tables) == [one.relation for one in draft.entries]
    for judged in draft.entries:
        assert list(policy.tables[judged.relation].columns) == [one.name for one in judged.shown]
    parse_cases(cases_text(draft))
    assert spoken(text.replace("\n", "")[:300]) == text.replace("\n", "")[:300]
    told = policy_text(draft) + "".join(draft.catalog.relations)
    for name, relation in found.catalog.relations.items():
        if relation.kind in "rvmpf":
            with suppress(UnicodeEncodeError):
                assert quote(name) in told or spoken(name) in told


@given(NAMES)
def test_a_quoted_name_is_read_back_as_itself(name: str) -> None:
    if nameable(f"public.{name}"):
        text = f"""
target: main
access: {{teams: [a], ticket: {{projects: [A], states: [b]}}, duration: {{default: 1h, max: 1h}},
  auto_approve: masked_reads}}
tables:
  {quote(f"public.{name}")}:
    scope: none
    columns: {{{quote(name)}: clear}}  # {spoken(name)}
"""
        (table,) = parse_policy(text).tables.values()
        assert (table.name, list(table.columns)) == (f"public.{name}", [name])
