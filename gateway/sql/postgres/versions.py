"""Forms of the grammar that an older server reads as something else.

`JSON_VALUE(a, b)` is a form of its own to the parser here and to PostgreSQL 17. To PostgreSQL 15 it is a call of any
function of that name in the search path, and no schema can be written in front of it.

INVARIANT: a form stands in an outgoing text only where the server that runs it reads it as that form.
Specification: `gram.y` of PostgreSQL 15 to 18.
"""

from __future__ import annotations

from postgast import pg_query_pb2 as pb

SINCE: dict[type, tuple[int, str]] = {
    pb.JsonObjectConstructor: (16, "JSON_OBJECT"),
    pb.JsonArrayConstructor: (16, "JSON_ARRAY"),
    pb.JsonArrayQueryConstructor: (16, "JSON_ARRAY"),
    pb.JsonObjectAgg: (16, "JSON_OBJECTAGG"),
    pb.JsonArrayAgg: (16, "JSON_ARRAYAGG"),
    pb.JsonIsPredicate: (16, "IS JSON"),
    pb.JsonParseExpr: (17, "JSON"),
    pb.JsonScalarExpr: (17, "JSON_SCALAR"),
    pb.JsonSerializeExpr: (17, "JSON_SERIALIZE"),
    pb.JsonFuncExpr: (17, "JSON_VALUE, JSON_QUERY or JSON_EXISTS"),
    pb.JsonTable: (17, "JSON_TABLE"),
}
"""The first major version that knows a form, and its name in SQL."""
