"""One connection to Redis, which is never quietly made again, and what a server must be like.

INVARIANT: a line that broke, or that an answer came late on, is not used again: what stands behind the next one may be
another server, so whoever makes it looks first.
INVARIANT: whatever a server says, only `GatewayError` comes out of here: one that lies or is broken can make itself
useless, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis.asyncio as client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from gateway.errors import GatewayError
from gateway.redis_settings import Redis

_UNREADABLE = "the Redis server answers what cannot be read"
CODE = "shared-state-unavailable"
_TROUBLE = (RedisError, OSError, TimeoutError)
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer raises that is none, or is another than was asked for."""


class Unfit(GatewayError):
    """A server that answers, and cannot be relied on until somebody changes its settings or ours."""


class Line:
    """A connection for questions (`ask`) or for news (`heard`)."""

    def __init__(self, settings: Redis) -> None:
        """Connects at the first question. Raises `GatewayError("configuration-invalid")` for a secret."""
        self._settings = settings
        self._client = _client(settings, self._once)
        self._made = self.broken = False
        self._asked: set[asyncio.Task[Any]] = set()

    async def _once(self, connection: Any) -> None:
        if self._made:
            raise ConnectionError("the connection is lost")
        self._made = True
        await connection.on_connect()

    async def facts(self) -> Mapping[str, Any]:
        """What the server says of itself. Raises `GatewayError`, and `Unfit` for one that cannot be relied on."""
        facts: dict[str, Any] = await self._answer(self._client.info())
        with understood():
            problem, mend = unfit(facts)
        if problem:
            raise Unfit(CODE, f"the Redis server cannot be relied on: {problem}", mend)
        return facts

    async def run(self, script: str, keys: Sequence[str], *arguments: str | int | bytes) -> list[Any]:
        """What a script answers. Raises `GatewayError`."""
        answer = await self._answer(self._client.eval(script, len(keys), *keys, *arguments))
        if not isinstance(answer, list):
            # FAIL CLOSED: every script of ours answers a list
            raise GatewayError(CODE, _UNREADABLE)
        return answer

    async def publish(self, channel: str) -> None:
        """Say that there are news. Raises `GatewayError`."""
        await self._answer(self._client.publish(channel, b""))

    async def close(self) -> None:
        """Hang up, without waiting for anybody."""
        self.broken = True
        try:
            async with asyncio.timeout(self._settings.deadline):
                await self._client.aclose()
        except (*_TROUBLE, *_NONSENSE):
            return

    async def _answer(self, question: Any) -> Any:
        task = asyncio.ensure_future(question)
        self._asked.add(task)
        task.add_done_callback(self._over)
        try:
            # shielded: whoever gives up waiting, as a client that hangs up, must not leave half an answer on the line
            async with asyncio.timeout(self._settings.deadline):
                return await asyncio.shield(task)
        except (*_TROUBLE, *_NONSENSE) as error:
            self.broken = True
            task.cancel()
            raise trouble(error) from error

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.broken = True


class Ear:
    """A connection on which news are heard."""

    def __init__(self, settings: Redis) -> None:
        self._client = _client(settings, None)
        self._deadline_s = settings.deadline
        self._channel = self._client.pubsub()

    async def open(self, channel: str) -> None:
        """Begin to hear: all that is said from when this returns. Raises `GatewayError`."""
        try:
            await self._channel.subscribe(channel)
            # the server's word that it has begun
            if await self._channel.get_message(timeout=self._deadline_s) is None:
                raise TimeoutError
        except (*_TROUBLE, *_NONSENSE) as error:
            raise trouble(error) from error

    async def hear(self, within_s: float) -> bool:
        """Whether there was something. Raises `GatewayError`."""
        try:
            return await self._channel.get_message(timeout=within_s) is not None
        except (*_TROUBLE, *_NONSENSE) as error:
            raise trouble(error) from error

    async def close(self) -> None:
        """Hang up."""
        try:
            async with asyncio.timeout(1.0):
                await self._channel.aclose()  # type: ignore[no-untyped-call]
                await self._client.aclose()
        except (*_TROUBLE, *_NONSENSE):
            return


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Answers are made out in here. Raises `GatewayError` where that cannot be done."""
    try:
        yield
    except _NONSENSE as error:
        raise GatewayError(CODE, _UNREADABLE) from error


def unfit(facts: Mapping[str, Any]) -> tuple[str, str]:
    """Why a server that says that of itself cannot be relied on, and what to do; empty when it can."""
    if facts.get("role") != "master":
        return "it is a replica, which takes no writes", "name the primary in `redis.host`"
    policy = facts.get("maxmemory_policy")
    if policy != "noeviction":
        return f"it throws away what does not fit: its maxmemory-policy is `{policy}`", "set it to noeviction there"
    if facts.get("redis_mode") != "standalone":
        return "it is part of a cluster or a sentinel", "name a server that stands for itself in `redis.host`"
    return "", ""


def trouble(error: BaseException) -> GatewayError:
    """The same for people; nothing of what was asked is in it."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    if isinstance(found, ssl.SSLError):
        why = getattr(found, "verify_message", "") or found.reason or "TLS failed"
        return Unfit(CODE, f"the Redis server cannot be trusted: {why}", "see `redis.host`, `redis.ca` and `redis.tls`")
    refused = isinstance(error, ResponseError) and str(error).startswith(("NOAUTH", "WRONGPASS"))
    if refused or isinstance(error, AuthenticationError):
        return Unfit(CODE, "the Redis server takes neither the user nor the password", "see `redis.password`")
    if isinstance(error, NoPermissionError):
        return Unfit(CODE, "the user may not do in Redis what is needed", "see `redis.user`, and REFERENCE.md")
    if isinstance(error, TimeoutError) or "imeout" in type(error).__name__:
        return GatewayError(CODE, "the Redis server does not answer in time")
    if isinstance(error, ResponseError):
        return GatewayError(CODE, f"the Redis server refuses: {str(error).split(' ', 1)[0][:40]}")
    if isinstance(error, _NONSENSE):
        return GatewayError(CODE, _UNREADABLE)
    return GatewayError(CODE, "the Redis server cannot be reached")


def _client(settings: Redis, made: Any) -> client.Redis:
    host, port = settings.place
    secret = settings.password.read().decode() if settings.password is not None else None
    trust: dict[str, Any] = {}
    if settings.tls != "off":
        trust = {
            "ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2, "ssl_ca_certs": str(settings.ca) if settings.ca else None,
        }  # fmt: skip
    return client.Redis(
        host=host, port=port, db=settings.database, username=settings.user or None, password=secret, protocol=2,
        socket_timeout=settings.deadline, socket_connect_timeout=settings.deadline, retry=Retry(NoBackoff(), 0),
        single_connection_client=made is not None, redis_connect_func=made, **trust,
    )  # fmt: skip
