"""Trino's client protocol over an engine that carries out Trino's statements (`trino_engine.py`).

It speaks as Trino's coordinator does: a statement by POST, answered at once with a first page that has no rows; further
pages at `nextUri`, queued before they are executing, under a slug that nobody can guess; rows some at a time; DELETE
ends a statement; an error is a page. It checks the account's password, and keeps what it was sent in `seen`.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Event, Lock
from typing import Any

from served_http import served
from trino_engine import Engine, Failed, columns

USER, PASSWORD = "gateway", "trino-secret"
PAGE = 3
"""Rows of one page."""


@dataclass
class Query:
    """A statement under way."""

    name: str
    slug: str
    text: str
    result: Any = None
    error: Failed | None = None
    gone: bool = False


@dataclass
class Trino:
    """A running server."""

    engine: Engine = field(default_factory=Engine)
    port: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)
    queries: dict[str, Query] = field(default_factory=dict)
    turn: Lock = field(default_factory=Lock)
    extra: dict[str, Any] = field(default_factory=dict)
    """What pages have beside what they should: a test's own mischief."""
    headers: dict[str, str] = field(default_factory=dict)
    compress: bool = False
    holds: Event | None = None
    """What every GET waits for, where it is there."""

    def run(self, statements: Sequence[str]) -> None:
        """Carry out statements of the engine's that have no result."""
        for one in statements:
            self.engine.connection.execute(one)

    def taken(self) -> list[dict[str, Any]]:
        """What came since this was asked last."""
        found, self.seen = self.seen, []
        return found

    def begin(self, text: str) -> Query:
        """A new query of that text."""
        query = Query(f"20261128_120000_{len(self.queries):05d}_abcde", f"y{secrets.token_hex(16)}", text)
        self.queries[query.name] = query
        return query

    def carry_out(self, query: Query) -> None:
        """Run it, once."""
        with self.turn:
            if query.result is None and query.error is None:
                try:
                    query.result = self.engine.run(query.text)
                except Failed as error:
                    query.error = error

    def page(self, query: Query, state: str, token: int) -> dict[str, Any]:
        """One page of a query."""
        here = f"http://coordinator.internal:8080/v1/statement/{{}}/{query.name}/{query.slug}"
        made: dict[str, Any] = {
            "id": query.name,
            "infoUri": f"http://coordinator.internal:8080/ui/query.html?{query.name}",
            "stats": {"state": "QUEUED", "queued": True, "processedRows": 666, "physicalInputBytes": 31337},
            "warnings": [{"warningCode": {"code": 1, "name": "X"}, "message": "CANARY warning"}],
            "updateType": None,
        }
        if state == "queued" and token < 1:
            return made | {"nextUri": f"{here.format('queued')}/{token + 1}"}
        if state == "queued":
            return made | {"nextUri": f"{here.format('executing')}/0"}
        self.carry_out(query)
        if query.error is not None:
            made["stats"]["state"] = "FAILED"
            cause = {"type": "io.trino.spi.TrinoException", "message": f"CANARY {query.error}"}
            error = {"message": f"line 1:8: {query.error}", "errorCode": query.error.number, "failureInfo": cause}
            return made | {"error": error | {"errorName": query.error.name, "errorType": "USER_ERROR"}}
        names, kinds, rows = query.result
        here = f"{here.format('executing')}/{token + 1}"
        left = rows[token * PAGE : (token + 1) * PAGE]
        more = (token + 1) * PAGE < len(rows)
        made["stats"] |= {"state": "RUNNING" if more else "FINISHED", "queued": False}
        page = made | {"columns": columns(names, kinds), "partialCancelUri": f"{here}/cancel"}
        return page | ({"data": left} if left else {}) | ({"nextUri": here} if more else {}) | self.extra


@contextlib.contextmanager
def trino() -> Iterator[Trino]:
    """A new server whose database is empty."""
    state = Trino()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def _take(self) -> str | None:
            text = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            state.seen.append(
                {"method": self.command, "path": self.path, "body": text, "headers": dict(self.headers.items())}
            )
            wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != wanted:
                self._answer(401, {"message": "CANARY unauthorized"})
                return None
            return text

        def do_POST(self) -> None:
            text = self._take()
            if text is None:
                return
            if self.path != "/v1/statement":
                self._answer(404, {})
            else:
                self._answer(200, state.page(state.begin(text), "queued", 0))

        def do_GET(self) -> None:
            if self._take() is None:
                return
            if state.holds is not None:
                state.holds.wait(30)
            query, kind, token = self._query()
            if query is None or query.gone:
                self._answer(410 if query is not None else 404, {"message": "CANARY gone"})
            else:
                self._answer(200, state.page(query, kind, token))

        def do_DELETE(self) -> None:
            if self._take() is None:
                return
            query, _, _ = self._query()
            if query is None:
                self._answer(404, {})
                return
            query.gone = True
            self.send_response(204)
            self.end_headers()

        def _query(self) -> tuple[Query | None, str, int]:
            parts = self.path.split("/")
            if len(parts) != 7 or parts[1:3] != ["v1", "statement"] or not parts[6].isdecimal():
                return None, "", 0
            query = state.queries.get(parts[4])
            return (query if query is not None and query.slug == parts[5] else None), parts[3], int(parts[6])

        def _answer(self, status: int, page: dict[str, Any]) -> None:
            body = json.dumps(page).encode()
            body = gzip.compress(body) if state.compress else body
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Trino-Set-Session", "canary=CANARY")
            self.send_header("X-Trino-Set-Catalog", "CANARY")
            if state.compress:
                self.send_header("Content-Encoding", "gzip")
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    try:
        with served(Handler) as state.port:
            yield state
    finally:
        state.engine.close()
