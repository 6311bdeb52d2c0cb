"""Which literals of a statement are free: compared with a column, and nothing more; see `sql/template.py`.

Only an integer or a string that stands alone on one side of `=`, `<>`, `<`, `<=`, `>` or `>=`, in the list of an IN, or
as a bound of a BETWEEN, opposite a plain column. None that is selected: the server names an output by its text.

INVARIANT: whether a constant is searched exactly may depend on its value, where a column is no text (`sought.py`): a
string opposite a column that may be such a one is not free.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.policy.schema import ColumnRule, Policy
from gateway.sql.statement import Limits
from gateway.sql.tree.grammar import GRAMMARS
from gateway.sql.tree.reading import read

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_OF_TEXT = frozenset({"email", "partial", "initials", "digits", "truncate_ip"})
_TEXT_DOMAINS = frozenset({"first_name", "last_name", "company", "token"})


def free_literals(text: str, policy: Policy) -> frozenset[int]:
    """The character offsets of the free literals of an ASCII text; empty when it cannot be read."""
    if "information_schema" in text.lower():
        # its rows are in the text that goes out
        return frozenset()
    try:
        tree = read(text, GRAMMARS[policy.dialect], Limits()).tree
    except (GatewayError, RecursionError):
        return frozenset()
    mixed = _mixed(policy)
    found: set[int] = set()
    for node in tree.find_all(*_COMPARISONS, exp.In, exp.Between):
        if not _is_selected(node):
            found.update(_offsets(node, mixed))
    return frozenset(found)


def _offsets(node: exp.Expr, mixed: frozenset[str]) -> Iterator[int]:
    if isinstance(node, exp.In):
        sides = [node.this, *([] if node.args.get("query") is not None else node.expressions)]
    elif isinstance(node, exp.Between):
        sides = [node.this, node.args["low"], node.args["high"]]
    else:
        sides = [node.this, node.expression]
        if isinstance(sides[1], exp.Column):
            sides.reverse()
    column, *values = sides
    if not isinstance(column, exp.Column) or not isinstance(column.this, exp.Identifier):
        return
    for value in values:
        if isinstance(value, exp.Literal) and not (value.is_string and column.name.lower() in mixed):
            yield int(value.meta["start"])


def _is_selected(node: exp.Expr) -> bool:
    while node.parent is not None:
        if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
            return True
        node = node.parent
    return False


def _mixed(policy: Policy) -> frozenset[str]:
    """The columns that are searched exactly and may be something else than text."""
    rules = (rule for table in policy.tables.values() for rule in table.columns.values())
    return frozenset(rule.name.lower() for rule in rules if rule.search and not _is_text(rule))


def _is_text(rule: ColumnRule) -> bool:
    mask = rule.mask
    return mask.kind in _OF_TEXT or (mask.kind == "pseudonym" and mask.option("domain") in _TEXT_DOMAINS)
