"""A person's log-in by browser: how long it holds, and when it is prolonged."""

from dataclasses import dataclass, replace

LIFETIME_SECONDS = 12 * 3600.0
"""How long a session holds without use."""
# A session that is used is prolonged at most once in this time: each time, all gateways get another access table.
RENEWED_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Session:
    """A session, by the SHA-256 hex digest of its secret; the secret itself is kept nowhere.

    `token_hash` is the digest of the token that it was begun with: it ends with that token. Times are unix seconds.
    """

    hash: str
    principal: str
    token_hash: str
    created_at: float
    expires_at: float

    def is_over(self, now: float) -> bool:
        """Whether it has ended."""
        return now >= self.expires_at

    def used(self, now: float) -> "Session":
        """The session after a use: prolonged where that is due, else itself."""
        until = now + LIFETIME_SECONDS
        return replace(self, expires_at=until) if until - self.expires_at > RENEWED_AFTER_SECONDS else self


def begun(digest: str, principal: str, token_hash: str, now: float) -> Session:
    """A new session."""
    return Session(digest, principal, token_hash, now, now + LIFETIME_SECONDS)
