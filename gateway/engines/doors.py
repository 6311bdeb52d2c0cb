"""The calls of `access` that an engine makes, whatever protocol its clients speak."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from gateway.errors import Refusal
from gateway.model import Peer, Session


class Challenge(Protocol):
    """How a client must prove itself; see `access`."""

    @property
    def method(self) -> str: ...
    @property
    def verifier(self) -> str: ...
    @property
    def pass_id(self) -> str | None: ...
    @property
    def others(self) -> tuple[tuple[str, str], ...]: ...
    def proven(self, place: int, /) -> Self: ...


C = TypeVar("C", bound=Challenge)


@dataclass(frozen=True, slots=True)
class Doors(Generic[C]):
    """The calls of `access` that an engine makes; `ready` before each `challenge`, whoever it is for."""

    ready: Callable[[], Awaitable[None]]
    challenge: Callable[..., C]
    admit_pass: Callable[[C, bool, Peer], Awaitable[Session | Refusal]]
    admit_direct: Callable[[C, str, Peer], Awaitable[Session | Refusal]]
    attach: Callable[[Session, Callable[[Refusal], None]], Callable[[], None]]
