"""What stands in a condition's place for an oid keeps the meaning of its names."""

from __future__ import annotations

from collections.abc import Callable

import postgast
import pytest
from postgast import pg_query_pb2 as pb
from sqlviews import view

from gateway.sql.postgres import conditions
from gateway.sql.postgres.tree import Message, concrete, parts
from gateway.sql.statement import View

CONDITIONS = [
    conditions.anything,
    conditions.built_in,
    conditions.class_visible,
    conditions.composite_visible,
    conditions.constraint_visible,
    conditions.function_visible,
    conditions.index_visible,
    conditions.partition_key_visible,
    conditions.relation_visible,
    conditions.schema_visible,
    conditions.type_visible,
]


def inside_a_query(root: Message) -> list[bool]:
    """For each place of the oid, whether it stands in a sub-select."""
    found, stack = [], [(root, False)]
    while stack:
        node, inside = stack.pop()
        message = concrete(node)
        if message is None:
            continue
        if type(message) is pb.ParamRef:
            found.append(inside)
        inside = inside or type(message) is pb.SelectStmt
        stack += [(part, inside) for part in parts(message)]
    return found


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.__name__)
def test_the_expression_for_an_oid_stands_outside_every_sub_select(condition: Callable[[str, View], str]) -> None:
    tree = postgast.parse(f"SELECT {condition('$0', view())}").stmts[0].stmt.select_stmt

    assert set(inside_a_query(tree.target_list[0])) == {False}
