"""Which values of a statement may tell who somebody is, and whether it has values at all; read from the parse tree.

What counts: in a text that names a relation with identifiers (columns that the policy says tell who somebody is), every
constant and parameter that shares an expression with an identifier, or is written to one, and every other one that is
not plainly about another column. So a look-up through a list of VALUES, a sub-query or an alias counts as well; what
is put together by the target from pieces does not, apart from `'a' || 'b'`, and neither do patterns and documents that
hold such a value among others.

INVARIANT: too much rather than too little: a value more is a token that nobody looks for.
"""

from __future__ import annotations

from collections.abc import Iterable

import postgast
from postgast import pg_query_pb2 as pb

from gateway.policy.schema import Policy
from gateway.sql.postgres.parse import Parsed, hides_values, parse
from gateway.sql.postgres.tree import Message, Refused, concrete, parts, texts, walk
from gateway.sql.said import Subject
from gateway.sql.statement import Limits

_OTHER, _DIRECT, _ANOTHER, _SCANNED = range(4)
"""How the values below a node count: as they may be, as an identifier's, not (another column's), as they may be and no
identifier is named below.
"""
_JOINED = (pb.A_Expr, pb.FuncCall, pb.CaseExpr, pb.CoalesceExpr, pb.MinMaxExpr, pb.SubLink)
"""What brings a column and a value together."""
_RENAMING = (pb.RangeSubselect, pb.WithClause, pb.RangeFunction, pb.SetOperationStmt)
"""What may give a column another name than the policy's."""
_DIGITS, _LETTERS = 5, 3
"""What a value must have at least that does not stand beside an identifier."""
_LIMITS = frozenset({"limit_count", "limit_offset"})
_TARGETS, _SELECT = frozenset({"target_list"}), frozenset({"select_stmt"})


def conceals(parsed: Parsed) -> bool:
    """Whether the text says more than its normalised form: a literal, a comment, a setting's value."""
    return hides_values(parsed) or any(type(concrete(one.stmt)) is pb.VariableSetStmt for one in parsed.tree.stmts)


def subjects(tree: Message, policy: Policy) -> tuple[Subject, ...]:
    """The values that may tell who somebody is, those of identifiers first; of a tree as it was parsed."""
    if not policy.identifiers:
        return ()
    tables = {one.relname: one for one in walk(tree) if type(one) is pb.RangeVar}
    if tables.keys().isdisjoint(policy.identified):
        return ()
    return _Reading(policy.identifiers, plain=not any(_renames(one) for one in walk(tree))).of(tree)


def telling(text: str, policy: Policy) -> tuple[Subject, ...]:
    """`subjects` of a text that came from outside and may be anything: nothing of what cannot be read."""
    try:
        return subjects(parse(text, Limits()).tree, policy)
    except (Refused, postgast.PgQueryError):
        return ()


def arguments(tree: Message) -> tuple[tuple[str, ...], ...]:
    """The values that each EXECUTE gives to what it runs; an empty text for what is no constant."""
    calls = (one for one in walk(tree) if type(one) is pb.ExecuteStmt)
    return tuple(tuple(_constant(concrete(value)) or "" for value in one.params) for one in calls)


