"""The sessions of people who have logged in, and the access table that they are part of.

A session is durable before anybody learns of it, and known to the gateways before its owner does.
"""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tidegate import http
from tidegate.control.access.wrong_tries import WrongTries
from tidegate.control.publish.gateway_links import Gateways
from tidegate.core.access.access_table import Grant, access_table
from tidegate.core.access.principal import Principal
from tidegate.core.access.session import Session, begun
from tidegate.core.errors import TidegateError, TooManyRequests, Unauthenticated
from tidegate.ports import Clock, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 600.0
"""Between two sweeps of sessions that have ended. Gateways refuse them at their end without that."""
# How long a log-in or a log-out waits until every gateway knows of it.
_PATIENCE_SECONDS = 2.0
# All gateways get all of them at each change. Beyond this number, those end that would have ended first.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a log-in gives: the secret for the cookie, which is told once, and when it ends if unused, unix seconds."""

    secret: str
    expires_at: float


class Sessions:
    """The sessions. `tokens` are the principals of the tokens that one may log in by, by the token's hash.

    The methods raise Unavailable when the store cannot be reached.
    """

    def __init__(self, store: Store, gateways: Gateways, clock: Clock, tokens: Mapping[str, str]) -> None:
        self._store, self._gateways, self._clock, self._tokens = store, gateways, clock, tokens
        self._tries = WrongTries()
        self._sessions: dict[str, Session] = {}  # by hash
        self._changing = asyncio.Lock()

    async def sweep(self) -> float:
        """Forget the sessions that have ended and those whose token is no longer accepted, and publish the others.

        The first call is what makes callers known to the gateways. Returns the pause before the next in seconds.
        """
        async with self._changing:
            stored = await self._store.sessions()
            now = self._clock.now()
            ended = [one.hash for one in stored if one.is_over(now) or one.token_hash not in self._tokens]
            await self._forget(ended, {one.hash: one for one in stored})
        return SWEEP_SECONDS

    async def log_in(self, token: str, address: str = "") -> NewSession:
        """Begin a session. `address` is the caller's.

        Raises Unauthenticated for a wrong token, and TooManyRequests when the address has sent too many of them.
        """
        wait = self._tries.seconds_to_wait(address, self._clock.monotonic())
        if wait:
            raise TooManyRequests("Too many wrong tokens came from this address. Try again later.", retry_after=wait)
        token_hash = http.token_hash(token.strip())
        principal = next((name for known, name in self._tokens.items() if hmac.compare_digest(known, token_hash)), None)
        if principal is None:
            self._tries.add(address, self._clock.monotonic())
            logger.warning("a log-in failed", extra=fields(address=address))
            raise Unauthenticated("This is not the token. It is in admin.token in the server's data directory.")
        secret = secrets.token_urlsafe(32)
        session = begun(http.token_hash(secret), principal, token_hash, self._clock.now())
        async with self._changing:
            await self._store.save_session(session)
            kept = sorted((*self._sessions.values(), session), key=lambda one: one.expires_at)
            await self._forget([one.hash for one in kept[:-_MOST]], {one.hash: one for one in kept})
        await self._gateways.know_access(_PATIENCE_SECONDS)
        logger.info("logged in", extra=fields(principal=principal, address=address))
        return NewSession(secret, session.expires_at)

    async def log_out(self, digest: str) -> None:
        """End the session of this hash. Idempotent."""
        async with self._changing:
            await self._forget([digest], self._sessions)
        await self._gateways.know_access(_PATIENCE_SECONDS)

    def principal(self, digest: str) -> Principal | None:
        """Whose the session of this hash is; None where there is none, or it has ended."""
        session = self._sessions.get(digest)
        return None if session is None or session.is_over(self._clock.now()) else Principal(session.principal, digest)

    async def used(self, digest: str) -> None:
        """Prolong the session of this hash where that is due. A store that is away only puts that off."""
        session = self._sessions.get(digest)
        if session is None or session.used(self._clock.now()) is session:
            return
        async with self._changing:
            session = self._sessions.get(digest)
            if session is None or (later := session.used(self._clock.now())) is session:
                return
            try:
                await self._store.save_session(later)
            except TidegateError as error:
                logger.warning("a session could not be prolonged: %s", error.message)
                return
            self._know({**self._sessions, digest: later})

    async def _forget(self, ended: Collection[str], known: Mapping[str, Session]) -> None:
        """Drop these, and go on with the others that are known."""
        if ended:
            await self._store.drop_sessions(ended)
        self._know({digest: one for digest, one in known.items() if digest not in ended})

    def _know(self, sessions: dict[str, Session]) -> None:
        self._sessions = sessions
        grants = {digest: Grant(one.principal, one.expires_at) for digest, one in sessions.items()}
        self._gateways.publish_access(access_table(self._tokens, grants))
