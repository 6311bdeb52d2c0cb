"""What the doctor asks about exports: whether each sink can work, answers, and has got how far."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gateway.audit.checkpoint import head_of, note_parts
from gateway.cli.finding import FAIL, OK, WARN, Finding, failed
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.exports.cursor import cursor_path, exports_path, read_cursor
from gateway.exports.orders import check_files, orders_of
from gateway.exports.sinks import open_sink
from gateway.otlp import client_context, why
from gateway.outgoing import AnySink, FileSink, SyslogSink

_BEHIND = 100_000


def examine(config: Config) -> Iterator[Finding]:
    """All findings about all sinks."""
    size = _signed(config)
    try:
        check_files(orders_of(config))
    except GatewayError as error:
        yield failed("exports", error, "give each a file of its own")
    for name, settings in config.exports.items():
        check = f"export {name}"
        try:
            open_sink(settings).close()
        except GatewayError as error:
            yield failed(check, error, "correct the settings; a gateway does not start with them")
            continue
        yield from _answers(check, settings, config.audit_path)
        yield from _position(check, name, config, size)
    if config.telemetry.url is not None:
        yield _reached("telemetry", config.telemetry.url, config.telemetry)


def _answers(check: str, settings: AnySink, trail: Path) -> Iterator[Finding]:
    if isinstance(settings, FileSink):
        yield _shared(check, settings, trail)
    elif isinstance(settings, SyslogSink):
        tls = settings if settings.tls != "off" else None
        yield _connected(check, settings.host, settings.port, tls, settings.timeout)
    else:
        yield _reached(check, settings.url, settings)


def _shared(check: str, settings: FileSink, trail: Path) -> Finding:
    """Whether the files may take the space that the trail needs."""
    size = settings.rotate * (settings.keep + 1)
    text = f"lines go to {settings.path}, {size / 1024**2:.0f} MiB at the most"
    place = next(one for one in (trail, *trail.parents) if one.exists())
    if place.stat().st_dev == settings.path.parent.stat().st_dev and size > shutil.disk_usage(place).free // 4:
        return Finding(
            check, WARN, f"{text}, on the trail's disk", "a full disk refuses all work: move them, or keep less"
        )
    return Finding(check, OK, text)


def _reached(check: str, url: str, settings: object) -> Finding:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    tls = settings if parts.scheme == "https" else None
    return _connected(check, parts.hostname or "", port, tls, getattr(settings, "timeout", 10.0))


def _connected(check: str, host: str, port: int, tls: object, timeout_s: float) -> Finding:
    """Whether somebody answers there, with a certificate that is accepted."""
    try:
        with socket.create_connection((host, port), timeout_s) as line:
            if tls is None:
                return Finding(check, OK, f"{host}:{port} answers")
            trust = (getattr(tls, name) for name in ("ca", "certificate", "key"))
            with client_context(*trust).wrap_socket(line, server_hostname=host) as inner:
                return Finding(check, OK, f"{host}:{port} answers, {inner.version()}, verified")
    except (OSError, ssl.SSLError) as error:
        return Finding(check, WARN, f"{host}:{port}: {why(error)}", "records wait in the trail until it answers")
    except GatewayError as error:
        return failed(check, error)


def _position(check: str, name: str, config: Config, size: int) -> Iterator[Finding]:
    try:
        cursor = read_cursor(cursor_path(exports_path(config.state), name))
    except (OSError, ValueError) as error:
        yield Finding(check, FAIL, f"its cursor cannot be read: {error}", "run as the gateway's own user")
        return
    if cursor is None:
        yield Finding(check, OK, "it has no cursor yet: it begins when the gateway next starts")
        return
    if cursor.origin != config.origin:
        yield Finding(check, WARN, f"its cursor is of the trail `{cursor.origin}`", "all of this trail will be sent")
        return
    behind = max(0, size - cursor.next)
    level = WARN if behind > _BEHIND else OK
    mend = "see the technical log for the reason, and the metric `gateway_export_lag_records`" if level == WARN else ""
    yield Finding(check, level, f"{cursor.next} of {size} signed records are taken, {behind} wait", mend)
    if cursor.rejected:
        yield Finding(
            check, WARN, f"it said of {cursor.rejected} records that it will never take them", "ask who runs it for why"
        )


def _signed(config: Config) -> int:
    """How many records the trail's head covers; how far a sink has got is nothing that needs to be proven."""
    try:
        note = (config.audit_path / "checkpoint").read_text(encoding="utf-8")
        return head_of(note_parts(note)[0], config.origin).size
    except (OSError, ValueError):
        return 0
