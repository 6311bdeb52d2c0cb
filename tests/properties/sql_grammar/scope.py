"""What names a generated expression may use: FROM items, the queries around them, and the WITH items in sight.

INVARIANT: `Frame.columns` gives only references that PostgreSQL resolves, in exactly one way. Specification:
`colNameToVar` and `scanRTEForColumn` in PostgreSQL's `parse_relation.c`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sql_grammar.schema import quote

_BARE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_RESERVED = frozenset({"select", "order", "user", "table", "all", "as"})


def written(name: str) -> str:
    """A name with quotes only where it needs them."""
    plain = set(name) <= _BARE and not name[0].isdigit() and name not in _RESERVED
    return name if plain else quote(name)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a FROM item: its name, and its kind in the grammar."""

    name: str
    kind: str


@dataclass(slots=True)
class Item:
    """Something in FROM.

    `alias` is empty for what only its columns' names reach. `key` names columns that tell its rows apart, all of them
    when nothing is known. `source` is the relation of the schema that stands here under its own columns' names;
    `searchable` holds while a condition of WHERE may go inside it. `whole` is False for what has no row to refer to.
    """

    alias: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    source: str = ""
    schema: str = ""
    searchable: bool = False
    whole: bool = True

    def unique(self) -> tuple[str, ...]:
        """The columns that tell rows apart."""
        return self.key or tuple(one.name for one in self.columns)


@dataclass(slots=True)
class Frame:
    """The FROM items of one SELECT so far, and the SELECT around it.

    `merged` has the columns of USING and NATURAL, each with its kind and the items whose columns of that name it is.
    """

    items: list[Item] = field(default_factory=list)
    outer: Frame | None = None
    merged: dict[str, tuple[str, list[Item]]] = field(default_factory=dict)

    def merges(self, name: str, items: list[Item]) -> bool:
        """Whether all columns of that name among these items are one."""
        covered = self.merged.get(name, ("", []))[1]
        having = [item for item in items if any(column.name == name for column in item.columns)]
        return all(any(item is one for one in covered) for item in having)

    def columns(self) -> Iterator[tuple[Column, tuple[str, ...], int]]:
        """Every column in sight with the ways to write it, and how many SELECTs out it is."""
        frame, away = self, 0
        aliases: set[str] = set()
        names: set[str] = set()
        while frame is not None:
            count: dict[str, int] = {}
            for item in frame.items:
                for column in item.columns:
                    count[column.name] = count.get(column.name, 0) + 1
            for item in frame.items:
                for column in item.columns:
                    ways = []
                    if item.alias and item.alias not in aliases:
                        ways.append(f"{written(item.alias)}.{written(column.name)}")
                        if item.schema:
                            ways.append(f"{item.schema}.{written(item.alias)}.{written(column.name)}")
                    certain = count[column.name] == 1 and column.name not in frame.merged
                    # A bare name that is an alias too would still be the column; the row comes after it.
                    if certain and column.name not in names:
                        ways.append(written(column.name))
                    if ways:
                        yield column, tuple(ways), away
            for name, (kind, _) in frame.merged.items():
                if name not in names and frame.merges(name, frame.items):
                    yield Column(name, kind), (written(name),), away
            aliases |= {item.alias for item in frame.items}
            names |= set(count)
            frame, away = frame.outer, away + 1

    def rows(self) -> list[str]:
        """What stands for a whole row of an item of this SELECT."""
        names = {column.name for item in self.items for column in item.columns}
        return [written(item.alias) for item in self.items if item.alias and item.whole and item.alias not in names]

    def total(self) -> list[str]:
        """References that order the rows of this SELECT as far as they can be told apart."""
        found = []
        for item in self.items:
            if item.alias:
                found += [f"{written(item.alias)}.{written(name)}" for name in item.unique()]
            else:
                found += [written(name) for name in item.unique()]
        return found
