"""A statement from a tape: its text for the gateway, its text for the copy, and what may be asked of the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sql_grammar.queries import Queries
from sql_grammar.schema import EMAILS
from sql_grammar.tape import Tape

_MARK = re.compile("\x01(\\d+):(\\d+)\x02")
_FORMS = ("", "", "", "", "", "", "", "", "", "", "", "", "copy", "prepare", "cursor", "parentheses")


@dataclass(frozen=True, slots=True)
class Statement:
    """A generated statement.

    `user` is what a person would send. `on_copy` is the same for a database that holds masked values, so that literals
    of exact searches are masked too; there are `searches` of them. `ordered` holds when the order of the rows is
    determined, `may_fail` when some expression can fail at run time. `used` counts the features of the grammar.
    """

    user: str
    on_copy: str
    searches: int
    ordered: bool
    may_fail: bool
    used: dict[str, int]


def statement(data: bytes, masked_email: Callable[[str], str]) -> Statement:
    """The statement that a tape writes."""
    tape = Tape(data)
    form = tape.choose(_FORMS)
    queries = Queries(tape, failing=tape.one_in(3))
    queries.parameters = [] if form == "prepare" else None
    made = queries.query(None, tape.choose((3, 2, 4, 1)))
    queries.note(f"statement: {form or 'plain'}")
    # What was written and left out again may have asked for some.
    places = set(re.findall(r"\$([0-9]+)", made.sql))
    given = [
        (kind, value if str(number) in places else "null")
        for number, (kind, value) in enumerate(queries.parameters or [], 1)
    ]
    types, values = (
        (f" ({', '.join(part)})" if part else "" for part in zip(*given, strict=True)) if given else ("", "")
    )
    first = "fetch 3 from c; " if made.ordered else ""
    sql = {
        "": "{}",
        "parentheses": "({})",
        "copy": "copy ({}) to stdout",
        "prepare": f"deallocate all; prepare p{types} as {{}}; execute p{values}",
        "cursor": f"begin; declare c cursor for {{}}; {first}fetch all from c; commit",
    }[form].replace("{}", made.sql)

    def raw(match: re.Match[str]) -> str:
        return f"'{EMAILS[int(match[2])]}'"

    def masked(match: re.Match[str]) -> str:
        return f"'{masked_email(EMAILS[int(match[2])])}'"

    return Statement(
        user=_MARK.sub(raw, sql),
        on_copy=_MARK.sub(masked, sql),
        searches=len(set(_MARK.findall(sql))),
        ordered=made.ordered,
        may_fail=queries.may_fail,
        used=queries.used,
    )
