"""What looks names up in the catalog: allowed only for what the view shows.

Casts to `regclass` and its kin, and functions such as `pg_get_indexdef`, turn any number into a name or a definition,
and any name into an error or none. So a constant is judged here; a column or parameter is put under a condition that
the server evaluates; and the result is given back as plain text or number, because a value of such a type, compared
with a text of the user's, would look that text up.

INVARIANT: no expression of a catalog-naming type remains in an outgoing statement.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import catalogs, conditions, functions, settings, types
from gateway.sql.postgres.tree import Message, Node, concrete, fill, parts, texts, words
from gateway.sql.statement import View

FIELDS = frozenset(
    {"key", "value", "n", "x", "ordinality", "lexeme", "positions", "weights", "privilege_type", "grantee", "grantor"}
    | {"is_grantable"}
)

_NULLS = {
    "text": """
        obj_description col_description shobj_description pg_get_viewdef pg_get_triggerdef pg_get_ruledef
        pg_get_functiondef pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_expr
        pg_get_partition_constraintdef pg_get_serial_sequence pg_get_function_sqlbody pg_tablespace_location
        pg_get_function_arg_default pg_describe_object oidvectortypes
    """,
    "int8": """
        pg_relation_size pg_table_size pg_total_relation_size pg_indexes_size pg_database_size pg_tablespace_size
        pg_stat_get_numscans txid_current txid_current_if_assigned
    """,
    "bool": "pg_has_role pg_is_wal_replay_paused",
    "timestamptz": "pg_postmaster_start_time pg_conf_load_time",
}
# Answered by the name of the privilege alone, whatever it is of: nothing is looked up, and this grant reads.
_PRIVILEGES = words("""
    has_table_privilege has_column_privilege has_any_column_privilege has_schema_privilege has_sequence_privilege
    has_function_privilege has_database_privilege has_type_privilege has_language_privilege has_tablespace_privilege
    has_foreign_data_wrapper_privilege has_server_privilege has_parameter_privilege
    """)
_READING = words("select usage connect execute")
_NULL = {name: kind for kind, names in _NULLS.items() for name in names.split()}
_CONDITIONS = {
    "pg_get_indexdef": conditions.index_visible,
    "pg_get_constraintdef": conditions.constraint_visible,
    "pg_get_partkeydef": conditions.partition_key_visible,
    "format_type": conditions.type_visible,
    "pg_get_function_result": conditions.function_visible,
    "pg_get_function_arguments": conditions.function_visible,
    "pg_get_function_identity_arguments": conditions.function_visible,
    "pg_relation_is_publishable": conditions.relation_visible,
    "pg_index_has_property": conditions.index_visible,
    "pg_index_column_has_property": conditions.index_visible,
}
_LOOKUPS = {
    "to_regclass": conditions.relation_visible,
    "to_regtype": conditions.type_visible,
    "to_regnamespace": conditions.schema_visible,
}
_NO_ROWS = dict.fromkeys(("pg_partition_ancestors", "pg_partition_tree"), "oid")
# Functions of text search, with the number of arguments from which on the first may name a configuration.
_SEARCHING = {
    "to_tsvector": 2, "to_tsquery": 2, "plainto_tsquery": 2, "phraseto_tsquery": 2, "websearch_to_tsquery": 2,
    "ts_headline": 3, "json_to_tsvector": 3, "jsonb_to_tsvector": 3,
}  # fmt: skip
_CONFIGURATIONS = words("""
    simple arabic armenian basque catalan danish dutch english finnish french german greek hindi hungarian
    indonesian irish italian lithuanian nepali norwegian portuguese romanian russian serbian spanish swedish tamil
    turkish yiddish
    """)
# What catalogs call a column that holds a name, where a number would have its own.
_NAMED = {
    "regclass": words("table_name tablename relname viewname matviewname"),
    "regtype": words("udt_name typname"),
}
_COMPOSING = words("quote_ident concat concat_ws format lower")
_SETTINGS = frozenset({"current_setting", "set_config"})

FUNCTIONS = frozenset(
    {*_NULL, *_PRIVILEGES, *_CONDITIONS, *_LOOKUPS, *_SETTINGS, *_NO_ROWS, *_SEARCHING, "pg_typeof", "ts_token_type"}
)

_CASTS = {
    "regclass": conditions.relation_visible,
    "regtype": conditions.type_visible,
    "regproc": conditions.function_visible,
    "regprocedure": conditions.function_visible,
    "regnamespace": conditions.schema_visible,
    "regoper": conditions.built_in,
    "regoperator": conditions.built_in,
    "regrole": conditions.anything,
    "regcollation": conditions.built_in,
    "regconfig": conditions.built_in,
    "regdictionary": conditions.built_in,
}
_ROUTINES = functions.ALLOWED | {
    "array_in",
    "array_recv",
    "array_out",
    "record_in",
    "enum_in",
    "range_in",
    "multirange_in",
    "domain_in",
}


@dataclass(frozen=True, slots=True)
class Guard:
    """How a call or a cast goes out: under `condition` (a tree with holes), and cast to `result`, if they are given.

    With `argument`, the condition is put on the argument, as it must be for what returns a set. With `instead`,
    nothing of it goes out but that, and in it what `hole` is of the user's.
    """

    condition: Message | None = None
    result: str = ""
    instead: Message | None = None
    argument: bool = False
    hole: Message | None = None


def function_guard(name: str, call: Message, view: View) -> Guard | None:
    """The guard of a call to a function of `FUNCTIONS`; None when the call is not allowed at all."""
    if name in _NULL:
        return Guard(instead=null_of(_NULL[name]))
    if name in _PRIVILEGES:
        return Guard(instead=_privilege(call))
    if name in _NO_ROWS:
        return Guard(instead=_tree(f"pg_catalog.unnest(CAST(NULL AS pg_catalog.{_NO_ROWS[name]}[]))"))
    if name in _SEARCHING:
        return Guard() if len(call.args) < _SEARCHING[name] or _configuration(call.args[0]) else None
    if name == "pg_typeof":
        return Guard(result="text") if plain_call(call) else None
    if not plain_call(call) or not call.args:
        return None
    if name == "current_setting" and type(concrete(call.args[0])) is not pb.A_Const and simple(call.args[0]):
        asked = "pg_catalog.lower(CAST($0 AS pg_catalog.text))"
        return Guard(_tree(conditions.listed(asked, sorted(settings.READABLE))))
    if name in _SETTINGS:
        return Guard() if _setting_allowed(name, call, view) else None
    if not simple(call.args[0]):
        return None
    if name == "ts_token_type":
        return Guard(_tree(conditions.built_in("CAST($0 AS pg_catalog.oid)", view)), argument=True)
    if name in _LOOKUPS:
        looked_up = f"CAST(pg_catalog.{name}(CAST($0 AS pg_catalog.text)) AS pg_catalog.oid)"
        return Guard(_tree(_LOOKUPS[name](looked_up, view)), result="oid")
    return Guard(_tree(_CONDITIONS[name]("CAST($0 AS pg_catalog.oid)", view)))


def cast_guard(kind: str, cast: Message, view: View) -> Guard | None:
    """The guard of a cast to a catalog-naming type; None when it is not allowed."""
    if cast.type_name.array_bounds and kind == "regtype":
        return _type_names(cast, view)
    if cast.type_name.array_bounds or cast.type_name.setof:
        return None
    argument = concrete(cast.arg)
    if type(argument) is pb.A_Const:
        return Guard(result="oid") if constant_allowed(kind, argument, view) else None
    if type(argument) is pb.FuncCall and guarded(argument) and (texts(argument.funcname) or ("",))[-1] in _NULL:
        return Guard(instead=null_of("oid"))
    if not simple(cast.arg):
        if kind == "regclass" and repeatable(cast.arg):
            asked = "CAST($0 AS pg_catalog.text)"
            return Guard(_tree(conditions.listed(asked, catalogs.spellings(view))), result="oid")
        return None
    if _has_parameter(cast.arg):
        # Drivers bind the names of relations that they know; any other is NULL here, whether it exists or not.
        names = catalogs.spellings(view)
        asked = "CAST($0 AS pg_catalog.text)"
        return Guard(_tree(conditions.listed(asked, names)), result="oid") if kind == "regclass" else None
    if _last_name(cast.arg) in _NAMED.get(kind, ()):
        names, result = (catalogs.spellings(view), "oid") if kind == "regclass" else (sorted(types.BUILT_IN), "text")
        return Guard(_tree(conditions.listed("CAST($0 AS pg_catalog.text)", names)), result=result)
    return Guard(_tree(_CASTS[kind]("CAST($0 AS pg_catalog.oid)", view)), result="text")


def caseless(call: Message, columns: frozenset[str]) -> bool:
    """Whether an argument may be of type citext, given the names of columns that are."""
    stack = list(call.args)
    while stack:
        message = concrete(stack.pop())
        if type(message) is pb.ColumnRef:
            if (texts(message.fields[-1:]) or ("",))[0] in columns:
                return True
        elif message is not None and type(message) not in {pb.TypeCast, pb.FuncCall}:
            stack.extend(parts(message))
    return False


def compared(operation: Message) -> Message | None:
    """`x::oid = 'int4'::regtype` for `x::regtype = 'int4'::regtype`; None for all else.

    A column would else be compared as text, a constant as a number.
    """
    if operation.kind != pb.AEXPR_OP or texts(operation.name) not in {("=",), ("<>",)}:
        return None
    sides = [concrete(operation.lexpr), concrete(operation.rexpr)]
    if any(type(side) is not pb.TypeCast or side.type_name.array_bounds for side in sides):
        return None
    kinds = {types.naming(texts(side.type_name.names) or ()) for side in sides}
    constant = [type(concrete(side.arg)) is pb.A_Const for side in sides]
    if len(kinds) > 1 or kinds == {""} or constant[0] == constant[1]:
        return None
    made = pb.A_Expr()
    made.CopyFrom(operation)
    cast = made.rexpr.type_cast if constant[0] else made.lexpr.type_cast
    del cast.type_name.names[:]
    for name in ("pg_catalog", "oid"):
        cast.type_name.names.add().string.sval = name
    return made


def innermost(node: Message) -> Message | None:
    """The column, constant or parameter below any casts; None for all else."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    message = concrete(node)
    if type(message) is pb.ColumnRef:
        return node if texts(message.fields) and len(message.fields) <= 2 else None
    return node if type(message) in {pb.A_Const, pb.ParamRef} else None


