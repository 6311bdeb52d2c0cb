"""What two people do together, what alerts remember, keys, budgets, and the order of the changes."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.tables.base import Moment, metadata

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

budget_summary = sa.Table(
    "budget_summary",
    metadata,
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("origin", sa.Text, nullable=False, server_default=""),
)

budget_shares = sa.Table(
    "budget_shares",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

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

master_root = sa.Table(
    "master_root",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("master", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False, index=True),
    sa.Column("row", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
    # a number that was once given is never given again
    sqlite_autoincrement=True,
)

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))
