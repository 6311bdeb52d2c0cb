"""What the policy says of a statement of MySQL's that runs all the same: the plan of a text at an observed target.

The verdict is the ordinary one, of `analyse`, for each statement of the text. What the record shows is told from the
text's words alone, since what runs are the client's own bytes: its words without values, its verbs, the relations that
it mentions. Nothing of such a plan is ever sent.

INVARIANT: a value, a comment that no server runs, or what stands in double quotes is in none of it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from gateway.errors import Refusal
from gateway.sql.mysql.analysis import analyse
from gateway.sql.mysql.lexer import MOST, unquoted
from gateway.sql.mysql.pieces import MARK, NAME, VALUE, WORD, Piece, pieces, statements
from gateway.sql.mysql.pins import fingerprint
from gateway.sql.mysql.refused import is_known
from gateway.sql.said import MOST_SUBJECTS, Subject
from gateway.sql.statement import Kind, Plan, View

_SHOWN, _SHOWN_OF_END = 6144, 2048
_MOST_RELATIONS = 100
_LETTERS = re.compile(r"(?:\d\D*){5}|(?:[^\W\d_].*){3}", re.DOTALL)
"""What a value must have at least to tell who somebody is."""
_OBJECTS = frozenset({
    "TABLE", "VIEW", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "USER", "ROLE", "DATABASE", "SCHEMA", "INDEX",
    "SERVER", "SEQUENCE", "PACKAGE", "DATA", "XML", "IMMEDIATE", "TABLES",
})  # fmt: skip
_OF_OBJECTS = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "LOAD", "EXECUTE", "LOCK", "UNLOCK"})
"""Verbs to which the first such word belongs."""
_BEFORE = frozenset(
    {"from", "join", "into", "update", "table", "tables", "describe", "desc", "call", "view", "truncate"}
)
"""What a name of a relation follows."""
_BEGINNINGS = frozenset({
    "SELECT", "WITH", "SET", "SHOW", "DESCRIBE", "DESC", "USE", "KILL", "BEGIN", "START", "COMMIT", "ROLLBACK",
    "SAVEPOINT", "RELEASE", "IF", "WHILE", "LOOP", "REPEAT", "CASE", "FOR",
})  # fmt: skip
"""What statements begin with, beside what `refused` knows."""
_KEYWORDS = frozenset({
    "select", "set", "if", "exists", "not", "ignore", "low_priority", "quick", "delayed", "high_priority", "lateral",
    "outfile", "dumpfile", "dual", "table", "tables", "only", "or", "replace",
})  # fmt: skip


def judged(text: str, view: View) -> Plan | Refusal:
    """What the view's target makes of a text: `observed_plan` where it is observed, and everywhere else `analyse`."""
    return observed_plan(text, view) if view.policy.observed else analyse(text, view)


def may_load(raw: bytes) -> bool:
    """Whether the text can ask for a file of the client's: keywords have no other spelling, but EXECUTE runs others."""
    lower = raw.lower()
    return (b"load" in lower and b"local" in lower) or b"execute" in lower


def command_plan(command: str) -> Plan:
    """The plan of a command of the protocol that has no text."""
    return Plan("", (Kind.UTILITY,), (command,), command, "", fingerprint(command), conceals=False)


def observed_plan(text: str, view: View) -> Plan:
    """The plan of a text that will run whatever the plan says. Pure, and never raises."""
    raw = text.encode("utf-8", "surrogatepass")
    found = pieces(raw)
    if found is None:
        unread = Refusal("syntax-error", "a string, a name or a comment does not end, or ends where nobody can tell")
        return Plan("", (), (), "", "", "", would=unread, copies=may_load(raw))
    parts = statements(found)
    plans = [_judged(part, raw, view) for part in parts[:MOST]]
    would = next((plan for plan in plans if isinstance(plan, Refusal)), None)
    if would is None and len(parts) > MOST:
        would = Refusal("statement-too-complex", f"the text has more than {MOST} statements", "send them one by one")
    shown = _shown(parts)
    plan = _joined([plan for plan in plans if isinstance(plan, Plan)])
    return replace(
        plan,
        verbs=_verbs(parts),
        normalised=shown,
        fingerprint=fingerprint(shown),
        relations=_relations(parts, plan.relations, view),
        write=plan.write if len(parts) == 1 else None,
        defines=tuple(name for part in parts for name in _named(part, "prepare")),
        uses=tuple(name for part in parts for name in _named(part, "execute")),
        would=would,
        copies=may_load(raw),
        conceals=any(one.kind == VALUE for one in found) or b"/*" in raw or b"#" in raw or b"--" in raw,
        subjects=_subjects(found, view, plan.subjects),
    )


def outlined(found: list[Piece]) -> dict[str, str]:
    """What the pieces of a text tell for its record."""
    parts = statements(found)
    return {"verb": "; ".join(_verbs(parts)), "sql": _shown(parts)}


def _judged(part: list[Piece], raw: bytes, view: View) -> Plan | Refusal:
    text = raw[part[0].at : part[-1].at + len(part[-1].raw)].decode("utf-8", "replace")
    return analyse(text, view)


