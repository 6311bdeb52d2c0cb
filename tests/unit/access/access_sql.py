"""What stands in for the analysis and the gate where access is tested: statements of one simple form.

`update employees set status = 'x' where id = 7` may be written with any spacing, case and comments; its digest is that
of the canonical form. The preview is whatever the test says; who looked, and under which grant, is kept.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Refusal
from gateway.model import Preview, Session, Write

ROWS = Preview(("id", "status", "new"), (("7", "on_leave", "active"),))

_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_FORM = re.compile(r"update (\w+) set (\w+) = ('[^']*'|\$1) where (.+)", re.IGNORECASE)


@dataclass
class Sql:
    """Studies statements for the policies of a world; `refusal`, `salt` and `rows` make it answer otherwise."""

    world: Any
    refusal: Refusal | None = None
    salt: str = ""
    rows: int = 1
    asked: list[tuple[str, tuple[str, ...], frozenset[tuple[str, str]], str]] = field(default_factory=list)

    def __call__(
        self, target: str, customers: tuple[str, ...], reveal: frozenset[tuple[str, str]], text: str
    ) -> Write | Refusal:
        self.asked.append((target, customers, reveal, text))
        if self.refusal is not None:
            return self.refusal
        found = _FORM.fullmatch(" ".join(_COMMENT.sub(" ", text).split()))
        if found is None:
            return Refusal("request-invalid", "the statement does not write")
        relation, column, value, where = found.groups()
        qualified, column = f"public.{relation.lower()}", column.lower()
        rule = self.world.policies[target].write.get(qualified)
        if rule is None or column not in rule.update:
            return Refusal("column-not-available", f"`{column}` may not be written")
        canonical = f"UPDATE {relation.lower()} SET {column} = {value} WHERE {where}"
        digest = hashlib.sha256((canonical + self.salt).encode()).hexdigest()
        preview = f"SELECT id, {column}, {value} AS new FROM {qualified} WHERE {where}"
        return Write(
            "UPDATE", qualified, (column,), self.rows, rule.approval, canonical, digest, preview, value == "$1"
        )


@dataclass
class Look:
    """Answers previews, and keeps who looked; `check` is access's, asked as the gate would."""

    world: Any
    answer: Preview | Refusal = ROWS
    looked: list[tuple[Session, str]] = field(default_factory=list)
    checks: list[Refusal | None] = field(default_factory=list)

    async def __call__(self, session: Session, text: str) -> Preview | Refusal:
        self.looked.append((session, text))
        self.checks.append(self.world.access.check(session))
        return self.answer
