"""The APIs behind the gateway in the live tests: a small payroll back office (FastAPI over TLS), and an odd one.

`BackOffice` counts what reached it, so that tests can say what was never forwarded. `OddApi` answers with bytes that a
test gives it, as no framework would.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from gateway.demo.tls import ServerTls

CREDENTIAL = "Bearer an-upstream-secret-0123456789"
CANARY = "CANARY-7f3a"
"""In every value that may never leave."""

EMPLOYEES = {
    (company, number): {
        "id": number,
        "company_id": company,
        "last_name": f"{CANARY}-name-{number}",
        "iban": f"FR76{CANARY}{number:020d}",
        "salary": 40_000 + number,
        "secret": f"{CANARY}-secret",
        "status": "active",
    }
    for company in (41, 42, 43)
    for number in range(company * 100, company * 100 + 5)
}

POLICY = """
target: {target}
access:
  teams: [support]
  ticket: {{projects: [SUP], states: [open, in_progress]}}
  duration: {{default: 1h, max: 8h}}
  auto_approve: masked_reads
  approvers: {{teams: [security]}}
  break_glass: {{teams: [support], duration: 20m, write: true}}
limits: {{rows_per_day: 100000000, bytes_per_day: 100000000000}}
http:
  routes:
    employee:
      get: /companies/{{company_id}}/employees/{{employee_id}}
      path: {{company_id: integer, employee_id: integer}}
      customer: path.company_id
      answers:
        200:
          media: json
          customer: $.company_id
          fields:
            $.id: clear
            $.last_name: {{mask: pseudonym, domain: last_name, identifier: true}}
            $.iban: {{mask: partial, keep_start: 4, keep_end: 3, identifier: true, reveal: true}}
    employees:
      get: /companies/{{company_id}}/employees
      path: {{company_id: integer}}
      customer: path.company_id
      query: {{page: {{type: integer, minimum: 1, maximum: 1000}}}}
      answers:
        200:
          media: json
          fields: {{$.total: clear, "$.employees[*].id": clear}}
          arrays: {{$.employees: {{customer: $.company_id, count: $.total}}}}
    export:
      get: /companies/{{company_id}}/export
      path: {{company_id: integer}}
      customer: path.company_id
      query: {{lines: {{type: integer, minimum: 1}}, slow: boolean}}
      answers:
        200: {{media: ndjson, customer: $.company_id, fields: {{$.id: clear, $.pad: clear}}}}
    page:
      get: /companies/{{company_id}}/page
      path: {{company_id: integer}}
      customer: path.company_id
      answers:
        200: {{media: unmasked, content_types: [text/html]}}
    file:
      get: /companies/{{company_id}}/files/{{name}}
      path: {{company_id: integer, name: {{type: string, max_length: 40}}}}
      customer: path.company_id
      answers:
        200: {{media: unmasked, content_types: [application/pdf, text/javascript]}}
    anything:
      get: /{{word}}/anything
      path: {{word: string}}
      customer: none
      answers:
        200: {{media: unmasked, content_types: [text/html]}}
    set_status:
      patch: /companies/{{company_id}}/employees/{{employee_id}}
      path: {{company_id: integer, employee_id: integer}}
      customer: path.company_id
      write: statement
      body:
        media: json
        fields: {{$.status: {{type: string, choices: [active, left], required: true}}}}
      answers:
        200: {{media: json, customer: $.company_id, fields: {{$.id: clear, $.status: clear}}}}
    note:
      post: /companies/{{company_id}}/notes
      path: {{company_id: integer}}
      customer: path.company_id
      write: request
      body:
        media: json
        fields: {{$.text: {{type: string, max_length: 60000, required: true}}}}
      answers:
        201: {{media: empty}}
"""


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Company %(company)d</title>
<h1>Company %(company)d</h1><p id="said"></p>
<button id="note">Write a note</button>
<script>
const said = document.getElementById("said");
fetch("/companies/%(company)d/employees/%(company)d00").then((one) => one.json()).then((one) => {
  said.textContent = one.iban;
});
document.getElementById("note").onclick = () =>
  fetch("/companies/%(company)d/notes", {method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify({text: "from the page"})}).then((one) => { said.textContent = "noted: " + one.status; });
</script></html>
"""
"""A page of the API's for people: it reads one employee, and writes a note."""


