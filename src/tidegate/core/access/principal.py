"""Who calls."""

from dataclasses import dataclass

ADMIN = "admin"
"""The principal of the administrator's token."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credentials are right. `session` is the hash of the session's secret; empty for a token."""

    name: str
    session: str = ""
