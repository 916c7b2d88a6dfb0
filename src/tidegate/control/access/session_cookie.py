"""The cookie of a session, as it is set and removed."""

from tidegate.core.access.principal import SESSION_COOKIE
from tidegate.public_url import PublicUrl


def set_cookie(secret: str, public: PublicUrl) -> str:
    """The value of `Set-Cookie` for a new session.

    No script can read the cookie, and other sites' pages cannot send it but by a link. It has no time of its own: the
    session's end is the server's to say.
    """
    return f"{SESSION_COOKIE}={secret}; {_attributes(public)}"


def remove_cookie(public: PublicUrl) -> str:
    """The value of `Set-Cookie` that removes it."""
    return f"{SESSION_COOKIE}=; Max-Age=0; {_attributes(public)}"


def _attributes(public: PublicUrl) -> str:
    secure = "; Secure" if public.secure else ""
    return f"Path={public.path()}; HttpOnly; SameSite=Lax{secure}"
