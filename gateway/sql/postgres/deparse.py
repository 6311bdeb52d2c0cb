"""Tree to text, with the parentheses and quotes that libpg_query's deparser leaves out.

It writes `(a AND b) IS NULL` as `a AND b IS NULL`, `(ARRAY(SELECT 1))[1]` without the parentheses that the grammar
wants, and the alias of USING without quotes. So an operand that it may write too loosely goes out as a parameter of a
number that nothing else has, and its own text in parentheses takes that one's place afterwards.

INVARIANT: none is needed. Whatever this file misses or does wrongly, `check.py` reads the text again and refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres.tree import Message, concrete, texts, words

_COMPARISONS = frozenset({"=", "<", ">", "<=", ">=", "<>"})
_DISTINCT = frozenset({pb.AEXPR_DISTINCT, pb.AEXPR_NOT_DISTINCT})
# Calls that are spelled like an operator, and those whose arguments stand between words.
_POSTFIX = frozenset({"is_normalized", "overlaps", "timezone"})
_SPELLED = frozenset({"position", "timezone"})
# What stands before `[1]` and `.name` without parentheses, or gets them from the library.
_PRIMARY = frozenset(
    getattr(pb, name) for name in words("ColumnRef ParamRef RowExpr FuncCall A_ArrayExpr TypeCast A_Expr A_Indirection")
)


@dataclass(slots=True)
class Loose:
    """The parts of a tree that need more than the library writes: operands (the outer ones first) and aliases."""

    operands: list[Message] = field(default_factory=list)
    aliases: list[Message] = field(default_factory=list)


def deparse(tree: Message, loose: Loose | None = None) -> str:
    """The tree as text; it is not the same tree afterwards where something was loose."""
    if loose is None or not (loose.operands or loose.aliases):
        return str(postgast.deparse(tree))
    for alias in loose.aliases:
        alias.aliasname = '"' + alias.aliasname.replace('"', '""') + '"'
    first, inside = _free(tree), {}
    # The inner ones first, so that an outer one is taken out with their places in it.
    for number, holder in enumerate(reversed(loose.operands), first):
        made = postgast.parse("SELECT 1")
        made.stmts[0].stmt.select_stmt.target_list[0].res_target.val.CopyFrom(holder)
        inside[number] = made
        holder.Clear()
        holder.param_ref.number = number

    def put(match: re.Match[str]) -> str:
        made = inside.get(int(match[1]))
        return match[0] if made is None else f"({filled(str(postgast.deparse(made)).removeprefix('SELECT '))})"

    def filled(text: str) -> str:
        return re.sub(r"\$([0-9]+)", put, text)

    return filled(str(postgast.deparse(tree)))


def _free(tree: Message) -> int:
    """A number above all that stand behind a dollar sign in the text, be it in a literal."""
    found = re.findall(r"\$([0-9]{1,9})", str(postgast.deparse(tree)))
    return max(map(int, found), default=0) + 1


def _expression(message: Message, loose: Loose) -> None:
    if message.kind == pb.AEXPR_OP:
        unary = not message.HasField("lexpr")
        for one in (message.lexpr, message.rexpr):
            if _tested(concrete(one)) or (unary and type(concrete(one)) is pb.CollateClause):
                loose.operands.append(one)
        return
    right = concrete(message.rexpr)
    sides = [message.lexpr]
    if message.kind in _BETWEEN:
        sides += right.items
    elif message.kind in _ONE_TO_ONE:
        sides.append(message.rexpr)
    loose.operands += [one for one in sides if _weak(concrete(one))]


def _tested(child: Message) -> bool:
    """Whether the library writes it as an operand like a name, though it is a comparison or ends in a keyword."""
    kind = type(child)
    if kind is pb.SubLink:
        return bool(child.HasField("testexpr"))
    return kind is pb.FuncCall and child.funcformat == pb.COERCE_SQL_SYNTAX and _name(child) in _POSTFIX


def _weak(child: Message) -> bool:
    """Whether it binds more weakly than LIKE, BETWEEN and their kin, or as they do."""
    kind = type(child)
    if kind is pb.A_Expr:
        return child.kind not in {pb.AEXPR_OP, pb.AEXPR_NULLIF} or (texts(child.name) or ("",))[-1] in _COMPARISONS
    return kind in {pb.BoolExpr, pb.NullTest, pb.BooleanTest, pb.CollateClause} or _tested(child)


def _name(call: Message) -> str:
    return (texts(call.funcname) or ("",))[-1]


def _test(message: Message, loose: Loose) -> None:
    child = concrete(message.arg)
    if type(child) is pb.BoolExpr or (type(child) is pb.A_Expr and child.kind in _DISTINCT):
        loose.operands.append(message.arg)


def _cast(message: Message, loose: Loose) -> None:
    child = concrete(message.arg)
    if _tested(child) or type(child) is pb.CollateClause:
        loose.operands.append(message.arg)


def _collate(message: Message, loose: Loose) -> None:
    child = concrete(message.arg)
    if type(child) is not pb.CollateClause and _weak(child):
        loose.operands.append(message.arg)


def _indirection(message: Message, loose: Loose) -> None:
    child = concrete(message.arg)
    scalar = type(child) is pb.SubLink and child.sub_link_type == pb.EXPR_SUBLINK
    if type(child) not in _PRIMARY and not scalar:
        loose.operands.append(message.arg)


def _sub_link(message: Message, loose: Loose) -> None:
    if message.HasField("testexpr") and _weak(concrete(message.testexpr)):
        loose.operands.append(message.testexpr)


def _call(message: Message, loose: Loose) -> None:
    if message.funcformat == pb.COERCE_SQL_SYNTAX and _name(message) in _SPELLED:
        loose.operands += [one for one in message.args if type(concrete(one)) is pb.A_Expr or _weak(concrete(one))]
    elif _name(message) == "similar_to_escape":
        loose.operands += [one for one in message.args if _weak(concrete(one))]


def _join(message: Message, loose: Loose) -> None:
    if message.HasField("join_using_alias"):
        loose.aliases.append(message.join_using_alias)


_BETWEEN = frozenset({pb.AEXPR_BETWEEN, pb.AEXPR_NOT_BETWEEN, pb.AEXPR_BETWEEN_SYM, pb.AEXPR_NOT_BETWEEN_SYM})
_ONE_TO_ONE = _DISTINCT | {pb.AEXPR_LIKE, pb.AEXPR_ILIKE, pb.AEXPR_SIMILAR}
LOOK: dict[type, Callable[[Message, Loose], None]] = {
    pb.A_Expr: _expression,
    pb.NullTest: _test,
    pb.BooleanTest: _test,
    pb.TypeCast: _cast,
    pb.CollateClause: _collate,
    pb.A_Indirection: _indirection,
    pb.SubLink: _sub_link,
    pb.FuncCall: _call,
    pb.JoinExpr: _join,
}
"""By kind of node: notes what is loose directly below it."""
