"""Text to parse tree, within bounds, and text without its literals.

INVARIANT: nothing reaches libpg_query's recursive C code that could exhaust its stack. It was measured to fail at about
1,500 nested sub-queries and somewhere between 4,000 and 20,000 links of an operator chain; `_measure` bounds both from
the token list, far below that, and the tree's own depth is bounded afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres.tree import Message, concrete, parts, refuse
from gateway.sql.statement import Limits

_TOKEN = {value.name: value.number for value in pb.Token.DESCRIPTOR.values}
_OPENING = frozenset({_TOKEN["ASCII_40"], _TOKEN["ASCII_91"], _TOKEN["CASE"]})
_CLOSING = frozenset({_TOKEN["ASCII_41"], _TOKEN["ASCII_93"]})
_END = _TOKEN["END_P"]
_CASE = _TOKEN["CASE"]
_SEMICOLON = _TOKEN["ASCII_59"]
# After one of these the next operand starts a branch of its own: what stood before does not deepen it.
_BRANCHING = frozenset(
    _TOKEN[name] for name in ("ASCII_44", "AND", "OR", "WHEN", "THEN", "ELSE", "WHERE", "ON", "SELECT", "FROM")
)
# These deepen the tree whatever stands between them.
_LINKING = frozenset(_TOKEN[name] for name in ("UNION", "INTERSECT", "EXCEPT", "JOIN"))
_LITERAL = frozenset(_TOKEN[name] for name in ("SCONST", "USCONST", "BCONST", "XCONST", "ICONST", "FCONST"))
_NAME = frozenset({_TOKEN["IDENT"], _TOKEN["UIDENT"]})
_LITERAL_OR_NAME = _LITERAL | _NAME
_TYPOGRAPHIC = tuple(
    quote.encode() for quote in "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\uff07\uff02"
)
_COMMENT = frozenset({_TOKEN["SQL_COMMENT"], _TOKEN["C_COMMENT"]})
_PARAM = _TOKEN["PARAM"]
_LONGEST_PATH = 3_000
_SHORTER = "give the values as one array: `id = any ('{1,2,3}')`, or send it in parts"
_FLATTER = "name its inner queries in WITH, or send it in parts"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text and its tree. `raw` is the text in UTF-8, which every position of the tree counts in."""

    text: str
    raw: bytes
    tree: Message
    tokens: tuple[Message, ...]


def parse(text: str, limits: Limits) -> Parsed:
    """The tree of a text that came from outside.

    Raises: Refused (`statement-too-long`, `statement-too-complex`, `syntax-error`).
    """
    raw = encoded(text, limits)
    try:
        tokens = tuple(postgast.scan(text).tokens)
    except postgast.PgQueryError as error:
        refuse("syntax-error", _message(error), location=error.cursorpos - 1)
    _measure(tokens, limits)
    tree = parse_tree(text)
    if len(tree.stmts) > limits.statements:
        refuse("statement-too-complex", f"more than {limits.statements} statements in one text", "send them one by one")
    _measure_depth(tree, limits)
    return Parsed(text, raw, tree, tokens)


def encoded(text: str, limits: Limits) -> bytes:
    """The text in UTF-8, when it is within the limit on its length and holds nothing that C would cut at.

    Raises: Refused.
    """
    if len(text) > limits.text:
        refuse(
            "statement-too-long",
            f"the statement is longer than {limits.text} bytes",
            "split it, or load the values first",
        )
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        refuse("syntax-error", "the statement is not valid UTF-8", "set your client's encoding to UTF-8")
    if len(raw) > limits.text:
        refuse(
            "statement-too-long",
            f"the statement is longer than {limits.text} bytes",
            "split it, or load the values first",
        )
    if b"\0" in raw:
        # FAIL CLOSED: the C parser would read up to the NUL and judge only half of the text.
        refuse("syntax-error", "the statement holds a NUL character", "leave it out: PostgreSQL's text has none")
    return raw


def parse_tree(text: str) -> Message:
    """The tree of a text whose bounds are known.

    Raises: Refused (`syntax-error`).
    """
    try:
        return postgast.parse(text)
    except postgast.PgQueryError as error:
        refuse("syntax-error", _message(error), location=error.cursorpos - 1)


def expression(sql: str) -> Message:
    """The node of one SQL expression of ours."""
    return postgast.parse(f"SELECT {sql}").stmts[0].stmt.select_stmt.target_list[0].res_target.val


def fingerprint(text: str) -> str:
    """The structure of a text as 16 hex digits, whatever its literals."""
    return str(postgast.fingerprint(text).hex)


