"""Who calls, on every path: the check of a request's token or session against the newest access table.

The table is saved to disk, so that a restarted gateway knows its callers at once, even without control.
"""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tidegate import http
from tidegate.atomic_write import write_atomically
from tidegate.core.access.access_table import AccessTable
from tidegate.core.access.principal import SESSION_COOKIE, Principal
from tidegate.core.errors import Unauthenticated, Unavailable
from tidegate.gateway.scoring import cors
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# Headers that were accepted, at most. A known header is looked up and not hashed again.
MAX_REMEMBERED = 1024
_COOKIE, _MOST_SESSIONS = f"{SESSION_COOKIE}=".encode(), 4
# How a browser's request is marked that its user has made, by a link or an address.
_BY_HAND = b"navigate"


class TokenCheck:
    """Knows callers by the newest access table. `table` is None before the first one."""

    def __init__(self, saved: Path, public_origin: str = "") -> None:
        self._saved, self._origin = saved, public_origin.encode()
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

    def check(self, method: bytes, headers: Mapping[bytes, bytes]) -> Principal:
        """Who sends a request. A session's cookie counts where there is no `Authorization`.

        Raises Unauthenticated, PermissionDenied for a change by a session from another site's page, and Unavailable
        before there is a table.
        """
        known = self._accepted.get(headers.get(b"authorization"))
        return known if known is not None else self._look_up(method, headers)

    def _look_up(self, method: bytes, headers: Mapping[bytes, bytes]) -> Principal:
        if self.table is None:
            raise Unavailable("The platform is starting. Try again in a moment.", retry_after=1)
        authorization, secrets = headers.get(b"authorization"), secrets_of(headers)
        if authorization is None and secrets:
            principal = self._of_session(self.table, secrets)
            cors.check_own_page(method, headers, self._origin)
            return principal
        try:
            principal = self._of_token(self.table, http.bearer_token(authorization))
        except Unauthenticated as error:
            # The browser's own dialog would come up over a page, and what it asks for is no session.
            by_hand = not secrets and headers.get(b"sec-fetch-mode", _BY_HAND) == _BY_HAND
            raise Unauthenticated(error.message, challenge=by_hand) from None
        if len(self._accepted) < MAX_REMEMBERED:
            self._accepted[authorization] = principal
        return principal

    def _of_session(self, table: AccessTable, secrets: Sequence[str]) -> Principal:
        for digest in map(http.token_hash, secrets):
            grant = table.sessions.get(digest)
            if grant is not None and time.time() < grant.expires_at:
                return Principal(grant.principal, digest)
        raise Unauthenticated("The session has ended. Log in again.", challenge=False)

    def _of_token(self, table: AccessTable, token: str) -> Principal:
        # Tokens are random, and their hashes tell nothing of them: a look-up may take whatever time it takes.
        name = table.tokens.get(http.token_hash(token))
        if name is None:
            raise Unauthenticated(
                "The token is not valid. The administrator's token is in admin.token in the server's data directory."
            )
        return Principal(name)

    def _adopt(self, table: AccessTable) -> None:
        self.table, self._accepted = table, {}


def secrets_of(headers: Mapping[bytes, bytes]) -> list[str]:
    """The secrets in a request's session cookies: that of another platform on this host may be among them."""
    parts = [part.strip() for part in headers.get(b"cookie", b"").split(b";")]
    return [part.removeprefix(_COOKIE).decode("latin-1") for part in parts if part.startswith(_COOKIE)][:_MOST_SESSIONS]
