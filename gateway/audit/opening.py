"""The search over a gateway's own trail, with the index that its configuration names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.audit.checkpoint import Verifier
from gateway.audit.elsewhere import Elsewhere
from gateway.audit.search import Search
from gateway.audit.shared_index import Connect, PostgresIndex, connector
from gateway.audit_settings import AuditIndex
from gateway.config import Config


def open_search(config: Config, verifier: Verifier, durable: Callable[[], int]) -> Search:
    """Opens nothing yet: an index that cannot be reached refuses questions, and nothing else."""
    place = config.audit.index
    if place.kind == "sqlite":
        return Search(config.audit_path, verifier, database=config.state / "audit-index.sqlite", durable=durable)
    connect = connect_to(place)
    index = PostgresIndex(connect, config.audit_path, verifier.name, lambda: _head(config.audit_path / "checkpoint"))
    return Search(config.audit_path, verifier, durable=durable, index=index, elsewhere=Elsewhere(connect))


def connect_to(place: AuditIndex) -> Connect:
    """How to reach the database of an index in PostgreSQL."""
    secret = place.password
    assert secret is not None
    return connector(
        host=place.host, port=place.port, database=place.database, user=place.user,
        password=lambda: secret.read().decode(), tls=place.tls != "off", ca=place.ca, timeout_s=place.connect_timeout,
    )  # fmt: skip


def _head(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
