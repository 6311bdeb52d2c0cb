"""What `gateway doctor` asks the Redis server that gateways share (`redis`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.cli.finding import OK, WARN, Finding, failed
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.redis_settings import Redis


def examine(config: Config) -> Iterator[Finding]:
    """Whether the server can be relied on; changes nothing there."""
    if config.redis is None:
        return
    try:
        version, persistent = asyncio.run(_asked(config.redis))
    except GatewayError as error:
        yield failed("redis", error)
        return
    if persistent:
        yield Finding("redis", OK, f"Redis {version}, a primary that throws nothing away")
    else:
        yield Finding(
            "redis", WARN, f"Redis {version} keeps nothing over a restart: what only it knew of a moment is lost then",
            "set appendonly yes there",
        )  # fmt: skip


async def _asked(settings: Redis) -> tuple[str, bool]:
    from gateway.quick.line import Line

    line = Line(settings)
    try:
        facts = await line.facts()
    finally:
        await line.close()
    return str(facts.get("redis_version", "?")), bool(facts.get("aof_enabled"))
