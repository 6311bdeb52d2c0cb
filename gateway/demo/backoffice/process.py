"""The back office as a child process of the demonstration, and how the gateway's configuration names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.demo.service import Service

OFFICE = "backoffice"


class Office(Service):
    """The process, over the payroll database."""

    name: ClassVar[str] = OFFICE
    title: ClassVar[str] = "back office"
    usual_port: ClassVar[int] = 8444

    def __init__(self, directory: Path, postgres: EmbeddedPostgres, port: int = 0) -> None:
        super().__init__(directory, port)
        self._postgres = postgres

    def settings(self) -> dict[str, Any]:
        """See `Service`."""
        return {"dsn": self._postgres.dsn(BACKEND_ROLE)}
