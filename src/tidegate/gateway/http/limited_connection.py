"""The time limits of a client's connection, and its end.

A client owes its request, then an end to what it has begun, and then it reads its answer. Each has a time limit. No
connection has a timer of its own: all are checked once a second.
"""

import asyncio
import time
from abc import abstractmethod
from enum import Enum, auto
from typing import Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidegate import http
from tidegate.core import errors
from tidegate.core.errors import TidegateError
from tidegate.gateway.metering.meter import Meter
from tidegate.gateway.scoring import responses
from tidegate.gateway.scoring.scoring_path import Scoring
from tidegate.settings import GatewaySettings

CHECK_SECONDS = 1.0
# The lowest average rate of a body, bytes per second. Each pause within a body has a limit too.
MIN_BODY_RATE = 1024
# A client may still be sending when the last answer is written. If the gateway closed the connection at once, the
# unread bytes would reset it, and the client might lose the answer. The gateway therefore reads and discards up to this
# number of bytes, for up to this number of seconds.
LINGER_BYTES, LINGER_SECONDS = 64 * 1024 * 1024, 5.0
# A connection ends when its client reads nothing of an answer for this time.
UNREAD_SECONDS = 60.0


class Awaited(Enum):
    """What the gateway awaits from the client."""

    REQUEST = auto()
    HEAD = auto()  # the rest of a request's head
    BODY = auto()
    NOTHING = auto()  # the client waits for its answer
    CLOSE = auto()  # the last answer is written


class Shared(Protocol):
    """What the connections of a gateway share. uvicorn hands it to each connection as its application."""

    scoring: Scoring
    meter: Meter
    settings: GatewaySettings
    connections: "set[LimitedConnection]"


class LimitedConnection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with time limits. Its application is `Shared`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.shared = cast("Shared", self.app)
        self.limits = self.shared.settings
        self.began_at = time.monotonic()  # when the first byte of the newest request came
        self._awaited = Awaited.REQUEST
        self._due_at = self.began_at + self.limits.header_timeout_seconds  # when the client must have sent it
        self._discards_input = False
        self._discarded_bytes = self._unread_bytes = 0
        self._unread_until = 0.0
        self.shared.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.connections.discard(self)
        super().connection_lost(exc)

    def check(self, now: float) -> None:
        """End the connection where the client has missed its time limit."""
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            self._check_that_client_reads(now)
        elif now < self._due_at:
            return
        elif self.flow.read_paused:  # the client cannot send
            self._due_at = now + self.limits.body_timeout_seconds
        elif self._awaited is Awaited.REQUEST:
            self.transport.close()
        elif self._awaited is Awaited.CLOSE:
            self.transport.abort()
        else:
            self._refuse_input(errors.RequestTimeout("The request came in too slowly."))

    def _check_that_client_reads(self, now: float) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread_bytes:
            self._unread_bytes, self._unread_until = unread, now + UNREAD_SECONDS
        elif now >= self._unread_until:
            self.transport.abort()

    @abstractmethod
    def _refuse_input(self, error: TidegateError) -> None:
        """Read nothing more from this client: answer its whole requests, then write this error."""

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes > LINGER_BYTES:
            self.transport.abort()

    def _write_final_error(self, error: TidegateError) -> None:
        """Write an error that answers no request of its own, as the last one on the connection."""
        self.shared.meter.refuse(http.status_of(error)[0])
        headers = [*http.error_headers(error), (b"x-request-id", http.request_id(None))]
        self.transport.write(responses.error(error, headers, keep_alive=False))
        self._close_after_reading()

    def _close_after_reading(self) -> None:
        """Send nothing more, and discard what the client still sends, so that it can read its answer."""
        self._discards_input = True
        self._awaited, self._due_at = Awaited.CLOSE, time.monotonic() + LINGER_SECONDS
        self.flow.resume_reading()
        self.transport.write_eof()
