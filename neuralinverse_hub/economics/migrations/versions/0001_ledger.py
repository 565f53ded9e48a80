"""The ledger's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("request_id", sa.String(200), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("person", sa.String(255), nullable=False),
        sa.Column("workspace", sa.String(255), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("upstream", sa.String(200), nullable=False),
        sa.Column("deployment", sa.String(200), nullable=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
        ),
        sa.Column("pico", sa.BigInteger),
        sa.Column("first_token_s", sa.Float),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
    )
    op.create_index("usage_at", "usage", ["at"])
    op.create_table(
        "usage_hour",
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("person", sa.String(255), primary_key=True),
        sa.Column("workspace", sa.String(255), primary_key=True),
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(200), primary_key=True),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in (
                "requests",
                "failed",
                "input_tokens",
                "cached_tokens",
                "output_tokens",
                "pico",
                "unpriced_requests",
                "unpriced_input",
                "unpriced_cached",
                "unpriced_output",
            )
        ),
    )
    op.create_table(
        "stint",
        sa.Column("person", sa.String(255), primary_key=True),
        sa.Column("workspace", sa.String(255), primary_key=True),
        sa.Column("started", sa.BigInteger, primary_key=True),
        sa.Column("size", sa.String(64), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("exact", sa.Boolean, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
    )
    op.create_index("stint_started", "stint", ["started"])
    op.create_table(
        "volume",
        sa.Column("record_id", sa.String(200), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("person", sa.String(255), nullable=False),
        sa.Column("workspace", sa.String(255), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    op.create_index("volume_at", "volume", ["at"])
    op.create_table(
        "weight",
        sa.Column("person", sa.String(255), primary_key=True),
        sa.Column("weight", sa.String(16), nullable=False),
    )
    op.create_table(
        "note",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(255), nullable=False),
    )


def downgrade() -> None:
    for name in ("note", "weight", "volume", "stint", "usage_hour", "usage"):
        op.drop_table(name)
