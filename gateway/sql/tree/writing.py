"""A tree written as text: the allowed nodes and no others, every operation in parentheses, every name in quotes.

INVARIANT: what is written is read by every server of the dialect as that very tree: no precedence, no escape and no
keyword is left to its settings. Comments are never written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.sql.tree.grammar import Grammar

Source = Callable[[exp.Table], str]
"""What stands in the place of a named relation, its alias included."""

BINARY: dict[Any, str] = {
    exp.And: "AND", exp.Or: "OR", exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.Is: "IS", exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.Like: "LIKE",
    exp.ILike: "ILIKE", exp.DPipe: "||", exp.IntDiv: "DIV", exp.NullSafeEQ: "<=>",
}  # fmt: skip
_CHAINED = (exp.And, exp.Or, exp.Add, exp.Sub, exp.Mul, exp.DPipe)
_MARK = re.compile(r"\0(\d+)\0")
CALLS = (exp.Anonymous, exp.AnonymousAggFunc, exp.CombinedAggFunc)


def quoted(name: str, mark: str = "`") -> str:
    """A name as the dialects take it whose quotes are `mark`. Raises: GatewayError for a name that could end early."""
    if not name or any(c in name for c in f"{mark}\\\0"):
        raise GatewayError("statement-not-supported", "a name has a character that is not supported")
    return f"{mark}{name}{mark}"


def string(value: str, *, standard: bool = False) -> str:
    """A string's text, the same for servers that know backslashes; control characters stand as they are.

    `standard` is for servers that know no backslashes.
    """
    return "'" + (value if standard else value.replace("\\", "\\\\")).replace("'", "''") + "'"


def marked(node: exp.Expr) -> str:
    """What stands for a parameter until the text is whole, see `settled`; no text has that character."""
    return f"\0{node.meta['number']}\0" if isinstance(node, exp.Placeholder) else ""


def settled(text: str) -> tuple[str, tuple[int, ...]]:
    """A text with question marks for its parameters, and which of the statement's each of them is."""
    return _MARK.sub("?", text), tuple(int(number) for number in _MARK.findall(text))


