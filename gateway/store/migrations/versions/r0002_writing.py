"""Requests and grants for writing: the statement, and that it ran; who saw what it would change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """See the module."""
    op.create_table(
        "previews",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["requests.id"],
        ),
        sa.PrimaryKeyConstraint("request_id", "person"),
    )
    op.add_column("requests", sa.Column("statement", sa.Text(), server_default="", nullable=False))
    op.add_column("requests", sa.Column("digest", sa.Text(), server_default="", nullable=False))
    op.add_column("grants", sa.Column("statement", sa.Text(), server_default="", nullable=False))
    op.add_column("grants", sa.Column("spent_by", sa.Text(), server_default="", nullable=False))
    op.add_column("grants", sa.Column("spent_at", sa.BigInteger()))
