"""What the names in a statement stand for: relations of the policy, CTEs, derived tables, columns.

INVARIANT: a name without a schema is a CTE where one of an enclosing WITH is visible, and a relation of the policy
otherwise; no name can be both, since a CTE named like a relation, or like another CTE, is refused. Hidden relations
and columns are unknown names.

A CTE has another name in what runs: a server that does not see it where it is used, as MariaDB does not see one of an
outer WITH inside an inner one, would read a hidden relation of its name.

Which of several columns a name means is for the server to say: whatever it says, it sees masked rows only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.sql.catalog import Relation
from gateway.sql.statement import View
from gateway.sql.tree.grammar import Grammar


@dataclass(slots=True)
class Names:
    """What was found. `relations` has each Table node (by its identity) that is a relation, `ctes` the name in what
    runs of each that is a CTE; `columns` are the columns of each relation that the statement may read.
    """

    relations: dict[int, Relation] = field(default_factory=dict)
    ctes: dict[int, str] = field(default_factory=dict)
    columns: dict[str, dict[str, None]] = field(default_factory=dict)

    def shown(self, view: View) -> dict[str, tuple[str, ...]]:
        """The columns that a relation's derived table has: those that may be read, or one, in the catalog's order."""
        found = {}
        for relation in self.relations.values():
            columns = visible(view, relation)
            read = self.columns[relation.qualified]
            found[relation.qualified] = tuple(one for one in columns if one in read) or columns[:1]
        return found


def visible(view: View, relation: Relation) -> tuple[str, ...]:
    """The columns that exist for the person, in the catalog's order."""
    rule = view.policy.tables[relation.qualified]
    return tuple(column.name for column in relation.columns if column.name in rule.columns)


def find(view: View, schema: str, name: str) -> Relation | None:
    """The relation of that name: qualified, or in the search path."""
    for one in (schema,) if schema else view.search_path:
        relation = view.catalog.relation(f"{one}.{name}")
        if relation is not None and relation.qualified in view.policy.tables:
            return relation
    return None


def take_catalog(tree: exp.Expr, view: View) -> None:
    """Take the policy's catalog away where a relation is named with it. Raises: GatewayError for another one."""
    for table in tree.find_all(exp.Table) if view.policy.catalog else ():
        if table.args.get("catalog") is None:
            continue
        if table.catalog != view.policy.catalog:
            raise GatewayError("relation-not-available", f"there is no catalog `{table.catalog[:64]}`")
        table.set("catalog", None)


def resolve(tree: exp.Expr, view: View, grammar: Grammar) -> Names:
    """What the names stand for. Raises: GatewayError for one that stands for nothing."""
    found = Names()
    ctes = _ctes(tree, view)
    for table in tree.find_all(exp.Table):
        if not table.db and table.name in ctes:
            _judge_visible(table, ctes[table.name], grammar)
            found.ctes[id(table)] = ctes[table.name].meta["runs_as"]
            continue
        relation = find(view, table.db, table.name)
        if relation is None:
            name = f"{table.db}.{table.name}" if table.db else table.name
            raise GatewayError("relation-not-available", f"there is no relation `{name[:130]}`")
        found.relations[id(table)] = relation
    _Columns(tree, view, grammar, found).judge()
    return found


def _ctes(tree: exp.Expr, view: View) -> dict[str, exp.CTE]:
    ctes: dict[str, exp.CTE] = {}
    folded: set[str] = set()
    named = {name.partition(".")[2].lower() for name in view.policy.tables}
    for number, cte in enumerate(tree.find_all(exp.CTE), start=1):
        name = cte.alias
        cte.meta["runs_as"] = f"gateway_with_{number}"
        if name.lower() in folded or name.lower() in named:
            raise GatewayError("statement-not-supported", f"`{name}` is the name of a relation or of another CTE",
                               "give the CTE a name of its own")  # fmt: skip
        if not isinstance(cte.this, exp.Select | exp.Union):
            raise GatewayError("statement-not-supported", "WITH takes a SELECT in parentheses here")
        folded.add(name.lower())
        ctes[name] = cte
    return ctes


def _judge_visible(table: exp.Table, cte: exp.CTE, grammar: Grammar) -> None:
    """The CTE is an earlier one of the same WITH, or one of an enclosing query's. Raises: GatewayError."""
    owner = cte.parent.parent if cte.parent is not None else None
    above: exp.Expr | None = table
    inside: exp.Expr | None = None
    nested = False
    while above is not None and above is not owner:
        if isinstance(above, exp.CTE) and above.parent is cte.parent:
            inside = above
        nested = nested or isinstance(above, exp.With)
        above = above.parent
    siblings = cte.parent.expressions if cte.parent is not None else []
    if inside is cte and cte.parent is not None and cte.parent.args.get("recursive"):
        _judge_recursion(table, cte)
        return
    earlier = inside is None or _place(siblings, cte) < _place(siblings, inside)
    if above is None or not earlier:
        raise GatewayError("relation-not-available", f"there is no relation `{table.name}`")
    if nested and inside is None and grammar.own:
        raise GatewayError("statement-not-supported", f"`{table.name}` is not seen inside another WITH",
                           "put both into one WITH")  # fmt: skip


