"""The store's tables. Most rows have columns to search by, and the whole value as JSON in `spec`.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text, text

METADATA = MetaData()

_LIVE = text("deleted_at IS NULL")

ENDPOINTS = Table(
    "endpoints",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("deleted_at", Float),
    Column("resource_version", Integer, nullable=False),
    Column("spec", Text, nullable=False),
    # A deleted endpoint's name is free at once, although its row stays until its replicas have drained.
    Index("endpoints_live_name", "name", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
)

REVISIONS = Table(
    "revisions",
    METADATA,
    Column("id", String, primary_key=True),
    Column("endpoint_id", ForeignKey("endpoints.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("state", String, nullable=False),
    Column("spec", Text, nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("endpoint_id", ForeignKey("endpoints.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("message", Text, nullable=False),
)

SWITCHES = Table(
    "switches",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("endpoint_id", ForeignKey("endpoints.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("spec", Text, nullable=False),
)

ENABLEMENTS = Table(
    "enablements",
    METADATA,
    Column("product", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("resource_version", Integer, nullable=False),
    Column("spec", Text, nullable=False),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("hash", String, primary_key=True),
    Column("principal", String, nullable=False),
    Column("token_hash", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)

LOCKS = Table(
    "locks",
    METADATA,
    Column("input_digest", String, primary_key=True),
    Column("lock", Text, nullable=False),
)
