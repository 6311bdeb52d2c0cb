"""A snapshot of what a target's catalog says, as far as the rewriting depends on it. Data only, no I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Column:
    """A live column.

    `type` is `format_type(atttypid, atttypmod)` with a schema where it is not pg_catalog's; `base` is the underlying
    built-in type's name (domains resolved, arrays as `text[]`); `category` is pg_type.typcategory.
    """

    name: str
    number: int
    type: str
    base: str
    category: str
    not_null: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view, materialised view, partitioned or foreign table. `kind` is pg_class.relkind."""

    schema: str
    name: str
    oid: int
    kind: str
    columns: tuple[Column, ...]

    @property
    def qualified(self) -> str:
        """`schema.name` without quoting, as policies write it."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column | None:
        """The column of that exact name."""
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True, slots=True, order=True)
class Unique:
    """A unique or exclusion index of a relation or of what inherits from it.

    `touched` are all columns that take part, be it in an expression or a predicate; `key` those that are part of the
    key as they are.
    """

    relation: str
    touched: tuple[str, ...]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A foreign key of a relation or of what inherits from it; the two lists of columns go together.

    `on_delete` is pg_constraint.confdeltype. `partly` when the rows that are referred to are rows of `other` for what
    inherits from it, or are told by another key already: then it says what refers there, and nothing about a value.
    """

    relation: str
    columns: tuple[str, ...]
    other: str
    other_columns: tuple[str, ...]
    on_delete: str = "a"
    partly: bool = False


class Index(NamedTuple):
    """An index of plain columns, without a condition. `own` when it is PostgreSQL's; its columns are not named then."""

    relation: str
    name: str
    columns: tuple[str, ...]
    own: bool = False


@dataclass(frozen=True)
class Catalog:
    """All relations outside the system schemas, and what could capture a built-in's name.

    `operators` are names of operators outside pg_catalog of which at least one argument type list consists of
    built-in types only; `functions` the same for functions; `casts` user-made casts between built-in types as
    (source, target). `types` are the qualified names of user types.

    `calls` are the names, PostgreSQL's own included, of all functions that take one argument and of all types:
    `a.name` can call one or cast to one. `row_calls` are those of functions that take a record of any kind.
    `indexes` are those whose names say no more than their columns' names.
    `parents` are the qualified names of relations that others inherit from; partitioned ones are among them.
    `uniques`, `references` and `checks` (a relation, and the columns that one constraint, one index's expressions or
    one partitioning reads) are what a written value is compared with; `generated` are computed columns (a relation, the
    column, and what it is computed from). `ruled` are relations with rewrite rules or parts on other servers.

    The others are of MySQL and MariaDB alone: `keys` are the columns of each primary key, by relation; `held` says why
    a relation cannot be written at all. Of columns, with their relation: `stamped` change with any other, the new value
    of `numbered` is told by the answer to an INSERT, the DEFAULT of `defaulted` reads other columns.
    """

    relations: dict[str, Relation] = field(default_factory=dict)
    operators: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    casts: frozenset[tuple[str, str]] = frozenset()
    types: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    row_calls: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()
    server_version: int = 0
    uniques: frozenset[Unique] = frozenset()
    references: frozenset[Reference] = frozenset()
    checks: frozenset[tuple[str, tuple[str, ...]]] = frozenset()
    generated: frozenset[tuple[str, str, tuple[str, ...]]] = frozenset()
    ruled: frozenset[str] = frozenset()
    indexes: frozenset[Index] = frozenset()
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    stamped: frozenset[tuple[str, str]] = frozenset()
    numbered: frozenset[tuple[str, str]] = frozenset()
    defaulted: frozenset[tuple[str, str]] = frozenset()

    def relation(self, qualified: str) -> Relation | None:
        """The relation of that qualified name."""
        return self.relations.get(qualified)

    @cached_property
    def digest(self) -> str:
        """Changes whenever anything in the snapshot does."""
        text = repr(
            (
                sorted(self.relations.items()),
                sorted(self.operators),
                sorted(self.functions),
                sorted(self.casts),
                sorted(self.types),
                sorted(self.calls),
                sorted(self.row_calls),
                sorted(self.parents),
                self.server_version,
                sorted(self.uniques),
                sorted(self.references),
                sorted(self.checks),
                sorted(self.generated),
                sorted(self.ruled),
                sorted(self.indexes),
                sorted(self.keys.items()),
                sorted(self.held.items()),
                sorted(self.stamped),
                sorted(self.numbered),
                sorted(self.defaulted),
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]
