"""Which room reads the statements of which target: by the dialect that its policy says.

INVARIANT: a view is read by one room only, that of its own policy; a dialect without a room is refused when the policy
is read, and a look-up that fails here is a fault of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import Refusal
from gateway.policy.schema import Policy
from gateway.sql import mysql, postgres, tree, trino
from gateway.sql.said import Subject
from gateway.sql.statement import Plan, View
from gateway.sql.tree import flat


@dataclass(frozen=True, slots=True)
class Room:
    """What every grammar offers.

    `analyse` makes a plan of a text under a view, or says why there is none; `judged` the same, where an observed
    target always has a plan. `normalise` gives a text without its literals, and of one that cannot be read next to
    nothing. `free_literals` and `telling` are as `template` and `literals.seal` need them.
    """

    analyse: Callable[[str, View], Plan | Refusal]
    judged: Callable[[str, View], Plan | Refusal]
    normalise: Callable[[str, Policy], str]
    free_literals: Callable[[str, Policy], frozenset[int]]
    telling: Callable[[str, Policy], tuple[Subject, ...]]


def _none_free(_text: str, _policy: Policy) -> frozenset[int]:
    return frozenset()


def _free(text: str, policy: Policy) -> frozenset[int]:
    # what is observed runs as it came, and every text of it is judged by itself
    return frozenset() if policy.observed else tree.free_literals(text, policy)


_ROOMS = {
    "postgres": Room(
        postgres.analyse,
        postgres.judged,
        lambda text, _policy: postgres.normalise(text),
        lambda text, _policy: postgres.free_literals(text),
        postgres.telling,
    ),
    **dict.fromkeys(
        ("mysql", "mariadb"),
        Room(mysql.analyse, mysql.judged, mysql.normalise, _free, mysql.telling),
    ),
    "clickhouse": Room(tree.analyse, tree.analyse, tree.normalise, _none_free, tree.telling),
    **dict.fromkeys(
        ("elasticsearch", "opensearch"),
        Room(flat.analyse, flat.analyse, tree.normalise, _none_free, tree.telling),
    ),
    "trino": Room(trino.analyse, trino.analyse, trino.normalise, _none_free, trino.telling),
}


def room_of(policy: Policy) -> Room:
    """The room of a policy's dialect."""
    return _ROOMS[policy.dialect]


def analyse(text: str, view: View) -> Plan | Refusal:
    """A plan of the text for this view, or why there is none. Pure."""
    return room_of(view.policy).analyse(text, view)


def judged(text: str, view: View) -> Plan | Refusal:
    """The same; of an observed target there always is a plan."""
    return room_of(view.policy).judged(text, view)


def free_literals(text: str, policy: Policy) -> frozenset[int]:
    """The character offsets of the literals of a text that are free, see `template`."""
    return room_of(policy).free_literals(text, policy)


def normalise(text: str, policy: Policy) -> str:
    """The text without its literals, for the record of a text that no plan was made of."""
    return room_of(policy).normalise(text, policy)


def telling(text: str, policy: Policy) -> tuple[Subject, ...]:
    """The values of a text that may tell who somebody is; nothing in one that cannot be read."""
    return room_of(policy).telling(text, policy)
