"""The proof of an outgoing text, from the text alone, the view, and the statement that the person wrote.

INVARIANT: this shares no code with the rewriting but the masks and the list of what is allowed; it knows nothing of how
the text was made. It proves that

1. every relation stands in a derived table that is, word for word, what the policy says of it, and what the person
   searches exactly in it (`check_search.py`) and sums up of it (`check_sums.py`);
2. what is left is made of allowed parts, and no name of ours is in it;
3. every other name in a FROM is a CTE that is visible there, under a name that no relation has;
4. what is left is, read by the same parser, the very tree of what the person wrote. A statement that the writing, or a
   server's reading of it, would change does not run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from gateway.errors import GatewayError
from gateway.policy import types
from gateway.policy.types import column_type
from gateway.sql.catalog import Relation
from gateway.sql.statement import View
from gateway.sql.tree import allowed, check_search, check_sums
from gateway.sql.tree.check_search import Sought
from gateway.sql.tree.check_sums import Call, Wanted
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.masks import literal_sql, mask_sql
from gateway.sql.tree.outputs import output_names
from gateway.sql.tree.reading import Read, read

_STAND_IN, _SUM_STAND_IN = "relation stood here ", "sum stood here "
Word = tuple[Any, str]
_Standing = tuple[Relation, tuple[str, ...], tuple[tuple[str, str], ...]]
"""A relation, what is searched exactly in it, and what of it is summed up."""


def prove(
    outgoing: str,
    asked: Read,
    view: View,
    grammar: Grammar,
    shown: Mapping[str, Collection[str]],
    order: Sequence[int] = (),
    *,
    named: bool = True,
) -> None:
    """Nothing, for a text that is proven. Raises: GatewayError `scope-not-provable`, or of what cannot be read.

    `shown` is the rewriting's word for which columns each derived table has. It is not believed: whatever it says, only
    columns of the policy are looked for, under their masks. `order` is its word for which of the statement's parameters
    each one is: a wrong one shows, since every parameter is compared by its number. `named` says that outputs have the
    names that the server would have given them.
    """
    words = _words(outgoing, grammar)
    given = [at for at, (kind, _text) in enumerate(words) if grammar.own and kind == TokenType.PLACEHOLDER]
    if sorted(order) != list(range(1, len(given) + 1)):
        raise unproven("parameters were lost")
    for at, number in zip(given, order, strict=True):
        words[at] = (TokenType.PLACEHOLDER, f"?{number}")
    person = _Shapes(
        view,
        check_search.sought(asked.tree, view, grammar, lambda table: _meant(table, view)),
        check_sums.wanted(asked.tree, view, grammar, lambda table: _meant(table, view)),
    )
    stand_ins: dict[str, _Standing] = {}
    for table in asked.tree.find_all(exp.Table):
        standing = person.standing(table)
        if standing is None or standing in stand_ins.values() or standing[0].qualified not in shown:
            continue
        stand_in = f"{_STAND_IN}{len(stand_ins)}"
        derived = _approved(*standing, shown[standing[0].qualified], view, grammar)
        words, count = _cut(words, derived, _named(stand_in, grammar))
        if count:
            stand_ins[stand_in] = standing
    sums: dict[str, Call] = {}
    for call in dict.fromkeys(person.summed.calls.values()):
        stand_in = f"{_SUM_STAND_IN}{len(sums)}"
        words, count = _cut(words, _words(call.text, grammar), _named(stand_in, grammar))
        if count:
            sums[stand_in] = call
    ctes = {f"gateway_with_{place}": one.alias for place, one in enumerate(asked.tree.find_all(exp.CTE), start=1)}
    braced = not grammar.own
    if any(
        (text.lower().startswith(allowed.OURS) and text not in ctes) or (braced and "{" in text)
        for kind, text in words
        if not _is_string(kind)
    ):  # fmt: skip
        raise unproven("a name of the gateway's own is left over")
    left = read(text_of(words, grammar), grammar, view.limits, ours=True).tree
    _take_ctes(left, ctes, stand_ins)
    numbers = [int(text[1:]) for kind, text in words if kind == TokenType.PLACEHOLDER and text != "?"]
    for parameter in left.find_all(exp.Placeholder) if numbers else ():
        parameter.meta["number"] = numbers[parameter.meta["number"] - 1]
    _take_names(left, output_names(asked, grammar) or () if named else ())
    allowed.judge(left, grammar)
    _judge_tables(left, stand_ins)
    if _Shapes(stand_ins=stand_ins, sums=sums).of(left) != person.of(asked.tree):
        raise unproven("the statement would mean something else")


def _words(text: str, grammar: Grammar) -> list[Word]:
    return [(one.token_type, one.text) for one in grammar.dialect.tokenize(text)]


def _approved(
    relation: Relation,
    tests: tuple[str, ...],
    summed: tuple[tuple[str, str], ...],
    among: Collection[str],
    view: View,
    grammar: Grammar,
) -> list[Word]:
    """The words of the one derived table that may stand for a relation, in parentheses."""
    rule = view.policy.tables[relation.qualified]
    shown = [column for column in relation.columns if column.name in rule.columns and column.name in among]
    outer, inner = [], []
    for place, column in enumerate(shown):
        value = _dotted("gateway_q", f"gateway_{place + 1}", grammar)
        if (relation.qualified, column.name) not in view.reveal:
            value = mask_sql(rule.columns[column.name].mask, value, column, grammar.name)
        outer.append(f"{value} AS {_named(column.name, grammar)}")
        raw = _dotted("gateway_t", column.name, grammar)
        inner.append(f"{raw} AS {_named(f'gateway_{place + 1}', grammar)}")
    for inside, outside in summed:
        inner.append(inside)
        outer.append(outside)
    rows = f"SELECT {', '.join(inner)} FROM {_kept(relation.qualified, view, grammar)}"
    rows += f" AS {_named('gateway_t', grammar)}"
    scoped = rule.scope.kind != "none"
    within = rows_in_scope(relation.qualified, "gateway_t", 0, view, grammar) if scoped else "TRUE"
    if tests:
        within = f"({within})" if scoped else within
        rows += f" WHERE {within} AND {' AND '.join(tests)}"
    elif scoped:
        rows += f" WHERE {within}"
    rows += f" LIMIT {grammar.fence}" if scoped else ""
    words = _words(f"(SELECT {', '.join(outer)} FROM ({rows}) AS {_named('gateway_q', grammar)})", grammar)
    for at, (kind, _text) in enumerate(words):
        if grammar.own and kind == TokenType.PLACEHOLDER:
            # cut as two words, whatever follows
            words[at : at + 2] = [(kind, f"?{words[at + 1][1]}")]
    return words


def approved_table(
    relation: Relation, among: Collection[str], view: View, grammar: Grammar, keys: Sequence[str] = ()
) -> list[Word]:
    """The words of the derived table of a relation in which nothing is searched or summed; `keys` are there besides."""
    own = [
        (f"{_dotted('gateway_t', key, grammar)} AS {_named(name, grammar)}",
         f"{_dotted('gateway_q', name, grammar)} AS {_named(name, grammar)}")
        for key, name in ((key, f"gateway_k{place}") for place, key in enumerate(keys, start=1))
    ]  # fmt: skip
    return _approved(relation, (), tuple(own), among, view, grammar)


def _named(name: str, grammar: Grammar) -> str:
    return grammar.mark + name + grammar.mark


def _dotted(above: str, name: str, grammar: Grammar) -> str:
    return f"{_named(above, grammar)}.{_named(name, grammar)}"


def _kept(qualified: str, view: View, grammar: Grammar) -> str:
    """Where the rows of a relation are."""
    schema, _, name = qualified.partition(".")
    catalog = f"{_named(view.policy.catalog, grammar)}." if view.policy.catalog else ""
    return catalog + _dotted(schema, name, grammar)


def rows_in_scope(qualified: str, alias: str, depth: int, view: View, grammar: Grammar) -> str:
    """The condition that a row of a relation, under that alias, is of the ticket's customers."""
    relation, scope = view.catalog.relations[qualified], view.policy.tables[qualified].scope
    column = relation.column(scope.column)
    if column is None or scope.kind not in {"customer", "follows"} or not view.customers:
        raise unproven("the scope of a relation cannot be told")
    binary = grammar.own and column_type(column.type, column.base).group == types.TEXT
    value = _dotted(alias, column.name, grammar)
    exact = f"CAST(CONVERT({value} USING utf8mb4) AS BINARY)" if binary else value
    if scope.kind == "customer":
        tests = []
        for customer in view.customers:
            wanted = literal_sql(customer, column, grammar.name)
            test = f"{value} = {wanted}"
            tests.append(
                f"({test} AND {exact} = CAST(CONVERT({wanted} USING utf8mb4) AS BINARY))" if binary else f"({test})"
            )
        return " OR ".join(tests)
    above = f"gateway_s{depth + 1}"
    key = _dotted(above, scope.other_column, grammar)
    key = f"CAST(CONVERT({key} USING utf8mb4) AS BINARY)" if binary else key
    inside = rows_in_scope(scope.other, above, depth + 1, view, grammar)
    place = f"{_kept(scope.other, view, grammar)} AS {_named(above, grammar)}"
    return f"{exact} IN (SELECT {key} FROM {place} WHERE {inside})"


