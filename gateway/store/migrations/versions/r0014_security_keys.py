"""Security keys, and ceremonies with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """See the module."""
    op.create_table(
        "security_keys",
        sa.Column("credential", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("credential"),
    )
    op.create_index("ix_security_keys_person", "security_keys", ["person"])
    op.create_table(
        "ceremonies",
        sa.Column("page", sa.LargeBinary(), nullable=False),
        sa.Column("collect", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("code", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("invitation", sa.LargeBinary()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("challenge", sa.LargeBinary()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("credential", sa.LargeBinary()),
        sa.Column("public_key", sa.LargeBinary()),
        sa.Column("sign_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("page"),
        sa.UniqueConstraint("collect"),
    )
