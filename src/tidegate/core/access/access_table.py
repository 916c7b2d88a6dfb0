"""The access table, which control publishes and gateways follow: by it, a gateway knows who calls without asking."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Grant:
    """Whose a session is, and when it ends: unix seconds."""

    principal: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class AccessTable:
    """The credentials that are accepted. `version` is a digest of the content.

    - `tokens`: the principal of each token, by the SHA-256 hex digest of the token.
    - `sessions`: likewise, by the digest of the session's secret.
    """

    version: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, Grant] = field(default_factory=dict)


def access_table(tokens: Mapping[str, str], sessions: Mapping[str, Grant]) -> AccessTable:
    """The table of these credentials."""
    ends = sorted((digest, grant.principal, grant.expires_at) for digest, grant in sessions.items())
    content = json.dumps([sorted(tokens.items()), ends]).encode()
    return AccessTable(hashlib.sha256(content).hexdigest()[:16], dict(tokens), dict(sessions))
