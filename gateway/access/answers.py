"""What another party's HTTP server is believed to be, and may answer: ticket sources and identity providers alike.

INVARIANT: an answer is bounded in size, time, depth and in what it can mean, before anybody looks at what it says.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError

_DEEPEST = 64


class Unfit(Exception):
    """Why an answer is not taken."""


def trusting(ca: Path | None, whose: str) -> ssl.SSLContext:
    """What verifies a server, by that authority or the system's. Raises `GatewayError("configuration-invalid")`."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise GatewayError(
            "configuration-invalid", f"the authority `{ca}` of {whose} cannot be read", "it is a PEM file", str(error)
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def read_answer(
    encoding: str, pieces: Iterable[bytes], most: int, setting: str, seconds: float, monotonic: Callable[[], float]
) -> bytes:
    """The body with that Content-Encoding, of `most` bytes, which the setting of that name bounds, within so many
    seconds. Raises `Unfit`, and as the pieces do.
    """
    if encoding.lower() != "identity":
        raise Unfit("it sent a compressed answer, which was not asked for")
    deadline = monotonic() + seconds
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > most:
            raise Unfit(f"its answer is larger than {setting}")
        if monotonic() > deadline:
            raise Unfit("its answer does not arrive in time")
    return bytes(found)


def parse_json(data: bytes) -> Any:
    """The document. Raises `ValueError` for what is no JSON, names twice, infinite, or too deep; never quotes it."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at {error.pos}") from None
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(inner, dict | list)
        ]
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _no_constant(_: str) -> Any:
    raise ValueError("a number is infinite or none")
