"""Puts a masked, scoped derived table in the place of every relation, and refuses what is not on an allow-list.

INVARIANT: after `rewrite`, the tree names no relation outside a derived table of `lens.py` but common table expressions
that are visible where they are named; every function, type and operator is allowed and qualified where PostgreSQL's
syntax lets it be. `check.py` proves this again from the outgoing text and does not trust a line of this file.

Names resolve as in PostgreSQL: a WITH item where it is visible (`parse_cte.c`), then pg_catalog, then the search path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NoReturn

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import advice, aggregates, functions, guards, settings, types
from gateway.sql.postgres.attributes import Item, items_by_alias, may_call, suspicious
from gateway.sql.postgres.catalogs import SYSTEM_COLUMNS
from gateway.sql.postgres.deparse import Loose
from gateway.sql.postgres.lens import Lens, Shown, Table
from gateway.sql.postgres.mentions import Mentions, certain, mentions
from gateway.sql.postgres.names import output_name
from gateway.sql.postgres.search import settle_from
from gateway.sql.postgres.tree import Message, Node, concrete, fill, parts, refuse, texts, words
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
    searches: list[RawUse] = field(default_factory=list)
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

    def derived(self, source: Message, table: Table, inner: list[Message]) -> Message:
        """The derived table for a relation named by `source`, with `inner` conditions moved or copied into it."""
        made = Node()
        subselect = made.range_subselect
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
            conditions = [_copied(one) for one in conditions] + inner
            select.where_clause.CopyFrom(conditions[0] if len(conditions) == 1 else _conjunction(conditions))
        if source.HasField("alias"):
            subselect.alias.CopyFrom(source.alias)
        else:
            subselect.alias.aliasname = source.relname
        self.found.relations[table.name] = None
        if table.scope:
            self.found.scope[table.scope] = None
        return made

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
        _set_names(message.names, found)

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


def _column(self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    if len(message.fields) > 3:
        refuse(
            "statement-not-supported",
            "a column with a database name is not supported",
            "write `schema.table.column`, or an alias of the table",
            location=message.location,
        )
    columns = texts(message.fields) or ()
    if len(message.fields) == 3 and message.location in self.certain:
        del message.fields[0]
    if len(columns) >= 2 and may_call(columns[-1], self.items.get(columns[-2], ()), self.lens.view.catalog):
        _refuse_function(columns[-1], message.location)


def _indirection(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    for part in message.indirection:
        if part.WhichOneof("node") == "string":
            name = part.string.sval
            # FAIL CLOSED: `(x).name` calls the function `name` on x; only names of columns may stand here, those that
            # the statement gives itself included.
            known = name in self.lens.column_names or name in guards.FIELDS or name in self.mentions.given
            if not known or may_call(name, (), self.lens.view.catalog):
                _refuse_function(name, -1)
    stack.extend((part, env) for part in parts(message))


def _function(self: Rewriter, holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.location in self.guarded:
        holder.CopyFrom(self.guarded[message.location])
        return
    names = texts(message.funcname) or ()
    schema, name = _resolve_function(self, names)
    if not schema:
        _refuse_function(".".join(names), message.location)
    _set_names(message.funcname, (schema, name))
    if schema == "pg_catalog" and name in functions.MINDING_CASE and guards.caseless(message, self.lens.caseless):
        refuse(
            "function-not-allowed",
            f"function `{name}` of citext is not allowed here, and the built-in one distinguishes between cases",
            f"cast the column to text to use that one: `{name}(column::text)`",
            name=name,
            location=message.location,
        )
    if schema == "pg_catalog" and name == functions.AGE and len(message.args) == 1:
        point = message.args[0]
        stack.append((point, env))
        today = Node()
        today.sqlvalue_function.op, today.sqlvalue_function.typmod = pb.SVFOP_CURRENT_DATE, -1
        message.args.insert(0, today)
        return
    if schema == "pg_catalog" and name in guards.FUNCTIONS:
        guard = guards.function_guard(name, message, self.lens.view)
        if guard is None:
            _refuse_guarded(name, message)
        _apply(self, holder, message, guard, message.args[0] if message.args else None, env)
        return
    stack.extend((part, env) for part in parts(message))


def _resolve_function(self: Rewriter, names: tuple[str, ...]) -> tuple[str, str]:
    vouched = self.lens.view.policy.functions
    if len(names) == 1:
        name = names[0]
        if name in functions.ALLOWED or name in guards.FUNCTIONS:
            return ("pg_catalog", name)
        for schema in self.lens.view.search_path:
            if f"{schema}.{name}" in vouched:
                return (schema, name)
    elif len(names) == 2:
        schema, name = names
        if schema == "pg_catalog" and (name in functions.ALLOWED or name in guards.FUNCTIONS):
            return (schema, name)
        if schema == "information_schema" and name == "_pg_expandarray":
            return (schema, name)
        if f"{schema}.{name}" in vouched:
            return (schema, name)
    return ("", "")


def _apply(
    self: Rewriter, holder: Message, message: Message, guard: guards.Guard, hole: Message | None, env: Env
) -> None:
    """Put a guarded call or cast in the form that its guard prescribes."""
    if guard.instead is not None:
        if guard.hole is not None:
            self.visit([(guard.hole, env)])
        holder.CopyFrom(guard.instead)
        return
    self.visit([(part, env) for part in parts(message) if type(part) is not pb.TypeName])
    if guard.argument and guard.condition is not None and hole is not None:
        hole.CopyFrom(_judged(guard.condition, hole, hole))
        return
    made = _copied(holder)
    if guard.result:
        made = guards.cast_to(made, guard.result)
    if guard.condition is not None and hole is not None:
        made = _judged(guard.condition, hole, made)
    holder.CopyFrom(made)


def _judged(condition: Message, hole: Message, value: Message) -> Message:
    """The value where the condition on the hole holds, else NULL."""
    case = Node()
    when = case.case_expr.args.add().case_when
    when.expr.CopyFrom(condition)
    fill(when.expr, hole)
    when.result.CopyFrom(value)
    return case


def _refuse_function(name: str, location: int) -> NoReturn:
    refuse(
        "function-not-allowed",
        f"function `{name}` is not allowed here",
        advice.function(name),
        name=name,
        location=location,
    )


def _refuse_guarded(name: str, call: Message) -> NoReturn:
    """Refuse a call that is allowed in another form than this one; what it was called with is a value, and not told."""
    setting = call.args[0].a_const.sval.sval if call.args else ""
    if name == "current_setting" and setting and not settings.readable(setting):
        refuse(
            "function-not-allowed",
            f"function `{name}` may not read this setting",
            advice.shown_setting(setting),
            name=name,
            location=call.location,
        )
    if name == "set_config" and setting:
        refuse(
            "function-not-allowed",
            f"function `{name}` may not change this setting, or not this way",
            advice.changed_setting(setting),
            name=name,
            location=call.location,
        )
    refuse(
        "function-not-allowed",
        f"function `{name}` is not allowed here with such arguments",
        "give it a column, a parameter or a constant that names what you may see",
        name=name,
        location=call.location,
    )


def _cast(self: Rewriter, holder: Message, message: Message, env: Env, stack: Stack) -> None:
    naming = types.naming(texts(message.type_name.names) or ())
    if naming:
        guard = guards.cast_guard(naming, message, self.lens.view)
        if guard is None:
            # What is cast is a literal, and a refusal is recorded word for word.
            code = "relation-not-available" if naming == "regclass" else "type-not-allowed"
            refuse(
                code,
                f"what is cast to `{naming}` does not exist, or is not available to you",
                advice.RELATION
                if naming == "regclass"
                else f"`{naming}` takes a column, a number or a built-in's name",
                name=naming,
                location=message.location,
            )
        _set_names(message.type_name.names, ("pg_catalog", naming))
        _apply(self, holder, message, guard, message.arg, env)
        return
    stack.append((message.arg, env))
    stack.append((message.type_name, env))


def _type(self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    self.type_name(message)


def _operator(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    same_kind = guards.compared(message)
    if same_kind is not None:
        message.CopyFrom(same_kind)
    names = texts(message.name) or ()
    for implied in _IMPLIED.get(names[-1], names[-1:]):
        _judge_operator(self, (*names[:-1], implied), message.location)
    stack.extend((part, env) for part in parts(message))


def _equality(self: Rewriter, holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.HasField("arg"):
        _judge_operator(self, ("=",), message.location)
    _plain(self, holder, message, env, stack)


def _number(_self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    if message.WhichOneof("val") == "fval" and not set(message.fval.fval) <= _DIGITS:
        # FAIL CLOSED: servers before 16 read `0xffffffffff` and `1_000_000_000_000` as a number and a name.
        refuse(
            "statement-not-supported",
            "a number of this form is not supported here",
            "write it in plain decimal digits",
            location=message.location,
        )


def _sub_link(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    # `x IN (SELECT …)` is `= ANY` without saying so.
    implied = ("=",) if message.sub_link_type == pb.ANY_SUBLINK else ()
    _judge_operator(self, texts(message.oper_name) or implied, message.location)
    stack.extend((part, env) for part in parts(message))


def _sort(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    _judge_operator(self, texts(message.use_op) or (), message.location)
    stack.append((message.node, env))


def _judge_operator(self: Rewriter, names: tuple[str, ...], location: int) -> None:
    if not names:
        return
    schema, name = names if len(names) == 2 else ("", names[-1])
    if len(names) > 2 or schema not in {"", "pg_catalog"} or (not schema and name in self.lens.view.catalog.operators):
        refuse(
            "operator-not-allowed",
            f"operator `{'.'.join(names)}` is not allowed here",
            f"only built-in operators are, and where a target has its own of that name: `OPERATOR(pg_catalog.{name})`",
            name=name,
            location=location,
        )


def _collation(_self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    # A bare name that no built-in collation has would be looked up among the target's, and be there or not.
    names = texts(message.collname) or ()
    if len(names) > 2 or (len(names) == 2 and names[0] != "pg_catalog"):
        written = ".".join(names)
        refuse(
            "type-not-allowed",
            f"collation `{written}` is not allowed here",
            "use a built-in one",
            name=written,
            location=message.location,
        )
    _set_names(message.collname, ("pg_catalog", *names[-1:]))
    stack.append((message.arg, env))


def _column_definition(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.constraints or message.HasField("raw_default"):
        refuse(
            "statement-not-supported",
            f"constraints of the column `{message.colname}` are not supported here",
            "give names and types alone: `as r(a int, b text)`",
            name=message.colname,
            location=message.location,
        )
    self.type_name(message.type_name)
    if message.HasField("coll_clause"):
        stack.append((message.coll_clause, env))


def _default(self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    if not self.defaults:
        spoken, hint = advice.kind("SetToDefault")
        refuse("statement-not-supported", f"{spoken} is not supported here", hint, location=message.location)


def _sampled(_self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    refuse(
        "statement-not-supported",
        "TABLESAMPLE is not supported here",
        "use `order by random() limit n`",
        location=message.location,
    )


def _output(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.name or not message.HasField("val"):
        stack.extend((part, env) for part in parts(message))
        return
    if guards.names_output(message.val, self.guarded):
        message.name = output_name(message.val)
    stack.append((message.val, env))


def _set_names(nodes: Message, names: tuple[str, ...]) -> None:
    if texts(nodes) == names:
        return
    del nodes[:]
    for name in names:
        nodes.add().string.sval = name


def _copied(node: Message) -> Message:
    made = Node()
    made.CopyFrom(node)
    return made


def _conjunction(conditions: list[Message]) -> Message:
    made = Node()
    made.bool_expr.boolop = pb.AND_EXPR
    for one in conditions:
        made.bool_expr.args.append(one)
    return made


def _newer(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    first, name = SINCE[type(message)]
    if self.lens.view.catalog.server_version < first * 10_000:
        # FAIL CLOSED: an older server would call any function of that name.
        refuse(
            "statement-not-supported",
            f"{name} needs PostgreSQL {first}, and this target is older",
            "use the functions of json and jsonb, as in `document ->> 'key'` or `jsonb_path_query(document, '$.a')`",
            location=getattr(message, "location", -1),
        )
    stack.extend((part, env) for part in parts(message))


_DIGITS = frozenset("0123456789.eE+-")
# What an operator written in words, or none, is short for.
_IMPLIED = {
    "BETWEEN": ("<=", ">="),
    "NOT BETWEEN": ("<", ">"),
    "BETWEEN SYMMETRIC": ("<=", ">="),
    "NOT BETWEEN SYMMETRIC": ("<", ">"),
}
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
    **dict.fromkeys(SINCE, _newer),
    pb.A_Const: _number,
    pb.CaseExpr: _equality,
    pb.SelectStmt: _select,
    pb.ColumnRef: _column,
    pb.A_Indirection: _indirection,
    pb.FuncCall: _function,
    pb.TypeCast: _cast,
    pb.TypeName: _type,
    pb.A_Expr: _operator,
    pb.SubLink: _sub_link,
    pb.SortBy: _sort,
    pb.ColumnDef: _column_definition,
    pb.CollateClause: _collation,
    pb.RangeTableSample: _sampled,
    pb.SetToDefault: _default,
    pb.ResTarget: _output,
}