class _Reading:
    """One walk over one tree."""

    def __init__(self, identifiers: frozenset[str], *, plain: bool) -> None:
        self._identifiers, self._plain = identifiers, plain
        self._direct: dict[Subject, None] = {}
        self._others: dict[Subject, None] = {}
        self._stack: list[tuple[Message, int]] = []

    def of(self, tree: Message) -> tuple[Subject, ...]:
        self._push([tree], _OTHER)
        while self._stack:
            message, way = self._stack.pop()
            message = concrete(message)
            if message is not None and type(message) is not pb.TypeName:
                self._take(message, way)
        return tuple(dict.fromkeys([*self._direct, *self._others]))

    def _take(self, message: Message, way: int) -> None:
        kind = type(message)
        if kind is pb.ParamRef:
            self._keep(message.number, way)
        elif kind is pb.A_Const:
            self._keep(_constant(message), way)
        elif kind is pb.SelectStmt:
            self._push(parts(message, but=_LIMITS), _OTHER)
        elif kind is pb.InsertStmt:
            self._insert(message)
        elif kind in (pb.UpdateStmt, pb.OnConflictClause):
            self._set(message.target_list)
            self._push(parts(message, but=_TARGETS), _OTHER)
        elif kind in _JOINED:
            self._join(message, way)
        else:
            self._push(parts(message), way)

    def _join(self, message: Message, way: int) -> None:
        joined = _constant(message)
        if joined:
            # one value, whatever pieces it is written in
            self._keep(joined, way)
            return
        if way == _OTHER:
            named = _columns(message)
            if named & self._identifiers:
                way = _DIRECT
            elif self._plain and type(message) is pb.A_Expr and _is_about_one(message):
                way = _ANOTHER
            else:
                way = _SCANNED
        self._push(parts(message), way)

    def _insert(self, message: Message) -> None:
        select = concrete(message.select_stmt)
        names = [concrete(column).name for column in message.cols]
        if names and type(select) is pb.SelectStmt and select.values_lists:
            for row in select.values_lists:
                for name, value in zip(names, concrete(row).items, strict=False):
                    self._push([value], self._written(name, value))
            self._push(parts(message, but=_SELECT), _OTHER)
        else:
            self._push(parts(message), _OTHER)

    def _set(self, targets: Iterable[Message]) -> None:
        for target in targets:
            value = concrete(target).val
            self._push([value], self._written(concrete(target).name, value))

    def _written(self, column: str, value: Message) -> int:
        if column in self._identifiers:
            return _DIRECT
        return _ANOTHER if type(_bare(value)) in (pb.A_Const, pb.ParamRef) else _OTHER

    def _keep(self, value: Subject | None, way: int) -> None:
        if not value or way == _ANOTHER:
            return
        if way != _DIRECT and isinstance(value, str) and len(value) < (_DIGITS if value.isdigit() else _LETTERS):
            return
        (self._direct if way == _DIRECT else self._others)[value] = None

    def _push(self, messages: Iterable[Message], way: int) -> None:
        # the first is popped first, so that values come in the order of the text
        self._stack.extend([(one, way) for one in messages][::-1])


def _renames(message: Message) -> bool:
    kind = type(message)
    if kind is pb.JoinExpr:
        return bool(message.using_clause) or message.is_natural or message.HasField("alias")
    return kind in _RENAMING or (kind is pb.Alias and bool(message.colnames))


def _columns(message: Message) -> set[str]:
    """The last parts of the column names below, but for those of inner queries' own."""
    found: set[str] = set()
    stack = list(parts(message))
    while stack:
        one = concrete(stack.pop())
        if type(one) is pb.ColumnRef:
            found.update((texts(one.fields) or ())[-1:])
        elif one is not None and type(one) is not pb.SelectStmt:
            stack.extend(parts(one))
    return found


def _is_about_one(message: Message) -> bool:
    """Whether it compares one plain column with constants."""
    left, right = concrete(message.lexpr), concrete(message.rexpr)
    for column, value in ((left, right), (right, left)):
        if type(column) is pb.ColumnRef and texts(column.fields):
            values = value.items if type(value) is pb.List else (value,)
            return all(type(_bare(one)) in (pb.A_Const, pb.ParamRef) for one in values)
    return False


def _bare(message: Message) -> Message:
    message = concrete(message)
    while type(message) is pb.TypeCast:
        message = concrete(message.arg)
    return message


def _constant(message: Message) -> str | None:
    """The text of a constant, or of constants that are put together with `||`; None for all else."""
    pieces: list[str] = []
    stack = [message]
    while stack:
        one = _bare(stack.pop())
        if type(one) is pb.A_Expr and texts(one.name) == ("||",):
            stack += [one.lexpr, one.rexpr]
        elif type(one) is not pb.A_Const or one.isnull:
            return None
        else:
            which = one.WhichOneof("val")
            if which == "sval":
                pieces.append(one.sval.sval)
            elif which == "ival":
                pieces.append(str(one.ival.ival))
            elif which == "fval":
                pieces.append(one.fval.fval)
            else:
                return None
    return "".join(reversed(pieces))