def _joined(plans: list[Plan]) -> Plan:
    """What all of them are together: nothing of it is sent, counted, or told as a notice."""
    kinds = tuple(kind for plan in plans for kind in plan.kinds)

    def all_of(name: str) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(one for plan in plans for one in getattr(plan, name)))

    return Plan(
        "", kinds, (), "", "", "",
        relations=all_of("relations"), columns_clear=all_of("columns_clear"), columns_masked=all_of("columns_masked"),
        columns_revealed=all_of("columns_revealed"), scope=all_of("scope"), subjects=all_of("subjects"),
        write=plans[0].write if plans else None,
    )  # fmt: skip


def _shown(parts: list[list[Piece]]) -> str:
    """The statements without their values."""
    readable = (part for part in parts if _is_statement(part))
    written = "; ".join("".join(_written(one, first=not at) for at, one in enumerate(part)) for part in readable)
    if len(written) <= _SHOWN + _SHOWN_OF_END:
        return written
    return f"{written[:_SHOWN]} ... {written[-_SHOWN_OF_END:]}"


def _is_statement(part: list[Piece]) -> bool:
    """Whether it begins as a statement does: the words of anything else may be a value that was pasted."""
    first = next((one for one in part if one.raw != b"("), part[0])
    word = first.lower.upper()
    return first.kind == WORD and (word in _BEGINNINGS or is_known(word))


def _written(piece: Piece, *, first: bool) -> str:
    text = "?" if piece.kind == VALUE else piece.raw.decode("utf-8", "replace")
    return f" {text}" if piece.apart and not first else text


def _verbs(parts: list[list[Piece]]) -> tuple[str, ...]:
    """The verb of each statement; of those beyond the first each once, so that nothing is done behind many others."""
    return (*map(_verb, parts[:MOST]), *dict.fromkeys(map(_verb, parts[MOST:])))


def _verb(part: list[Piece]) -> str:
    words = [one.lower.upper() for one in part[:16] if one.kind == WORD] if _is_statement(part) else []
    of = words[1:] if words[:1] and words[0] in _OF_OBJECTS else []
    return " ".join([*words[:1], *[one for one in of if one in _OBJECTS][:1]])


def _named(part: list[Piece], verb: str) -> list[tuple[str, str]]:
    """The prepared statement that a text makes or runs by its name."""
    if len(part) > 1 and part[0].lower == verb and part[1].kind in (WORD, NAME) and part[1].lower != "immediate":
        return [("statement", part[1].lower)]
    return []


def _relations(parts: list[list[Piece]], known: tuple[str, ...], view: View) -> tuple[str, ...]:
    """The relations that a text names: those that there are by any mention, others where only a relation can be meant.

    What a PREPARE or an EXECUTE IMMEDIATE has as a string is looked into as well.
    """
    found = dict.fromkeys(known)
    there: dict[str, list[str]] = {}
    for name, relation in view.catalog.relations.items():
        there.setdefault(relation.name.lower(), []).append(name)
    for part in filter(_is_statement, [*parts, *(inner for one in parts for inner in _inner(one))]):
        for at, one in enumerate(part):
            if one.kind not in (WORD, NAME) or len(found) >= _MOST_RELATIONS:
                continue
            if one.lower in there:
                found |= dict.fromkeys(there[one.lower])
            elif at and part[at - 1].lower in _BEFORE and (one.kind == NAME or one.lower not in _KEYWORDS):
                found[_qualified(part, at, there)] = None
    found.pop("", None)
    return tuple(found)


def _qualified(part: list[Piece], at: int, there: dict[str, list[str]]) -> str:
    if at + 2 < len(part) and part[at + 1].raw == b"." and part[at + 2].kind in (WORD, NAME):
        return "" if part[at + 2].lower in there else f"{part[at].lower}.{part[at + 2].lower}"
    return part[at].lower


def _inner(part: list[Piece]) -> list[list[Piece]]:
    values = [one for one in part[:4] if one.kind == VALUE and one.raw[:1] in (b"'", b'"')]
    if part[0].lower not in ("prepare", "execute") or not values:
        return []
    inner = pieces(unquoted(values[0].raw.decode("utf-8", "replace")).encode())
    return statements(inner) if inner is not None else []


def _subjects(found: list[Piece], view: View, known: tuple[Subject, ...]) -> tuple[Subject, ...]:
    """The values that may tell who somebody is: in a text that names a relation with identifiers, all that could.

    Too much rather than too little: a value more is a token that nobody looks for.
    """
    named = {name.lower() for name in view.policy.identified}
    if not named or not any(one.kind in (WORD, NAME) and one.lower in named for one in found):
        return known
    values: dict[Subject, None] = dict.fromkeys(known)
    marks = 0
    for one in found:
        if one.kind == MARK:
            marks += 1
            values[marks] = None
        elif one.kind == VALUE:
            value = unquoted(one.raw.decode("utf-8", "replace"))
            if _LETTERS.search(value):
                values[value] = None
    return tuple(values)[:MOST_SUBJECTS]
