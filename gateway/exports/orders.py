"""What the gateway and its exporting process say to one another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from gateway.config import Config
from gateway.errors import GatewayError
from gateway.exports.worker import State
from gateway.outgoing import AnySink, FileSink
from gateway.settings import Model


class Orders(Model):
    """Everything that the process needs to know; secrets are named, not held."""

    origin: str
    state: Path
    trail: Path
    durable: int
    log_format: Literal["json", "human", "auto"]
    exports: dict[str, AnySink]


def orders_of(config: Config) -> Orders:
    """What that configuration orders."""
    return Orders(
        origin=config.origin,
        state=config.state,
        trail=config.audit_path,
        durable=0,
        log_format=config.log_format,
        exports=config.exports,
    )


def check_files(orders: Orders) -> None:
    """Files of exports lie apart: from one another, and from what is the gateway's own.

    Raises `GatewayError("configuration-invalid")`: a sink would cut off what it takes for a torn line.
    """
    own = [orders.state.resolve(), orders.trail.resolve()]
    taken: dict[Path, str] = {}
    for name, settings in orders.exports.items():
        if not isinstance(settings, FileSink):
            continue
        path = settings.path.resolve()
        if any(path.is_relative_to(place) for place in own):
            raise GatewayError(
                "configuration-invalid", f"the export `{name}` may not write among the gateway's own files"
            )
        if path in taken:
            raise GatewayError("configuration-invalid", f"`{name}` and `{taken[path]}` would write the same file")
        taken[path] = name


class Word(msgspec.Struct):
    """One line towards the process."""

    durable: int
    stop: bool = False


class States(msgspec.Struct):
    """One line from it."""

    sinks: list[State]
