"""What the layers ask of the door, beside mitmproxy's own hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.proxy import commands


@dataclass
class ReleaseHook(commands.StartHook):
    """More than was announced wants to leave: so many rows and bytes in all; of a client's messages, `bytes_in`."""

    flow: http.HTTPFlow
    rows: int
    size: int
    bytes_in: int = 0


@dataclass
class RoomHook(commands.StartHook):
    """A client does not take what is sent on a stream of HTTP/2; `waiting` counts the bytes that it left."""

    flow: http.HTTPFlow
    waiting: Callable[[], int]


@dataclass
class LevelHook(commands.StartHook):
    """That there is nothing to see is said in steps of time only."""

    flow: http.HTTPFlow
