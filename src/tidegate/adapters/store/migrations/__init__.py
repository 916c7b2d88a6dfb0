"""The store's schema, as steps; what is missing is applied when it opens.

`python -m tidegate.adapters.store.migrations MESSAGE` writes the next one.
"""

from pathlib import Path

from alembic.config import Config
from sqlalchemy import Connection


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for running these migrations over `connection`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
