"""Which program asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("usage", sa.Column("client", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("usage", "client")
