"""Puts a masked, scoped derived table in the place of every relation, and refuses what is not on an allow-list.

INVARIANT: after `rewrite`, the tree names no relation outside a derived table of `lens.py` but common table expressions
that are visible where they are named; every function, type and operator is allowed and qualified where PostgreSQL's
syntax lets it be. `check.py` proves this again from the outgoing text and does not trust a line of this file.

Names resolve as in PostgreSQL: a WITH item where it is visible (`parse_cte.c`), then pg_catalog, then the search path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import advice, aggregates, rewrite_calls, rewrite_nodes, types
from gateway.sql.postgres.attributes import Item, items_by_alias, suspicious
from gateway.sql.postgres.catalogs import SYSTEM_COLUMNS
from gateway.sql.postgres.deparse import Loose
from gateway.sql.postgres.lens import Lens, Shown, Table
from gateway.sql.postgres.mentions import Mentions, certain, mentions
from gateway.sql.postgres.search import settle_from
from gateway.sql.postgres.tree import Message, Node, concrete, copied, parts, refuse, set_names, texts, words
from gateway.sql.postgres.versions import SINCE
from gateway.sql.statement import Notice, RawUse

Env = frozenset[str]
Stack = list[tuple[Message, Env]]
NOTHING: Env = frozenset()


@dataclass(slots=True)
class Found:
    """What the rewriting learnt for the record and for the client."""

    relations: dict[str, None] = field(default_factory=dict)
    columns: dict[str, dict[str, None]] = field(default_factory=lambda: {"clear": {}, "masked": {}, "revealed": {}})
    scope: dict[str, None] = field(default_factory=dict)
    raw_uses: list[RawUse] = field(default_factory=list)
    notices: dict[str, Notice] = field(default_factory=dict)


class Rewriter:
    """Rewrites the statements of one text in place."""

    def __init__(self, lens: Lens) -> None:
        self.lens = lens
        self.found = Found()
        self.mentions = Mentions()
        self.loose = Loose()
        self.parameters_plain = True
        self.defaults = False
        self.certain: frozenset[int] = frozenset()
        self.items: dict[str, list[Item]] = {}
        self.guarded: dict[int, Message] = {}
        self.summed: dict[int, list[Message]] = {}

    def query(self, root: Message) -> None:
        """Rewrite one query, given as the node or message that holds it.

        Raises: Refused.
        """
        self.mentions = mentions(root)
        self.loose.operands += self.mentions.loose.operands
        self.loose.aliases += self.mentions.loose.aliases
        self.certain = certain(root, self._name_of) if self.mentions.with_schema else frozenset()
        doubtful = any(suspicious(name, self.lens.view.catalog) for _, name in self.mentions.pairs)
        self.items = items_by_alias(root, self._columns_of) if doubtful else {}
        self.visit([(root, NOTHING)])

    def visit(self, stack: Stack) -> None:
        """Judge and rewrite what is queued, each with the WITH items that are visible there.

        Raises: Refused.
        """
        while stack:
            holder, env = stack.pop()
            message = concrete(holder)
            if message is None:
                continue
            handler = _HANDLERS.get(type(message))
            if handler is None:
                spoken, hint = advice.kind(type(message).__name__)
                location = getattr(message, "location", -1)
                refuse("statement-not-supported", f"{spoken} is not supported here", hint, location=location)
            handler(self, holder, message, env, stack)

    def relation(self, schema: str, name: str, location: int) -> Table:
        """The relation that a name stands for.

        Raises: Refused (`relation-not-available`): unknown and forbidden ones answer alike.
        """
        table = self.find(schema, name)
        if table is None:
            written = f"{schema}.{name}" if schema else name
            refuse(
                "relation-not-available",
                f"relation `{written}` does not exist, or is not available to you",
                advice.relation(schema, name),
                name=written,
                location=location,
            )
        return table

    def find(self, schema: str, name: str) -> Table | None:
        """The relation that a name stands for, None when there is none for the view."""
        if schema in {"pg_catalog", "information_schema"}:
            return self.lens.system(f"{schema}.{name}")
        if schema:
            return self.lens.table(f"{schema}.{name}")
        if name.startswith("pg_"):
            return self.lens.system(f"pg_catalog.{name}")
        found = (self.lens.table(f"{candidate}.{name}") for candidate in self.lens.view.search_path)
        return next((table for table in found if table is not None), None)

    def _name_of(self, source: Message) -> str:
        table = self.find(source.schemaname, source.relname)
        return table.name if table else ""

    def _columns_of(self, source: Message) -> Collection[str]:
        table = self.find(source.schemaname, source.relname)
        return table.columns if table else ()

    def derive(self, holder: Message, source: Message, table: Table, inner: list[Message]) -> None:
        """Put the derived table for a relation named by `source` into `holder`, with `inner` conditions in it.

        It is built where it stays, since that of a wide relation is large; nothing of `source` is part of `holder`.
        """
        subselect = holder.range_subselect
        select = subselect.subquery.select_stmt
        select.CopyFrom(table.skeleton)
        select.from_clause[0].range_var.inh = source.inh
        alias = source.alias.aliasname or source.relname
        for name, shown in self._projected(source, alias, table):
            select.target_list.append(shown.target)
            if not table.system:
                self.found.columns[shown.how][f"{table.name}.{name}"] = None
        for target in self.summed.get(source.location, ()):
            select.target_list.append(target)
        if inner:
            conditions = [select.where_clause] if select.HasField("where_clause") else []
            conditions = [copied(one) for one in conditions] + inner
            select.where_clause.CopyFrom(conditions[0] if len(conditions) == 1 else _conjunction(conditions))
        if source.HasField("alias"):
            subselect.alias.CopyFrom(source.alias)
        else:
            subselect.alias.aliasname = source.relname
        self.found.relations[table.name] = None
        if table.scope:
            self.found.scope[table.scope] = None

    def type_name(self, message: Message) -> None:
        """Judge and qualify a type.

        Raises: Refused (`type-not-allowed`).
        """
        names = texts(message.names) or ()
        found = types.resolved(names, self.lens.view.search_path, self.lens.enumerations)
        if found is None or message.setof or message.pct_type or message.type_oid:
            written = ".".join(names)
            refuse(
                "type-not-allowed",
                f"type `{written}` is not allowed here",
                "built-in types and the enumerations of visible columns are allowed; select a column without a cast to"
                " have it in its own type",
                name=written,
                location=message.location,
            )
        if any(target == found[1] for _, target in self.lens.view.catalog.casts):
            refuse(
                "type-not-allowed",
                f"this target redefines casts to `{found[1]}`",
                "leave the cast out, and convert in your client",
                name=found[1],
                location=message.location,
            )
        for modifier in message.typmods:
            if modifier.WhichOneof("node") != "a_const":
                refuse(
                    "type-not-allowed",
                    "a type's modifier must be a number",
                    "write it as in `varchar(20)` or `numeric(10, 2)`",
                    location=message.location,
                )
        set_names(message.names, found)

    def _projected(self, source: Message, alias: str, table: Table) -> list[tuple[str, Shown]]:
        seen = self.mentions
        whole = (
            seen.everything
            or bool(source.alias.colnames)
            or alias in seen.alone
            or any(left == alias and right not in table.columns for left, right in seen.pairs)
        )
        return [
            (name, shown)
            for name, shown in table.columns.items()
            if name in seen.words or not name or (whole and name not in SYSTEM_COLUMNS)
        ]


Handler = Callable[[Rewriter, Message, Message, Env, Stack], None]


def _plain(_self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    stack.extend((part, env) for part in parts(message))


def _leaf(_self: Rewriter, _holder: Message, _message: Message, _env: Env, _stack: Stack) -> None:
    return


def _select(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.HasField("into_clause"):
        refuse("read-only", "SELECT INTO would create a table", "leave INTO out")
    if message.locking_clause:
        refuse("read-only", "FOR UPDATE and FOR SHARE lock rows", "leave the locking clause out")
    if message.HasField("with_clause"):
        env = _with(message.with_clause, env, stack)
    if message.from_clause:
        aggregates.survey(self, message, env)
        settle_from(self, message, env, stack)
    for described, value in message.ListFields():
        if described.name not in _SETTLED and described.message_type is not None:
            stack.extend((part, env) for part in (value if described.is_repeated else (value,)))


def _with(clause: Message, env: Env, stack: Stack) -> Env:
    names = [node.common_table_expr.ctename for node in clause.ctes]
    after = env | frozenset(names)
    before = after if clause.recursive else env
    for node, name in zip(clause.ctes, names, strict=True):
        item = node.common_table_expr
        if item.ctequery.WhichOneof("node") != "select_stmt":
            refuse("read-only", f"WITH item `{name}` would write", "this grant is for reading", location=item.location)
        stack.append((item.ctequery, before))
        if item.HasField("cycle_clause"):
            stack.extend((part, NOTHING) for part in parts(item.cycle_clause))
        if not clause.recursive:
            before = before | {name}
    return after


def _type(self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    self.type_name(message)


def _conjunction(conditions: list[Message]) -> Message:
    made = Node()
    made.bool_expr.boolop = pb.AND_EXPR
    for one in conditions:
        made.bool_expr.args.append(one)
    return made


_SETTLED = frozenset({"from_clause", "with_clause"})
_PLAIN = words(
    """
    List BoolExpr NullTest BooleanTest CaseExpr CaseWhen CoalesceExpr MinMaxExpr RowExpr A_ArrayExpr A_Indices
    NamedArgExpr WindowDef GroupingSet GroupingFunc
    JsonAggConstructor JsonKeyValue JsonValueExpr JsonOutput JsonReturning JsonArgument JsonBehavior JsonTablePathSpec
    JsonTableColumn
    """
)
_LEAVES = ["A_Star", "ParamRef", "SQLValueFunction", "String", "Integer", "Alias", "JsonFormat"]
# FAIL CLOSED: a kind that is not here is refused. RangeVar is not here: `settle_from` has replaced each one it knows.
_HANDLERS: dict[type, Handler] = {
    **{getattr(pb, name): _plain for name in _PLAIN},
    **{getattr(pb, name): _leaf for name in _LEAVES},
    **dict.fromkeys(SINCE, rewrite_nodes.newer),
    pb.A_Const: rewrite_nodes.number,
    pb.CaseExpr: rewrite_nodes.equality,
    pb.SelectStmt: _select,
    pb.ColumnRef: rewrite_calls.column,
    pb.A_Indirection: rewrite_calls.indirection,
    pb.FuncCall: rewrite_calls.function,
    pb.TypeCast: rewrite_calls.cast,
    pb.TypeName: _type,
    pb.A_Expr: rewrite_nodes.operator,
    pb.SubLink: rewrite_nodes.sub_link,
    pb.SortBy: rewrite_nodes.sort,
    pb.ColumnDef: rewrite_nodes.column_definition,
    pb.CollateClause: rewrite_nodes.collation,
    pb.RangeTableSample: rewrite_nodes.sampled,
    pb.SetToDefault: rewrite_nodes.default,
    pb.ResTarget: rewrite_nodes.output,
}
