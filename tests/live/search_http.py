"""The SQL endpoints of Elasticsearch and OpenSearch, by their documentation, over DuckDB.

`elasticsearch` answers `POST /_sql` and `/_sql/close` with `columns`, `rows` and `cursor`, and names its product as
Elasticsearch does; `opensearch` answers `POST /_plugins/_sql` and its `/close` with `schema`, `datarows`, `total`,
`size`, `status`. Cursors are their own; errors quote what was asked, as theirs do. It checks the account's password.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import duckdb
import sqlglot
from served_http import served

USER, PASSWORD = "gateway", "search-secret"
PATHS = {"elasticsearch": "/_sql", "opensearch": "/_plugins/_sql"}
_TYPES = {
    "elasticsearch": {"BIGINT": "long", "INTEGER": "integer", "VARCHAR": "keyword", "DATE": "datetime"},
    "opensearch": {"BIGINT": "long", "INTEGER": "integer", "VARCHAR": "keyword", "DATE": "date"},
}


@dataclass
class Search:
    """A running server."""

    dialect: str
    connection: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    port: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)
    cursors: dict[str, tuple[list[Any], int]] = field(default_factory=dict)
    turn: Lock = field(default_factory=Lock)
    extra: dict[str, Any] = field(default_factory=dict)
    """What answers have beside what they should: a test's own mischief."""
    without_where: bool = False
    """Whether it answers as if there were no condition: a server that is not to be believed."""

    def run(self, statements: Sequence[str]) -> None:
        """Carry out statements of the engine's that have no result."""
        for one in statements:
            self.connection.execute(one)

    def taken(self) -> list[dict[str, Any]]:
        """What came since this was asked last."""
        found, self.seen = self.seen, []
        return found

    def answer(self, text: str, size: int = 1000) -> dict[str, Any]:
        """The first page of a statement's answer. Raises: duckdb.Error, sqlglot.errors.SqlglotError."""
        reader = "mysql" if self.dialect == "opensearch" else "duckdb"
        (text,) = sqlglot.transpile(text, read=reader, write="duckdb")
        if self.without_where:
            tree = sqlglot.parse_one(text, read="duckdb")
            tree.set("where", None)
            text = tree.sql(dialect="duckdb")
        cursor = self.connection.execute(text)
        kinds = _TYPES[self.dialect]
        columns = [{"name": one[0], "type": kinds.get(str(one[1]), "double")} for one in cursor.description]
        rows = [[_json(value) for value in row] for row in cursor.fetchall()]
        return self.page(columns, rows, size)

    def page(self, columns: list[dict[str, Any]] | None, rows: list[Any], size: int) -> dict[str, Any]:
        """One page, and a cursor for what is left."""
        page: dict[str, Any] = {}
        left = rows[size:]
        if self.dialect == "elasticsearch":
            page |= ({"columns": columns} if columns is not None else {}) | {"rows": rows[:size]}
        else:
            # its columns keep the name of the field, and have the alias beside it
            schema = [{"name": "raw", "alias": one["name"], "type": one["type"]} for one in columns or ()]
            page |= {"schema": schema} if columns is not None else {}
            page |= {"datarows": rows[:size], "total": 666, "size": len(rows[:size]), "status": 200}
        if left:
            name = f"CANARY{secrets.token_hex(20)}=="
            self.cursors[name] = left, size
            page["cursor"] = name
        return page | self.extra


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


@contextlib.contextmanager
def search(dialect: str) -> Iterator[Search]:
    """A new server whose indices are none."""
    state = Search(dialect)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            state.seen.append({"path": self.path, "body": body, "headers": dict(self.headers.items())})
            wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            path = urlsplit(self.path).path
            if self.headers.get("Authorization") != wanted:
                self._answer(401, {"error": "CANARY"})
            elif path == f"{PATHS[dialect]}/close":
                self._answer(200, {"succeeded": state.cursors.pop(body["cursor"], None) is not None})
            elif path != PATHS[dialect]:
                self._answer(404, {"error": "CANARY"})
            elif "cursor" in body:
                left = state.cursors.pop(body["cursor"], None)
                self._answer(*((200, state.page(None, *left)) if left else (404, {"error": {"reason": "CANARY"}})))
            else:
                with state.turn:
                    try:
                        page = state.answer(body["query"], body.get("fetch_size", 1000))
                    except (duckdb.Error, sqlglot.errors.SqlglotError) as error:
                        self._answer(400, {"error": {"reason": f"CANARY {error}", "type": "x"}, "status": 400})
                        return
                self._answer(200, page)

        def _answer(self, status: int, page: dict[str, Any]) -> None:
            body = json.dumps(page).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if dialect == "elasticsearch":
                self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Warning", '299 Elasticsearch-9 "CANARY"')
            self.end_headers()
            self.wfile.write(body)

    try:
        with served(Handler) as state.port:
            yield state
    finally:
        state.connection.close()
