"""A client's connection: uvicorn's HTTP/1.1 protocol with limits, and a short path for scoring requests.

uvicorn gives each request a task, an event and a dictionary. A scoring request needs none of them. It takes the place
of uvicorn's request cycle, and the parser calls it back. All other requests go on by ASGI. The size of a head is
limited here, the time that a client may take in `limited_connection.py`.

The parser's callbacks and the order of answers stay in one file of over 300 lines: both work on the same state, and an
attribute more between them would cost every request.
"""

import asyncio
import time
from typing import TYPE_CHECKING, NoReturn, cast

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tidegate import http
from tidegate.core import errors
from tidegate.core.errors import TidegateError
from tidegate.gateway.http import request_head
from tidegate.gateway.http.client_presence import PRESENCE, Presence
from tidegate.gateway.http.limited_connection import MIN_BODY_RATE, Awaited, LimitedConnection
from tidegate.gateway.http.parser_errors import understood
from tidegate.gateway.scoring import responses
from tidegate.gateway.scoring.request import ScoringRequest
from tidegate.gateway.scoring.scoring_path import PREFIXES, SUFFIX

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

MAX_PIPELINED = 64
_ONE_WRITE_BYTES = 64 * 1024
_UPGRADE_HEADERS = {b"connection", b"upgrade", b"http2-settings"}

Cycle = RequestResponseCycle | ScoringRequest