def simple(node: Message) -> bool:
    """Whether an expression may be evaluated twice: a column, constant or parameter, a cast, NULLIF or item of one."""
    message = concrete(node)
    while type(message) is pb.TypeCast:
        if types.naming(texts(message.type_name.names) or ()):
            return type(concrete(message.arg)) is pb.A_Const and not message.type_name.array_bounds
        message = concrete(message.arg)
    if type(message) is pb.A_Expr and message.kind == pb.AEXPR_NULLIF:
        return simple(message.lexpr) and simple(message.rexpr)
    if type(message) is pb.A_Indirection:
        items = [concrete(item) for item in message.indirection]
        plain = all(type(item) is pb.A_Indices and not item.is_slice and simple(item.uidx) for item in items)
        return plain and type(concrete(message.arg)) is pb.ColumnRef
    return type(message) in {pb.ColumnRef, pb.A_Const, pb.ParamRef}


def repeatable(node: Message) -> bool:
    """Whether an expression is put together from simple ones in a way that gives the same text each time."""
    message = concrete(node)
    while type(message) is pb.TypeCast and (texts(message.type_name.names) or ("",))[-1] in {"text", "varchar", "name"}:
        message = concrete(message.arg)
    if type(message) is pb.A_Expr and message.kind == pb.AEXPR_OP and texts(message.name) == ("||",):
        return repeatable(message.lexpr) and repeatable(message.rexpr)
    if type(message) is pb.FuncCall and plain_call(message):
        names = texts(message.funcname) or ("",)
        return (
            names[-1] in _COMPOSING and names[:-1] in {(), ("pg_catalog",)} and all(repeatable(a) for a in message.args)
        )
    return simple(node) and not guarded(message)


