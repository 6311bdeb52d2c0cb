"""The column name that PostgreSQL gives to an output expression without one.

Needed where our text differs from the user's inside such an expression, so that the client still sees the name it would
have seen. Specification: `FigureColname` in PostgreSQL's `parse_target.c`.
"""

from __future__ import annotations

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres.tree import Message, concrete, texts

_FIXED = {
    pb.CoalesceExpr: "coalesce",
    pb.A_ArrayExpr: "array",
    pb.RowExpr: "row",
    pb.GroupingFunc: "grouping",
}


def output_name(node: Message) -> str:
    """The name of an output column for this expression: `?column?` when PostgreSQL has none."""
    weak = ""
    message = concrete(node)
    while message is not None:
        kind = type(message)
        if kind is pb.ColumnRef:
            named = [part.string.sval for part in message.fields if part.WhichOneof("node") == "string"]
            return str(named[-1]) if named else weak or "?column?"
        if kind is pb.A_Indirection:
            named = [part.string.sval for part in message.indirection if part.WhichOneof("node") == "string"]
            if named:
                return str(named[-1])
            message = concrete(message.arg)
        elif kind is pb.FuncCall:
            return str(message.funcname[-1].string.sval)
        elif kind is pb.TypeCast:
            # The outermost weak name wins over what is found further in, unless that is a strong one.
            weak = weak or (texts(message.type_name.names) or ("",))[-1]
            message = concrete(message.arg)
        elif kind is pb.CollateClause:
            message = concrete(message.arg)
        elif kind is pb.CaseExpr:
            weak = weak or "case"
            message = concrete(message.defresult) if message.HasField("defresult") else None
        elif kind in _FIXED:
            return _FIXED[kind]
        else:
            return weak or "?column?"
    return weak or "?column?"
