"""The sub-processor as a child process of the demonstration, and what it received."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from gateway.demo.service import Service

SIMULATOR = "simulator"


class Simulator(Service):
    """The process. It keeps what it is sent, as sub-processors do."""

    name: ClassVar[str] = SIMULATOR
    title: ClassVar[str] = "payslip simulator"
    usual_port: ClassVar[int] = 8445

    @property
    def kept(self) -> Path:
        """Where it keeps it: a line of JSON for each request."""
        return self.directory / "received.jsonl"

    def received(self) -> list[dict[str, Any]]:
        """All that reached it since it started, oldest first."""
        return [json.loads(line) for line in self.kept.read_text(encoding="utf-8").splitlines()]

    def settings(self) -> dict[str, Any]:
        """See `Service`."""
        self.kept.unlink(missing_ok=True)
        self.kept.touch(0o600)
        return {"kept": str(self.kept)}