class Connection(LimitedConnection):
    """The protocol of one connection. uvicorn makes it."""

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._prefix = self.shared.scoring.public.prefix.encode()
        self._head_bytes = 0
        self._without_upgrade = b""
        self._head_read: int | None = None  # bytes read since the head began; None in the read in which it began
        self._current: Cycle | None = None
        self._error: TidegateError | None = None  # why the parser was stopped
        self._final_error: TidegateError | None = None  # written when all requests so far are answered
        self._early_error: tuple[TidegateError, http.Headers] | None = None  # an answer before the whole body has come

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in (self._current, self._newest, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                _tell_gone(cycle)
        self.pipeline.clear()
        self._current = None
        self.cycle = None  # type: ignore[assignment]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._discards_input:
            self._discard(len(data))
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head, self._without_upgrade = self._without_upgrade, b""
            self.parser = httptools.HttpRequestParser(self)
            self.data_received(head + data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse_input(self._error or understood(error))
        if self._awaited is Awaited.BODY:
            self._body_goes_on(len(data))
        elif self._awaited is Awaited.HEAD:
            self._head_goes_on(len(data))

    def _body_goes_on(self, size: int) -> None:
        if self._early_error is not None:
            self._discards_input = True
            self._write_early_error()
            return
        now, pause = time.monotonic(), self.limits.body_timeout_seconds
        self._due_at = min(now + pause, self._due_at + size / MIN_BODY_RATE)
        if isinstance(self._newest, ScoringRequest):
            self._due_at = min(self._due_at, self.began_at + self.limits.answer_within_seconds)

    def _head_goes_on(self, size: int) -> None:
        # The read in which the head began may have brought earlier requests too.
        self._head_read = 0 if self._head_read is None else self._head_read + size
        if self._head_read > self.limits.max_header_bytes:
            self._refuse_input(self._headers_too_large())

    # --- the parser's callbacks

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_bytes = 0
        self._head_read = None
        self.began_at = time.monotonic()
        self._awaited, self._due_at = Awaited.HEAD, self.began_at + self.limits.header_timeout_seconds

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self.limits.max_header_bytes:
            self._stop(self._headers_too_large())
        if self._awaited is Awaited.HEAD:  # trailers are not headers
            name = name.lower()
            self.headers.append((name, value))
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self._ignore_upgrade()
            return
        if len(self.url) + self._head_bytes > self.limits.max_header_bytes:
            self._stop(self._headers_too_large())
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(errors.TooManyRequests("Too many requests were sent ahead on one connection.", retry_after=1))
        version, last = self.parser.get_http_version(), dict(self.headers)
        try:
            request_head.check(version, self.headers, last)
        except TidegateError as error:
            self._stop(error)
        path = self._path()
        if self._prefix and path.startswith(self._prefix) and path[len(self._prefix) :][:1] in (b"/", b""):
            path = self._leave_prefix(path)
        if path.startswith(PREFIXES) and path.endswith(SUFFIX):
            self._scoring_head_came(path, version, last)
        else:
            url, headers, expects = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expects
            self.scope["headers"] = self.headers = headers
            self.scope[PRESENCE] = Presence(self.transport.abort)  # type: ignore[literal-required]
            super().on_headers_complete()
        self._awaited, self._due_at = Awaited.BODY, self.began_at + self.limits.body_timeout_seconds

    def on_body(self, body: bytes) -> None:
        cycle = self._newest
        if isinstance(cycle, ScoringRequest):
            cycle.take(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._without_upgrade:
            return
        self._awaited, self._due_at = Awaited.NOTHING, float("inf")
        cycle = self._newest
        if not isinstance(cycle, ScoringRequest):
            super().on_message_complete()
            return
        cycle.more_body = False
        if self._early_error is not None:  # its body came in the same read: the connection goes on
            self._write_early_error()
        elif cycle is self._current and not cycle.done:
            cycle.received()

    def _ignore_upgrade(self) -> None:
        """Parse the head again without the offer of another protocol. Java's client offers HTTP/2 at first.

        With the offer, the parser would take the body for data of that protocol.
        """
        if self.parser.get_method() == b"CONNECT":
            self._stop(errors.BadRequest("This is no proxy."))
        kept = [b"%b: %b\r\n" % header for header in self.headers if header[0] not in _UPGRADE_HEADERS]
        line = b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.url)
        self._without_upgrade = b"".join((line, *kept, b"\r\n"))

    def _path(self) -> bytes:
        url = self.url
        if not url.startswith(b"/"):  # the absolute form; other forms have no path
            url = httptools.parse_url(url).path or b""
            if not url:
                self._stop(errors.BadRequest("The request's target is not a path."))
        return url.partition(b"?")[0]

    def _leave_prefix(self, path: bytes) -> bytes:
        """Go on as if a proxy had removed the prefix, below which it offers the platform."""
        path = path[len(self._prefix) :] or b"/"
        query = httptools.parse_url(self.url).query
        self.url = b"%b?%b" % (path, query) if query else path
        return path

    def _scoring_head_came(self, path: bytes, version: str, headers: dict[bytes, bytes]) -> None:
        parser = self.parser
        request = ScoringRequest(self.shared.scoring, self, parser.get_method(), path, headers)
        request.keep_alive = parser.should_keep_alive() and version != "1.0"
        request.expects_100 = self.expect_100_continue
        existing = self._newest
        self.cycle = request  # type: ignore[assignment]
        if (existing is None or existing.response_complete) and not self.flow.write_paused:
            self._begin(request)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((request, self.app))  # type: ignore[arg-type]

    @property
    def _newest(self) -> Cycle | None:
        """The request whose head came last. It may be a scoring request, in uvicorn's attribute."""
        return self.cycle

    # --- requests, one after the other

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def _begin(self, request: ScoringRequest) -> None:
        self._current = request
        request.begin()
        if not request.more_body:
            if not request.done:
                request.received()
            return
        if request.expects_100 and not request.done:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.flow.resume_reading()

    def reply(self, request: ScoringRequest, head: bytes, body: bytes) -> None:
        """Write the answer of a request whose body has come. `head` is without the empty line at its end."""
        head += b"\r\n" if request.keep_alive else b"connection: close\r\n\r\n"
        if len(body) < _ONE_WRITE_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        request.response_complete = True
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def reply_error(self, request: ScoringRequest, error: TidegateError, headers: http.Headers) -> None:
        """Write an error as the answer. The connection then ends, unless the body's rest comes in the same read."""
        if request.more_body and not self._discards_input:
            self._early_error = error, headers
            return
        keep_alive = request.keep_alive and not request.more_body
        with_body = request.method != b"HEAD"
        self.transport.write(responses.error(error, headers, keep_alive=keep_alive, with_body=with_body))
        request.response_complete = True
        if request.more_body:
            self._close_after_reading()
        elif not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _write_early_error(self) -> None:
        assert self._early_error is not None
        (error, headers), self._early_error = self._early_error, None
        self.reply_error(cast("ScoringRequest", self._current), error, headers)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing() or self._awaited is Awaited.CLOSE:
            return
        if self._awaited is Awaited.BODY and self._current is self._newest:  # answered before its body has come
            self._close_after_reading()
        elif self.pipeline or self._final_error is not None or self.flow.write_paused:
            self.loop.call_soon(self._advance)
        else:
            self._await_request()

    def _await_request(self) -> None:
        self.flow.resume_reading()
        if self._awaited is Awaited.NOTHING:
            self._awaited, self._due_at = Awaited.REQUEST, time.monotonic() + self.limits.keep_alive_seconds

    def _advance(self) -> None:
        """Begin the next request that was sent ahead, once the client has read its earlier answers."""
        current = self._current
        busy = current is not None and not current.response_complete
        if busy or self.transport.is_closing() or self.flow.write_paused or self._awaited is Awaited.CLOSE:
            return
        if self.pipeline:
            cycle, app = cast("tuple[Cycle, ASGI3Application]", self.pipeline.pop())
            if isinstance(cycle, ScoringRequest):
                self._begin(cycle)
                if self._early_error is not None:
                    self._discards_input = True
                    self._write_early_error()
            else:
                self._start_asgi_task(cycle, app)
        elif self._final_error is not None:
            self._write_final_error(self._final_error)
        else:
            self._await_request()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._advance()

    # --- the end

    def _stop(self, error: TidegateError) -> NoReturn:
        """Stop the parser from one of its callbacks. Raises `error`."""
        self._error = error
        raise error

    def _refuse_input(self, error: TidegateError) -> None:
        self._discards_input = True
        awaited, self._awaited, self._due_at = self._awaited, Awaited.NOTHING, float("inf")
        newest = self._newest
        if awaited is not Awaited.BODY or newest is None:
            self._final_error = error
            self._advance()
        elif isinstance(newest, ScoringRequest):
            newest.refuse(error)
        elif newest is self._current and newest.response_started:
            self.transport.abort()
        else:
            self._final_error = error
            self._forget(newest)
            self._advance()

    def _forget(self, cycle: RequestResponseCycle) -> None:
        """End a request whose body will never be whole, as if its client had gone."""
        for waiting in [entry for entry in self.pipeline if entry[0] is cycle]:
            self.pipeline.remove(waiting)
        cycle.response_complete = True
        _tell_gone(cycle)

    def _headers_too_large(self) -> TidegateError:
        most = self.limits.max_header_bytes
        return errors.HeadersTooLarge(f"The request's line and headers are over the limit of {most} bytes.")


def _tell_gone(cycle: Cycle) -> None:
    if isinstance(cycle, ScoringRequest):
        cycle.left()
    else:
        cycle.disconnected = True
        cycle.message_event.set()
        cycle.scope[PRESENCE].end()  # type: ignore[literal-required]
