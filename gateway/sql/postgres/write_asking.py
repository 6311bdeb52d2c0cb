"""What a statement that writes asks for, in the user's own words: its rows as a SELECT, its identity, its preview.

Read by the rewriting and by the check alike: trees of the user's go in, and trees of the user's come out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres.deparse import deparse
from gateway.sql.postgres.mentions import mentions
from gateway.sql.postgres.parse import expression
from gateway.sql.postgres.tree import POSITIONS, Message, Node, concrete, copied, refuse, walk

_MOST_PREVIEWED = 50


def asking(message: Message, others: Iterable[Message], values: Iterable[Message]) -> Message:
    """The rows that an UPDATE or a DELETE of the user's means, and the values that it sets, as a SELECT of the user's.

    Each value stands in a COALESCE of its own, where the server takes no function that returns sets.
    """
    made = Node()
    select = made.select_stmt
    select.limit_option, select.op = pb.LIMIT_OPTION_DEFAULT, pb.SETOP_NONE
    for number, value in enumerate(values, 1):
        target = select.target_list.add().res_target
        target.name = f"gateway {number}"
        target.val.coalesce_expr.args.add().CopyFrom(value)
    select.from_clause.add().range_var.CopyFrom(message.relation)
    select.from_clause.extend(others)
    if message.HasField("where_clause"):
        select.where_clause.CopyFrom(message.where_clause)
    if message.HasField("with_clause"):
        select.with_clause.CopyFrom(message.with_clause)
    return made


def is_outside(value: Message) -> bool:
    """Whether a value is a constant, a parameter or DEFAULT: it has its column's type only where it stands."""
    return value.WhichOneof("node") in {"a_const", "param_ref", "set_to_default"}


def assigned(target: Message) -> Message:
    """The value that an item of SET gives to its column."""
    if target.val.WhichOneof("node") != "multi_assign_ref":
        return copied(target.val)
    multiple = target.val.multi_assign_ref
    source = concrete(multiple.source)
    if type(source) is not pb.RowExpr or len(source.args) != multiple.ncolumns:
        refuse(
            "statement-not-supported",
            "SET (…) = (SELECT …) is not supported here",
            "set each column with an expression of its own",
            location=target.location,
        )
    return copied(source.args[multiple.colno - 1])


def digest(asked: Message) -> str:
    """The same for the same tree, wherever its parts stood in the text."""
    copy = copied(asked)
    for one in walk(copy):
        for place in POSITIONS:
            if place in one.DESCRIPTOR.fields_by_name:
                one.ClearField(place)
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()


def preview(asked: Message, rows: int) -> str:
    """A SELECT of what the statement would meet and set; for whoever may read what the requester may."""
    message = concrete(asked)
    deleting = type(message) is pb.DeleteStmt
    made = asking(message, message.using_clause if deleting else message.from_clause, [])
    select = made.select_stmt
    alias = message.relation.alias.aliasname or message.relation.relname
    for node in () if deleting else message.target_list:
        value = assigned(node.res_target)
        target = select.target_list.add().res_target
        target.name = f"new {node.res_target.name}"
        if value.WhichOneof("node") == "set_to_default":
            target.val.a_const.sval.sval = "DEFAULT"
        else:
            target.val.CopyFrom(value)
    everything = select.target_list.add().res_target.val.column_ref
    everything.fields.add().string.sval = alias
    everything.fields.add().a_star.SetInParent()
    select.limit_count.CopyFrom(expression(str(min(rows + 1, _MOST_PREVIEWED))))
    select.limit_option = pb.LIMIT_OPTION_COUNT
    return text_of(made)


def text_of(node: Message) -> str:
    tree = postgast.parse("SELECT 1")
    tree.stmts[0].stmt.CopyFrom(node)
    seen = mentions(tree.stmts[0].stmt)
    return deparse(tree, seen.loose)
