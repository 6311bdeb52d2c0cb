"""Making the trail's directory again from its copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.audit.checkpoint import Verifier
from gateway.audit.restore import restore as restored
from gateway.cli.output import emit_json, emit_text, say
from gateway.cli.setup import configuration, setup
from gateway.errors import GatewayError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(restore)


def restore(
    key: Annotated[list[str] | None, typer.Option(help="A public key of the log, or a file with it.")] = None,
) -> None:
    """Make the trail's lost directory again from its copy (`audit.replica`), on the gateway's machine, stopped."""
    config = configuration("the trail's place")
    if config.audit.replica is None:
        raise GatewayError("configuration-invalid", "`audit.replica` is not configured: there is no copy")
    texts = key or [str(config.state / "audit.key.pub")]
    try:
        verifiers = tuple(
            Verifier.parse((Path(one).read_text(encoding="utf-8") if Path(one).is_file() else one).strip())
            for one in texts
        )
    except (OSError, ValueError) as error:
        raise GatewayError(
            "configuration-invalid",
            f"the key cannot be used: {error}",
            "name it: --key KEY (`gateway audit key`)",
        ) from error
    size = restored(config.audit_path, config.audit.replica, config.origin, verifiers, config.audit.segment_size)
    if setup().as_json:
        emit_json({"records": size, "directory": str(config.audit_path)})
    else:
        emit_text(str(config.audit_path))
    say(f"{size} records; check them against a witness: gateway audit verify --witness FILE")