class Writer:
    """Writes trees of one grammar. `normalised` has a question mark in the place of every literal.

    `instead` has what stands in the place of a node, by its identity. With `marks` parameters are marked, see `marked`.
    `spelled` has the names that the person gave to CTEs, as `normalised` has.
    """

    def __init__(
        self,
        grammar: Grammar,
        source: Source,
        *,
        normalised: bool = False,
        instead: Mapping[int, str] | None = None,
        marks: bool = False,
        spelled: bool = False,
    ) -> None:
        self._grammar, self._source, self.normalised = grammar, source, normalised
        self._spelled = spelled or normalised
        self._instead, self._marks = instead or {}, marks

    def parameter(self, node: exp.Expr) -> str:
        """A parameter."""
        return marked(node) if self._marks else "?"

    def _quoted(self, name: str) -> str:
        return quoted(name, self._grammar.mark)

    def query(self, node: exp.Expr, outputs: Sequence[str] = ()) -> str:
        """A SELECT, or several with UNION; `outputs` are names for its columns, empty for those that have one."""
        head = self._with(node.args.get("with_"))
        if isinstance(node, exp.Union):
            word = "UNION DISTINCT" if node.args.get("distinct") else "UNION ALL"
            return f"{head}{self.query(node.this, outputs)} {word} {self.query(node.expression)}{self._end(node)}"
        return head + " ".join(self._select(node, outputs)) + self._end(node)

    def _with(self, node: exp.Expr | None) -> str:
        if node is None:
            return ""
        parts = (f"{self._cte_name(one)} AS ({self.query(one.this)})" for one in node.expressions)
        return f"WITH {'RECURSIVE ' if node.args.get('recursive') else ''}{', '.join(parts)} "

    def _cte_name(self, node: exp.Expr) -> str:
        columns = ", ".join(self._quoted(one.name) for one in node.args["alias"].args.get("columns") or ())
        name = node.alias if self._spelled else node.meta["runs_as"]
        return self._quoted(name) + (f" ({columns})" if columns else "")

    def _select(self, node: exp.Expr, outputs: Sequence[str]) -> Iterator[str]:
        yield "SELECT DISTINCT" if node.args.get("distinct") else "SELECT"
        named = zip(node.expressions, outputs or [""] * len(node.expressions), strict=True)
        yield ", ".join(self.value(one) + (f" AS {self._quoted(name)}" if name else "") for one, name in named)
        found = node.args.get("from_")
        if found is not None:
            yield f"FROM {self._from(found.this)}"
        elif self._grammar.own and node.args.get("where"):
            yield "FROM DUAL"
        for join in node.args.get("joins") or ():
            yield self._join(join)
        for name, word in (("where", "WHERE"), ("group", "GROUP BY"), ("having", "HAVING")):
            part = node.args.get(name)
            if part is not None:
                yield f"{word} {self.values(part.expressions) if name == 'group' else self.value(part.this)}"

    def _end(self, node: exp.Expr) -> str:
        order, limit, offset = (node.args.get(name) for name in ("order", "limit", "offset"))
        text = f" {self.order(order)}" if order else ""
        ends = [f" LIMIT {self.value(limit.expression)}" if limit else ""]
        ends.insert(0 if self._grammar.standard else 1, f" OFFSET {self.value(offset.expression)}" if offset else "")
        return text + "".join(ends)

    def order(self, node: exp.Expr) -> str:
        """ORDER BY and what follows it."""
        return f"ORDER BY {', '.join(self._ordered(one) for one in node.expressions)}"

    def _ordered(self, node: exp.Expr) -> str:
        text = self.value(node.this) + (" DESC" if node.args.get("desc") else "")
        return text + (" NULLS FIRST" if node.args.get("nulls_first") and not self._grammar.own else "")

    def _from(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Table):
            return self._source(node)
        return f"({self.query(node.this)}) AS {self._quoted(node.alias)}"

    def _join(self, node: exp.Expr) -> str:
        side, kind = (str(node.args.get(name) or "").upper() for name in ("side", "kind"))
        on, using = node.args.get("on"), node.args.get("using")
        if not side and (kind == "CROSS" or not (on or using)):
            return f"CROSS JOIN {self._from(node.this)}"
        text = f"{side or 'INNER'} JOIN {self._from(node.this)}"
        if using:
            return f"{text} USING ({', '.join(self._quoted(one.name) for one in using)})"
        return f"{text} ON {self.value(on)}" if on is not None else text

    def values(self, nodes: list[exp.Expr]) -> str:
        """Expressions with commas between them."""
        return ", ".join(self.value(one) for one in nodes)

    def value(self, node: exp.Expr) -> str:
        """An expression."""
        if id(node) in self._instead:
            return self._instead[id(node)]
        if isinstance(node, exp.Paren):
            return self.value(node.this)
        if isinstance(node, exp.Alias):
            return f"{self.value(node.this)} AS {self._quoted(node.alias)}"
        if isinstance(node, exp.Column):
            above = f"{self._quoted(node.table)}." if node.table else ""
            return above + ("*" if isinstance(node.this, exp.Star) else self._quoted(node.name))
        if isinstance(node, exp.Star):
            return "*"
        if isinstance(node, exp.Literal):
            return "?" if self.normalised else self._literal(node)
        if isinstance(node, exp.Null):
            return "NULL"
        if isinstance(node, exp.Boolean):
            return "TRUE" if node.this else "FALSE"
        if isinstance(node, exp.Neg):
            return f"(- {self.value(node.this)})"
        if isinstance(node, exp.Not):
            return f"(NOT {self.value(node.this)})"
        if isinstance(node, exp.Between):
            low, high = self.value(node.args["low"]), self.value(node.args["high"])
            return f"({self.value(node.this)} BETWEEN {low} AND {high})"
        if isinstance(node, exp.In):
            query = node.args.get("query")
            inside = self.query(query.this) if query is not None else self.values(node.expressions)
            return f"({self.value(node.this)} IN ({inside}))"
        if isinstance(node, exp.Exists):
            return f"EXISTS({self.query(node.this)})"
        if isinstance(node, exp.Subquery):
            return f"({self.query(node.this)})"
        if isinstance(node, exp.Case):
            return self._case(node)
        if isinstance(node, exp.Interval):
            given = isinstance(node.this, exp.Placeholder)
            number = self.parameter(node.this) if given else "?" if self.normalised else node.this.this
            number = f"'{number}'" if self._grammar.standard and not self.normalised else number
            return f"INTERVAL {number} {node.args['unit'].name}"
        if isinstance(node, CALLS):
            return f"{node.this}({self._arguments(node.expressions)})"
        own: str | None = self._grammar.parts.written(node, self) if self._grammar.parts is not None else None
        if own is not None:
            return own
        word = BINARY.get(type(node))
        if word is None:
            raise GatewayError("statement-not-supported", "the statement has a part that is not supported")
        word = f"NOT {word}" if node.args.get("negate") else word
        return f"({self._chain(node, word)} {word} {self.value(node.expression)})"

    def _chain(self, node: exp.Expr, word: str) -> str:
        """The left side: of a chain of one operator, which groups to the left by itself, without its parentheses."""
        left = node.this
        if type(left) is not type(node) or type(node) not in _CHAINED:
            return self.value(left)
        return f"{self._chain(left, word)} {word} {self.value(left.expression)}"

    def _literal(self, node: exp.Expr) -> str:
        return string(node.this, standard=self._grammar.standard) if node.is_string else str(node.this)

    def _arguments(self, nodes: list[exp.Expr]) -> str:
        if len(nodes) == 1 and isinstance(nodes[0], exp.Distinct):
            return f"DISTINCT {self.values(nodes[0].expressions)}"
        return self.values(nodes)

    def _case(self, node: exp.Expr) -> str:
        subject = f" {self.value(node.this)}" if node.this is not None else ""
        whens = "".join(f" WHEN {self.value(one.this)} THEN {self.value(one.args['true'])}" for one in node.args["ifs"])
        default = node.args.get("default")
        return f"CASE{subject}{whens}{f' ELSE {self.value(default)}' if default is not None else ''} END"
