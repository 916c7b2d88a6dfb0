"""The record of switches."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "switches",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("endpoint_id", sa.String, sa.ForeignKey("endpoints.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
    )
    op.create_index("ix_switches_endpoint_id", "switches", ["endpoint_id"])
