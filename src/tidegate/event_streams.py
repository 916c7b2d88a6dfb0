"""Event streams: answers without an end (`text/event-stream`), which a server that stops must end itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

CONTENT_TYPE = b"text/event-stream"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class EventStreams:
    """The event streams that a server has open. Each is the time limit of the block that sends it."""

    def __init__(self) -> None:
        self.ended = False  # whether the server stops: no stream begins any more
        self._open: set[asyncio.Timeout] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, limit: asyncio.Timeout) -> None:
        """From now on, `end` lets this limit expire."""
        self._open.add(limit)
        if self.ended:
            expire(limit)

    def discard(self, limit: asyncio.Timeout) -> None:
        """The block is left."""
        self._open.discard(limit)

    def end(self) -> None:
        """End all streams, and from now on each one that begins."""
        self.ended = True
        for limit in self._open:
            expire(limit)


def expire(limit: asyncio.Timeout) -> None:
    """End the block of `limit` by TimeoutError, wherever it waits."""
    if limit.when() is None:
        limit.reschedule(0.0)


def is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether an answer with these headers is an event stream."""
    return any(name.lower() == b"content-type" and value.lower().startswith(CONTENT_TYPE) for name, value in headers)


def ending(app: App, streams: EventStreams) -> App:
    """An application whose event streams end properly when the server stops, wherever the application waits.

    So whoever sends a stream needs not think of the server's end. The task that sends it is cancelled, so its `finally`
    blocks run, and the client's EventSource connects again.
    """

    async def ended(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: MutableMapping[str, Any]) -> None:
            await send(message)
            if message["type"] == "http.response.start" and is_event_stream(message.get("headers", ())):
                streams.add(limit)

        limit = asyncio.timeout(None)
        try:
            async with limit:
                await app(scope, receive, noted)
        except TimeoutError:
            if not limit.expired():
                raise
            await send({"type": "http.response.body", "body": b""})
        finally:
            streams.discard(limit)

    return ended
