"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError

OK = "ok"
WARN = "warn"
FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result: `ok`, `warn` or `fail`, what was found, and how to mend it."""

    check: str
    level: str
    message: str
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        """The finding as `--output json` has it."""
        return {"check": self.check, "level": self.level, "message": self.message, "mend": self.mend}


def failed(check: str, error: GatewayError, mend: str = "") -> Finding:
    """A failed check that ended in a refusal; the operator sees its detail."""
    refusal = error.refusal
    message = f"{refusal.message} ({refusal.detail})" if refusal.detail else refusal.message
    return Finding(check, FAIL, message, refusal.hint or mend)
