"""What `gateway policy scaffold` works out: a visit to the target, a proposal for each column, a scope for each table.

INVARIANT: sampled values live in this module for as long as their relation is judged; what is kept, printed or written
holds names, kinds, counts and shares only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from gateway.config import Config
from gateway.engines.survey import Sample, Structure, Survey
from gateway.errors import GatewayError
from gateway.policy import classify
from gateway.policy.classify import Proposal, Seen
from gateway.policy.load import nameable
from gateway.policy.paths import Customer, Reference, Way, find_customer, find_ways
from gateway.policy.types import column_type
from gateway.sql.catalog import Catalog, Relation
from gateway.sql.fit import READABLE, comparable, names_customer

_LARGEST_REFERENCE = 200


@dataclass(frozen=True, slots=True)
class Judged:
    """One relation of the draft; `columns` are all that a policy could name.

    `way` is None where nothing says whose its rows are; then `note` says so, and `hint` may name the column that it is.
    """

    relation: str
    columns: tuple[Proposal, ...]
    way: Way | None
    note: str = ""
    hint: str = ""
    harmless: bool = False
    problem: str = ""

    @property
    def shown(self) -> tuple[Proposal, ...]:
        """The columns that the policy is to name."""
        return tuple(one for one in self.columns if one.mask is not None)


@dataclass(frozen=True, slots=True)
class Draft:
    """A first policy as data. `left_out` are names that it cannot or should not have, each with the reason."""

    target: str
    schemas: tuple[str, ...]
    rows: int
    customer: Customer
    example: str
    entries: tuple[Judged, ...]
    others: tuple[Judged, ...]
    left_out: tuple[tuple[str, str], ...]
    catalog: Catalog

    def as_json(self) -> dict[str, Any]:
        """The draft as `--output json` has it."""
        return {
            "target": self.target,
            "customer": {
                "relation": self.customer.relation,
                "column": self.customer.column,
                "guessed": self.customer.guessed,
            },
            "relations": [_as_json(one) for one in (*self.entries, *self.others)],
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
        }


def drafted(config: Config, target: str, schemas: tuple[str, ...], customer: str, rows: int) -> Draft:
    """A draft for a configured target from a visit to it. `customer` is `schema.relation.column` or empty.

    Raises `GatewayError`: `target-not-available`, `target-unavailable`, or `request-invalid` when the customer is
    unknown or cannot be guessed.
    """
    settings = config.databases.get(target)
    if settings is None:
        raise GatewayError(
            "target-not-available",
            f"the configuration has no target `{target}`",
            hint=f"it has {', '.join(f'`{name}`' for name in sorted(config.databases))}",
        )
    with Survey(settings) as survey:
        structure = survey.structure(schemas)
        chosen, left_out = _chosen(structure, schemas)
        if not chosen:
            raise GatewayError(
                "request-invalid",
                f"there is nothing to read in {', '.join(f'`{name}`' for name in schemas)}",
                hint="name the schemas with --schema, and grant the role SELECT on their tables",
            )
        references = _usable(structure, chosen)
        named = _customer(structure, chosen, references, customer)
        ways = find_ways(named, references)
        judged = []
        for relation in chosen.values():
            sample, proposals = _judge(survey, structure, relation, named, rows)
            judged.append(_placed(structure, relation, proposals, sample, named, ways))
    entries = {one.relation: one for one in judged if one.way is not None and one.shown}
    while lost := [name for name, one in entries.items() if one.way and one.way.other and one.way.other not in entries]:
        for name in lost:
            del entries[name]
    others = tuple(_without(one) for one in judged if one.relation not in entries)
    return Draft(
        target,
        _schemas(schemas, structure, entries),
        rows,
        named,
        _example(structure.catalog, named),
        tuple(entries.values()),
        others,
        tuple(left_out),
        structure.catalog,
    )


def _chosen(structure: Structure, schemas: tuple[str, ...]) -> tuple[dict[str, Relation], list[tuple[str, str]]]:
    """The relations that a policy could have, and why others cannot be in it."""
    chosen: dict[str, Relation] = {}
    left_out: list[tuple[str, str]] = []
    parts: dict[str, int] = {}
    for name, relation in structure.catalog.relations.items():
        if relation.schema not in schemas or relation.kind not in READABLE:
            continue
        if name in structure.partitions:
            parent = structure.partitions[name]
            parts[parent] = parts.get(parent, 0) + 1
        elif not nameable(name):
            left_out.append((name, "a policy cannot write its name: it has a dot, a quote or a control character"))
        elif classify.is_secret(relation.name):
            left_out.append((name, "its name says that it holds secrets"))
        elif not any((name, column.name) in structure.readable for column in relation.columns):
            left_out.append((name, "the role may read nothing of it"))
        else:
            chosen[name] = relation
    for parent, count in parts.items():
        left_out.append((parent, f"{count} of its partitions are not named: they are asked through it"))
    for name, relation in chosen.items():
        for column in relation.columns:
            if not nameable(name, column.name):
                left_out.append((f"{name}.{column.name}", "a policy cannot write its name"))
            elif (name, column.name) not in structure.readable:
                left_out.append((f"{name}.{column.name}", "the role may not read it"))
    return chosen, left_out


def _usable(structure: Structure, chosen: Mapping[str, Relation]) -> tuple[Reference, ...]:
    """The foreign keys that a scope can follow: both ends can be named and read, and have one type."""

    def usable(one: Reference) -> bool:
        ends = []
        for relation, column in ((one.relation, one.column), (one.other, one.other_column)):
            found = chosen[relation].column(column) if relation in chosen else None
            if found is None or not nameable(relation, column) or (relation, column) not in structure.readable:
                return False
            ends.append(found)
        return comparable(ends[0], ends[1])

    return tuple(one for one in structure.references if usable(one))


def _customer(
    structure: Structure, chosen: Mapping[str, Relation], references: tuple[Reference, ...], given: str
) -> Customer:
    if given:
        relation, _, column = given.rpartition(".")
        found = chosen[relation].column(column) if relation in chosen else None
        if found is None or (relation, column) not in structure.readable or not nameable(relation, column):
            raise GatewayError(
                "request-invalid", f"there is no column `{given}` to read", hint="--customer is schema.table.column"
            )
        if not names_customer(found):
            raise GatewayError(
                "request-invalid",
                f"`{given}` has type `{found.type}`",
                hint="a customer is an integer, a uuid or a text",
            )
        return Customer(relation, column)
    keys = {}
    for relation, columns in structure.keys.items():
        key = next(iter(columns)) if len(columns) == 1 else ""
        found = chosen[relation].column(key) if relation in chosen and key else None
        readable = (relation, key) in structure.readable and nameable(relation, key)
        if found is not None and names_customer(found) and readable:
            keys[relation] = key
    guessed = find_customer(keys, references)
    if guessed is None:
        raise GatewayError(
            "request-invalid",
            "no relation is called like one of customers",
            hint="say which column names the customer: --customer schema.table.column",
        )
    return guessed


def _judge(
    survey: Survey, structure: Structure, relation: Relation, customer: Customer, rows: int
) -> tuple[Sample, tuple[Proposal, ...]]:
    name = relation.qualified
    refers = {one.column for one in structure.references if one.relation == name}
    seen = []
    for column in relation.columns:
        if nameable(name, column.name) and (name, column.name) in structure.readable:
            of = column_type(column.type, column.base)
            in_key = column.name in structure.keys.get(name, frozenset())
            seen.append(Seen(column.name, of, (), column.category == "E", in_key, column.name in refers))
    wanted = tuple(one.name for one in seen if classify.wants_values(one))
    sample = survey.sample(relation.schema, relation.name, relation.kind, wanted, rows)
    about = classify.subject(relation.name, tuple(one.name for one in seen))
    reference = sample.whole and sample.rows <= _LARGEST_REFERENCE and not refers
    today = datetime.now(UTC).date()
    proposals = []
    for one in seen:
        with_values = replace(one, values=sample.values.get(one.name, ()))
        proposal = classify.propose(with_values, about, reference=reference, today=today)
        if (name, one.name) == (customer.relation, customer.column):
            # The ticket names it: whoever may ask knows it already.
            proposal = Proposal(one.name, "customer", "what a ticket names", {"mask": "clear"})
        proposals.append(proposal)
    return sample, tuple(proposals)


def _placed(
    structure: Structure,
    relation: Relation,
    proposals: tuple[Proposal, ...],
    sample: Sample,
    customer: Customer,
    ways: Mapping[str, Way],
) -> Judged:
    name = relation.qualified
    judged = Judged(name, proposals, ways.get(name), problem=sample.problem)
    if judged.way is not None:
        return judged
    refers = any(one.relation == name for one in structure.references)
    clear = all(one.mask is not None and one.mask["mask"] == "clear" for one in proposals)
    hint = _alike(structure.catalog, relation, customer, ways)
    harmless = clear and not refers and not hint and sample.whole and relation.kind == "r"
    note = "no foreign key leads from it to the customer, so it needs `scope:`"
    return replace(judged, note=note, hint=hint, harmless=harmless)


def _alike(catalog: Catalog, relation: Relation, customer: Customer, ways: Mapping[str, Way]) -> str:
    """The column that by its name could be the customer's, where no foreign key says so."""
    key = catalog.relations[customer.relation].column(customer.column)
    usual = {way.column for name, way in ways.items() if not way.other and name != customer.relation}
    if customer.column.lower() != "id":
        usual.add(customer.column)
    for column in relation.columns:
        fits = key is not None and comparable(column, key) and names_customer(column)
        if column.name in usual and fits and nameable(relation.qualified, column.name):
            return column.name
    return ""


