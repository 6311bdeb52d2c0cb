"""Lines of a PostgreSQL server's log, as it writes them in JSON and CSV, and the records that belong to them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """That many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


class Server:
    """Writes a log. Each process is a connection; its lines are numbered."""

    def __init__(self, zone: str = "UTC", offset_h: float = 0) -> None:
        self.zone, self.offset = zone, timedelta(hours=offset_h)
        self.lines: list[dict[str, Any]] = []
        self._numbers: dict[int, int] = {}

    def say(
        self, pid: int, seconds: float, message: str, *, role: str = "reader", database: str = "payroll",
        port: int = 0, application: str = "", kind: str = "client backend",
    ) -> None:  # fmt: skip
        number = self._numbers[pid] = self._numbers.get(pid, 0) + 1
        self.lines.append(
            {
                "timestamp": self._spell(at(seconds)),
                "user": role,
                "dbname": database,
                "pid": pid,
                "remote_host": "10.0.0.1",
                "remote_port": port or 40_000 + pid,
                "session_id": f"6a.{pid:x}",
                "line_num": number,
                "session_start": self._spell(at(0))[:19] + f" {self.zone}",
                "error_severity": "LOG",
                "message": message,
                "application_name": application,
                "backend_type": kind,
            }
        )

    def _spell(self, moment: datetime) -> str:
        return (moment + self.offset).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + f" {self.zone}"

    def json(self, path: Path, lines: list[dict[str, Any]] | None = None) -> Path:
        """The log as `log_destination = 'jsonlog'` has it."""
        chosen = self.lines if lines is None else lines
        path.write_text("".join(json.dumps(line) + "\n" for line in chosen))
        return path

    def csv(self, path: Path) -> Path:
        """The same as `csvlog` has it: 26 columns, the client's address in one."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for line in self.lines:
            address = f"{line['remote_host']}:{line['remote_port']}"
            writer.writerow(
                [
                    line["timestamp"],
                    line["user"],
                    line["dbname"],
                    line["pid"],
                    address,
                    line["session_id"],
                    line["line_num"],
                    "SELECT",
                    line["session_start"],
                    "3/1",
                    0,
                    "LOG",
                    "00000",
                    line["message"],
                    *[""] * 8,
                    line["application_name"],
                    line["backend_type"],
                    "",
                    0,
                ]
            )
        path.write_text(text.getvalue())
        return path


class Records:
    """Records of a trail, as many as reconciling looks at."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def add(self, kind: str, seconds: float, **facts: Any) -> int:
        index = len(self.all)
        self.all.append({"kind": kind, "index": index, "time": at(seconds).isoformat(), **facts})
        return index

    def session(self, name: str, pid: int, seconds: float = 0, *, port: int = 0, target: str = "payroll") -> None:
        self.add("session.begin", seconds, session=name, target=target)
        self.add(
            "session.connected", seconds, session=name, target=target, backend=pid,
            backend_address=f"10.0.0.1:{port or 40_000 + pid}", backend_role="reader", backend_database="payroll",
        )  # fmt: skip

    def statement(
        self, name: str, sql: str, begun: float, ended: float | None = None, *, status: str = "ok", **facts: Any
    ) -> int:
        begin = self.add("statement.begin", begun, session=name, sql=sql, **facts)
        if ended is not None:
            self.add("statement.end", ended, session=name, begin=begin, status=status)
        return begin