def guarded(message: Message) -> bool:
    """Whether a node of the user's is one that goes out in another form."""
    if type(message) is pb.TypeCast:
        return bool(types.naming(texts(message.type_name.names) or ()))
    if type(message) is pb.FuncCall:
        names = texts(message.funcname) or ("",)
        if names[-1] in _SETTINGS and message.args and type(concrete(message.args[0])) is pb.A_Const:
            return False
        return names[-1] in FUNCTIONS and names[:-1] in {(), ("pg_catalog",)}
    return False


def names_output(node: Message, places: Container[int] = ()) -> bool:
    """Whether a guard stands where PostgreSQL looks for the name of an output column; calls at `places` count."""
    message = concrete(node)
    while message is not None:
        if guarded(message) or (type(message) is pb.FuncCall and message.location in places):
            return True
        if type(message) in {pb.TypeCast, pb.CollateClause, pb.A_Indirection}:
            message = concrete(message.arg)
        elif type(message) is pb.CaseExpr and message.HasField("defresult"):
            message = concrete(message.defresult)
        else:
            return False
    return False


def cast_to(node: Message, kind: str) -> Message:
    """The node under a cast to a type of pg_catalog."""
    made = Node()
    made.type_cast.arg.CopyFrom(node)
    made.type_cast.type_name.typemod = -1
    for name in ("pg_catalog", kind):
        made.type_cast.type_name.names.add().string.sval = name
    return made


