"""The check of `a.b`: that it names a column, because else it would call the function `b` or cast to the type `b`.

It holds when the server has no such function or type, when the function is allowed, or when every FROM item of that
alias has the column. A row of anything but a function in FROM is a record, which only some functions take.
"""

from __future__ import annotations

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import functions, guards
from gateway.sql.postgres.evidence import evidence
from gateway.sql.postgres.tree import Message, concrete, texts, walk
from gateway.sql.statement import View

Sources = dict[str, list[tuple[bool, frozenset[str]]]]
"""By alias: whether it is a function's result, and columns that it has beyond doubt."""


def no_call(name: str, view: View) -> bool:
    """Whether nothing that is forbidden goes by that name."""
    catalog = view.catalog
    if name in catalog.functions or name in guards.FUNCTIONS or name[:3] == "pg_":
        return False
    return (name in functions.ALLOWED and name != "age") or name not in catalog.calls


def is_column(alias: str, name: str, sources: Sources, view: View) -> bool:
    """Whether `alias.name` is a column or nothing, for a name that could be a call of something forbidden."""
    named = sources.get(alias, [])
    if not named:
        return False
    if all(name in columns for _, columns in named):
        return True
    reserved = name in view.catalog.functions or name in guards.FUNCTIONS or name[:3] == "pg_"
    return not reserved and name not in view.catalog.row_calls and not any(function for function, _ in named)


def sources_of(root: Message, view: View) -> Sources:
    """The FROM items of a statement of the user's."""
    found: Sources = {}
    queries = {
        node.ctename: _given(node.aliascolnames) or _shown(concrete(node.ctequery))
        for node in walk(root)
        if type(node) is pb.CommonTableExpr
    }
    repeated = [node.ctename for node in walk(root) if type(node) is pb.CommonTableExpr]
    for node in walk(root):
        if type(node) is pb.RangeVar:
            columns = _relation(node, view)
            if not node.schemaname and node.relname in queries:
                shown = queries[node.relname] if repeated.count(node.relname) == 1 else frozenset()
                columns = shown if columns is None else shown & columns
            alias = node.alias.aliasname or node.relname
            found.setdefault(alias, []).append((False, _given(node.alias.colnames) or columns or frozenset()))
        elif type(node) is pb.RangeSubselect:
            columns = _given(node.alias.colnames) or _shown(concrete(node.subquery))
            found.setdefault(node.alias.aliasname, []).append((False, columns))
        elif type(node) is pb.JoinExpr:
            found.setdefault(node.alias.aliasname, []).append((False, _given(node.alias.colnames)))
            found.setdefault(node.join_using_alias.aliasname, []).append((False, _given(node.using_clause)))
        elif type(node) is pb.RangeFunction:
            call = node.functions[0].list.items[0].func_call
            alias = node.alias.aliasname or (texts(call.funcname[-1:]) or ("",))[0]
            defined = frozenset(one.column_def.colname for one in node.coldeflist)
            found.setdefault(alias, []).append((True, defined | _given(node.alias.colnames)))
    return found


def _relation(node: Message, view: View) -> frozenset[str] | None:
    meant = evidence(node.schemaname, node.relname, view)
    return None if meant is None else frozenset(meant.values)


def _given(nodes: Message) -> frozenset[str]:
    return frozenset(texts(nodes) or ())


def _shown(select: Message) -> frozenset[str]:
    if type(select) is not pb.SelectStmt:
        return frozenset()
    if select.op != pb.SETOP_NONE:
        return _shown(select.larg)
    names = {target.res_target.name for target in select.target_list}
    for target in select.target_list:
        value = target.res_target.val
        if target.res_target.name:
            continue
        if value.WhichOneof("node") == "column_ref":
            names |= _given(value.column_ref.fields[-1:])
        elif value.WhichOneof("node") == "func_call":
            names |= _given(value.func_call.funcname[-1:])
    rows = select.values_lists[0].list.items if select.values_lists else ()
    return frozenset(names | {f"column{number + 1}" for number in range(len(rows))}) - {""}
