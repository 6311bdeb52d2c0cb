"""A statement that writes, cut into what it names and the question about rows that it asks.

    UPDATE employees e SET status = lower(e.status), visits = DEFAULT WHERE e.id = 1 LIMIT 5
    -- asks
    SELECT (lower(e.status)) FROM employees e WHERE e.id = 1 LIMIT 5

The words that it is cut at are reserved in MySQL and MariaDB, so where nothing is around them they are no names; the
question is read as any SELECT is (MySQL 8.4 Reference Manual, "Data Manipulation Statements", "Keywords").

INVARIANT: what has no place in these forms is refused here, with words; nothing of a statement is left unread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from gateway.errors import GatewayError
from gateway.sql.statement import Limits
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.reading import Read, read, words

_NAMES = (TokenType.IDENTIFIER, TokenType.VAR)
_END = frozenset({"WHERE", "ORDER", "LIMIT", "RETURNING", "USING"})
_SELECT = frozenset({"expressions", "from_", "where", "order", "limit"})
_MODIFIERS = frozenset({"LOW_PRIORITY", "IGNORE", "QUICK", "DELAYED", "HIGH_PRIORITY"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person wrote. `schema` is empty where he named none; `columns` are as he spelled them.

    `rows` says of each value whether it is there (else it is DEFAULT); those that are, are the columns of `question`
    in that order. Of an UPDATE it is one row, of a DELETE none.
    """

    verb: str
    schema: str
    name: str
    alias: str
    columns: tuple[str, ...]
    rows: tuple[tuple[bool, ...], ...]
    question: Read

    @property
    def values(self) -> list[exp.Expr]:
        """The values that are there."""
        return list(self.question.tree.expressions) if any(any(row) for row in self.rows) else []


def asked(text: str, grammar: Grammar, limits: Limits) -> Asked:
    """The statement of a text that begins with INSERT, UPDATE or DELETE. Raises: GatewayError."""
    cut = _Cut(text, words(text, grammar, limits))
    verb = cut.word(0)
    found = _READERS[verb](cut, grammar, limits)
    _judge_question(found)
    return found


