"""The catalog of a target of MySQL or MariaDB, read as the backend role sees it."""

from __future__ import annotations

import asyncio
import contextlib

from gateway.engines.mysql_upstream import MysqlUpstream
from gateway.sql.catalog import Catalog
from gateway.sql.mysql import catalog_from_rows, catalog_queries
from gateway.target_settings import MysqlTarget

_DEADLINE_S = 60.0


async def read_catalog(upstream: MysqlUpstream) -> Catalog:
    """The target's catalog as it is now. Raises `GatewayError("target-unavailable")`."""
    backend = await upstream.open(("SET SESSION TRANSACTION READ ONLY",))
    try:
        async with asyncio.timeout(_DEADLINE_S):
            queries = catalog_queries(mariadb="mariadb" in backend.greeting.version.lower())
            return catalog_from_rows({name: await backend.run(query) for name, query in queries.items()})
    finally:
        with contextlib.suppress(OSError):
            backend.goodbye()


def catalog_of(name: str, target: MysqlTarget) -> Catalog:
    """The same for who has no event loop. Blocks. Raises `GatewayError("target-unavailable")`."""
    return asyncio.run(read_catalog(MysqlUpstream(name, target)))