def normalised(parsed: Parsed) -> str:
    """The text with every literal and comment taken out, statement by statement."""
    highest = max((_number(parsed.raw, token) for token in parsed.tokens if token.token == _PARAM), default=0)
    made = []
    for statement in parsed.tree.stmts:
        setting = concrete(statement.stmt)
        if type(setting) is pb.VariableSetStmt and setting.args and setting.kind != pb.VAR_SET_MULTI:
            made.append(f"SET {'LOCAL ' if setting.is_local else ''}{setting.name} TO ${highest + 1}")
            highest += 1
            continue
        start = statement.stmt_location
        end = start + statement.stmt_len if statement.stmt_len else len(parsed.raw)
        piece, highest = _without_literals(parsed, start, end, highest)
        made.append(piece)
    return "; ".join(made)


def canonical_normalised(parsed: Parsed) -> str:
    """The same for a text of the deparser's, which holds no comments and is spaced evenly already."""
    if any(statement.stmt.WhichOneof("node") == "variable_set_stmt" for statement in parsed.tree.stmts):
        return normalised(parsed)
    raw = parsed.raw
    kinds = [token.token for token in parsed.tokens]
    highest = 0
    if _PARAM in kinds:
        highest = max(_number(raw, token) for token in parsed.tokens if token.token == _PARAM)
    # the masks of a wide relation are thousands of tokens: only those are looked at closely that can be values
    wanted = _LITERAL_OR_NAME if any(quote in raw for quote in _TYPOGRAPHIC) else _LITERAL
    pieces, at = [], 0
    for kind, token in zip(kinds, parsed.tokens, strict=True):
        if kind in wanted and _is_value(raw, token):
            highest += 1
            pieces += [raw[at : token.start], b"$%d" % highest]
            at = token.end
    pieces.append(raw[at:])
    return b"".join(pieces).decode()


def _without_literals(parsed: Parsed, start: int, end: int, highest: int) -> tuple[str, int]:
    pieces: list[bytes] = []
    at = -1
    for token in parsed.tokens:
        if token.start < start or token.start >= end or token.token in _COMMENT or token.token == _SEMICOLON:
            continue
        if at >= 0 and token.start > at:
            pieces.append(b" ")
        if _is_value(parsed.raw, token):
            highest += 1
            pieces.append(b"$%d" % highest)
        else:
            pieces.append(parsed.raw[token.start : token.end])
        at = token.end
    return b"".join(pieces).decode(), highest


def _is_value(raw: bytes, token: Message) -> bool:
    # Editors and phones turn quotes into these, and to PostgreSQL what they surround is a name.
    return token.token in _LITERAL or (
        token.token in _NAME and any(quote in raw[token.start : token.end] for quote in _TYPOGRAPHIC)
    )


def hides_values(parsed: Parsed) -> bool:
    """Whether `normalised` takes anything out: a literal, or a comment."""
    return any(token.token in _COMMENT or _is_value(parsed.raw, token) for token in parsed.tokens)


def _number(raw: bytes, token: Message) -> int:
    digits = raw[token.start + 1 : token.end]
    return int(digits) if digits.isdigit() and len(digits) < 10 else 0


def _measure(tokens: tuple[Message, ...], limits: Limits) -> None:
    if len(tokens) > limits.tokens:
        refuse("statement-too-complex", f"the statement has more than {limits.tokens} tokens", _SHORTER)
    closed, links, run, path, opened = 0, 0, 0, 0, []
    for item in tokens:
        token = item.token
        if token in _OPENING:
            opened.append((links, run, token))
            path += links + run
            links, run = 0, 0
            if len(opened) > limits.nesting:
                refuse(
                    "statement-too-complex", f"the statement is nested more than {limits.nesting} levels deep", _FLATTER
                )
        elif opened and (token in _CLOSING or (token == _END and opened[-1][2] == _CASE)):
            links, run, _ = opened.pop()
            path -= links + run
            run += 1
            closed += 1
        elif token in _LINKING:
            links, run = links + 1, 0
        elif token == _SEMICOLON and not opened:
            links, run = 0, 0
        elif token in _BRANCHING:
            run = 0
        else:
            run += 1
        if path + links + run > _LONGEST_PATH:
            refuse("statement-too-complex", "an expression of the statement has too many parts in a row", _SHORTER)


def _measure_depth(tree: Message, limits: Limits) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > limits.depth:
            refuse("statement-too-complex", f"the statement is more than {limits.depth} levels deep", _FLATTER)
        below: list[Message] = []
        for message in level:
            for part in parts(message):
                inner = concrete(part)
                if inner is not None and type(inner) is not pb.A_Const:
                    below.append(inner)
        level = below


def _message(error: postgast.PgQueryError) -> str:
    # The parser quotes the user's own text and nothing else.
    return str(error.message[:200])