class _Cut:
    """A text and its words; places are numbers of words."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self.text, self.tokens = text, tokens
        self.depths: list[int] = []
        depth = 0
        for token in tokens:
            depth -= token.token_type == TokenType.R_PAREN
            if depth < 0:
                break
            self.depths.append(depth)
            depth += token.token_type == TokenType.L_PAREN
        if depth:
            raise GatewayError("syntax-error", "the parentheses of the statement do not pair up")

    def __len__(self) -> int:
        return len(self.tokens)

    def word(self, at: int) -> str:
        """A bare word in capitals; empty for anything else, and behind the end."""
        if at >= len(self.tokens) or self.tokens[at].token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            return ""
        return self.tokens[at].text.upper().split(None, 1)[0] if self.tokens[at].text.strip() else ""

    def is_a(self, at: int, kind: TokenType) -> bool:
        return at < len(self.tokens) and self.tokens[at].token_type == kind

    def slice(self, start: int, end: int) -> str:
        """The text of those words."""
        return self.text[self.tokens[start].start : self.tokens[end - 1].end + 1] if start < end else ""

    def value(self, start: int, end: int) -> str:
        """The text of a value, in one pair of parentheses."""
        text, inside = self.slice(start, end), self.depths[start] + 1
        whole = self.is_a(start, TokenType.L_PAREN) and self.is_a(end - 1, TokenType.R_PAREN)
        if whole and all(self.depths[at] >= inside for at in range(start + 1, end - 1)):
            return text
        return f"({text})"

    def find(self, start: int, wanted: frozenset[str], depth: int = 0) -> int:
        """The first of these words from there that stands alone at that depth; the end where there is none."""
        for at in range(start, len(self.tokens)):
            if self.depths[at] == depth and self.word(at) in wanted:
                return at
        return len(self.tokens)

    def parted(self, start: int, end: int, depth: int) -> list[tuple[int, int]]:
        """Where the parts between commas begin and end. Raises: GatewayError for one that is empty."""
        parts, begin = [], start
        for at in range(start, end + 1):
            if at == end or (self.depths[at] == depth and self.tokens[at].token_type == TokenType.COMMA):
                if begin == at:
                    raise GatewayError("syntax-error", "between two commas nothing is written")
                parts.append((begin, at))
                begin = at + 1
        return parts

    def name(self, at: int) -> str:
        """A name. Raises: GatewayError."""
        token = self.tokens[at] if at < len(self.tokens) else None
        bare = token is not None and token.text.isidentifier() and token.token_type != TokenType.STRING
        if token is None or not (token.token_type in _NAMES or bare):
            raise GatewayError("syntax-error", "a name is missing")
        return token.text


def _table(cut: _Cut, start: int, end: int) -> tuple[str, str, str]:
    """Schema, name and alias of the one table that stands there. Raises: GatewayError."""
    word = cut.word(start)
    if word in _MODIFIERS:
        raise _unsupported(f"{word} is not supported where something is written", f"leave {word} out")
    at = start
    schema, name = "", cut.name(at)
    at += 1
    if at < end and cut.is_a(at, TokenType.DOT):
        schema, name = name, cut.name(at + 1)
        at += 2
    if at < end and cut.word(at) == "AS":
        at += 1
    alias = name
    if at == end - 1:
        alias = cut.name(at)
        at += 1
    if at != end:
        raise _unsupported("one statement writes to one table here, named with an alias at most",
                           "say what depends on other tables in WHERE, with IN (SELECT …)")  # fmt: skip
    return schema, name, alias


def _update(cut: _Cut, grammar: Grammar, limits: Limits) -> Asked:
    where = cut.find(1, frozenset({"SET"}))
    if where == len(cut):
        raise GatewayError("syntax-error", "UPDATE has no SET")
    schema, name, alias = _table(cut, 1, where)
    end = cut.find(where + 1, _END)
    _judge_end(cut, end)
    columns, values = [], []
    for start, stop in cut.parted(where + 1, end, 0):
        column, value = _assignment(cut, start, stop, schema, name, alias)
        columns.append(column)
        values.append(value)
    table = cut.slice(1, where)
    return _made(cut, "UPDATE", (schema, name, alias), columns, [values], f" FROM {table}", end, grammar, limits)


def _assignment(
    cut: _Cut, start: int, stop: int, schema: str, name: str, alias: str
) -> tuple[str, tuple[int, int] | None]:
    at = start
    parts = [cut.name(at)]
    while at + 1 < stop and cut.is_a(at + 1, TokenType.DOT):
        at += 2
        parts.append(cut.name(at))
    if at + 2 >= stop or not cut.is_a(at + 1, TokenType.EQ):
        raise GatewayError("syntax-error", "SET takes column = value")
    column = parts.pop()
    if parts not in ([], [alias]) and not (alias == name and schema and parts == [schema, name]):
        raise GatewayError("column-not-available", f"SET names another table than `{alias[:64]}`")
    default = stop == at + 3 and cut.word(at + 2) == "DEFAULT"
    return column, None if default else (at + 2, stop)


def _delete(cut: _Cut, grammar: Grammar, limits: Limits) -> Asked:
    if cut.word(1) in _MODIFIERS:
        _table(cut, 1, 2)
    if cut.word(1) != "FROM":
        raise _unsupported("one DELETE takes rows of one table here", "write DELETE FROM name WHERE …")
    end = cut.find(2, _END)
    _judge_end(cut, end)
    table = _table(cut, 2, end)
    return _made(cut, "DELETE", table, [], [], f" FROM {cut.slice(2, end)}", end, grammar, limits)


def _insert(cut: _Cut, grammar: Grammar, limits: Limits) -> Asked:
    start = 2 if cut.word(1) == "INTO" else 1
    set_form = cut.find(start, frozenset({"SET"}))
    values_at = cut.find(start, frozenset({"VALUES", "VALUE"}))
    if set_form < values_at:
        return _insert_set(cut, start, set_form, grammar, limits)
    head = values_at
    opens = next((at for at in range(start, head) if cut.is_a(at, TokenType.L_PAREN)), head)
    schema, name, alias = _table(cut, start, opens)
    if values_at == len(cut):
        raise _unsupported("only INSERT … VALUES is supported here",
                           "select the rows first, and insert them with VALUES")  # fmt: skip
    if opens == head or not cut.is_a(head - 1, TokenType.R_PAREN) or alias != name or head - opens < 3:
        raise _unsupported("an INSERT needs the names of its columns", f"write them in parentheses after `{name[:64]}`")
    columns = []
    for begin, stop in cut.parted(opens + 1, head - 1, 1):
        if stop != begin + 1:
            raise GatewayError("syntax-error", "a column of an INSERT is named by its name alone")
        columns.append(cut.name(begin))
    rows = []
    at = values_at + 1
    while True:
        if not cut.is_a(at, TokenType.L_PAREN):
            raise _unsupported("only INSERT … VALUES (…), (…) is supported here",
                               "select the rows first, and insert them with VALUES")  # fmt: skip
        close = next((end for end in range(at + 1, len(cut)) if cut.depths[end] == 0), len(cut))
        if close == at + 1 or close == len(cut):
            raise GatewayError("syntax-error", "each row of VALUES needs its values")
        rows.append([
            None if stop == begin + 1 and cut.word(begin) == "DEFAULT" else (begin, stop)
            for begin, stop in cut.parted(at + 1, close, 1)
        ])  # fmt: skip
        at = close + 1
        if not cut.is_a(at, TokenType.COMMA):
            break
        at += 1
    _judge_rest(cut, at)
    return _made(cut, "INSERT", (schema, name, name), columns, rows, "", len(cut), grammar, limits)


def _insert_set(cut: _Cut, start: int, where: int, grammar: Grammar, limits: Limits) -> Asked:
    schema, name, alias = _table(cut, start, where)
    end = cut.find(where + 1, frozenset({"ON", "RETURNING", "AS"}))
    _judge_rest(cut, end)
    columns, values = [], []
    for begin, stop in cut.parted(where + 1, end, 0):
        column, value = _assignment(cut, begin, stop, schema, name, alias)
        columns.append(column)
        values.append(value)
    return _made(cut, "INSERT", (schema, name, name), columns, [values], "", len(cut), grammar, limits)


_READERS = {"UPDATE": _update, "DELETE": _delete, "INSERT": _insert}


def _judge_rest(cut: _Cut, at: int) -> None:
    """Nothing, when an INSERT ends there. Raises: GatewayError."""
    word = cut.word(at)
    if word == "ON":
        raise _unsupported("ON DUPLICATE KEY UPDATE is not supported here",
                           "insert what is new, and update what is there with a statement of its own")  # fmt: skip
    if word == "RETURNING":
        raise _unsupported("RETURNING is not supported here", "leave it out; the answer says the row's new number")
    if at < len(cut):
        raise _unsupported("something is behind the values of an INSERT", "end the statement with its values")


def _judge_end(cut: _Cut, at: int) -> None:
    word = cut.word(at)
    if word == "RETURNING" or cut.find(at, frozenset({"RETURNING"})) < len(cut):
        raise _unsupported("RETURNING is not supported here", "SELECT the rows with a statement of its own")
    if word == "USING":
        raise _unsupported("USING is not supported in a DELETE",
                           "say what depends on other tables in WHERE, with IN (SELECT …)")  # fmt: skip


def _made(
    cut: _Cut, verb: str, table: tuple[str, str, str], columns: Sequence[str],
    rows: Sequence[Sequence[tuple[int, int] | None]], source: str, rest: int, grammar: Grammar, limits: Limits,
) -> Asked:  # fmt: skip
    given = [cut.value(*value) for row in rows for value in row if value is not None]
    tail = f" {cut.slice(rest, len(cut))}" if rest < len(cut) else ""
    question = read(f"SELECT {', '.join(given) or '(1)'}{source}{tail}", grammar, limits)
    there = tuple(tuple(value is not None for value in row) for row in rows)
    if len(question.tree.expressions) != max(1, len(given)):
        raise GatewayError("syntax-error", "a value is not what is written between its commas")
    return Asked(verb, *table, tuple(columns), there, question)


def _judge_question(found: Asked) -> None:
    """Nothing, where the question has the parts of an UPDATE, and no others. Raises: GatewayError."""
    tree = found.question.tree
    given = {name for name, part in tree.args.items() if part not in (None, False, [], "")}
    source = tree.args.get("from_")
    if not isinstance(tree, exp.Select) or not given <= _SELECT or (source is None) != (found.verb == "INSERT"):
        raise _unsupported("the statement has a part that nothing that writes has",
                           "WHERE, ORDER BY and LIMIT with one number are supported")  # fmt: skip
    if source is not None and not isinstance(source.this, exp.Table):
        raise _unsupported("what is written is no table")
    order = tree.args.get("order")
    if order is not None and any(isinstance(one.this, exp.Literal) for one in order.expressions):
        raise _unsupported("ORDER BY takes columns where something is written")


def _unsupported(message: str, hint: str = "") -> GatewayError:
    return GatewayError("statement-not-supported", message, hint)