@dataclass
class Seen:
    """One request as it reached the API."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class BackOffice:
    """The payroll API. `seen` are the requests that reached it."""

    tls: ServerTls
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    lines_sent: int = 0
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    def app(self) -> FastAPI:
        """Its routes."""
        app = FastAPI()

        @app.middleware("http")
        async def look(request: Request, call_next: Any) -> Response:
            body = await request.body()
            query = f"?{request.url.query}" if request.url.query else ""
            headers = [(name.decode(), value.decode("latin-1")) for name, value in request.headers.raw]
            self.seen.append(
                Seen(request.method, request.url.path + query, request.scope["http_version"], headers, body)
            )
            if request.headers.get("authorization") != CREDENTIAL:
                return JSONResponse({"error": CANARY}, 401)
            answer: Response = await call_next(request)
            answer.headers["x-internal-host"] = CANARY
            answer.headers["set-cookie"] = f"session={CANARY}"
            return answer

        @app.get("/companies/{company}/employees/{number}")
        async def employee(company: int, number: int) -> Response:
            found = EMPLOYEES.get((company, number))
            return JSONResponse(found) if found else JSONResponse({"detail": CANARY}, 404)

        @app.get("/companies/{company}/employees")
        async def employees(company: int) -> Response:
            # a careless API: it lists everybody's
            return JSONResponse({"total": len(EMPLOYEES), "employees": list(EMPLOYEES.values()), "debug": CANARY})

        @app.get("/companies/{company}/page")
        async def page(company: int) -> Response:
            return HTMLResponse(PAGE % {"company": company})

        @app.get("/companies/{company}/files/{name}")
        async def file(company: int, name: str) -> Response:
            if name == "worker.js":
                return Response("self.addEventListener('fetch', () => {})", media_type="text/javascript")
            return Response(f"%PDF-1.7 payslips of {company}", media_type="application/pdf")

        @app.get("/{word}/anything")
        async def anything(word: str) -> Response:
            return HTMLResponse(f"<!doctype html><title>{word}</title>")

        line = b'{"id":%d,"company_id":%d,"pad":"' + b"x" * 100 + b'","iban":"%s"}\n'

        @app.get("/companies/{company}/export")
        async def export(company: int, lines: int = 10, slow: bool = False) -> Response:
            async def made() -> AsyncIterator[bytes]:
                step = 1 if slow else 250
                for first in range(0, lines, step):
                    numbers = range(first, min(first + step, lines))
                    self.lines_sent = numbers.stop
                    yield b"".join(line % (number, company, CANARY.encode()) for number in numbers)
                    await asyncio.sleep(0.02 if slow else 0)

            return StreamingResponse(made(), media_type="application/x-ndjson")

        @app.patch("/companies/{company}/employees/{number}")
        async def patch(company: int, number: int, request: Request) -> Response:
            EMPLOYEES[company, number]["status"] = (await request.json())["status"]
            return JSONResponse(EMPLOYEES[company, number])

        @app.post("/companies/{company}/notes")
        async def note(company: int) -> Response:
            return Response(status_code=201)

        return app

    @contextlib.contextmanager
    def serving(self) -> Iterator[BackOffice]:
        """Run it in a thread."""
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        config = uvicorn.Config(
            self.app(), ssl_certfile=str(self.tls.certificate), ssl_keyfile=str(self.tls.key), log_level="critical",
            lifespan="off",
        )  # fmt: skip
        server = self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        self._thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield self
        finally:
            server.should_exit = True
            self._thread.join(10)
            sock.close()


@dataclass
class OddApi:
    """Answers each connection with what `script` does with it, TLS done and the request read up to its head's end."""

    tls: ServerTls
    port: int = 0
    script: Callable[[ssl.SSLSocket, bytes], None] = lambda _sock, _head: None
    heads: list[bytes] = field(default_factory=list)

    @contextlib.contextmanager
    def serving(self) -> Iterator[OddApi]:
        """Run it in a thread."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.tls.certificate, self.tls.key)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]

        def one(sock: socket.socket) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as secured:
                secured.settimeout(30)
                head = b""
                while b"\r\n\r\n" not in head:
                    data = secured.recv(65536)
                    if not data:
                        return
                    head += data
                self.heads.append(head)
                self.script(secured, head)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(10)
