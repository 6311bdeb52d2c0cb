"""A policy as the program sees it: frozen values, made by `load.py` and read by everything else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.policy.http_rules import HttpRules


FIELD_OF_ROUTE = r"[A-Za-z_][A-Za-z0-9_-]{0,62}\.\$[.\[].{1,300}"
"""A field of a route's answers, as it is asked for in clear: `employee.$.iban`."""


def named(text: str) -> tuple[str, str]:
    """`schema.table.column` as its relation and column, `route.$.path` as its route and path."""
    relation, _, column = text.partition(".") if re.fullmatch(FIELD_OF_ROUTE, text) else text.rpartition(".")
    return relation, column


@dataclass(frozen=True, slots=True)
class Mask:
    """What a column becomes. `kind` is one of `masks.KINDS`; `options` are the kind's own, validated, sorted pairs."""

    kind: str
    options: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str, default: Any = None) -> Any:
        """One option of the kind."""
        for key, value in self.options:
            if key == name:
                return value
        return default


@dataclass(frozen=True, slots=True)
class AggregateRule:
    """Which groups of raw values may be summed up: those with `min_group` different values of the column `subject`.

    `extremes` lets min, max and percentiles of such groups be told as well, each of which is one subject's own value.
    """

    min_group: int
    subject: str
    extremes: bool = False


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """One named column: its mask, and whether `=` on it may reach the raw value (`search` is `exact` or empty).

    `aggregate` lets sums over large enough groups reach the raw values, None for never. `type` is the column's, as
    PostgreSQL spells it, where no catalog says it: of SQL over HTTP.
    """

    name: str
    mask: Mask
    search: str = ""
    identifier: bool = False
    aggregate: AggregateRule | None = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows exist. One of three kinds:

    `none`: all rows (a relation without customers). `customer`: `column` is one of the grant's customers.
    `follows`: `column` is in `other_column` of the scoped relation `other`.
    """

    kind: str
    column: str = ""
    other: str = ""
    other_column: str = ""


@dataclass(frozen=True, slots=True)
class TableRule:
    """One named relation. Columns that are not in `columns` do not exist for the gateway's users."""

    name: str
    scope: Scope
    columns: dict[str, ColumnRule]


@dataclass(frozen=True, slots=True)
class WriteRule:
    """What may be written to one relation: the columns that UPDATE and INSERT may set, whether DELETE is allowed, and
    how many rows one statement may meet. `approval` is `statement` when somebody else must approve each statement as
    it is, `request` when an approved grant for writing is enough.
    """

    update: frozenset[str] = frozenset()
    insert: frozenset[str] = frozenset()
    delete: bool = False
    rows: int = 1
    approval: str = "statement"


@dataclass(frozen=True, slots=True)
class TicketRule:
    """Which tickets justify access. `assigned_to` is `requester` or `team`."""

    projects: tuple[str, ...]
    states: tuple[str, ...]
    assigned_to: str = "requester"


@dataclass(frozen=True, slots=True)
class BreakGlassRule:
    """Whose members may do without an approval, for how long at most, and whether they may write then."""

    teams: frozenset[str]
    duration_s: int = 1800
    write: bool = False


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may ask, with what, for how long; durations in seconds. `break_glass` None is for nobody."""

    teams: frozenset[str]
    ticket: TicketRule
    second_factor: str = "totp"
    direct_login: bool = False
    default_duration_s: int = 3600
    max_duration_s: int = 28800
    auto_approve: str = "never"
    approver_teams: frozenset[str] = frozenset()
    approver_count: int = 1
    break_glass: BreakGlassRule | None = None


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Budgets. 0 means unlimited, except for the two timeouts, which must be positive."""

    rows_per_statement: int = 0
    rows_per_day: int = 0
    bytes_per_statement: int = 0
    bytes_per_day: int = 0
    exact_searches_per_hour: int = 0
    aggregates_per_hour: int = 0
    statement_timeout_ms: int = 30_000
    idle_in_transaction_timeout_ms: int = 600_000


@dataclass(frozen=True)
class Policy:
    """One target's policy. `digest` identifies its content; every decision and record carries it.

    `reveal` maps a relation to the columns that an approved request may see in clear. `functions` are extra
    functions vouched for by the owner, qualified. `write` maps a relation to what may be written to it. `purpose` is
    what keyed masks are bound to. `categories` are names for groups of qualified columns, as customers are told of
    them. `mode` is `protect` or `observe`. `literals` is what becomes of the values in
    statements: `sealed` (kept where two people can open them) or `none` (kept nowhere). `dialect` is the SQL that the
    target speaks, one of `dialects.DIALECTS`. `http` has the routes of an HTTP target, whose `reveal` maps a route to
    paths of its answers, and whose tables, if it has some, are those that SQL may name; None for a database.
    """

    target: str
    digest: str
    access: AccessRule
    tables: dict[str, TableRule]
    limits: LimitRule = field(default_factory=LimitRule)
    reveal: dict[str, frozenset[str]] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()
    schemas: tuple[str, ...] = ("public",)
    purpose: str = "target"
    source: str = ""
    write: dict[str, WriteRule] = field(default_factory=dict)
    mode: str = "protect"
    categories: dict[str, frozenset[str]] = field(default_factory=dict)
    literals: str = "sealed"
    dialect: str = "postgres"
    http: HttpRules | None = None

    @property
    def observed(self) -> bool:
        """Whether all is forwarded as it is, and what the policy would have refused or masked only recorded.

        FAIL CLOSED: every other mode protects.
        """
        return self.mode == "observe"

    @cached_property
    def approvals(self) -> frozenset[str]:
        """The ways in which writing is approved here, `statement` and `request`; empty where nothing can be written."""
        routes = self.http.routes if self.http is not None else ()
        ways = (route.approvals for route in routes)
        return frozenset(rule.approval for rule in self.write.values()).union(*ways)

    @cached_property
    def catalog(self) -> str:
        """The catalog of a Trino that has the relations; empty for all other targets."""
        routes = self.http.routes if self.http is not None else ()
        return next((route.catalog for route in routes if route.catalog), "")

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """The names of columns, and of fields of answers, whose values tell who somebody is, wherever they are."""
        tables, routes = self.tables.values(), self.http.routes if self.http is not None else ()
        columns = {name for table in tables for name, rule in table.columns.items() if rule.identifier}
        answers = (answer for route in routes for answer in route.answers)
        fields = (rule.path for answer in answers for rule in answer.fields if rule.identifier)
        return frozenset(columns | {next((step for step in reversed(path) if step != "*"), "") for path in fields})

    @cached_property
    def identified(self) -> frozenset[str]:
        """The names, without their schemas, of relations that have such columns."""
        tables = self.tables.items()
        return frozenset(
            name.partition(".")[2] for name, table in tables if any(rule.identifier for rule in table.columns.values())
        )

    @property
    def warning(self) -> str:
        """What everybody must be told who meets this policy; empty while it protects."""
        if not self.observed:
            return ""
        unprotected = f"target `{self.target}` is observed, not protected"
        return f"{unprotected}: all is forwarded as it is and recorded, nothing is masked or refused"

    def table(self, qualified: str) -> TableRule | None:
        """The rule of that relation, or None: it does not exist for the gateway's users."""
        return self.tables.get(qualified)
