"""The registered models whose serving is switched on."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "enablements",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("resource_version", sa.Integer, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
    )
