"""What a statement may be made of: nodes, their parts, operators, functions, names.

INVARIANT: a list of what is allowed. A node, or a part of one, that is not written here is refused with a code,
whatever sqlglot takes it for. The walk is iterative and bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.writing import BINARY, CALLS

OURS = "gateway_"
"""What begins the names in derived tables: no name of a person's may."""
MOST_NODES = 6000

_NAME = re.compile(r"[^\W\d][\w -]{0,62}")
_PAIR = frozenset({"this", "expression"})
_QUERY_END = frozenset({"order", "limit", "offset"})

PARTS: dict[Any, frozenset[str]] = {
    exp.Select: frozenset(
        {"expressions", "from_", "joins", "where", "group", "having", "distinct", "with_"} | _QUERY_END
    ),
    exp.Union: _PAIR | {"distinct", "with_", "by_name"} | _QUERY_END,
    exp.Subquery: frozenset({"this", "alias"}),
    exp.From: frozenset({"this"}),
    exp.Join: frozenset({"this", "on", "using", "side", "kind"}),
    exp.Where: frozenset({"this"}),
    exp.Having: frozenset({"this"}),
    exp.Group: frozenset({"expressions"}),
    exp.Order: frozenset({"expressions"}),
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
    exp.Limit: frozenset({"expression"}),
    exp.Offset: frozenset({"expression"}),
    exp.With: frozenset({"expressions", "recursive"}),
    exp.CTE: frozenset({"this", "alias"}),
    exp.TableAlias: frozenset({"this", "columns"}),
    exp.Table: frozenset({"this", "db", "alias"}),
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Column: frozenset({"this", "table"}),
    exp.Star: frozenset(),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Null: frozenset(),
    exp.Boolean: frozenset({"this"}),
    exp.Alias: frozenset({"this", "alias"}),
    exp.Paren: frozenset({"this"}),
    exp.Neg: frozenset({"this"}),
    exp.Not: frozenset({"this"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.In: frozenset({"this", "expressions", "query"}),
    exp.Exists: frozenset({"this"}),
    exp.Case: frozenset({"this", "ifs", "default"}),
    exp.If: frozenset({"this", "true"}),
    exp.Interval: frozenset({"this", "unit"}),
    exp.Var: frozenset({"this"}),
    exp.Distinct: frozenset({"expressions"}),
    **dict.fromkeys(CALLS, frozenset({"this", "expressions"})),
    **dict.fromkeys(BINARY, _PAIR | {"typed", "safe"}),
    **dict.fromkeys((exp.Like, exp.ILike), _PAIR | {"negate"}),
}
_SOME_DIALECTS: dict[Any, str] = {
    exp.ILike: "ILike",
    exp.DPipe: "DPipe",
    exp.IntDiv: "IntDiv",
    exp.NullSafeEQ: "NullSafeEQ",
}
_SAID: dict[Any, str] = {
    exp.Lock: "locking clauses are", exp.Window: "window functions are", exp.Cast: "casts are",
    exp.Parameter: "variables are", exp.SessionParameter: "variables are", exp.Placeholder: "parameters are",
    exp.Lateral: "lateral joins are", exp.Tuple: "rows of values are", exp.Lambda: "functions of functions are",
    exp.Final: "FINAL is", exp.ParameterizedAgg: "functions with two lists of arguments are",
    exp.Hint: "hints are", exp.Into: "INTO is", exp.Intersect: "INTERSECT is", exp.Except: "EXCEPT is",
    exp.JSONExtract: "`->` is", exp.JSONExtractScalar: "`->>` is", exp.Any: "ANY is", exp.All: "ALL is",
    exp.HexString: "hexadecimal literals are", exp.BitString: "literals of bits are", exp.National: "N'...' is",
    exp.Collate: "COLLATE is", exp.Values: "VALUES in FROM is", exp.Concat: "strings side by side are",
    exp.Fetch: "FETCH FIRST is", exp.Filter: "FILTER is", exp.PropertyEQ: "variables are",
}  # fmt: skip
_INSTEAD: dict[Any, str] = {
    **dict.fromkeys((exp.JSONExtract, exp.JSONExtractScalar), "write JSON_EXTRACT(column, '$.path')"),
    **dict.fromkeys((exp.Any, exp.All), "write IN, or compare with a MAX or a MIN"),
    **dict.fromkeys((exp.HexString, exp.BitString), "write UNHEX('41'), or the number"),
    exp.National: "leave the N out",
    exp.Fetch: "write LIMIT",
    exp.Filter: "write SUM(CASE WHEN condition THEN 1 END)",
    exp.PropertyEQ: "number rows by ROW_NUMBER() OVER (ORDER BY column)",
}
_PARTS_SAID = {
    "method": ("NATURAL joins are", "write JOIN ... USING (column)"),
    "into": ("INTO is", "leave it out: a client keeps what it reads"),
    "locks": ("locking clauses are", "leave it out: who only reads has nothing to lock"),
    "windows": ("windows with a name are", "write the window behind OVER"),
    "rollup": ("WITH ROLLUP is", "ask for the sums with a statement of their own"),
}
_PLACES: dict[Any, tuple[Any, ...]] = {
    exp.Table: (exp.From, exp.Join),
    exp.Var: (exp.Interval,),
    exp.If: (exp.Case,),
    exp.Ordered: (exp.Order,),
    exp.Identifier: (exp.Column, exp.Table, exp.TableAlias, exp.Alias, exp.Join),
}
"""What stands in certain places only."""
_SIDES, _KINDS = frozenset({"", "LEFT", "RIGHT"}), frozenset({"", "INNER", "CROSS", "OUTER"})


def judge(tree: exp.Expr, grammar: Grammar) -> None:
    """Nothing, for a tree of allowed parts. Raises: GatewayError."""
    for count, node in enumerate(_nodes(tree)):
        if count > MOST_NODES:
            raise GatewayError("statement-too-complex", "the statement has too many parts")
        _judge_parts(node, grammar)
        _judge_place(node, grammar)
        _judge_node(node, grammar)
        if grammar.parts is not None:
            grammar.parts.judge(node)


def _nodes(tree: exp.Expr) -> Iterator[exp.Expr]:
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.iter_expressions())


def _judge_parts(node: exp.Expr, grammar: Grammar) -> None:
    allowed = PARTS.get(type(node))
    if allowed is None and grammar.parts is not None:
        allowed = grammar.parts.PARTS.get(type(node))
    if allowed is None:
        missing = _SAID.get(type(node), "a part of the statement is")
        raise _unsupported(f"{missing} not supported", _INSTEAD.get(type(node), ""))
    if any(needed and node.args.get(name) is None for name, needed in node.arg_types.items()):
        # sqlglot reads over what is missing
        raise GatewayError("syntax-error", "a part of the statement is missing")
    for name, part in node.args.items():
        if name not in allowed and part not in (None, False, [], ""):
            said = _SAID.get(type(part[0] if isinstance(part, list) else part))
            plain = said or f"`{name.strip('_').replace('_', ' ')}` of a {type(node).__name__} is"
            what, hint = _PARTS_SAID.get(name, (plain, ""))
            raise _unsupported(f"{what} not supported", hint)


def _judge_place(node: exp.Expr, grammar: Grammar) -> None:
    """Queries stand where they are in parentheses, and nothing but relations and queries in FROM."""
    above = node.parent
    if isinstance(node, exp.Select | exp.Union):
        if above is not None and not isinstance(above, exp.Subquery | exp.CTE | exp.Exists | exp.Union):
            raise _unsupported("a SELECT stands where it is not supported", "put it in parentheses of its own")
    elif isinstance(node, exp.From | exp.Join):
        if not isinstance(node.this, exp.Table | exp.Subquery):
            said = _SAID.get(type(node.this), "FROM of this kind is")
            raise _unsupported(f"{said} not supported", "name a relation, or write: (SELECT ...) AS name")
    else:
        places = _PLACES.get(type(node))
        if grammar.parts is not None and isinstance(node, exp.Var):
            # the dialect's own parts judge those
            return
        if places is not None and not isinstance(above, places):
            raise _unsupported("a part of the statement stands where it is not supported")


def _judge_node(node: exp.Expr, grammar: Grammar) -> None:
    if isinstance(node, exp.Identifier):
        if grammar.own and grammar.parts.is_named_freely(node) and not node.name.lower().startswith(OURS):
            return
        if not _NAME.fullmatch(node.name) or node.name.endswith(" ") or node.name.lower().startswith(OURS):
            raise _unsupported("a name is not supported: names have letters, digits, blanks, `_` and `-`")
    elif isinstance(node, exp.Column):
        if not isinstance(node.this, exp.Identifier | exp.Star):
            raise _unsupported("a column is not named by a plain name")
    elif isinstance(node, exp.Table):
        if not isinstance(node.this, exp.Identifier):
            raise GatewayError("function-not-allowed", "functions in FROM are not allowed", "name a relation")
    elif isinstance(node, CALLS):
        name = str(node.this)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not grammar.may_call(name):
            raise GatewayError("function-not-allowed", f"the function `{name[:60]}` is not allowed")
    elif isinstance(node, exp.Select) and not node.expressions:
        raise GatewayError("syntax-error", "a SELECT has no columns")
    elif isinstance(node, exp.Distinct):
        _judge_distinct(node)
    elif isinstance(node, exp.Join):
        side, kind = (str(node.args.get(one) or "").upper() for one in ("side", "kind"))
        if side not in _SIDES or kind not in _KINDS:
            raise _unsupported("a join of this kind is not supported: INNER, LEFT, RIGHT and CROSS are")
        if (side or kind == "INNER") and not (node.args.get("on") or node.args.get("using")):
            raise GatewayError("syntax-error", "a join has no ON and no USING")
        if any(not isinstance(one, exp.Identifier | exp.Column) for one in node.args.get("using") or ()):
            raise _unsupported("USING has something else than names")
    elif isinstance(node, exp.Limit | exp.Offset):
        value = node.expression
        if grammar.own and isinstance(value, exp.Placeholder):
            return
        if not isinstance(value, exp.Literal) or value.is_string or not re.fullmatch(r"\d{1,18}", str(value.this)):
            raise _unsupported("LIMIT and OFFSET take whole numbers only")
    elif isinstance(node, exp.In):
        _judge_in(node, grammar)
    elif isinstance(node, exp.Interval):
        number, unit = node.this, node.args.get("unit")
        whole = r"-?\d{1,6}" if grammar.own else r"\d{1,6}"
        if (
            not (isinstance(number, exp.Literal) and re.fullmatch(whole, str(number.this)))
            and not (grammar.own and isinstance(number, exp.Placeholder))
        ) or (not isinstance(unit, exp.Var) or unit.name.upper() not in grammar.units):
            raise _unsupported("an INTERVAL is a whole number and a unit, such as INTERVAL 7 DAY",
                               "to go back, write: - INTERVAL 7 DAY")  # fmt: skip
    elif isinstance(node, exp.Is):
        if not isinstance(node.expression, exp.Null | exp.Boolean if grammar.own else exp.Null):
            raise _unsupported("IS takes NULL only")
    elif isinstance(node, exp.Alias):
        if not isinstance(node.parent, exp.Select):
            raise _unsupported("a name for an expression stands within another one", "name what is selected")
    elif isinstance(node, exp.Star):
        _judge_star(node)
    elif isinstance(node, exp.With):
        if node.args.get("recursive") and not grammar.own:
            raise _unsupported("WITH RECURSIVE is not supported")
    elif isinstance(node, exp.TableAlias):
        if node.args.get("columns") and not (grammar.own and isinstance(node.parent, exp.CTE)):
            raise _unsupported("names for the columns of an item of FROM are not supported", "name what is selected")
    elif isinstance(node, exp.Union):
        _judge_union(node, grammar)
    elif isinstance(node, exp.Subquery):
        above = node.parent
        if isinstance(above, exp.From | exp.Join) and not node.alias:
            raise _unsupported("a derived table has no alias", "write: (SELECT ...) AS name")
        if not isinstance(node.this, exp.Select | exp.Union):
            raise _unsupported("parentheses stand where they are not supported")
    elif type(node) in _SOME_DIALECTS and _SOME_DIALECTS[type(node)] not in grammar.operators:
        raise GatewayError("operator-not-allowed", "an operator is not known here")


def _judge_distinct(node: exp.Expr) -> None:
    if isinstance(node.parent, exp.Select) == bool(node.expressions):
        raise _unsupported("DISTINCT of this kind is not supported")
    if not isinstance(node.parent, exp.Select) and len(node.parent.expressions if node.parent else ()) != 1:
        raise _unsupported("DISTINCT stands with one argument only")


def _judge_in(node: exp.Expr, grammar: Grammar) -> None:
    query = node.args.get("query")
    if query is not None:
        if not isinstance(query, exp.Subquery) or query.alias:
            raise _unsupported("IN takes a list of values or a SELECT in parentheses")
        return
    if grammar.parts is not None and node.expressions and not any(one.find(exp.Star) for one in node.expressions):
        return
    if not node.expressions or any(one.find(exp.Column, exp.Star, exp.Subquery) for one in node.expressions):
        # FAIL CLOSED: ClickHouse takes a name to the right of IN for a table, in parentheses too
        raise _unsupported("IN takes a list of constants, or a SELECT", "write `a = b OR a = c` for columns")


def _judge_star(node: exp.Expr) -> None:
    above = node.parent
    if isinstance(above, exp.Column):
        above = above.parent
    counted = isinstance(above, CALLS) and str(above.this).lower() == "count" and len(above.expressions) == 1
    if not isinstance(above, exp.Select) and not counted:
        raise _unsupported("`*` stands where it is not supported")


def _judge_union(node: exp.Expr, grammar: Grammar) -> None:
    for part in (node.this, node.expression):
        if not isinstance(part, exp.Select | exp.Union) or any(part.args.get(one) for one in (*_QUERY_END, "with_")):
            raise _unsupported("a part of a UNION has its own WITH, ORDER BY, LIMIT or parentheses",
                               "put it into a derived table")  # fmt: skip
    if isinstance(node.expression, exp.Union):
        raise _unsupported("parentheses in a UNION are not supported")
    if grammar.name == "clickhouse" and any(node.args.get(one) for one in _QUERY_END):
        # there they belong to the last SELECT
        raise _unsupported("ORDER BY and LIMIT of a UNION are not supported", "put the UNION into a derived table")


def _unsupported(message: str, hint: str = "") -> GatewayError:
    return GatewayError("statement-not-supported", message, hint)
