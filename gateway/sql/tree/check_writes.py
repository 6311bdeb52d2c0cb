"""The proof of a statement that writes: the outer statement word by word, the question inside as any other.

INVARIANT: shares no rule with `writes.py` and `write_values.py`: which columns may be written, what a value has to meet
and how the outer statement reads is worked out here again, from the policy, the catalog and what the person wrote. It
shares with them how that is read (`write_reading.py`) and what a constraint would tell (`sql/writable.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlglot.tokenizer_core import TokenType

from gateway.policy import types
from gateway.policy.types import column_type
from gateway.sql.catalog import Column, Relation
from gateway.sql.statement import View
from gateway.sql.tree.check import Word, approved_table, prove, rows_in_scope, text_of, unproven
from gateway.sql.tree.grammar import AGGREGATES, Grammar
from gateway.sql.tree.masks import literal_sql
from gateway.sql.tree.write_reading import Asked
from gateway.sql.writable import unsafe, unsafe_default, unsafe_delete, unsafe_insert, unwritable

_TOO_MUCH = "18446744073709551615"


def prove_write(
    outgoing: str, asked: Asked, view: View, grammar: Grammar, shown: Mapping[str, Collection[str]]
) -> None:
    """Nothing, for a text that is proven. Raises: GatewayError `scope-not-provable`, or of what cannot be read.

    `shown` is as for `check.prove`, and believed as little.
    """
    proof = _Proof(asked, view, grammar, shown)
    words = proof.words(outgoing)
    question = proof.inserting(words) if asked.verb == "INSERT" else proof.existing(words)
    proof.judge_calls(question)
    given = sum(1 for kind, _ in question if kind == TokenType.PLACEHOLDER)
    prove(text_of(question, grammar), asked.question, view, grammar, shown, range(1, given + 1), named=False)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise unproven(what)


class _Proof:
    def __init__(self, asked: Asked, view: View, grammar: Grammar, shown: Mapping[str, Collection[str]]) -> None:
        self._asked, self._view, self._grammar, self._shown = asked, view, grammar, shown
        _require(view.write, "a grant for reading")
        self._relation = self._written()
        self._table = f"`{self._relation.schema}`.`{self._relation.name}`"
        rule = view.policy.write.get(self._relation.qualified)
        if rule is None:
            raise unproven("a relation that may not be written")
        self._rule = rule
        allowed = {"INSERT": bool(rule.insert), "UPDATE": bool(rule.update), "DELETE": rule.delete}
        _require(allowed[asked.verb], "this may not be done to the relation")
        problem = asked.verb == "INSERT" and unsafe_insert(
            view.policy, view.catalog, view.reveal, self._relation.qualified
        )
        _require(not problem, "the number of a new row would tell of what is not shown")
        _require(not unwritable(view.catalog, self._relation.qualified), "a relation that cannot be written")
        if asked.verb == "DELETE":
            problem = unsafe_delete(view.policy, view.catalog, view.reveal, self._relation.qualified)
            _require(not problem, "a deletion would tell of, or change, what is not shown")

    def words(self, text: str) -> list[Word]:
        return [(one.token_type, one.text) for one in self._grammar.dialect.tokenize(text)]

    def _written(self) -> Relation:
        for schema in (self._asked.schema,) if self._asked.schema else self._view.search_path:
            relation = self._view.catalog.relation(f"{schema}.{self._asked.name}")
            if relation is not None and relation.qualified in self._view.policy.tables:
                return relation
        raise unproven("what is written stands for no relation")

    def judge_calls(self, question: Sequence[Word]) -> None:
        """Nothing, where nothing aggregates but what is in parentheses of its own, where a sub-query is."""
        selects: list[bool] = []
        for at, (kind, text) in enumerate(question):
            name = "" if kind is None else kind.name
            if name == "L_PAREN":
                selects.append(at + 1 < len(question) and question[at + 1][1].upper() in ("SELECT", "WITH"))
            elif name == "R_PAREN":
                selects.pop()
            elif name not in ("STRING", "IDENTIFIER") and text.lower() in AGGREGATES:
                _require(any(selects), "an aggregate would make one row of all")

    # columns

    def _columns(self) -> list[Column]:
        """What is set, as the catalog has it, each of which may be."""
        asked, view, table = self._asked, self._view, self._relation.qualified
        scope = view.policy.tables[table].scope
        inserting = asked.verb == "INSERT"
        may = set(self._rule.insert if inserting else self._rule.update)
        if inserting and scope.kind != "none":
            may.add(scope.column)
        found = []
        for at, spelled in enumerate(asked.columns):
            column = next((one for one in self._relation.columns if one.name.lower() == spelled.lower()), None)
            if column is None or column.name not in may or column.name not in view.policy.tables[table].columns:
                raise unproven(f"`{spelled[:64]}` may not be set")
            own = scope.kind != "none" and column.name == scope.column
            _require(inserting or not own, f"`{column.name}` says whose row it is")
            _require(not own or all(row[at] for row in asked.rows), "a row without a customer")
            if not all(row[at] for row in asked.rows):
                problem = unsafe_default(view.catalog, table, column.name)
                _require(not problem, f"the DEFAULT of `{column.name}` reads what is not shown")
            if any(row[at] for row in asked.rows):
                problem = unsafe(view.policy, view.catalog, view.reveal, table, column.name, insert=inserting)
                _require(not problem, f"whether `{column.name}` could be written would tell of what is not shown")
            found.append(column)
        _require(len({one.name for one in found}) == len(found), "a column is set twice")
        return found

    def _conditions(self, column: Column, here: str) -> list[str]:
        """What a value has to meet: to be of the customers, and to refer to rows of theirs."""
        view, table = self._view, self._relation.qualified
        scope = view.policy.tables[table].scope
        if scope.kind != "none" and column.name == scope.column:
            return [rows_in_scope(table, "gateway_b", 0, view, self._grammar)]
        found = []
        for key in sorted(view.catalog.references):
            if key.relation != table or column.name not in key.columns:
                continue
            other = view.policy.tables.get(key.other)
            _require(other is not None and len(key.columns) == 1, f"`{column.name}` refers to what is not shown")
            if other is not None and other.scope.kind != "none":
                inside = rows_in_scope(key.other, "gateway_r", 0, view, self._grammar)
                schema, _, name = key.other.partition(".")
                theirs = f"SELECT `gateway_r`.`{key.other_columns[0]}` AS `gateway_key`"
                rows = f"{theirs} FROM `{schema}`.`{name}` AS `gateway_r` WHERE {inside} LIMIT {_TOO_MUCH}"
                mine = f"SELECT `gateway_o`.`gateway_key` FROM ({rows}) AS `gateway_o`"
                found.append(f"{here} IS NULL OR {here} IN ({mine})")
        return found

    def _cast(self, column: Column) -> tuple[str, str]:
        """What stands in front of a value that is compared, and behind it."""
        of = column_type(column.type, column.base)
        whole = of.name in types.INTEGER_MAX
        _require(whole or of.group == types.UUID or of.name in ("text", "varchar"), "a value that cannot be compared")
        return "CAST(", " AS SIGNED)" if whole else " AS CHAR)"

    # UPDATE and DELETE

    def existing(self, words: list[Word]) -> list[Word]:
        """The question of an UPDATE or a DELETE, as a SELECT of the person's over approved tables."""
        head, tail = self._outer()
        first, last = self.words(head), self.words(tail)
        _require(words[: len(first)] == first and words[-len(last) :] == last, "the outer statement changed")
        return self._asked_for(words[len(first) : -len(last)])

    def _outer(self) -> tuple[str, str]:
        keys = self._view.catalog.keys.get(self._relation.qualified, ())
        _require(bool(keys), "rows without a key")
        selected = [f"`gateway_a`.`gateway_k{at}` AS `gateway_k{at}`" for at in range(1, len(keys) + 1)]
        sets, checks = [], []
        limit = self._bounded(f"`gateway_w`.`gateway_rows` <= {self._rule.rows}", "gateway_w", "gateway_rows")
        checks.append(limit)
        at = 0
        given = self._asked.rows[0] if self._asked.rows else ()
        for column, there in zip(self._columns(), given, strict=True):
            mine = f"`gateway_t`.`{column.name}`"
            if not there:
                sets.append(f"{mine} = DEFAULT")
                continue
            at += 1
            value, here = f"`gateway_a`.`gateway_v{at}`", f"`gateway_w`.`gateway_v{at}`"
            conditions = self._conditions(column, here)
            if conditions:
                value = value.join(self._cast(column))
                checks += [self._bounded(one, "gateway_w", "gateway_scope") for one in conditions]
            selected.append(f"{value} AS `gateway_v{at}`")
            sets.append(f"{mine} = {here}")
        selected += ["COUNT(*) OVER () AS `gateway_rows`", "1 AS `gateway_scope`"]
        verb = "UPDATE" if self._asked.verb == "UPDATE" else "DELETE `gateway_t` FROM"
        joined = (f"`gateway_t`.`{key}` = `gateway_w`.`gateway_k{at}`" for at, key in enumerate(keys, 1))
        tail = (
            f") AS `gateway_a` LIMIT {_TOO_MUCH}) AS `gateway_w` STRAIGHT_JOIN {self._table} AS `gateway_t`"
            f" FORCE INDEX (PRIMARY) ON {' AND '.join(joined)}"
        )
        tail += f" SET {', '.join(sets)}" if sets else ""
        if self._view.policy.tables[self._relation.qualified].scope.kind != "none":
            mine = rows_in_scope(self._relation.qualified, "gateway_t", 0, self._view, self._grammar)
            checks.append(f"({mine})")
        return f"{verb} (SELECT {', '.join(selected)} FROM (", f"{tail} WHERE {' AND '.join(checks)}"

    def _bounded(self, condition: str, source: str, mark: str) -> str:
        return f"CASE WHEN ({condition}) THEN TRUE ELSE {_TOO_MUCH} + `{source}`.`{mark}` END"

    def _asked_for(self, words: list[Word]) -> list[Word]:
        """The question without the names, the key and the fence of ours, its written table like any other."""
        relation, keys = self._relation, self._view.catalog.keys[self._relation.qualified]
        source = next((at for at, depth in _depths(words) if depth == 0 and words[at][1].upper() == "FROM"), 0)
        _require(source > 0, "the question reads nothing")
        among = self._shown.get(relation.qualified, ())
        keyed = approved_table(relation, among, self._view, self._grammar, keys)
        behind = words[source + 1 :]
        _require(behind[: len(keyed)] == keyed, "the rows that are written are not those of the customer")
        alias = self.words(f"AS `{self._asked.alias}`")
        _require(behind[len(keyed) : len(keyed) + 2] == alias, "the written relation has another name")
        selected = words[1:source]
        _require(words[0][1] == "SELECT", "the question is no SELECT")
        ends = ", ".join(f"`{self._asked.alias}`.`gateway_k{at}` AS `gateway_k{at}`" for at in range(1, len(keys) + 1))
        last = self.words(f", {ends}")
        _require(selected[-len(last) :] == last, "the question does not say which rows it means")
        made = [words[0], *_unnamed(selected[: -len(last)]), words[source]]
        made += approved_table(relation, among, self._view, self._grammar)
        rest = behind[len(keyed) :]
        if not self._asked.question.tree.args.get("limit"):
            fence = self.words(f"LIMIT {_TOO_MUCH}")
            _require(rest[-2:] == fence, "the fence is missing")
            rest = rest[:-2]
        return made + rest

    # INSERT

    def inserting(self, words: list[Word]) -> list[Word]:
        """The values of an INSERT, as a SELECT of the person's."""
        columns = self._columns()
        added = self._customer({one.name for one in columns})
        names = [*(one.name for one in columns), *([added[0]] if added else [])]
        head = self.words(f"INSERT INTO {self._table} ({', '.join(f'`{one}`' for one in names)}) VALUES")
        _require(words[: len(head)] == head, "the outer statement changed")
        rows = _parted(words[len(head) :])
        _require(len(rows) == len(self._asked.rows) <= self._rule.rows, "too many rows")
        values: list[Word] = []
        for row, given in zip(rows, self._asked.rows, strict=True):
            _require(row[0][1] == "(" and row[-1][1] == ")", "a row is none")
            items = _parted(row[1:-1])
            _require(len(items) == len(names), "a row has another width")
            if added:
                _require(items.pop() == self.words(added[1]), "a row is another customer's")
            for column, there, item in zip(columns, given, items, strict=True):
                if there:
                    values += [*(self.words(",") if values else ()), *self._unbound(column, item)]
                else:
                    _require(item == self.words("DEFAULT"), f"`{column.name}` is set to something else")
        return [*self.words("SELECT"), *(values or self.words("1"))]

    def _customer(self, given: set[str]) -> tuple[str, str] | None:
        """The column that says whose a row is, and its value, where the statement names none."""
        view, table = self._view, self._relation.qualified
        scope = view.policy.tables[table].scope
        if scope.kind == "none" or scope.column in given:
            return None
        column, customers = self._relation.column(scope.column), set(view.customers)
        if scope.kind != "customer" or column is None or len(customers) != 1:
            raise unproven("a row without a customer")
        return scope.column, literal_sql(customers.pop(), column)

    def _unbound(self, column: Column, item: list[Word]) -> list[Word]:
        """The value that stands under its conditions."""
        here = f"`gateway_b`.`{column.name}`"
        conditions = self._conditions(column, here)
        if not conditions:
            return item
        before, after = self._cast(column)
        first = self.words(f"(SELECT {here} FROM (SELECT {before}")
        checks = " AND ".join(self._bounded(one, "gateway_b", "gateway_scope") for one in conditions)
        row = f"{after} AS `{column.name}`, 1 AS `gateway_scope` LIMIT {_TOO_MUCH}) AS `gateway_b`"
        last = self.words(f"{row} WHERE {checks})")
        _require(
            item[: len(first)] == first and item[-len(last) :] == last, f"`{column.name}` is set without its conditions"
        )
        return item[len(first) : -len(last)]


