"""Opens the shared state that the settings name. Without any, nothing of it is imported."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.access.keys import Keys
from gateway.access.values import AccessSettings
from gateway.errors import GatewayError
from gateway.ports import Clock, Trail
from gateway.record import event
from gateway.redis_settings import Redis
from gateway.store.database import Database
from gateway.telemetry import Log

if TYPE_CHECKING:
    from gateway.quick.shared import Shared


async def open_shared(
    redis: Redis | None,
    settings: AccessSettings,
    database: Database,
    trail: Trail,
    log: Log,
    watch: Callable[[str, str, Callable[[], float]], None],
    clock: Clock,
) -> Shared | None:
    """The shared state after its first look, None without settings. Raises `GatewayError("configuration-invalid")`."""
    if redis is None:
        return None
    from gateway.quick.shared import Shared

    def told(state: str, reason: str) -> None:
        (log.info if state == "ready" else log.warning)("redis", state=state, reason=reason)
        # a trail that takes no record ends the gateway, and that is told elsewhere
        with contextlib.suppress(GatewayError):
            trail.append(event("redis.state", state=state, reason=reason), urgent=False)

    keys = Keys(settings.master_key, settings.former_keys, settings.root)
    shared = Shared(
        redis, database, keys, forget_s=settings.lock_forget_s, told=told, clock=clock, token=secrets.token_bytes
    )
    await shared.start()
    watch("gateway_redis_down", "Whether what gateways share in Redis cannot be asked",
          lambda: float(shared.outage is not None))  # fmt: skip
    return shared
