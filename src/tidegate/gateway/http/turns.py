"""How many requests are passed on at once. The gateway's first duty is scoring, so there are limits.

Event streams and ordinary requests are counted apart: open pages keep no upload from its turn, and uploads no page.
"""

import asyncio
from types import TracebackType
from typing import Self

from tidegate.core.errors import Unavailable

# To each upstream of a gateway, so at most 256 for both. An answer of control's may need one of the registry's, and
# comes by this gateway too: with one limit for both, requests that hold all turns would wait for each other.
MAX_ORDINARY = 128
# How long an ordinary request waits for its turn.
WAIT_SECONDS = 1.0
_STREAM_RETRY_SECONDS = 30


class StreamCount:
    """The event streams of a gateway, to all upstreams."""

    def __init__(self, most: int) -> None:
        self.open = 0
        self._most = most

    def take(self) -> None:
        """Count one more. Raises Unavailable at the limit."""
        if self.open >= self._most:
            raise Unavailable(
                f"This gateway has {self._most} event streams open and takes no more. Ask now and then instead.",
                retry_after=_STREAM_RETRY_SECONDS,
            )
        self.open += 1

    def give_back(self) -> None:
        """Count one less."""
        self.open -= 1


class Turns:
    """The turns of one upstream."""

    def __init__(self, streams: StreamCount) -> None:
        self._streams = streams
        self._ordinary = asyncio.Semaphore(MAX_ORDINARY)

    def turn(self, *, as_stream: bool) -> "Turn":
        """A turn, to be held as a context. Entering it raises Unavailable."""
        return Turn(self._ordinary, self._streams, as_stream)


class Turn:
    """What a request holds while it is passed on: one place among the ordinary requests, or one among the streams."""

    def __init__(self, ordinary: asyncio.Semaphore, streams: StreamCount, as_stream: bool) -> None:
        self._ordinary, self._streams, self._as_stream = ordinary, streams, as_stream

    async def __aenter__(self) -> Self:
        if self._as_stream:
            self._streams.take()
            return self
        if not self._ordinary.locked():
            await self._ordinary.acquire()
            return self
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._ordinary.acquire()
        except TimeoutError:
            raise Unavailable(
                "The gateway passes on as many requests as it may. Try again in a second.", retry_after=1
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._as_stream:
            self._streams.give_back()
        else:
            self._ordinary.release()

    def becomes_stream(self) -> None:
        """The answer is an event stream after all. Raises Unavailable when there are too many."""
        if not self._as_stream:
            self._streams.take()
            self._ordinary.release()
            self._as_stream = True
