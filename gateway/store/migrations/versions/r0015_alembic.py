"""From here on alembic's table says which revision a store has, and no program of before takes the store for its own.

`turn_until` came into the tables of version 12 without a step, so that there are stores of versions 12 to 14 that lack
it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """See the module."""
    people = sa.inspect(op.get_bind()).get_columns("provider_people")
    if all(column["name"] != "turn_until" for column in people):
        op.add_column("provider_people", sa.Column("turn_until", sa.BigInteger()))
    # INVARIANT: programs that had numbered steps refuse a store whose `schema_version` is above theirs
    op.execute("INSERT INTO schema_version (version) VALUES (15)")
