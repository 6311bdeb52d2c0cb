"""Several gateways on one store in PostgreSQL, each with a trail of its own: the same people, tickets and policies."""

from __future__ import annotations

import contextlib
import shutil
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
from gateway_fixture import House, change_yaml, merge, open_house
from store_server import as_yaml, make_store, store_settings

from gateway.demo.postgres import EmbeddedPostgres

_SAME = ("master.key", "people.yaml", "tickets.yaml", "passwords.json")


@contextlib.contextmanager
def open_nodes(
    directory: Path,
    postgres: EmbeddedPostgres,
    name: str,
    *,
    count: int = 2,
    store: EmbeddedPostgres | None = None,
    port: int | None = None,
    limits: Mapping[str, Any] | None = None,
    redis: Mapping[str, Any] | None = None,
    **more: Any,
) -> Iterator[list[House]]:
    """Start gateways whose store is the new database `name` on the server `store` (`postgres` when there is none).

    With `port` they reach it there; `limits` are the policy's, `redis` that setting, `more` settings of the store.
    """
    server = store or postgres
    make_store(server, name)
    if port is not None:
        more["hosts"] = (f"127.0.0.1:{port}",)
    settings = as_yaml(store_settings(server, name, directory, **more))
    with contextlib.ExitStack() as stack:
        houses: list[House] = []
        for number in range(count):
            place = directory / f"node{number}"
            changes = {"origin": f"demo.gateway.example/{number + 1}", "store": settings, "watch_interval": "250ms"}
            if redis is not None:
                changes["redis"] = dict(redis)
            house = stack.enter_context(open_house(place, postgres, settings=changes, limits=limits, start=False))
            if houses:
                first = houses[0].company
                for same in _SAME:
                    shutil.copy2(first.directory / same, house.company.directory / same)
                house.company = replace(house.company, passwords=first.passwords)
                house.gateway.company = house.company
                house.directory = houses[0].directory
                # one file of tickets and of people for all
                places = {"directory": {"path": str(first.people)}, "tickets": {"path": str(first.tickets)}}
                change_yaml(house.company.config, lambda tree, places=places: merge(tree, places))
            houses.append(house)
            house.gateway.start()
        yield houses


def call(house: House, path: str, body: dict[str, Any] | None = None, token: str = "") -> httpx2.Response:
    """A call of the API: a POST with a body, a GET without one."""
    trust = ssl.create_default_context(cafile=str(house.company.tls.ca))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx2.Client(verify=trust, trust_env=False, timeout=30, headers=headers) as client:
        url = f"https://localhost:{house.company.ports['api']}/v1{path}"
        return client.get(url) if body is None else client.post(url, json=body)


def sign_in(house: House, login: str, code: str) -> httpx2.Response:
    """A sign-in with that person's password and a code."""
    return call(house, "/sign-in", {"login": login, "password": house.company.passwords[login], "otp": code})