def null_of(kind: str) -> Message:
    """NULL of a type of pg_catalog."""
    node = Node()
    node.a_const.isnull = True
    return cast_to(node, kind)


def _privilege(call: Message) -> Message:
    """Whether a grant for reading has the privileges that the last argument names; NULL when that is no constant."""
    asked = call.args[-1] if call.args else Node()
    while asked.WhichOneof("node") == "type_cast":
        asked = asked.type_cast.arg
    text = asked.a_const.sval.sval
    if not text:
        return null_of("bool")
    # As the server reads it: one of several that are held is enough.
    held = any(one.strip().lower() in _READING for one in text.split(","))
    # With a cast: a bare `true` is what an exact search leaves behind.
    return _tree(f"CAST({'true' if held else 'false'} AS pg_catalog.bool)")


def _configuration(node: Message) -> bool:
    """Whether an argument cannot name a configuration of text search but one of PostgreSQL's own."""
    message = concrete(node)
    if type(message) is pb.TypeCast:
        kind = (texts(message.type_name.names) or ("",))[-1]
        if kind != "regconfig":
            return kind in {"text", "varchar", "json", "jsonb"}
        message = concrete(message.arg)
    return type(message) is pb.A_Const and message.sval.sval in _CONFIGURATIONS


def _type_names(cast: Message, view: View) -> Guard | None:
    """The guard of a cast to `regtype[]`: the names of the types that are shown."""
    hole = innermost(cast.arg)
    if hole is None or type(concrete(hole)) is not pb.ColumnRef or cast.type_name.setof:
        return None
    seen = conditions.type_visible("u.e", view)
    template = _tree(
        "CASE WHEN $0 IS NOT NULL THEN ARRAY(SELECT CASE WHEN "  # noqa: S608
        f"{seen} THEN pg_catalog.format_type(u.e, NULL) END FROM pg_catalog.unnest(CAST($0 AS pg_catalog.oid[]))"
        " WITH ORDINALITY AS u(e, o) ORDER BY u.o) END"
    )
    made = Node()
    made.CopyFrom(template)
    fill(made, hole)
    return Guard(instead=made, hole=hole)