def _without(judged: Judged) -> Judged:
    if judged.way is None:
        return judged
    return replace(judged, way=None, note="none of its columns, or of those that its scope follows, may be shown")


def _schemas(schemas: tuple[str, ...], structure: Structure, entries: Mapping[str, Judged]) -> tuple[str, ...]:
    """Where names are looked up: the schemas that were asked for, and that of citext where a column is one."""
    homes: dict[str, None] = {}
    for name, judged in entries.items():
        for proposal in judged.shown:
            column = structure.catalog.relations[name].column(proposal.name)
            if column is not None and column_type(column.type, column.base).ignores_case:
                homes[column.base.rpartition(".")[0]] = None
    return tuple(dict.fromkeys((*schemas, *homes)))


def _example(catalog: Catalog, customer: Customer) -> str:
    """A customer of the key's type, for the cases."""
    column = catalog.relations[customer.relation].column(customer.column)
    is_uuid = column is not None and column_type(column.type, column.base).name == "uuid"
    return "00000000-0000-4000-8000-000000000042" if is_uuid else "42"


def _as_json(judged: Judged) -> dict[str, Any]:
    return {
        "relation": judged.relation,
        "scope": judged.way.scope if judged.way is not None else "",
        "note": "; ".join(part for part in (judged.note, judged.problem) if part),
        "columns": [
            {
                "column": one.name,
                "mask": dict(one.mask) if one.mask is not None else None,
                "what": one.what,
                "why": one.why,
                "share": None if one.share is None else round(one.share, 3),
                "sampled": one.count,
            }
            for one in judged.columns
        ],
    }
