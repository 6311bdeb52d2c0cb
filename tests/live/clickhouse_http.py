"""ClickHouse's HTTP interface over its own engine: the embedded one of chdb, in a process of its own.

What is served is as much as the gateway asks for: a statement in the body, `default_format`, `param_…`, settings as
parameters, `X-ClickHouse-Format`, errors with ClickHouse's own words. It checks the account's password as ClickHouse's
header does, and says what it was sent under `/seen`. Run as a program, it serves until its input ends.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import Request, urlopen

KEY = "clickhouse-secret"
_PROTOCOL = {"default_format", "wait_end_of_query"}


@dataclass(frozen=True, slots=True)
class ClickHouse:
    """A running server."""

    port: int

    def post(self, text: str, output: str = "JSONCompact", **parameters: str) -> tuple[int, str]:
        """Status and text of a statement's answer, asked for without the gateway."""
        query = urlencode({"default_format": output, **parameters})
        request = Request(
            f"http://127.0.0.1:{self.port}/?{query}", text.encode(), {"X-ClickHouse-Key": KEY}, method="POST"
        )
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def rows(self, text: str, **parameters: str) -> Any:
        """Names and rows of a statement's answer, or the one word `error`."""
        status, answer = self.post(text, **parameters)
        if status != 200:
            return "error"
        read = json.loads(answer)
        return [column["name"] for column in read["meta"]], read["data"]

    def run(self, statements: Sequence[str]) -> None:
        """Carry out statements that have no result."""
        for one in statements:
            status, answer = self.post(one, "Null")
            assert status == 200, (one, answer)

    def seen(self) -> list[dict[str, Any]]:
        """What requests were made since this was asked last: their parameters and bodies."""
        with urlopen(f"http://127.0.0.1:{self.port}/seen", timeout=60) as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())
            return found


@contextlib.contextmanager
def clickhouse() -> Iterator[ClickHouse]:
    """A new, empty server."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "ClickHouse did not start"
        yield ClickHouse(int(line))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout is not None
        process.stdout.close()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Serve until the input ends."""
    from chdb import session

    engine, turn = session.Session(), Lock()
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            body = json.dumps(seen).encode()
            seen.clear()
            self._answer(200, "application/json", body)

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
            seen.append({"parameters": given, "body": text, "headers": dict(self.headers)})
            output = given.get("default_format", "TabSeparated")
            if self.headers.get("X-ClickHouse-Key") != KEY:
                self._answer(403, "text/plain; charset=UTF-8", b"Code: 516. DB::Exception: Authentication failed")
                return
            values = {name.removeprefix("param_"): one for name, one in given.items() if name.startswith("param_")}
            settings = [
                f"{name}={value}"
                for name, value in given.items()
                if name not in _PROTOCOL and not name.startswith("param_")
            ]
            with turn:
                try:
                    whole = f"{text} SETTINGS {', '.join(settings)}" if settings else text
                    result = engine.query(whole, output, params=values or None)
                    body = bytes(result.bytes()) if output != "Null" else b""
                except Exception as error:  # whatever ClickHouse says
                    # the embedded engine keeps what it had written for the next answer; a server does not
                    engine.query("SELECT 1", "JSONCompact")
                    self._answer(400, "text/plain; charset=UTF-8", str(error).encode())
                    return
            kind = "application/x-ndjson" if output.endswith("EachRow") else "application/json"
            self._answer(200, f"{kind}; charset=UTF-8", body, output)

        def _answer(self, status: int, kind: str, body: bytes, output: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-ClickHouse-Summary", '{"read_rows":"7"}')
            if output:
                self.send_header("X-ClickHouse-Format", output)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.buffer.read()
    server.shutdown()


if __name__ == "__main__":
    main()
