"""Functions in FROM that go out in another form: partitions, listings of the server's, `unnest` of several arrays.

INVARIANT: of partitions, only relations that the view shows are yielded, and only where all above them are shown.
Specification: PostgreSQL manual, 9.27.8 and 7.2.1.4, and `transformRangeFunction` in `parse_clause.c`.
"""

from __future__ import annotations

from functools import lru_cache

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import catalogs, conditions, guards
from gateway.sql.postgres.tree import Message, Node, concrete, fill, texts
from gateway.sql.statement import View

# What each function yields, and the condition that all above it is shown.
_PARTITIONS = {
    "pg_partition_ancestors": (
        "CAST(p.relid AS pg_catalog.oid) AS relid",
        "NOT EXISTS (SELECT FROM {function} AS a WHERE NOT {ancestor})",
    ),
    "pg_partition_tree": (
        "CAST(p.relid AS pg_catalog.oid) AS relid, CAST(p.parentrelid AS pg_catalog.oid) AS parentrelid,"
        " p.isleaf AS isleaf, p.level AS level",
        "NOT EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(p.relid) AS a WHERE NOT {ancestor})",
    ),
}
_SETTINGS = "pg_show_all_settings"
_TEXT = "CAST(NULL AS pg_catalog.text)"
_NAME = "CAST(NULL AS pg_catalog.name)"
_NOTHING = {
    "pg_available_extensions": (f"SELECT {_NAME} AS name, {_TEXT} AS default_version, {_TEXT} AS comment WHERE false"),
    "pg_available_extension_versions": (
        f"SELECT {_NAME} AS name, {_TEXT} AS version, false AS superuser, false AS trusted, false AS relocatable,"
        f" {_NAME} AS schema, CAST(NULL AS pg_catalog.name[]) AS requires, {_TEXT} AS comment WHERE false"
    ),
}


def partition_argument(source: Message) -> Message | None:
    """The column, constant or parameter that a partition function in FROM is called with; None for all else."""
    if len(source.functions) != 1 or source.coldeflist or source.is_rowsfrom:
        return None
    item = source.functions[0].list.items
    call = concrete(item[0])
    names = texts(call.funcname) or ("",) if type(call) is pb.FuncCall else ("",)
    if len(item) > 1 and concrete(item[1]) is not None:
        return None
    if names[-1] not in _PARTITIONS or names[:-1] not in {(), ("pg_catalog",)}:
        return None
    if not guards.plain_call(call) or len(call.args) != 1:
        return None
    return guards.innermost(call.args[0])


def partition_source(source: Message, view: View) -> Message | None:
    """The derived table that stands for a partition function in FROM; None when it is another FROM item."""
    argument = partition_argument(source)
    if argument is None:
        return None
    name = (texts(concrete(source.functions[0].list.items[0]).funcname) or ("",))[-1]
    constant = concrete(argument)
    asked = "CAST($0 AS pg_catalog.oid)"
    if type(constant) is pb.A_Const and constant.WhichOneof("val") == "sval" and not constant.sval.sval.isdigit():
        # A name: looked up only when it is that of something shown.
        if not guards.constant_allowed("regclass", constant, view):
            return None
        asked = "CAST(CAST($0 AS pg_catalog.regclass) AS pg_catalog.oid)"
    # The user's expression stands in a query of its own: beside the function, its names could be the function's.
    function = f"pg_catalog.{name}(CAST(q.asked AS pg_catalog.regclass))"
    targets, above = _PARTITIONS[name]
    if source.ordinality:
        targets += ", pg_catalog.row_number() OVER (ORDER BY p.ordinality) AS ordinality"
    seen = conditions.class_visible("CAST(p.relid AS pg_catalog.oid)", view)
    ancestor = conditions.class_visible("CAST(a.relid AS pg_catalog.oid)", view)
    where = f"{seen} AND {above.format(function=function, ancestor=ancestor)}"
    made = Node()
    subselect = made.range_subselect
    subselect.lateral = True
    subselect.subquery.select_stmt.CopyFrom(
        _query(f"SELECT {targets} FROM (SELECT {asked}) AS q(asked), {function} WITH ORDINALITY AS p WHERE {where}")  # noqa: S608
    )
    fill(subselect.subquery, argument)
    if source.HasField("alias"):
        subselect.alias.CopyFrom(source.alias)
    else:
        subselect.alias.aliasname = name
    return made


def listing_source(source: Message, view: View) -> Message | None:
    """The derived table for a function in FROM that lists what the server has. None for another FROM item.

    `pg_show_all_settings()` is what pg_settings shows; extensions that could be installed are the server's files, and
    there are none.
    """
    if len(source.functions) != 1 or source.coldeflist or source.is_rowsfrom or source.ordinality:
        return None
    item = source.functions[0].list.items
    call = concrete(item[0])
    if type(call) is not pb.FuncCall or (len(item) > 1 and concrete(item[1]) is not None):
        return None
    names = texts(call.funcname) or ("",)
    if names[:-1] not in {(), ("pg_catalog",)} or call.args or not guards.plain_call(call):
        return None
    shown = catalogs.shown_sql("pg_catalog.pg_settings", view) if names[-1] == _SETTINGS else _NOTHING.get(names[-1])
    if shown is None:
        return None
    made = Node()
    made.range_subselect.subquery.select_stmt.CopyFrom(_query(shown))
    made.range_subselect.alias.aliasname = names[-1]
    if source.HasField("alias"):
        made.range_subselect.alias.CopyFrom(source.alias)
    return made


def unnested(source: Message) -> Message | None:
    """`ROWS FROM (unnest(a), unnest(b))` for `unnest(a, b)`, as the server reads it; None for all else.

    The server does so only for the bare name, and ours goes out with its schema.
    """
    if len(source.functions) != 1 or source.coldeflist or source.is_rowsfrom:
        return None
    item = source.functions[0].list.items
    call = concrete(item[0])
    if type(call) is not pb.FuncCall or texts(call.funcname) != ("unnest",) or len(call.args) < 2:
        return None
    if not guards.plain_call(call) or (len(item) > 1 and concrete(item[1]) is not None):
        return None
    made = pb.RangeFunction()
    made.CopyFrom(source)
    made.is_rowsfrom = True
    del made.functions[:]
    for argument in call.args:
        one = made.functions.add()
        one.CopyFrom(source.functions[0])
        del one.list.items[0].func_call.args[:]
        one.list.items[0].func_call.args.add().CopyFrom(argument)
    return made


@lru_cache(maxsize=256)
def _query(sql: str) -> Message:
    return postgast.parse(sql).stmts[0].stmt.select_stmt