def _cut(words: list[Word], approved: list[Word], stand_in: str) -> tuple[list[Word], int]:
    """The words with a name in the place of each such derived table, and how many there were."""
    left: list[Word] = []
    count = at = 0
    first, length = approved[0], len(approved)
    while at < len(words):
        if words[at] == first and words[at : at + length] == approved:
            left.append((None, stand_in))
            count += 1
            at += length
        else:
            left.append(words[at])
            at += 1
    return left, count


def text_of(words: Sequence[Word], grammar: Grammar) -> str:
    """The words as a text again, every name in quotes."""
    parts = []
    for kind, text in words:
        if kind is None:
            parts.append(text)
        elif _is_string(kind):
            written = text if grammar.standard else text.replace("\\", "\\\\")
            parts.append("'" + written.replace("'", "''") + "'")
        elif kind.name == "IDENTIFIER":
            parts.append(_named(text, grammar))
        elif kind == TokenType.PLACEHOLDER:
            parts.append("?")
        else:
            parts.append(text)
    return " ".join(parts)


def _is_string(kind: Any) -> bool:
    return kind is not None and kind.name == "STRING"


def _meant(table: exp.Table, view: View) -> Relation | None:
    """The relation of the policy that a name of the person's stands for; None for a CTE."""
    if not table.db and _is_bound(table):
        return None
    schemas = (table.db,) if table.db else view.search_path
    found = (view.catalog.relation(f"{schema}.{table.name}") for schema in schemas)
    return next((one for one in found if one is not None and one.qualified in view.policy.tables), None)


