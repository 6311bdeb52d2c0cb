"""The proof of an outgoing text, from the text alone, the view, and the statement that the person wrote.

INVARIANT: this shares no code with the rewriting but the masks and the list of what is allowed; it knows nothing of how
the text was made. It proves that

1. every relation stands in a derived table that is, word for word, what the policy says of it;
2. what is left is made of allowed parts, and no name of ours is in it;
3. every other name in a FROM is a CTE that is visible there, under a name that no relation has;
4. what is left is, read by the same parser, the very tree of what the person wrote. A statement that the writing, or a
   server's reading of it, would change does not run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.policy import types
from gateway.policy.types import column_type
from gateway.sql.catalog import Relation
from gateway.sql.statement import View
from gateway.sql.tree import allowed
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.masks import literal_sql, mask_sql
from gateway.sql.tree.outputs import output_names
from gateway.sql.tree.reading import Read, read

_STAND_IN = "relation stood here "
Word = tuple[Any, str]


def prove(
    outgoing: str, asked: Read, view: View, grammar: Grammar, shown: Mapping[str, Collection[str]],
    *, named: bool = True,
) -> None:  # fmt: skip
    """Nothing, for a text that is proven. Raises: GatewayError `scope-not-provable`, or of what cannot be read.

    `shown` is the rewriting's word for which columns each derived table has. It is not believed: whatever it says, only
    columns of the policy are looked for, under their masks. `named` says that outputs have the names that the server
    would have given them.
    """
    words = [(one.token_type, one.text) for one in grammar.dialect.tokenize(outgoing)]
    relations = sorted(view.policy.tables.keys() & view.catalog.relations.keys())
    stand_ins: dict[str, Relation] = {}
    for number, name in enumerate(relations):
        relation = view.catalog.relations[name]
        if name not in shown:
            continue
        derived = approved_table(relation, shown[name], view, grammar)
        approved = [(one.token_type, one.text) for one in grammar.dialect.tokenize(derived)]
        stand_in = f"{_STAND_IN}{number}"
        words, count = _cut(words, approved, f"{grammar.mark}{stand_in}{grammar.mark}")
        if count:
            stand_ins[stand_in] = relation
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
    _take_names(left, output_names(asked, grammar) or () if named else ())
    allowed.judge(left, grammar)
    _judge_tables(left, stand_ins)
    if _shape(left, stand_ins, None) != _shape(asked.tree, {}, view):
        raise unproven("the statement would mean something else")


def approved_table(
    relation: Relation, among: Collection[str], view: View, grammar: Grammar, keys: Sequence[str] = ()
) -> str:
    """The one derived table that may stand for a relation, in parentheses; `keys` are there as they are besides."""
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
    for place, key in enumerate(keys, start=1):
        own = f"gateway_k{place}"
        outer.append(f"{_dotted('gateway_q', own, grammar)} AS {_named(own, grammar)}")
        inner.append(f"{_dotted('gateway_t', key, grammar)} AS {_named(own, grammar)}")
    rows = f"SELECT {', '.join(inner)} FROM {_kept(relation.qualified, view, grammar)}"
    rows += f" AS {_named('gateway_t', grammar)}"
    if rule.scope.kind != "none":
        rows += f" WHERE {rows_in_scope(relation.qualified, 'gateway_t', 0, view, grammar)} LIMIT {grammar.fence}"
    return f"(SELECT {', '.join(outer)} FROM ({rows}) AS {_named('gateway_q', grammar)})"


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
        else:
            parts.append(text)
    return " ".join(parts)


def _is_string(kind: Any) -> bool:
    return kind is not None and kind.name == "STRING"


def _judge_tables(tree: exp.Expr, stand_ins: dict[str, Relation]) -> None:
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
                if cte is below:
                    break
                if cte.alias == table.name:
                    return True
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


def _shape(node: Any, stand_ins: dict[str, Relation], view: View | None) -> Any:
    """A tree as nested tuples: without parentheses, quotes and comments, relations by their qualified names.

    With a view, names in FROM are looked up as the person meant them.
    """
    if isinstance(node, list):
        return tuple(_shape(one, stand_ins, view) for one in node)
    if not isinstance(node, exp.Expr):
        return str(node).upper() if isinstance(node, str) else node
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Table):
        return _table_shape(node, stand_ins, view)
    if isinstance(node, exp.Identifier | exp.Literal):
        return type(node).__name__, node.this, bool(node.args.get("is_string"))
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.CombinedAggFunc):
        return "call", node.this, _shape(node.expressions, stand_ins, view)
    given = {name: value for name, value in node.args.items() if value not in (None, False, [], "")}
    if isinstance(node, exp.Join):
        # a comma is CROSS JOIN; INNER and OUTER say nothing more
        given.pop("kind", None)
    parts = tuple((name, _shape(given[name], stand_ins, view)) for name in sorted(given))
    return type(node).__name__, parts


def _table_shape(table: exp.Table, stand_ins: dict[str, Relation], view: View | None) -> Any:
    relation = stand_ins.get(table.name)
    if view is not None and (table.db or not _is_bound(table)):
        schemas = (table.db,) if table.db else view.search_path
        found = (view.catalog.relation(f"{schema}.{table.name}") for schema in schemas)
        relation = next((one for one in found if one is not None and one.qualified in view.policy.tables), None)
        if relation is None:
            raise unproven("a name stands for no relation")
    if relation is not None:
        return "relation", relation.qualified, table.alias or table.name
    return "cte", table.name, table.alias or table.name


def unproven(why: str) -> GatewayError:
    """The refusal of what is not proven."""
    return GatewayError("scope-not-provable", f"the rewriting could not be proven safe: {why}")
