"""Passwords: argon2id (RFC 9106), and the bounded pool in which they are checked.

INVARIANT: no password is hashed on the event loop's thread, and no more than the pool's workers are hashed at once.
The workers run at a lower priority than the loop, so that a flood of sign-ins does not slow open sessions. Who finds
the waiting room full, or his address's share of it, is refused at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
import unicodedata
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import argon2

P = ParamSpec("P")
T = TypeVar("T")

_HASHER = argon2.PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1, hash_len=32, salt_len=16)
"""RFC 9106 section 4, second recommendation, with one lane: more lanes would only take more cores from the loop."""

MAX_PASSWORD = 1024
"""Characters; longer ones are wrong."""


def hash_password(password: str) -> str:
    """The argon2id hash that a people file keeps. Raises `ValueError` for an empty or overlong password."""
    if not password or len(password) > MAX_PASSWORD:
        raise ValueError(f"a password has 1 to {MAX_PASSWORD} characters")
    return _HASHER.hash(_normal(password))


def verify_password(stored: str, password: str) -> bool:
    """Whether the password is the one of the stored hash. Blocking."""
    if len(password) > MAX_PASSWORD:
        password = ""
    try:
        return _HASHER.verify(stored, _normal(password))
    except argon2.exceptions.VerificationError:
        return False


def is_hash(text: str) -> bool:
    """Whether the text is an argon2id hash that can be checked within reasonable cost."""
    try:
        found = argon2.extract_parameters(text)
    except argon2.exceptions.InvalidHashError:
        return False
    return (
        found.type is argon2.Type.ID
        and found.memory_cost <= 1 << 20
        and found.time_cost <= 32
        and found.parallelism <= 16
        and 16 <= found.hash_len <= 64
    )


def dummy_hash(stored: Iterable[str], token: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A hash that nothing matches and that costs what most of the stored ones cost, for people who do not exist."""
    costs = Counter(text.rsplit("$", 2)[0] for text in stored)
    cost = costs.most_common(1)[0][0] if costs else "$argon2id$v=19$m=65536,t=3,p=1"
    salt, digest = (b64encode(token(size)).decode().rstrip("=") for size in (16, 32))
    return f"{cost}${salt}${digest}"


class PasswordPool:
    """The waiting room and its workers."""

    def __init__(self, workers: int, waiting: int, per_address: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="password", initializer=_yield_to_the_loop)
        self._limit = workers + waiting
        self._per_address = per_address
        self._inside: Counter[str] = Counter()
        self._count = 0

    def full(self, host: str) -> bool:
        """Whether one more from that address must be turned away."""
        return self._count >= self._limit or self._inside[host] >= self._per_address

    async def run(self, host: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, from a worker."""
        self._count += 1
        self._inside[host] += 1
        future = asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))
        # A caller that was cancelled keeps his place until the worker is done with him: the place is the cost.
        future.add_done_callback(lambda _: self._leave(host))
        return await asyncio.shield(future)

    def _leave(self, host: str) -> None:
        self._count -= 1
        self._inside[host] -= 1
        if not self._inside[host]:
            del self._inside[host]

    def close(self) -> None:
        """Drop who waits and join the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _normal(password: str) -> str:
    """NFKC, as NIST SP 800-63B 3.1.1.2 recommends: the same password from any keyboard."""
    return unicodedata.normalize("NFKC", password)


def _yield_to_the_loop() -> None:
    """Give this thread a lower priority; Linux schedules threads one by one, elsewhere nothing happens."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, max(10, os.getpriority(os.PRIO_PROCESS, thread)))
