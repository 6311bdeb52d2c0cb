"""A summary of budgets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """See the module."""
    op.create_table("budget_summary", sa.Column("data", sa.LargeBinary(), nullable=False))
