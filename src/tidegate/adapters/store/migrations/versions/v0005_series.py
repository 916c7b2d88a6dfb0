"""The time series, where the database is PostgreSQL. On SQLite they have a file of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    op.create_table(
        "series_tail",
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "series_hours",
        sa.Column("endpoint", sa.String, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("quarters", sa.LargeBinary, nullable=False),
        sa.Column("minutes", sa.LargeBinary),
    )
    op.create_index("series_hours_by_age", "series_hours", ["hour"])
    op.create_table(
        "series_totals",
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
