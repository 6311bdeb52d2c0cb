"""What looks names up in the catalog: allowed only for what the view shows.

Casts to `regclass` and its kin, and functions such as `pg_get_indexdef`, turn any number into a name or a definition,
and any name into an error or none. So a constant is judged here; a column or parameter is put under a condition that
the server evaluates; and the result is given back as plain text or number, because a value of such a type, compared
with a text of the user's, would look that text up.

INVARIANT: no expression of a catalog-naming type remains in an outgoing statement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import catalogs, functions, settings, types
from gateway.sql.postgres.tree import Message, Node, concrete, parts, texts
from gateway.sql.statement import View

FIELDS = frozenset(
    {"key", "value", "n", "x", "ordinality", "lexeme", "positions", "weights", "privilege_type", "grantee"}
)

_NULLS = {
    "text": """
        obj_description col_description shobj_description pg_get_viewdef pg_get_triggerdef pg_get_ruledef
        pg_get_functiondef pg_get_partkeydef pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_expr
        pg_get_partition_constraintdef pg_get_serial_sequence pg_get_function_sqlbody pg_tablespace_location
        pg_get_function_arg_default
    """,
    "int8": """
        pg_relation_size pg_table_size pg_total_relation_size pg_indexes_size pg_database_size pg_tablespace_size
        pg_stat_get_numscans
    """,
    "bool": """
        has_table_privilege has_column_privilege has_any_column_privilege has_schema_privilege has_sequence_privilege
        has_function_privilege has_database_privilege
    """,
}
_NULL = {name: kind for kind, names in _NULLS.items() for name in names.split()}
_CONDITIONS = {
    "pg_get_indexdef": catalogs.index_visible,
    "pg_get_constraintdef": catalogs.constraint_visible,
    "format_type": catalogs.type_visible,
    "pg_get_function_result": catalogs.function_visible,
    "pg_get_function_arguments": catalogs.function_visible,
    "pg_get_function_identity_arguments": catalogs.function_visible,
    "pg_relation_is_publishable": catalogs.relation_visible,
}
_LOOKUPS = {"to_regclass": catalogs.relation_visible, "to_regtype": catalogs.type_visible}
_NO_ROWS = {"pg_partition_ancestors": "oid"}
_SETTINGS = frozenset({"current_setting", "set_config"})

FUNCTIONS = (
    frozenset(_NULL) | frozenset(_CONDITIONS) | frozenset(_LOOKUPS) | _SETTINGS | frozenset(_NO_ROWS) | {"pg_typeof"}
)

_CASTS = {
    "regclass": catalogs.relation_visible,
    "regtype": catalogs.type_visible,
    "regproc": catalogs.function_visible,
    "regprocedure": catalogs.function_visible,
    "regnamespace": catalogs.schema_visible,
    "regoper": catalogs.built_in,
    "regoperator": catalogs.built_in,
    "regrole": catalogs.anything,
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

    With `instead`, nothing of it goes out but that.
    """

    condition: Message | None = None
    result: str = ""
    instead: Message | None = None


def function_guard(name: str, call: Message, view: View) -> Guard | None:
    """The guard of a call to a function of `FUNCTIONS`; None when the call is not allowed at all."""
    if name in _NULL:
        return Guard(instead=null_of(_NULL[name]))
    if name in _NO_ROWS:
        return Guard(instead=_tree(f"pg_catalog.unnest(CAST(NULL AS pg_catalog.{_NO_ROWS[name]}[]))"))
    if name == "pg_typeof":
        return Guard(result="text") if _plain_call(call) else None
    if not _plain_call(call) or not call.args:
        return None
    if name == "current_setting" and type(concrete(call.args[0])) is not pb.A_Const and simple(call.args[0]):
        asked = "pg_catalog.lower(CAST($0 AS pg_catalog.text))"
        return Guard(_tree(catalogs.listed(asked, sorted(settings.READABLE))))
    if name in _SETTINGS:
        return Guard() if _setting_allowed(name, call, view) else None
    if not simple(call.args[0]):
        return None
    if name in _LOOKUPS:
        looked_up = f"CAST(pg_catalog.{name}(CAST($0 AS pg_catalog.text)) AS pg_catalog.oid)"
        return Guard(_tree(_LOOKUPS[name](looked_up, view)), result="oid")
    return Guard(_tree(_CONDITIONS[name]("CAST($0 AS pg_catalog.oid)", view)))


def cast_guard(kind: str, cast: Message, view: View) -> Guard | None:
    """The guard of a cast to a catalog-naming type; None when it is not allowed."""
    if cast.type_name.array_bounds or cast.type_name.setof:
        return None
    argument = concrete(cast.arg)
    if type(argument) is pb.A_Const:
        return Guard(result="oid") if _constant_allowed(kind, argument, view) else None
    if type(argument) is pb.FuncCall and guarded(argument) and (texts(argument.funcname) or ("",))[-1] in _NULL:
        return Guard(instead=null_of("oid"))
    if not simple(cast.arg):
        return None
    if _has_parameter(cast.arg):
        # Drivers bind the names of relations that they know; any other is NULL here, whether it exists or not.
        names = catalogs.spellings(view)
        asked = "CAST($0 AS pg_catalog.text)"
        return Guard(_tree(catalogs.listed(asked, names)), result="oid") if kind == "regclass" else None
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


def simple(node: Message) -> bool:
    """Whether an expression may be evaluated twice: a column, a constant, a parameter, or a cast of one."""
    message = concrete(node)
    while type(message) is pb.TypeCast:
        if types.naming(texts(message.type_name.names) or ()):
            return False
        message = concrete(message.arg)
    return type(message) in {pb.ColumnRef, pb.A_Const, pb.ParamRef}


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


def names_output(node: Message) -> bool:
    """Whether a guard stands where PostgreSQL looks for the name of an output column."""
    message = concrete(node)
    while message is not None:
        if guarded(message):
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


def _plain_call(call: Message) -> bool:
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


def _constant_allowed(kind: str, constant: Message, view: View) -> bool:
    which = constant.WhichOneof("val")
    if which == "ival":
        return True
    if which != "sval":
        return False
    text = constant.sval.sval
    if text.isascii() and text.isdigit():
        return True
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
    if kind == "regnamespace":
        return not schema and name in catalogs.schemas(view)
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
    return types.resolved(texts(cast.type_name.names) or (), (), frozenset()) is not None


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


def _has_parameter(node: Message) -> bool:
    message = concrete(node)
    while type(message) is pb.TypeCast:
        message = concrete(message.arg)
    return type(message) is pb.ParamRef


@lru_cache(maxsize=1024)
def _tree(sql: str) -> Message:
    return postgast.parse(f"SELECT {sql}").stmts[0].stmt.select_stmt.target_list[0].res_target.val
