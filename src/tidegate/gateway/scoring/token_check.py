"""Who calls, on every path: the check of a request's token against the newest access table.

The table is saved to disk, so that a restarted gateway knows its callers at once, even without control.
"""

import contextlib
import logging
from pathlib import Path

import msgspec

from tidegate import http
from tidegate.atomic_write import write_atomically
from tidegate.core.access.access_table import AccessTable
from tidegate.core.access.principal import Principal
from tidegate.core.errors import Unauthenticated, Unavailable
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# Headers that were accepted, at most. A known header is looked up and not hashed again.
MAX_REMEMBERED = 1024


class TokenCheck:
    """Knows callers by the newest access table. `table` is None before the first one."""

    def __init__(self, saved: Path) -> None:
        self._saved = saved
        self.table: AccessTable | None = None
        self._accepted: dict[bytes | None, Principal] = {}

    def start(self) -> None:
        """Follow the saved table."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self._adopt(msgspec.json.decode(self._saved.read_bytes(), type=AccessTable))

    def follow(self, table: AccessTable) -> None:
        """Use this table from now on."""
        if self.table is not None and table.version == self.table.version:
            return
        self._adopt(table)
        try:
            write_atomically(self._saved, msgspec.json.encode(table))
        except OSError as error:  # a full disk must lock nobody out
            logger.warning("the access table could not be saved", extra=fields(error=str(error)))

    def check(self, authorization: bytes | None) -> Principal:
        """Whose the header's token is. Raises Unauthenticated, and Unavailable before there is a table."""
        known = self._accepted.get(authorization)
        return known if known is not None else self._look_up(authorization)

    def _look_up(self, authorization: bytes | None) -> Principal:
        if self.table is None:
            raise Unavailable("The platform is starting. Try again in a moment.", retry_after=1)
        # Tokens are random, and their hashes tell nothing of them: a look-up may take whatever time it takes.
        name = self.table.tokens.get(http.token_hash(http.bearer_token(authorization)))
        if name is None:
            raise Unauthenticated(
                "The token is not valid. The administrator's token is in admin.token in the server's data directory."
            )
        principal = Principal(name)
        if len(self._accepted) < MAX_REMEMBERED:
            self._accepted[authorization] = principal
        return principal

    def _adopt(self, table: AccessTable) -> None:
        self.table, self._accepted = table, {}
