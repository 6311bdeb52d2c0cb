"""Whose rows a relation holds: the customers' own relation, and the way from every other one to it by foreign keys.

INVARIANT: a scope is proposed only along constraints that the target enforces, between columns of one type. What only
looks alike by name is a hint for a person, never a scope; a relation without a way to the customer gets none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.policy import words
from gateway.policy.words import singular, words_of


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A foreign key of one column. `optional` says that the column may be NULL."""

    relation: str
    column: str
    other: str
    other_column: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Customer:
    """The relation and column that name the customer. `guessed` says why it was chosen, empty when it was given."""

    relation: str
    column: str
    guessed: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """How a relation's rows belong to a customer: `column` is the customer, or follows `other`.`other_column`.

    `others` are further foreign keys that lead to the customer; which one says whose row it is, a person knows.
    """

    column: str
    other: str = ""
    other_column: str = ""
    others: tuple[str, ...] = ()

    @property
    def scope(self) -> str:
        """The way as a policy writes it."""
        if not self.other:
            return f"{quoted(self.column)} = ticket.customer"
        schema, _, name = self.other.partition(".")
        return f"{quoted(self.column)} in {quoted(schema)}.{quoted(name)}.{quoted(self.other_column)}"


def quoted(name: str) -> str:
    """A name as it stands in a scope: in double quotes unless it is plain. The name has none inside."""
    return name if name.isidentifier() and name.isascii() and name != "none" else f'"{name}"'


def find_customer(keys: Mapping[str, str], references: Iterable[Reference]) -> Customer | None:
    """The relation that most probably holds the customers, None when nothing is called like that.

    `keys` are the relations that could: each with its primary key, one column of a type that can name a customer.
    """
    found: list[tuple[int, int, str]] = []
    known = tuple(references)
    for relation in keys:
        _, _, name = relation.partition(".")
        parts = tuple(singular(word) for word in words_of(name))
        if not parts or parts[-1] not in words.CUSTOMER:
            continue
        reached = len(find_ways(Customer(relation, keys[relation]), known)) - 1
        # The more depends on it the better; then the usual name, and the shorter one.
        found.append((-reached, len(parts) * 100 + words.CUSTOMER.index(parts[-1]), relation))
    if not found:
        return None
    (reached, _, relation), *others = sorted(found)
    why = f"by its name; foreign keys lead to it from {-reached} other relations"
    if others:
        why += f"; called alike: {', '.join(name for _, _, name in others[:3])}{', …' if len(others) > 3 else ''}"
    return Customer(relation, keys[relation], why)


def find_ways(customer: Customer, references: Iterable[Reference]) -> dict[str, Way]:
    """The shortest way of each relation that has one; a column that must be filled goes before one that may be NULL."""
    ways = {customer.relation: Way(customer.column)}
    known = sorted(references, key=lambda one: (one.optional, one))
    depth = {customer.relation: 0}
    step = 0
    while True:
        step += 1
        fresh: dict[str, list[Reference]] = {}
        for one in known:
            if one.relation not in ways and depth.get(one.other) == step - 1:
                fresh.setdefault(one.relation, []).append(one)
        if not fresh:
            break
        for relation, leads in fresh.items():
            first = leads[0]
            direct = (first.other, first.other_column) == (customer.relation, customer.column)
            ways[relation] = Way(first.column) if direct else Way(first.column, first.other, first.other_column)
            depth[relation] = step
    for relation, way in ways.items():
        others = tuple(
            f"{one.column} -> {one.other}.{one.other_column}"
            for one in known
            if one.relation == relation and one.other in ways and one.column != way.column and one.other != relation
        )
        if others and relation != customer.relation:
            ways[relation] = Way(way.column, way.other, way.other_column, others)
    return ways
