"""What MySQL and MariaDB have beyond the parts of all dialects: how it is read, allowed and written.

INVARIANT: a part is read into a node that only this module makes or judges, and written in one form. Where the readers
of MySQL's text could group operators differently, parentheses are asked for (MySQL 8.4 Reference Manual, "Operator
Precedence").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from gateway.errors import GatewayError


class Written(Protocol):
    """What writes the parts inside of a part, see `writing.Writer`."""

    normalised: bool

    def value(self, node: exp.Expr) -> str:
        """An expression."""

    def values(self, nodes: list[exp.Expr]) -> str:
        """Several, with commas between them."""

    def order(self, node: exp.Expr) -> str:
        """ORDER BY and what follows it."""

    def parameter(self, node: exp.Expr) -> str:
        """A parameter."""


UNITS = frozenset({
    "MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "YEAR_MONTH", "DAY_HOUR",
    "DAY_MINUTE", "DAY_SECOND", "HOUR_MINUTE", "HOUR_SECOND", "MINUTE_SECOND",
})  # fmt: skip
"""Of EXTRACT and TIMESTAMPDIFF; an INTERVAL has the plain ones."""

_NUMBER = r"\((?:\d{1,3})\)"
_TYPE = re.compile(
    rf"(?:CHAR|BINARY)(?:{_NUMBER})?|NCHAR|SIGNED(?: INTEGER| INT)?|UNSIGNED(?: INTEGER| INT)?|INTEGER|INT|DATE"
    r"|(?:DATETIME|TIME)(?:\([0-6]\))?|DECIMAL(?:\(\d{1,2}(?:,\d{1,2})?\))?|DOUBLE|FLOAT|USING (?:UTF8MB4|UTF8)"
)
_COLLATION = re.compile(r"utf8mb4_[a-z0-9_]{1,40}|binary", re.IGNORECASE)
_WITH_UNIT = frozenset({"TIMESTAMPDIFF", "TIMESTAMPADD"})
_NO_PARENS = frozenset({
    "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "UTC_DATE", "UTC_TIME",
    "UTC_TIMESTAMP",
})  # fmt: skip
_ENDS = ("order", "limit", "offset", "with_")
_CATALOG = "information_schema"
_DROPPED = frozenset({"SQL_NO_CACHE", "SQL_CACHE", "HIGH_PRIORITY", "SQL_SMALL_RESULT", "SQL_BIG_RESULT",
                      "SQL_BUFFER_RESULT", "STRAIGHT_JOIN"})  # fmt: skip
"""Words behind SELECT that change how a result is made, and not what it is."""
_SIDES = frozenset({"PRECEDING", "FOLLOWING"})

_BITS = (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseLeftShift, exp.BitwiseRightShift)
_COMPARES = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Is, exp.Like, exp.In, exp.Between,
             exp.RegexpLike, exp.Escape)  # fmt: skip
_LOGIC = (exp.And, exp.Or, exp.Xor)
_ATOMS = (exp.Column, exp.Literal, exp.Paren, exp.Anonymous, exp.Placeholder, exp.Subquery, exp.Null, exp.Cast)
_SYMBOLS: dict[Any, str] = {
    exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "^", exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>", exp.Xor: "XOR", exp.RegexpLike: "REGEXP",
}  # fmt: skip

PARTS: dict[Any, frozenset[str]] = {
    exp.Placeholder: frozenset(),
    exp.Tuple: frozenset({"expressions"}),
    exp.Cast: frozenset({"this", "to", "_type"}),
    exp.Extract: frozenset({"this", "expression"}),
    exp.GroupConcat: frozenset({"this", "expressions", "distinct", "order", "separator"}),
    exp.Window: frozenset({"this", "partition_by", "order", "spec", "over"}),
    exp.WindowSpec: frozenset({"kind", "start", "start_side", "end", "end_side"}),
    exp.Escape: frozenset({"this", "expression"}),
    exp.Collate: frozenset({"this", "expression"}),
    exp.BitwiseNot: frozenset({"this"}),
    **dict.fromkeys(_SYMBOLS, frozenset({"this", "expression"})),
}


# reading


def _type(parser: Any) -> exp.Var:
    words = []
    depth = 0
    while parser._curr is not None and (depth or parser._curr.token_type != TokenType.R_PAREN):
        depth += (parser._curr.token_type == TokenType.L_PAREN) - (parser._curr.token_type == TokenType.R_PAREN)
        words.append(parser._curr.text.upper())
        parser._advance()
    spelled = re.sub(r" ?([(),]) ?", r"\1", " ".join(words))
    return exp.Var(this=spelled)


def cast(parser: Any) -> exp.Expr:
    """The inside of CAST, its type as it is written."""
    value = parser._parse_disjunction()
    if not parser._match(TokenType.ALIAS):
        parser.raise_error("AS is missing")
    return exp.Cast(this=value, to=_type(parser))


def _convert(parser: Any) -> exp.Expr:
    value = parser._parse_disjunction()
    if parser._match(TokenType.COMMA) or (parser._curr is not None and parser._curr.text.upper() == "USING"):
        return exp.Cast(this=value, to=_type(parser))
    parser.raise_error("USING is missing")
    return exp.Null()


def _extract(parser: Any) -> exp.Expr:
    unit = parser._curr.text.upper() if parser._curr is not None else ""
    parser._advance()
    if not parser._match(TokenType.FROM):
        parser.raise_error("FROM is missing")
    return exp.Extract(this=exp.Var(this=unit), expression=parser._parse_bitwise())


def _with_unit(name: str) -> Callable[[Any], exp.Expr]:
    def made(parser: Any) -> exp.Expr:
        unit = parser._curr.text.upper() if parser._curr is not None else ""
        parser._advance()
        if not parser._match(TokenType.COMMA):
            parser.raise_error("a comma is missing")
        return exp.Anonymous(this=name, expressions=[exp.Var(this=unit), *parser._parse_csv(parser._parse_disjunction)])

    return made


def _substring(parser: Any) -> exp.Expr:
    values = parser._parse_csv(parser._parse_disjunction)
    if parser._match(TokenType.FROM):
        values.append(parser._parse_disjunction())
        if parser._match(TokenType.FOR):
            values.append(parser._parse_disjunction())
    return exp.Anonymous(this="SUBSTRING", expressions=values)


def _group_concat(parser: Any) -> exp.Expr:
    distinct = bool(parser._match(TokenType.DISTINCT))
    values = parser._parse_csv(parser._parse_disjunction)
    order = parser._parse_order()
    separator = None
    if parser._match_text_seq("SEPARATOR"):
        separator = parser._parse_string() or parser.raise_error("SEPARATOR takes a string")
    # sqlglot wants a `this`; the values are its `expressions`
    return exp.GroupConcat(this=exp.Null(), expressions=values, distinct=distinct, order=order, separator=separator)


def placeholder(parser: Any) -> exp.Expr:
    """A parameter, which knows where it stands."""
    node = exp.Placeholder()
    node.meta["at"] = parser._prev.start
    return node


FUNCTION_PARSERS: dict[str, Callable[[Any], exp.Expr]] = {
    "CAST": cast,
    "CONVERT": _convert,
    "EXTRACT": _extract,
    "GROUP_CONCAT": _group_concat,
    **dict.fromkeys(("SUBSTRING", "SUBSTR", "MID"), _substring),
    **{name: _with_unit(name) for name in _WITH_UNIT},
}


def settle(tree: exp.Expr) -> exp.Expr:
    """The tree with one form for what has several, and without what changes no result: hints of indexes, DUAL."""
    nodes = list(tree.walk())
    parameters = [one for one in nodes if isinstance(one, exp.Placeholder)]
    if any("at" not in one.meta for one in parameters):
        raise _unsupported("parameters with names are not supported", "write ?")
    parameters.sort(key=lambda one: one.meta["at"])
    for number, parameter in enumerate(parameters, start=1):
        parameter.meta["number"] = number
    for table in (one for one in nodes if isinstance(one, exp.Table)):
        _settle_table(table)
    for node in nodes:
        if isinstance(node, exp.Select):
            _settle_select(node)
        elif isinstance(node, exp.Union):
            _settle_union(node)
        elif isinstance(node, exp.Join) and str(node.args.get("kind") or "").upper() == "STRAIGHT_JOIN":
            node.set("kind", "INNER" if node.args.get("on") else None)
        elif isinstance(node, exp.Column):
            _settle_column(node)
        elif isinstance(node, exp.Cast) and not isinstance(node.args["to"], exp.Var):
            name = {"DATE": "DATE", "BINARY": "BINARY"}.get(node.args["to"].this.name)
            if name == "BINARY" or (name == "DATE" and isinstance(node.this, exp.Literal)):
                node.set("to", exp.Var(this=name))
    return tree


def _settle_select(node: exp.Expr) -> None:
    kept = [one for one in node.args.get("operation_modifiers") or () if one.name.upper() not in _DROPPED]
    if any(one.name.upper() == "SQL_CALC_FOUND_ROWS" for one in kept):
        raise GatewayError("statement-not-supported", "SQL_CALC_FOUND_ROWS is not supported",
                           "count with SELECT COUNT(*)")  # fmt: skip
    node.set("operation_modifiers", kept)
    found = node.args.get("from_")
    table = found.this if found is not None else None
    if (
        isinstance(table, exp.Table)
        and isinstance(table.this, exp.Identifier)
        and table.name.upper() == "DUAL"
        and not (table.this.args.get("quoted") or table.db or table.alias or node.args.get("joins"))
        and not any(isinstance(one, exp.Star) for one in node.expressions)
    ):
        node.set("from_", None)


def _settle_union(node: exp.Union) -> None:
    """Parentheses around a SELECT without an end of its own say nothing."""
    for name in ("this", "expression"):
        part = node.args[name]
        inner = part.this if isinstance(part, exp.Subquery) and not part.alias else None
        if isinstance(inner, exp.Select) and not any(inner.args.get(one) for one in _ENDS):
            node.set(name, inner)


def _settle_table(node: exp.Table) -> None:
    if all(isinstance(one, exp.IndexTableHint) for one in node.args.get("hints") or ()):
        node.set("hints", None)
    if node.db.lower() == _CATALOG and isinstance(node.this, exp.Identifier):
        # these names are the same in any case
        if not node.alias:
            node.set("alias", exp.TableAlias(this=exp.Identifier(this=node.name, quoted=False)))
        node.set("db", exp.Identifier(this=_CATALOG, quoted=False))
        node.set("this", exp.Identifier(this=node.name.upper(), quoted=False))


def _settle_column(node: exp.Column) -> None:
    if not isinstance(node.this, exp.Identifier):
        return
    if node.name.upper() in _NO_PARENS and not node.table and not node.this.args.get("quoted"):
        node.replace(exp.Anonymous(this=node.name))
        return
    if not node.args.get("db") or node.args.get("catalog"):
        return
    written = node.args["db"].name
    above = node.parent
    while above is not None:
        for source in _sources(above) if isinstance(above, exp.Select) else ():
            if (source.alias or source.name) != node.table:
                continue
            is_table = isinstance(source, exp.Table) and (not source.alias or source.db == _CATALOG)
            if is_table and source.db in (written, written.lower()):
                node.set("db", None)
            return
        above = above.parent


def _sources(select: exp.Expr) -> Iterator[Any]:
    found = select.args.get("from_")
    nodes = [found, *(select.args.get("joins") or ())] if found is not None else []
    yield from (node.this for node in nodes)


# judging


def is_named_freely(node: exp.Identifier) -> bool:
    """Whether this is the name of an output, or where it is asked for again: mappers put dots and more into those."""
    above = node.parent
    place = "alias" if isinstance(above, exp.Alias) else "this" if isinstance(above, exp.Column) else ""
    name = node.name
    odd = any(one in "`\\" or one > "\uffff" for one in name) or not name.isprintable() or name != name.strip()
    return bool(place) and above is not None and above.args.get(place) is node and 0 < len(name) <= 256 and not odd


def judge(node: exp.Expr) -> None:
    """Nothing, for a node that is in order. Raises: GatewayError."""
    if isinstance(node, exp.Var):
        _judge_word(node)
    elif isinstance(node, exp.Cast):
        to = node.args["to"]
        if not isinstance(to, exp.Var) or not _TYPE.fullmatch(to.name):
            known = "CHAR, SIGNED, UNSIGNED, DECIMAL, DOUBLE, DATE, DATETIME, TIME and BINARY are"
            raise _unsupported("a cast to that type is not supported", known)
    elif isinstance(node, exp.Collate):
        name = node.expression
        if not isinstance(name, exp.Var) or not _COLLATION.fullmatch(name.name):
            raise _unsupported("COLLATE takes a collation of utf8mb4")
        _judge_atoms(node.this)
    elif isinstance(node, exp.Window):
        if not isinstance(node.this, exp.Anonymous | exp.AnonymousAggFunc) or str(node.args.get("over")) != "OVER":
            raise _unsupported("a window stands where it is not supported")
    elif isinstance(node, exp.WindowSpec):
        _judge_frame(node)
    elif isinstance(node, exp.GroupConcat):
        separator = node.args.get("separator")
        if not node.expressions or (separator is not None and not isinstance(separator, exp.Literal)):
            raise _unsupported("GROUP_CONCAT takes values, ORDER BY and a SEPARATOR in quotes")
    elif isinstance(node, exp.Escape):
        if not isinstance(node.this, exp.Like) or not isinstance(node.expression, exp.Literal | exp.Placeholder):
            raise _unsupported("ESCAPE stands behind LIKE, with one character in quotes")
    elif isinstance(node, exp.Tuple):
        if len(node.expressions) < 2 or not isinstance(node.parent, exp.EQ | exp.NEQ | exp.In):
            raise _unsupported("rows of values are not supported here", "compare columns one by one")
    elif isinstance(node, exp.BitwiseNot):
        _judge_atoms(node.this)
    elif isinstance(node, _BITS):
        _judge_atoms(node.this, node.expression)
    elif isinstance(node, exp.Select | exp.Union):
        _judge_end(node)
    _judge_groups(node)


def _judge_end(node: exp.Expr) -> None:
    limit, offset = (node.args.get(name) for name in ("limit", "offset"))
    if limit is None or offset is None:
        return
    both = (limit.expression, offset.expression)
    if all(isinstance(one, exp.Placeholder) for one in both) and both[0].meta["number"] > both[1].meta["number"]:
        # what is sent has the one in front of the other
        raise _unsupported("LIMIT ?, ? is not supported", "write LIMIT ? OFFSET ?")


def _judge_groups(node: exp.Expr) -> None:
    inside = [node.this, node.args.get("expression")] if isinstance(node, _COMPARES) else []
    if isinstance(node, exp.Escape):
        inside = []
    if isinstance(node, exp.Between):
        inside = [node.this, node.args["low"], node.args["high"]]
    if any(isinstance(one, (*_COMPARES, *_LOGIC, exp.Not)) for one in inside):
        raise _unsupported("two comparisons stand side by side", "write parentheses around the one that comes first")
    if isinstance(node, exp.Xor):
        around = (node.this, node.expression, node.parent)
        if any(isinstance(one, _LOGIC) for one in around):
            raise _unsupported("XOR stands beside AND, OR or XOR", "write parentheses around the one that comes first")


def _judge_atoms(*nodes: Any) -> None:
    if any(not isinstance(one, _ATOMS) for one in nodes):
        raise _unsupported("an operator on bits, or COLLATE, stands beside another operator",
                           "write parentheses around what comes first")  # fmt: skip


def _judge_word(node: exp.Expr) -> None:
    above = node.parent
    if isinstance(above, exp.Interval | exp.Cast | exp.Collate) and above.this is not node:
        return
    if isinstance(above, exp.Extract) and above.this is node and node.name in UNITS:
        return
    if (
        isinstance(above, exp.Anonymous)
        and str(above.this).upper() in _WITH_UNIT
        and above.expressions[0] is node
        and node.name in UNITS
    ):
        return
    raise _unsupported(f"`{node.name[:60]}` stands where it is not supported")


def _judge_frame(node: exp.Expr) -> None:
    if str(node.args.get("kind")).upper() not in {"ROWS", "RANGE"}:
        raise _unsupported("a window's frame is ROWS or RANGE")
    for name in ("start", "end"):
        edge, side = node.args.get(name), str(node.args.get(f"{name}_side") or "").upper()
        if edge in (None, "CURRENT ROW") and not side:
            continue
        if side not in _SIDES or not (
            edge == "UNBOUNDED" or (isinstance(edge, exp.Literal) and re.fullmatch(r"\d{1,9}", str(edge.this)))
        ):
            raise _unsupported("a window's frame is of whole numbers, UNBOUNDED and CURRENT ROW")


# writing


def written(node: exp.Expr, writer: Written) -> str | None:
    """The node as text; None for one that is not of here."""
    made = _WRITES.get(type(node))
    if made is not None:
        return made(node, writer)
    symbol = _SYMBOLS.get(type(node))
    return f"({writer.value(node.this)} {symbol} {writer.value(node.expression)})" if symbol else None


def _written_cast(node: exp.Expr, writer: Written) -> str:
    to = node.args["to"].name
    if to.startswith("USING "):
        return f"CONVERT({writer.value(node.this)} USING utf8mb4)"
    return f"CAST({writer.value(node.this)} AS {to})"


def _written_group_concat(node: exp.Expr, writer: Written) -> str:
    order, separator = node.args.get("order"), node.args.get("separator")
    text = f"{'DISTINCT ' if node.args.get('distinct') else ''}{writer.values(node.expressions)}"
    text += f" {writer.order(order)}" if order is not None else ""
    return f"GROUP_CONCAT({text}{f' SEPARATOR {writer.value(separator)}' if separator is not None else ''})"


def _written_window(node: exp.Expr, writer: Written) -> str:
    parts, order, spec = (node.args.get(name) for name in ("partition_by", "order", "spec"))
    words = [f"PARTITION BY {writer.values(parts)}"] if parts else []
    words += [writer.order(order)] if order is not None else []
    if spec is not None:
        start, end = (_edge(spec, name) for name in ("start", "end"))
        kind = str(spec.args["kind"]).upper()
        words.append(f"{kind} BETWEEN {start} AND {end}" if end else f"{kind} {start}")
    return f"{writer.value(node.this)} OVER ({' '.join(words)})"


def _edge(spec: exp.Expr, name: str) -> str:
    edge, side = spec.args.get(name), str(spec.args.get(f"{name}_side") or "").upper()
    text = edge if isinstance(edge, str) else str(edge.this) if edge is not None else ""
    return f"{text} {side}".strip()


_WRITES: dict[Any, Callable[[Any, Written], str]] = {
    exp.Placeholder: lambda node, writer: writer.parameter(node),
    exp.Var: lambda node, _writer: str(node.name),
    exp.Tuple: lambda node, writer: f"({writer.values(node.expressions)})",
    exp.Cast: _written_cast,
    exp.Extract: lambda node, writer: f"EXTRACT({node.this.name} FROM {writer.value(node.expression)})",
    exp.GroupConcat: _written_group_concat,
    exp.Window: _written_window,
    exp.Escape: lambda node, writer: (
        f"({writer.value(node.this.this)} {'NOT ' if node.this.args.get('negate') else ''}LIKE "
        f"{writer.value(node.this.expression)} ESCAPE {writer.value(node.expression)})"
    ),
    exp.Collate: lambda node, writer: f"({writer.value(node.this)} COLLATE {node.expression.name.lower()})",
    exp.BitwiseNot: lambda node, writer: f"(~ {writer.value(node.this)})",
}


def _unsupported(message: str, hint: str = "") -> GatewayError:
    return GatewayError("statement-not-supported", message, hint)
