"""A gateway with a GraphQL API behind it (graphql-core's executor in FastAPI over TLS): what its live tests share."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import graphql_world
import httpx2
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from gateway_fixture import open_house
from http_api import OddApi
from http_house import HttpHouse

from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.demo.tls import LOOPBACK, ServerTls, make_server_tls

API = "payroll-api"
CREDENTIAL = "Bearer an-upstream-secret-0123456789"


@dataclass
class GraphqlApi:
    """The API. `seen` are the documents that reached it; `change` makes its answers otherwise."""

    tls: ServerTls
    port: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    change: Callable[[dict[str, Any]], Any] = lambda answer: answer

    def app(self) -> FastAPI:
        """Its one route."""
        app = FastAPI()

        @app.post("/graphql")
        async def graphql(request: Request) -> Response:
            given = json.loads(await request.body())
            self.seen.append(given | {"accept": request.headers.get("accept", "")})
            if request.headers.get("authorization") != CREDENTIAL:
                return JSONResponse({"errors": [{"message": graphql_world.SECRET}]}, 401)
            answer = graphql_world.executed(given["query"], given.get("variables"), given.get("operationName"))
            media = "application/graphql-response+json" if len(self.seen) % 2 else "application/json"
            return Response(
                json.dumps(self.change(answer)), media_type=media, headers={"x-trace": graphql_world.SECRET}
            )

        return app

    @contextlib.contextmanager
    def serving(self) -> Iterator[GraphqlApi]:
        """Run it in a thread."""
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        config = uvicorn.Config(
            self.app(), ssl_certfile=str(self.tls.certificate), ssl_keyfile=str(self.tls.key), log_level="critical",
            lifespan="off",
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield self
        finally:
            server.should_exit = True
            thread.join(10)
            sock.close()


@dataclass
class GraphqlHouse(HttpHouse):
    """The gateway, and the API behind it."""

    api: GraphqlApi = field(default_factory=lambda: GraphqlApi(None))  # type: ignore[arg-type]

    def asked(self, client: httpx2.Client, query: str, variables: Any = None, **members: Any) -> httpx2.Response:
        """What a client is answered."""
        return client.post("/graphql", json={"query": query, "variables": variables or {}} | members)


@contextlib.contextmanager
def open_graphql_house(directory: Path, postgres: EmbeddedPostgres) -> Iterator[GraphqlHouse]:
    """Start everything in `directory`."""
    tls = make_server_tls(directory / "api-tls", "Payroll API", LOOPBACK)
    secret = directory / "upstream.token"
    secret.touch(0o600)
    secret.write_text(CREDENTIAL.removeprefix("Bearer "))
    api, port = GraphqlApi(tls), free_port()
    with api.serving():
        target = {
            "engine": "http",
            "url": f"https://localhost:{api.port}",
            "ca": str(tls.ca),
            "listen": {"port": port},
            "credentials": {"kind": "bearer", "token": {"file": str(secret)}},
        }
        with open_house(directory, postgres, settings={"targets": {API: target}}, start=False) as house:
            path = house.company.directory / "policies" / f"{API}.yaml"
            path.write_text((graphql_world.CORPUS / "policy.yaml").read_text(encoding="utf-8"))
            path.chmod(0o644)
            house.gateway.start()
            yield GraphqlHouse(house, None, OddApi(tls), {API: port}, api)  # type: ignore[arg-type]