def _judge_tables(tree: exp.Expr, stand_ins: Collection[str]) -> None:
    for table in tree.find_all(exp.Table):
        if table.name in stand_ins and not table.db and table.alias:
            continue
        if table.db or not _is_bound(table):
            raise unproven("a relation stands outside of its derived table")


def _is_bound(table: exp.Table) -> bool:
    """Whether an enclosing WITH has that name, in front of where it is used."""
    below: exp.Expr = table
    above = table.parent
    while above is not None:
        if isinstance(above, exp.With):
            # inside a CTE: those in front of it
            for cte in above.expressions:
                if cte is below and not above.args.get("recursive"):
                    break
                if cte.alias == table.name:
                    return True
                if cte is below:
                    break
        else:
            own = above.args.get("with_")
            if own is not None and own is not below and any(cte.alias == table.name for cte in own.expressions):
                return True
        below, above = above, above.parent
    return False


def _take_ctes(tree: exp.Expr, names: Mapping[str, str], stand_ins: Collection[str]) -> None:
    """Give CTEs the names of the person's, where each has the one that it runs under."""
    for cte in tree.find_all(exp.CTE):
        _rename(cte.args["alias"], cte.alias, names)
    for table in tree.find_all(exp.Table):
        if table.db or table.name not in stand_ins:
            _rename(table, table.name, names)


