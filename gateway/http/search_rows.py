"""Rows of a search engine: read strictly, proven to be the customer's, masked here, and written anew.

INVARIANT: a row leaves when the columns behind the person's prove whose it is, and only then: its own customer is one
of the ticket's; or, of a group, the least and the greatest are the ticket's one, and as many of its rows have one as
there are. One row that does not withholds the answer. Masked columns leave under their masks, by place. What a server
tells besides (how many documents there were) is left out.

The first columns are those of `AnswerRule.fields` with paths of one step: what the person calls each; those of two
steps (`gateway`, a proof) come behind them, and do not leave.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.http import json_text
from gateway.http.cursors import Paging
from gateway.http.page_body import PageBody
from gateway.http.values import leaf, scalar_text
from gateway.http.withheld import Limits, Withheld
from gateway.policy.http_rules import AnswerRule, FieldRule

PROOF = "gateway"
"""The first step of the path of a column that is a proof."""
_SCALARS = frozenset({type(None), bool, str, json_text.Number})
_FORMS = {"elasticsearch": ("columns", "rows"), "opensearch": ("schema", "datarows")}


class SearchBody(PageBody):
    """One page, the first or a further one; or the word that a cursor was closed."""

    def __init__(
        self, rule: AnswerRule, bound: int, limits: Limits, paging: Paging, customers: Collection[str],
        key: bytes | None,
    ) -> None:  # fmt: skip
        super().__init__(bound, limits.depth, "it has more rows than are read at once; ask with a `fetch_size`")
        self._columns, self._data = _FORMS[rule.media]
        self._paging = paging
        self._shown = [one for one in rule.fields if one.path[0] != PROOF or len(one.path) == 1]
        self._proofs = [one.path[1] for one in rule.fields[len(self._shown) :]]
        self._masks = [leaf(one, revealed=False) for one in self._shown]
        self._customers, self._key = customers, key

    def _page(self, read: dict[str, Any]) -> dict[str, Any]:
        if read.keys() == {"succeeded"} and type(read["succeeded"]) is bool:
            return read
        data, after = read.get(self._data), read.get("cursor")
        if type(data) is not list or not self._shown:
            raise Withheld.unreadable("it has no rows")
        page: dict[str, Any] = {}
        if read.get(self._columns) is not None:
            page[self._columns] = self._named(read[self._columns])
        page[self._data] = [self._row(row) for row in data]
        self.rows = len(data)
        if self._data == "datarows":
            count = json_text.Number(str(self.rows).encode())
            page |= {"total": count, "size": count, "status": json_text.Number(b"200")}
        if after not in (None, ""):
            if type(after) is not str:
                raise Withheld.unreadable("its cursor is none")
            page["cursor"] = f"{self._paging.cursor}.{self._paging.sealed(after)}"
        return page

    def _named(self, read: Any) -> list[dict[str, str]]:
        """The columns as the person calls them. They are known by the names that the statement gave them."""
        wanted = [f"gateway_{place + 1}" for place in range(len(self._shown))]
        wanted += [f"gateway_{one}" for one in self._proofs]
        given = [_name(one) for one in read] if type(read) is list else []
        if given != wanted:
            raise Withheld.unreadable("its columns are not those that were asked for")
        named = zip(self._shown, read, strict=False)
        return [{"name": _called(one), "type": _type(column)} for one, column in named]

    def _row(self, row: Any) -> list[Any]:
        width = len(self._shown)
        fits = type(row) is list and len(row) == width + len(self._proofs)
        if not fits or any(type(one) not in _SCALARS for one in row):
            raise Withheld.unreadable("a row is not of its columns, or has more than one value in one")
        if not _is_proven(self._proofs, row[width:], self._customers):
            raise Withheld.unreadable("a row does not prove whose it is")
        masked = zip(self._masks, row, strict=False)
        return [value if mask is None else mask(value, self._key) for mask, value in masked]


def _is_proven(proofs: Sequence[str], values: Sequence[Any], customers: Collection[str]) -> bool:
    given = dict(zip(proofs, values, strict=True))
    if not given:
        return True
    if "scope" in given:
        text = scalar_text(given["scope"])
        return text is not None and text in customers
    counted, present, lowest, highest = (_number(given.get(one)) for one in ("counted", "present", "lowest", "highest"))
    if counted is None or counted != present or len(customers) != 1:
        return False
    return counted == 0 or (lowest is not None and lowest == highest == _decimal(next(iter(customers))))


def _number(value: Any) -> Decimal | None:
    return _decimal(json_text.number_text(value)) if type(value) is json_text.Number else None


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _called(rule: FieldRule) -> str:
    return rule.path[0]


def _name(column: Any) -> Any:
    """What a server calls a column: OpenSearch by its alias, where it has one."""
    return (column.get("alias") or column.get("name")) if type(column) is dict else None


def _type(column: dict[str, Any]) -> str:
    kind = column.get("type")
    if type(kind) is not str or len(kind) > 40 or not kind.replace("_", "").isalnum():
        raise Withheld.unreadable("a column has no type")
    return kind
