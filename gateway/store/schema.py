"""The tables, and the numbered steps that bring an older file up to them.

INVARIANT: a step that was released is never edited; a change is a new step. A store with a newer number than
this program knows is refused: an older program must not write rows that it does not understand.

Moments are stored as integer microseconds since 1970 UTC, so that no driver's idea of a date takes part.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from gateway.errors import GatewayError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(sa.types.TypeDecorator[datetime]):
    """A UTC-aware datetime as integer microseconds."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Microseconds since the epoch. Raises `ValueError` for a naive datetime."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - as above
        """The moment, in UTC."""
        return None if value is None else _EPOCH + timedelta(microseconds=int(value))


metadata = sa.MetaData()

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("ticket_system", sa.Text, nullable=False),
    sa.Column("ticket_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("reveal", sa.JSON, nullable=False),
    sa.Column("write", sa.Boolean, nullable=False),
    sa.Column("duration_s", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("decided_at", Moment),
    sa.Column("decision_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("statement", sa.Text, nullable=False, server_default=""),
    sa.Column("digest", sa.Text, nullable=False, server_default=""),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("request_id", sa.ForeignKey("requests.id"), primary_key=True),
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("at", Moment, nullable=False),
)

previews = sa.Table(
    "previews",
    metadata,
    sa.Column("request_id", sa.ForeignKey("requests.id"), primary_key=True),
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("seen", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("request_id", sa.ForeignKey("requests.id"), nullable=False, unique=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("ticket_system", sa.Text, nullable=False),
    sa.Column("ticket_id", sa.Text, nullable=False),
    sa.Column("customers", sa.JSON, nullable=False),
    sa.Column("reveal", sa.JSON, nullable=False),
    sa.Column("write", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("approved_by", sa.JSON, nullable=False),
    sa.Column("ended_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("statement", sa.Text, nullable=False, server_default=""),
    sa.Column("spent_by", sa.Text, nullable=False, server_default=""),
    sa.Column("spent_at", Moment),
    sa.Column("break_glass", sa.Boolean, nullable=False, server_default=sa.false()),
)

passes = sa.Table(
    "passes",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("grant_id", sa.ForeignKey("grants.id"), nullable=False, index=True),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("login", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("ticket_id", sa.Text, nullable=False),
    sa.Column("scram", sa.Text, nullable=False),
    sa.Column("factor", sa.Text, nullable=False),
    sa.Column("factor_at", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("superseded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("revoked", sa.Boolean, nullable=False, server_default=sa.false()),
)

factors = sa.Table(
    "factors",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("enrolled_at", Moment, nullable=False),
    sa.Column("last_step", sa.BigInteger, nullable=False),
)

recovery_codes = sa.Table(
    "recovery_codes",
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
    sa.Column("used_at", Moment),
)

invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("used_at", Moment),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("person", sa.Text, nullable=False, index=True),
    sa.Column("factor", sa.Text, nullable=False),
    sa.Column("factor_at", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
)

lockouts = sa.Table(
    "lockouts",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failed_at", Moment, nullable=False),
)

acts = sa.Table(
    "acts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("does", sa.Text, nullable=False),
    sa.Column("subject", sa.JSON, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("person", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("filed_at", Moment, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False, server_default=""),
    sa.Column("decided_at", Moment),
    sa.Column("decision_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("done_at", Moment),
)

reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("grant_id", sa.ForeignKey("grants.id"), primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("ticket_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("reviewed_by", sa.Text, nullable=False, server_default=""),
    sa.Column("reviewed_at", Moment),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
)

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("people", sa.JSON, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("changed_at", Moment, nullable=False),
    sa.Column("investigator", sa.Text, nullable=False, server_default=""),
    sa.Column("finding", sa.Text, nullable=False, server_default=""),
    sa.Column("closed_by", sa.Text, nullable=False, server_default=""),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("sign_offs", sa.JSON, nullable=False),
    sa.Index("cases_about", "rule", "about"),
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sink", sa.Text, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("made_at", Moment, nullable=False),
    sa.Column("next_at", Moment, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
)

alert_memory = sa.Table(
    "alert_memory",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

ticket_comments = sa.Table(
    "ticket_comments",
    metadata,
    sa.Column("grant_id", sa.Text, primary_key=True),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("system", sa.Text, nullable=False),
    sa.Column("ticket_id", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("next_at", Moment, nullable=False),
    sa.Column("done_at", Moment),
)

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("subject", sa.JSON, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("confirmed_by", sa.Text, nullable=False),
    sa.Column("set_at", Moment, nullable=False),
    sa.Column("lifted_at", Moment),
)

budget_summary = sa.Table("budget_summary", metadata, sa.Column("data", sa.LargeBinary, nullable=False))


sealing_keys = sa.Table(
    "sealing_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("use", sa.Text, nullable=False),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("month", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.UniqueConstraint("use", "customer", "month"),
)


def _first(connection: sa.Connection) -> None:
    metadata.create_all(connection)


def _writing(connection: sa.Connection) -> None:
    """Requests and grants for writing: the statement, and that it ran; who saw what it would change."""
    previews.create(connection, checkfirst=True)
    _add(connection, requests.c.statement, requests.c.digest)
    _add(connection, grants.c.statement, grants.c.spent_by, grants.c.spent_at)


def _add(connection: sa.Connection, *columns: sa.Column[Any]) -> None:
    """Add the columns that are missing: in a new store the first step made them with their table."""
    for column in columns:
        there = {one["name"] for one in sa.inspect(connection).get_columns(column.table.name)}
        if column.name not in there:
            described = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {described}")


def _summaries(connection: sa.Connection) -> None:
    # a new store has it already: the first step makes all tables that this program knows
    budget_summary.create(connection, checkfirst=True)


def _acts(connection: sa.Connection) -> None:
    acts.create(connection, checkfirst=True)


def _break_glass(connection: sa.Connection) -> None:
    reviews.create(connection, checkfirst=True)
    _add(connection, grants.c.break_glass)


def _alerts(connection: sa.Connection) -> None:
    for table in (cases, notices, alert_memory):
        table.create(connection, checkfirst=True)


def _sealing(connection: sa.Connection) -> None:
    sealing_keys.create(connection, checkfirst=True)


def _ticket_comments(connection: sa.Connection) -> None:
    ticket_comments.create(connection, checkfirst=True)


def _holds(connection: sa.Connection) -> None:
    holds.create(connection, checkfirst=True)


STEPS: tuple[Callable[[sa.Connection], None], ...] = (
    _first, _writing, _summaries, _acts, _break_glass, _alerts, _sealing, _ticket_comments, _holds,
)  # fmt: skip
"""Step n brings a store from version n to n + 1."""


def migrate(connection: sa.Connection, steps: tuple[Callable[[sa.Connection], None], ...] = STEPS) -> int:
    """Bring the store to the newest version and return it.

    Raises `GatewayError("configuration-invalid")` when the store is newer than this program.
    """
    schema_version.create(connection, checkfirst=True)
    found = connection.execute(sa.select(sa.func.max(schema_version.c.version))).scalar() or 0
    if found > len(steps):
        raise GatewayError(
            "configuration-invalid",
            f"the store has schema version {found}; this program knows versions up to {len(steps)}",
            "start the version of the gateway that wrote it, or a newer one",
        )
    for number, step in enumerate(steps[found:], start=found + 1):
        step(connection)
        connection.execute(schema_version.insert().values(version=number))
    return len(steps)
