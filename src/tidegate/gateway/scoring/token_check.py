"""The check of a request's token, on every path."""

import hmac

from tidegate import http
from tidegate.core.errors import Unauthenticated, Unavailable
from tidegate.core.planes.route_table import RouteTable

# Headers that were accepted, at most. A known header is looked up and not hashed again.
MAX_REMEMBERED = 1024


class TokenCheck:
    """Checks tokens against the newest route table."""

    def __init__(self) -> None:
        self._version: str | None = None
        self._accepted: set[bytes] = set()

    def check(self, authorization: bytes | None, table: RouteTable | None) -> None:
        """Check the header's token. Raises Unauthenticated, and Unavailable before there is a table."""
        if table is None:
            raise Unavailable("The platform is starting. Try again in a moment.", retry_after=1)
        if table.version != self._version:
            self._version, self._accepted = table.version, set()
        if authorization in self._accepted:
            return
        given = http.token_hash(http.bearer_token(authorization))
        if not any(hmac.compare_digest(given, known) for known in table.token_hashes):
            raise Unauthenticated(
                "The token is not valid. The administrator's token is in admin.token in the server's data directory."
            )
        if authorization is not None and len(self._accepted) < MAX_REMEMBERED:
            self._accepted.add(authorization)