def _depths(words: Sequence[Word]) -> list[tuple[int, int]]:
    found, depth = [], 0
    for at, (kind, _) in enumerate(words):
        depth -= kind is not None and kind.name == "R_PAREN"
        found.append((at, depth))
        depth += kind is not None and kind.name == "L_PAREN"
        _require(depth >= 0, "parentheses that do not pair up")
    _require(depth == 0, "parentheses that do not pair up")
    return found


def _parted(words: list[Word]) -> list[list[Word]]:
    """The parts between commas that no parentheses are around."""
    parts: list[list[Word]] = [[]]
    for at, depth in _depths(words):
        if depth == 0 and words[at][0].name == "COMMA":
            parts.append([])
        else:
            parts[-1].append(words[at])
    _require(all(parts), "a part between commas is missing")
    return parts


def _unnamed(words: list[Word]) -> list[Word]:
    """Outputs without the names of ours that each must have."""
    made: list[Word] = []
    for number, part in enumerate(_parted(words), start=1):
        ends = len(part) > 2 and part[-2][1] == "AS" and part[-1][0].name == "IDENTIFIER"
        _require(ends and part[-1][1] == f"gateway_v{number}", "a value has another name")
        made += [*([(TokenType.COMMA, ",")] if made else ()), *part[:-2]]
    return made