def _rename(node: exp.Expr, name: str, names: Mapping[str, str]) -> None:
    if name not in names:
        raise unproven("a relation stands outside of its derived table, or a CTE has a name that one may have")
    node.set("this", exp.Identifier(this=names[name], quoted=True))


def _take_names(tree: exp.Expr, names: Sequence[str]) -> None:
    """Take the names away that outputs were given, and no others."""
    while isinstance(tree, exp.Union):
        tree = tree.this
    for node, name in zip(tree.expressions, names, strict=False):
        if not name:
            continue
        if not isinstance(node, exp.Alias) or node.alias != name:
            raise unproven("a column would have another name")
        node.replace(node.this)


class _Shapes:
    """A tree as nested tuples: without parentheses, quotes and comments, relations by their qualified names.

    With a view, the tree is the person's: names in FROM are looked up as they were meant, what was `searched` has
    become TRUE, and what is `summed` a sum of true values. Otherwise those are known by what stands in for them.
    """

    def __init__(
        self,
        view: View | None = None,
        searched: Sought | None = None,
        summed: Wanted | None = None,
        stand_ins: Mapping[str, _Standing] | None = None,
        sums: Mapping[str, Call] | None = None,
    ) -> None:
        self._view, self._searched, self.summed = view, searched or Sought(), summed or Wanted()
        self._stand_ins, self._sums = stand_ins or {}, sums or {}

    def standing(self, table: exp.Table) -> _Standing | None:
        """What the derived table of a name of the person's must hold; None for a CTE."""
        relation = _meant(table, self._view) if self._view is not None else None
        if relation is None or self._view is None:
            return None
        return relation, self._searched.of(table), self.summed.of(table, relation, self._view)

    def of(self, node: Any) -> Any:
        """The shape of a node, of a list of them, or of a part that is none."""
        if isinstance(node, list):
            return tuple(self.of(one) for one in node)
        if not isinstance(node, exp.Expr):
            return str(node).upper() if isinstance(node, str) else node
        while isinstance(node, exp.Paren):
            node = node.this
        if id(node) in self._searched.gone:
            return self.of(exp.true())
        if isinstance(node, exp.Table):
            return self._table(node)
        if id(node) in self.summed.calls:
            return "sum", self.summed.calls[id(node)]
        if isinstance(node, exp.Column) and node.name in self._sums and not node.table:
            return "sum", self._sums[node.name]
        if isinstance(node, exp.Placeholder):
            return "parameter", node.meta["number"]
        if isinstance(node, exp.Identifier | exp.Literal):
            return type(node).__name__, node.this, bool(node.args.get("is_string"))
        if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.CombinedAggFunc):
            return "call", node.this, self.of(node.expressions)
        given = {name: value for name, value in node.args.items() if value not in (None, False, [], "")}
        if isinstance(node, exp.Join):
            # a comma is CROSS JOIN; INNER and OUTER say nothing more
            given.pop("kind", None)
        return type(node).__name__, tuple((name, self.of(given[name])) for name in sorted(given))

    def _table(self, table: exp.Table) -> Any:
        standing = self._stand_ins.get(table.name)
        if self._view is not None and (table.db or not _is_bound(table)):
            standing = self.standing(table)
            if standing is None:
                raise unproven("a name stands for no relation")
        if standing is not None:
            return "relation", standing[0].qualified, *standing[1:], table.alias or table.name
        return "cte", table.name, table.alias or table.name


def unproven(why: str) -> GatewayError:
    """The refusal of what is not proven."""
    return GatewayError("scope-not-provable", f"the rewriting could not be proven safe: {why}")
