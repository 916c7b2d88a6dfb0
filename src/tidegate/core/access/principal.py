"""Who calls."""

from dataclasses import dataclass

ADMIN = "admin"
"""The principal of the administrator's token."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credentials are right. `session` is the hash of the session's secret; empty for a token."""

    name: str
    session: str = ""


SESSION_COOKIE = "tidegate_session"
"""The cookie that has a session's secret.

Its name has no prefix `__Host-`: browsers take such a cookie by https only, and with the path `/` only, but a platform
may be reached by http on loopback, and below a path.
"""

# How a gateway tells control who calls. No caller can send headers whose names begin so: gateways remove them.
HEADERS = "x-tidegate-"
PRINCIPAL_HEADER, SESSION_HEADER, ADDRESS_HEADER = f"{HEADERS}principal", f"{HEADERS}session", f"{HEADERS}address"
