"""Whether the client of a request that is passed on is still there, and the body that it sends."""

from asyncio import timeout
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from tidegate.event_streams import Receive, Scope, expire

PRESENCE = "tidegate.presence"
"""Where a request's scope has its `Presence`."""


class ClientLeft(Exception):
    """The client has gone before its answer was whole."""


class Presence:
    """What a connection and the application tell each other of a request's client.

    ASGI's own way to hear that it has gone, a second task that awaits `receive`, takes a fifth of the processor time of
    a request that is passed on.
    """

    __slots__ = ("abort", "gone", "when_gone")

    def __init__(self, abort: Callable[[], None]) -> None:
        """`abort` ends the connection at once."""
        self.abort = abort
        self.gone = False
        self.when_gone: Callable[[], None] | None = None

    def end(self) -> None:
        """The client has gone."""
        self.gone = True
        if self.when_gone is not None:
            self.when_gone()


class Client:
    """A request's client. As a context, it is the block that serves it, and that may end when it leaves."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        """Without a `Presence` in the scope, only the end of a body tells that the client has gone."""
        self.limit = timeout(None)  # of the block; who lets it expire ends the block by TimeoutError
        self._presence: Presence = scope.get(PRESENCE) or Presence(lambda: None)
        self._receive = receive

    @property
    def left(self) -> bool:
        """Whether the client has gone."""
        return self._presence.gone

    async def __aenter__(self) -> Self:
        await self.limit.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._presence.when_gone = None
        try:
            await self.limit.__aexit__(kind, error, trace)
        except TimeoutError:
            if self.left:
                raise ClientLeft from None
            raise

    async def body(self) -> AsyncIterator[bytes]:
        """The request's body. Raises ClientLeft when it will never be whole."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._presence.gone = True
                raise ClientLeft
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body", False):
                return

    def may_leave(self) -> None:
        """From now on, the block ends by ClientLeft when the client leaves, also while nothing is sent to it."""
        self._presence.when_gone = self._end
        if self.left:
            self._end()

    def abort(self) -> None:
        """End the connection at once, whatever the client has not read yet."""
        self._presence.abort()

    def _end(self) -> None:
        expire(self.limit)
