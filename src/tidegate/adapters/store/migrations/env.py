"""What Alembic runs: the steps, over the connection that it was given. The caller owns the transaction."""

from alembic import context

from tidegate.adapters.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite cannot alter a column: Alembic copies the table instead
)
context.run_migrations()
