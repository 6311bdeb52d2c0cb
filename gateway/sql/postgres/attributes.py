"""Whether `a.b` is the column `b` of `a`; if `a` has none, PostgreSQL calls the function `b` or casts to the type `b`.

What a derived table or WITH item yields is a record, which few functions take. What a function in FROM yields is its
result: `SELECT g.current_setting FROM unnest(ARRAY['x']) AS g` is `current_setting('x')`.

INVARIANT: a name counts as a column only when everything that goes by that alias, anywhere in the statement, has it.
Specification: `ParseFuncOrColumn` and `func_get_detail` in PostgreSQL's `parse_func.c`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from postgast import pg_query_pb2 as pb

from gateway.sql.catalog import Catalog
from gateway.sql.postgres import functions, guards
from gateway.sql.postgres.tree import Message, concrete, texts, walk

ColumnsOf = Callable[[Message], Collection[str]]
"""The columns of the relation that a RangeVar names, nothing for an unknown one."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that goes by an alias: columns that it certainly has, and whether it is a record whatever else."""

    columns: frozenset[str]
    record: bool


def items_by_alias(root: Message, columns_of: ColumnsOf) -> dict[str, list[Item]]:
    """Every alias of a statement with all that goes by it."""
    messages = list(walk(root))
    withs: dict[str, list[frozenset[str]]] = {}
    for message in messages:
        if type(message) is pb.CommonTableExpr:
            columns = _names(message.aliascolnames) or outputs(concrete(message.ctequery))
            withs.setdefault(message.ctename, []).append(columns)
    found: dict[str, list[Item]] = {}
    for message in messages:
        kind = type(message)
        if kind is pb.RangeVar:
            meant = [] if message.schemaname else list(withs.get(message.relname, ()))
            relation = frozenset(columns_of(message))
            columns = (
                frozenset.intersection(*meant, relation) if relation or not meant else frozenset.intersection(*meant)
            )
            item = Item(_names(message.alias.colnames) or columns, record=True)
            found.setdefault(message.alias.aliasname or message.relname, []).append(item)
        elif kind is pb.RangeSubselect:
            item = Item(_names(message.alias.colnames) or outputs(concrete(message.subquery)), record=True)
            found.setdefault(message.alias.aliasname, []).append(item)
        elif kind is pb.JoinExpr:
            found.setdefault(message.alias.aliasname, []).append(Item(_names(message.alias.colnames), record=True))
            using = Item(_names(message.using_clause), record=True)
            found.setdefault(message.join_using_alias.aliasname, []).append(using)
        elif kind is pb.RangeFunction:
            columns = _names(message.alias.colnames) | _defined(message.coldeflist)
            found.setdefault(message.alias.aliasname or _function_alias(message), []).append(
                Item(columns, record=False)
            )
    return found


def suspicious(name: str, catalog: Catalog) -> bool:
    """Whether a name is that of a type or of a function that is not allowed: `a.name` may be more than a column."""
    if name in catalog.functions or name in guards.FUNCTIONS or name.startswith("pg_"):
        return True
    return name in catalog.calls and (name not in functions.ALLOWED or name == functions.AGE)


def may_call(name: str, items: Sequence[Item], catalog: Catalog) -> bool:
    """Whether `a.name` could be a call or cast that is not allowed, `items` being all that `a` stands for."""
    if not suspicious(name, catalog) or (items and all(name in item.columns for item in items)):
        return False
    if name in catalog.functions or name in guards.FUNCTIONS or name.startswith("pg_"):
        return True
    return not items or not all(item.record for item in items) or name in catalog.row_calls


def _names(nodes: Sequence[Message]) -> frozenset[str]:
    return frozenset(texts(nodes) or ())


def _defined(nodes: Sequence[Message]) -> frozenset[str]:
    return frozenset(node.column_def.colname for node in nodes)


def outputs(select: Message) -> frozenset[str]:
    """The names that a query certainly gives to its columns; those of a star are not known."""
    while type(select) is pb.SelectStmt and select.op != pb.SETOP_NONE:
        select = select.larg
    if type(select) is not pb.SelectStmt:
        return frozenset()
    if select.values_lists:
        return frozenset(f"column{number}" for number in range(1, len(select.values_lists[0].list.items) + 1))
    return frozenset(filter(None, (_output(node.res_target) for node in select.target_list)))


def _output(target: Message) -> str:
    value = concrete(target.val)
    if target.name:
        return str(target.name)
    parts = value.fields if type(value) is pb.ColumnRef else value.funcname if type(value) is pb.FuncCall else ()
    return (texts(parts) or ("",))[-1]


def _function_alias(item: Message) -> str:
    """The alias that a function in FROM has without one; empty, as for nothing, when it is written in another way."""
    first = concrete(item.functions[0].list.items[0])
    return (texts(first.funcname) or ("",))[-1] if type(first) is pb.FuncCall else ""
