"""Who people are to the gateway, how they prove it, and what they may not do any more."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.tables.base import Moment, metadata

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

security_keys = sa.Table(
    "security_keys",
    metadata,
    sa.Column("credential", sa.LargeBinary, primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("used_at", Moment),
)

ceremonies = sa.Table(
    "ceremonies",
    metadata,
    sa.Column("page", sa.LargeBinary, primary_key=True),
    sa.Column("collect", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("login", sa.Text, nullable=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("code", sa.LargeBinary, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("invitation", sa.LargeBinary),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("challenge", sa.LargeBinary),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("credential", sa.LargeBinary),
    sa.Column("public_key", sa.LargeBinary),
    sa.Column("sign_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("expires_at", Moment, nullable=False),
)

provider_people = sa.Table(
    "provider_people",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("login", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("teams", sa.JSON, nullable=False),
    sa.Column("gone", sa.Boolean, nullable=False),
    sa.Column("login_at", Moment, nullable=False),
    sa.Column("confirmed_at", Moment, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("turn_until", Moment),
)

provider_logins = sa.Table(
    "provider_logins",
    metadata,
    sa.Column("login", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False),
)

suspensions = sa.Table(
    "suspensions",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("suspended_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

withdrawals = sa.Table(
    "withdrawals",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("review_id", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

recertifications = sa.Table(
    "recertifications",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("started_by", sa.Text, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("reminded_at", Moment),
    sa.Column("closed_by", sa.Text, nullable=False, server_default=""),
    sa.Column("closed_at", Moment),
    sa.Column("document", sa.LargeBinary),
    sa.Column("record", sa.BigInteger),
)

recertification_lines = sa.Table(
    "recertification_lines",
    metadata,
    sa.Column("review_id", sa.ForeignKey("recertifications.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("login", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("teams", sa.JSON, nullable=False),
    sa.Column("last_use", Moment),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("withdrawn", sa.Boolean, nullable=False),
    sa.Column("decision", sa.Text, nullable=False, server_default=""),
    sa.Column("decided_by", sa.Text, nullable=False, server_default=""),
    sa.Column("decided_at", Moment),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
)
