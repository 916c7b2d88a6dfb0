"""Writes the next migration from what `schema.py` has and the migrations have not."""

import sys

from alembic import command
from sqlalchemy import create_engine

from tidegate.adapters.store.migrations import alembic_config

with create_engine("sqlite://").begin() as _connection:
    _config = alembic_config(_connection)
    command.upgrade(_config, "head")
    command.revision(_config, " ".join(sys.argv[1:]), autogenerate=True)
