"""What the SQL rooms return: a plan to run, or a refusal.

One interface: `analyse(text, view) -> Plan | Refusal`, pure and cacheable. The key of a cache is the text
and `View.key`; nothing else may influence the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.errors import Refusal
from gateway.model import Write
from gateway.policy.schema import Policy
from gateway.sql.catalog import Catalog
from gateway.sql.said import Subject


class Kind(StrEnum):
    """What a statement does to the session, for the engine and the record."""

    READ = "read"
    WRITE = "write"
    TRANSACTION = "transaction"
    SETTING = "setting"
    CURSOR = "cursor"
    UTILITY = "utility"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds before and during parsing. `text` in bytes of UTF-8, the rest in counts."""

    text: int = 262_144
    statements: int = 64
    nesting: int = 200
    tokens: int = 60_000
    depth: int = 600


@dataclass(frozen=True, slots=True)
class View:
    """Through which eyes a statement is read: everything that a plan depends on besides the text.

    `customers` are the grant's, as text; `reveal` the (qualified relation, column) pairs shown in clear;
    `search_path` the schemas that unqualified names are looked up in; `write` whether the grant is for writing too;
    `fixed` whether it is for one statement, so that nothing may change what the session takes a text to mean.
    """

    policy: Policy
    catalog: Catalog
    customers: tuple[str, ...]
    reveal: frozenset[tuple[str, str]] = frozenset()
    search_path: tuple[str, ...] = ("public",)
    write: bool = False
    limits: Limits = field(default_factory=Limits)
    fixed: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What identifies this view among all others of the process."""
        return (
            self.policy.target,
            self.policy.digest,
            self.catalog.digest,
            self.customers,
            self.reveal,
            self.search_path,
            self.write,
            self.fixed,
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to the client beside the result. SQLSTATE 00000 unless it warns."""

    message: str
    hint: str = ""
    severity: str = "NOTICE"
    sqlstate: str = "00000"


@dataclass(frozen=True, slots=True)
class RawUse:
    """One use of a masked column's raw values: a `column = value` that was moved onto it, or with `summed` one SELECT
    that sums them up over groups that are large enough.
    """

    relation: str
    column: str
    summed: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A statement text that may be run for this view.

    `rewritten` is sent to the target instead of the text. `parts` counts the statements in it; `kinds` and
    `verbs` have one entry for each. `normalised` is the user's text and `rewritten_normalised` the outgoing
    text, both with every literal taken out. Relations are qualified; columns are `relation.column`.
    `defines` and `uses` name prepared statements and cursors as (`statement`|`cursor`, name) pairs, so that the
    record of an EXECUTE or a FETCH can say what it reads. `raw_uses` are all uses of raw values that each run is
    counted for. `repin` asks the engine to restore the pinned settings afterwards. `write` is what it would write,
    when it writes; such a statement is the only one of its text.

    Two are for observed targets alone (`sql/postgres/observed.py`): `would` is what the statement would have been
    refused for, and `copies` says that it may ask the client for data (COPY FROM STDIN).

    `parameters` says which of the text's parameters each one of the outgoing text is, where they have another order.

    `conceals` says that the text holds more than `normalised` tells. `subjects` are its values that may tell who
    somebody is, `arguments` those that each EXECUTE in it brings; no record has any of them (`said.py`).
    """

    rewritten: str
    kinds: tuple[Kind, ...]
    verbs: tuple[str, ...]
    normalised: str
    rewritten_normalised: str
    fingerprint: str
    relations: tuple[str, ...] = ()
    columns_clear: tuple[str, ...] = ()
    columns_masked: tuple[str, ...] = ()
    columns_revealed: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    raw_uses: tuple[RawUse, ...] = ()
    notices: tuple[Notice, ...] = ()
    defines: tuple[tuple[str, str], ...] = ()
    uses: tuple[tuple[str, str], ...] = ()
    repin: bool = False
    write: Write | None = None
    explains: bool = False
    """Whether any row of the answer may be part of a plan: in it, names are scrubbed."""
    would: Refusal | None = None
    copies: bool = False
    parameters: tuple[int, ...] = ()
    conceals: bool = True
    subjects: tuple[Subject, ...] = ()
    arguments: tuple[tuple[str, ...], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    """Where the gateway masks the answer itself: the names of its columns, each with that of whose mask it has."""
    guards: tuple[str, ...] = ()
    """What the columns behind those prove: see `tree/flat.py`."""
    writes: bool = field(init=False)
    """Whether any part can change the target's data."""
    exact_searches: tuple[RawUse, ...] = field(init=False)
    aggregations: tuple[RawUse, ...] = field(init=False)

    def __post_init__(self) -> None:
        # asked for each run of the plan, which is made once
        object.__setattr__(self, "explains", self.explains or "EXPLAIN" in self.verbs)
        object.__setattr__(self, "writes", Kind.WRITE in self.kinds)
        object.__setattr__(self, "exact_searches", tuple(one for one in self.raw_uses if not one.summed))
        object.__setattr__(self, "aggregations", tuple(one for one in self.raw_uses if one.summed))

    @property
    def columns_aggregated(self) -> tuple[str, ...]:
        """The columns whose raw values are summed up."""
        return tuple(dict.fromkeys(f"{one.relation}.{one.column}" for one in self.aggregations))

    @property
    def counted(self) -> dict[str, int]:
        """What a record says of its uses of raw values that no list in it tells: several may be of one column."""
        return {"aggregations": len(self.aggregations)} if self.aggregations else {}

    @property
    def parts(self) -> int:
        """How many statements the text holds; 0 for an empty one."""
        return len(self.kinds)