def _judge_recursion(table: exp.Table, cte: exp.CTE) -> None:
    """A CTE names itself in the FROM of a later part of its UNION, where every server takes the name for it.

    Raises: GatewayError.
    """
    select = table.parent.parent if table.parent is not None else None
    above = select
    while above is not None and isinstance(above.parent, exp.Union):
        above = above.parent
    if above is select or above is None or above.parent is not cte or _is_first(select, above):
        raise GatewayError("statement-not-supported", f"`{cte.alias}` names itself where it cannot",
                           "write: SELECT ... UNION ALL SELECT ... FROM it")  # fmt: skip


def _is_first(select: exp.Expr | None, union: exp.Expr) -> bool:
    while isinstance(union, exp.Union):
        union = union.this
    return union is select


def _place(nodes: list[exp.Expr], wanted: exp.Expr) -> int:
    return next(place for place, node in enumerate(nodes) if node is wanted)


class _Columns:
    def __init__(self, tree: exp.Expr, view: View, grammar: Grammar, found: Names) -> None:
        self._tree, self._view, self._grammar, self._found = tree, view, grammar, found
        self._known: set[str] = set()
        self._relations: dict[str, Relation] = {}
        for relation in found.relations.values():
            self._relations[relation.qualified] = relation
            self._found.columns.setdefault(relation.qualified, {})
            self._known |= {self._fold(name) for name in visible(view, relation)}
        for alias in tree.find_all(exp.Alias):
            self._known.add(self._fold(alias.alias))
        for named in tree.find_all(exp.TableAlias):
            self._known |= {self._fold(one.name) for one in named.args.get("columns") or ()}

    def judge(self) -> None:
        """Every name is known somewhere, every qualifier where it stands. Raises: GatewayError."""
        for select in self._tree.find_all(exp.Select):
            items = list(sources(select))
            names = [alias_of(one) for one in items]
            if len({name.lower() for name in names}) != len(names):
                raise GatewayError("statement-not-supported", "two relations of one FROM have the same name",
                                   "give them aliases")  # fmt: skip
            if any(isinstance(one, exp.Star) for one in select.expressions):
                for source in items:
                    self._read_all(source)
        for column in self._tree.find_all(exp.Column):
            self._judge(column)
        for join in self._tree.find_all(exp.Join):
            for one in join.args.get("using") or ():
                self._name(one.name)

    def _judge(self, column: exp.Column) -> None:
        source = self._source(column) if column.table else None
        if isinstance(column.this, exp.Star):
            if source is not None:
                self._read_all(source)
            return
        relation = self._found.relations.get(id(source)) if source is not None else None
        if relation is None:
            self._name(column.name)
            return
        name = next((one for one in visible(self._view, relation) if self._fold(one) == self._fold(column.name)), None)
        if name is None:
            raise _no_column(column.name)
        self._found.columns[relation.qualified][name] = None

    def _name(self, name: str) -> None:
        if self._fold(name) not in self._known:
            raise _no_column(name)
        for qualified, relation in self._relations.items():
            for one in visible(self._view, relation):
                if self._fold(one) == self._fold(name):
                    self._found.columns[qualified][one] = None

    def _source(self, column: exp.Column) -> exp.Expr:
        """What the qualifier names, here or in an enclosing query. Raises: GatewayError."""
        above = column.parent
        while above is not None:
            if isinstance(above, exp.Select):
                for source in sources(above):
                    if alias_of(source) == column.table:
                        return source
            above = above.parent
        raise GatewayError("column-not-available", f"there is no relation `{column.table}` in this FROM")

    def _read_all(self, source: exp.Expr) -> None:
        relation = self._found.relations.get(id(source))
        if relation is not None:
            self._found.columns[relation.qualified] |= dict.fromkeys(visible(self._view, relation))

    def _fold(self, name: str) -> str:
        return name.lower() if self._grammar.folds else name


def sources(select: exp.Expr) -> Iterator[exp.Expr]:
    """The relations and queries of a SELECT's FROM, in order."""
    found = select.args.get("from_")
    if found is not None:
        yield found.this
    for join in select.args.get("joins") or ():
        yield join.this


def alias_of(source: exp.Expr) -> str:
    """What an item of a FROM is called there."""
    return str(source.alias or source.name)


def _no_column(name: str) -> GatewayError:
    return GatewayError("column-not-available", f"there is no column `{name[:64]}`")
