"""What the parts of the check share: the state of one proof, and how a difference ends it."""

from __future__ import annotations

from dataclasses import dataclass, field

from postgast import pg_query_pb2 as pb

from gateway.errors import Refusal
from gateway.sql.postgres.check_calls import Sources, sources_of
from gateway.sql.postgres.check_names import own_names
from gateway.sql.postgres.evidence import Evidence
from gateway.sql.postgres.tree import POSITIONS, Message, Refused, texts, walk
from gateway.sql.statement import View

Env = frozenset[str]
Stack = list[tuple[Message, Message, Env]]
NOTHING: Env = frozenset()


@dataclass(slots=True)
class Leaf:
    """An item of a FROM clause: its name there, the relation if it is one of the policy's, what was put inside."""

    alias: str
    relation: Evidence | None = None
    inside: list[Message] = field(default_factory=list)
    renamed: bool = False


@dataclass(slots=True)
class Clause:
    """A condition, and the leaves that it may take rows from inside as well as outside."""

    user: Message
    outgoing: Message
    reach: list[Leaf]


class Proof:
    """The proof of one statement."""

    def __init__(self, view: View, raw: bytes) -> None:
        self.view = view
        self.raw = raw
        self.moved: set[int] = set()
        self.sums: dict[int, Message] = {}
        self.words: set[str] = set()
        self.alone: set[str] = set()
        self.named: set[str] = set()
        self.everything = True
        self.declared_safely = True
        self.around: Message = None
        self.marked = -1
        self._user: Message = None
        self._sources: Sources | None = None
        self._own_names: set[int] | None = None

    def sources(self) -> Sources:
        """The FROM items of the user's statement."""
        if self._sources is None:
            self._sources = sources_of(self._user, self.view)
        return self._sources

    def own_names(self) -> set[int]:
        """The places of the user's references with a schema that a name without one would mean as well."""
        if self._own_names is None:
            self._own_names = own_names(self._user, self.view)
        return self._own_names

    def mention(self, root: Message) -> None:
        """Note what a statement of the user's mentions anywhere."""
        self.everything = False
        joins = set()
        self._user, self._sources, self._own_names = root, None, None
        for message in walk(root):
            kind = type(message)
            if kind is pb.String:
                self.words.add(message.sval)
            elif kind is pb.ResTarget:
                self.named.add(message.name)
            elif kind is pb.SelectStmt and message.values_lists:
                width = len(message.values_lists[0].list.items)
                self.named.update(f"column{number}" for number in range(1, width + 1))
            elif kind in {pb.Alias, pb.CommonTableExpr}:
                listed = message.colnames if kind is pb.Alias else message.aliascolnames
                self.named.update(node.string.sval for node in listed)
            elif kind is pb.A_Star or (kind is pb.JoinExpr and (message.is_natural or message.alias.colnames)):
                self.everything = True
            elif kind is pb.JoinExpr:
                joins.add(message.alias.aliasname)
            elif kind is pb.ColumnRef and len(message.fields) == 1:
                self.alone.update(texts(message.fields) or ())
        self.everything = self.everything or not joins.isdisjoint(self.alone)


def unproven(detail: str) -> Refused:
    """The refusal of a text; `detail` is for operators."""
    return Refused(
        Refusal(
            "scope-not-provable",
            "the statement could not be proven safe; nothing was sent",
            "write it in a simpler way, and report it to the gateway's operators",
            detail=detail,
        )
    )


def require(holds: object, detail: str) -> None:
    """Raises: Refused (`scope-not-provable`) unless it holds."""
    if not holds:
        raise unproven(detail)


def pair(before: Message, after: Message, env: Env, stack: Stack, *settled: str) -> None:
    """Queue the parts of two messages; what is not a message must be equal here and now."""
    skipped = POSITIONS.union(settled)
    left = [pair for pair in before.ListFields() if pair[0].name not in skipped]
    right = [pair for pair in after.ListFields() if pair[0].name not in skipped]
    require(
        [f.number for f, _ in left] == [f.number for f, _ in right], f"the parts of {type(before).__name__} changed"
    )
    for (described, x), (_, y) in zip(left, right, strict=True):
        if described.message_type is None:
            require(x == y, f"`{described.name}` of {type(before).__name__} changed")
        elif described.is_repeated:
            require(len(x) == len(y), f"`{described.name}` of {type(before).__name__} changed its length")
            stack.extend((a, b, env) for a, b in zip(x, y, strict=True))
        else:
            stack.append((x, y, env))


def conjuncts(condition: Message) -> list[Message]:
    """The conditions of an AND, in their order, however it nests."""
    found: list[Message] = []
    stack = [condition]
    while stack:
        node = stack.pop()
        if node.WhichOneof("node") == "bool_expr" and node.bool_expr.boolop == pb.AND_EXPR:
            stack.extend(reversed(node.bool_expr.args))
        else:
            found.append(node)
    return found


def names_type(message: Message, kind: str) -> bool:
    """Whether a type name is that of pg_catalog and nothing more."""
    return texts(message.names) == ("pg_catalog", kind) and not message.array_bounds and not message.setof
