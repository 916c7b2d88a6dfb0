"""How long a request's body may be: it is read whole, so that a route gets all of it or none."""

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from tidegate.core.errors import PayloadTooLarge

# The longest body that a client sends in earnest, an update with many environment variables, has some 100 KiB.
MAX_BODY_BYTES = 1024 * 1024


async def read_bounded(scope: Scope, receive: Receive) -> Receive:
    """Read the body, and return what hands it on to a route.

    Raises PayloadTooLarge as soon as the body is known to be longer than MAX_BODY_BYTES: by its Content-Length before a
    byte of it is read, else when more bytes than that have come.
    """
    announced = Headers(scope=scope).get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[Message] = []
    size, more = 0, True
    while more:
        part = await receive()
        parts.append(part)
        size += len(part.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise _too_large()
        more = part["type"] == "http.request" and part.get("more_body", False)
    left = iter(parts)

    async def hand_on() -> Message:
        part = next(left, None)
        return await receive() if part is None else part

    return hand_on


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is longer than {MAX_BODY_BYTES} bytes. Send less; models go to the registry.")