def plain_call(call: Message) -> bool:
    """Whether a call has arguments and nothing else."""
    extras = call.agg_order or call.HasField("agg_filter") or call.HasField("over") or call.agg_within_group
    return not (extras or call.agg_star or call.agg_distinct or call.func_variadic)


def _setting_allowed(name: str, call: Message, view: View) -> bool:
    first = concrete(call.args[0])
    if type(first) is not pb.A_Const or first.WhichOneof("val") != "sval":
        return False
    setting = first.sval.sval
    if name == "current_setting":
        return settings.readable(setting)
    if len(call.args) != 3:
        return False
    value = concrete(call.args[1])
    if type(value) is pb.A_Const and value.WhichOneof("val") == "sval":
        return settings.changeable(setting, (value.sval.sval,), view)
    return setting == "jit" and type(value) is pb.ParamRef


def constant_allowed(kind: str, constant: Message, view: View) -> bool:
    """Whether a constant of a catalog-naming type is a number, or the name of something shown."""
    which = constant.WhichOneof("val")
    if which == "ival":
        return True
    if which != "sval":
        return False
    text = constant.sval.sval
    if text.isascii() and text.isdigit():
        return True
    if text == "-":
        # What stands for none; of operators it would be a name.
        return kind not in {"regoper", "regoperator"}
    if kind == "regtype":
        return _type_allowed(text)
    names = _split(text)
    if not names:
        return False
    schema, name = names if len(names) == 2 else ("", names[0])
    if kind == "regclass":
        return catalogs.names_relation(schema, name, view)
    if kind == "regproc":
        return schema in {"", "pg_catalog"} and name in _ROUTINES
    if kind == "regconfig":
        return schema in {"", "pg_catalog"} and name in _CONFIGURATIONS
    if kind == "regcollation":
        return schema in {"", "pg_catalog"} and name in {"default", "C", "POSIX"}
    if kind == "regnamespace":
        return not schema and name in conditions.schemas(view)
    return False


@lru_cache(maxsize=256)
def _type_allowed(text: str) -> bool:
    if len(text) > 100 or not re.fullmatch(r'[a-z0-9_ ".\[\]]+', text):
        return False
    try:
        statements = postgast.parse(f"SELECT CAST(NULL AS {text})").stmts
    except postgast.PgQueryError:
        return False
    cast = concrete(statements[0].stmt.select_stmt.target_list[0].res_target.val)
    if len(statements) != 1 or type(cast) is not pb.TypeCast:
        return False
    names = texts(cast.type_name.names) or ()
    pseudo = names[-1:] and names[-1] in types.PSEUDO and names[:-1] in {(), ("pg_catalog",)}
    return bool(pseudo) or types.resolved(names, (), frozenset()) is not None


_IDENTIFIER = re.compile(r'"((?:[^"]|"")+)"|([A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)')


def _split(text: str) -> tuple[str, ...]:
    """The one or two identifiers of a possibly qualified name; nothing for anything else."""
    names, at = [], 0
    while True:
        match = _IDENTIFIER.match(text, at)
        if match is None:
            return ()
        names.append(match[1].replace('""', '"') if match[1] else match[2].lower())
        at = match.end()
        if at == len(text):
            return tuple(names) if len(names) <= 2 else ()
        if text[at] != ".":
            return ()
        at += 1


def _last_name(node: Message) -> str:
    hole = innermost(node)
    if hole is None or hole.WhichOneof("node") != "column_ref":
        return ""
    return (texts(hole.column_ref.fields) or ("",))[-1]


def _has_parameter(node: Message) -> bool:
    message = concrete(node)
    while type(message) is pb.TypeCast:
        message = concrete(message.arg)
    return type(message) is pb.ParamRef


@lru_cache(maxsize=1024)
def _tree(sql: str) -> Message:
    return postgast.parse(f"SELECT {sql}").stmts[0].stmt.select_stmt.target_list[0].res_target.val
