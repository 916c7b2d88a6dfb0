"""A scoring request, from its head to its answer. It has no task: connection and queue call it back.

The steps are: token, endpoint, body (its size is checked while it comes in), revision, queue, replica, answer. The
replica parses the body. `http/client_connection.py` calls `begin`, `take`, `received` and `left`. The queue calls
`answered` or `failed`.
"""

import logging
import time
from typing import Protocol

from tidegate import http
from tidegate.core import errors
from tidegate.core.errors import TidegateError
from tidegate.core.series.series_point import WHOLE
from tidegate.gateway.metering.meter import EndpointMeter
from tidegate.gateway.metering.record import Steps
from tidegate.gateway.queue.pending import Pending
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.gateway.queue.start_times import ColdStart
from tidegate.gateway.scoring import accounting, cors, responses
from tidegate.gateway.scoring.content_coding import Decoder, decoder, too_large
from tidegate.gateway.scoring.metadata import metadata
from tidegate.gateway.scoring.scoring_path import Scoring, Target
from tidegate.telemetry import fields
from tidegate_worker.ipc import wire

logger = logging.getLogger(__name__)

_OUTCOMES: dict[int, type[TidegateError]] = {
    wire.BAD_REQUEST: errors.BadRequest,
    wire.UNSUPPORTED_MEDIA_TYPE: errors.UnsupportedMediaType,
    wire.MODEL_ERROR: errors.ModelError,
    wire.BAD_OUTPUT: errors.ModelError,
    wire.TIMED_OUT: errors.DeadlineExceeded,
    wire.INTERNAL: errors.Internal,
}


class Connection(Protocol):
    """The caller's connection, as a request sees it. `began_at` is when the first byte came, of time.monotonic."""

    began_at: float

    def reply(self, request: "ScoringRequest", head: bytes, body: bytes) -> None:
        """Write the answer of a request that has come in whole."""
        ...

    def reply_error(self, request: "ScoringRequest", error: TidegateError, headers: http.Headers) -> None:
        """Write an error as the answer, whether or not the request has come in whole."""
        ...


class ScoringRequest(Pending):
    """One scoring request on its connection, from its head to its answer.

    To uvicorn's protocol it stands for a request cycle: hence `keep_alive`, `disconnected` and `response_complete`.
    """

    __slots__ = (
        "account", "chunks", "coding", "connection", "disconnected", "expects_100", "headers", "keep_alive", "method",
        "more_body", "path", "refusal", "request_id", "response_complete", "scoring", "size", "started", "target",
    )  # fmt: skip

    def __init__(
        self, scoring: Scoring, connection: Connection, method: bytes, path: bytes, headers: dict[bytes, bytes]
    ) -> None:
        super().__init__()
        self.scoring, self.connection = scoring, connection
        self.method, self.path, self.headers = method, path, headers
        self.started = connection.began_at
        self.account: EndpointMeter | None = None
        self.target: Target | None = None
        self.request_id = b""  # drawn when it begins
        self.refusal: TidegateError | None = None  # known before it begins
        self.coding: Decoder | None = None  # of a body that comes compressed
        if b"content-encoding" in headers:
            self._expect_coding(headers[b"content-encoding"])
        self.chunks: list[bytes] = []
        self.size = 0
        self.more_body = self.keep_alive = True
        self.expects_100 = self.disconnected = self.response_complete = False

    # called by the connection

    def begin(self) -> None:
        """Begin: the head has come, and all earlier requests of this connection are answered."""
        scoring, headers = self.scoring, self.headers
        self.request_id = http.request_id(headers.get(b"x-request-id"))
        if self.method != b"POST" and scoring.cors.is_preflight(self.method, headers):
            return  # it is answered when its body has come
        try:
            scoring.tokens.check(self.method, headers)
            if b"origin" in headers:
                scoring.cors.check(headers)
            target = scoring.target(self.path)
            if self.method != b"POST":
                raise errors.MethodNotAllowed("Scoring takes POST.", allow=["POST", *["OPTIONS"] * bool(scoring.cors)])
            self.target, self.account = target, target.account
            self.account.accept()
            self._check_size(int(headers.get(b"content-length", 0)))
            if self.refusal is not None:
                raise self.refusal
        except TidegateError as error:
            self.failed(error)
        except Exception:
            self._defect()

    def take(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.done or self.refusal is not None:
            return
        try:
            if self.coding is not None:
                data = self.coding.feed(data)
            self.chunks.append(data)
            self.size += len(data)
            self.scoring.bytes_coming_in += len(data)
            self._check_size(self.size)
        except TidegateError as error:
            self.refuse(error)

    def refuse(self, error: TidegateError) -> None:
        """Refuse the rest of the body: now, or after the answers of earlier requests on the connection."""
        if self.request_id:
            self.failed(error)
        else:
            self.refusal = error
            self._let_go()

    def received(self) -> None:
        """Go on: the whole body has come."""
        self.scoring.bytes_coming_in -= self.size
        self.body = b"".join(self.chunks)
        self.chunks.clear()
        if self.target is None:
            self._answer_preflight()
            return
        if self.coding is not None:
            try:
                self.coding.finish()
            except TidegateError as error:
                self.failed(error)
                return
        self._go_on()

    def _go_on(self) -> None:
        """Go to a queue, unless the endpoint is held during a switch."""
        scoring, target = self.scoring, self.target
        if target is not None and not scoring.held.takes(target.endpoint, scoring.router.table, self._go_on):
            self._submit()

    def _submit(self) -> None:
        scoring, target = self.scoring, self.target
        if self.done or self.disconnected or target is None:
            return
        try:
            # Only now, as the endpoint may have been switched while the body came in.
            queue = scoring.queue(target)
            self.meta = metadata(self.headers, target.mark, self.request_id)
            self.latest = self.started + scoring.settings.answer_within_seconds
            self.deadline = min(self.latest, self.started + queue.route.timeout_seconds)
            queue.submit(self, time.monotonic())
        except TidegateError as error:
            self.failed(error)
        except Exception:
            self._defect()

    def left(self) -> None:
        """End: the caller has gone."""
        self.disconnected = True
        if self.queue is not None:
            self.queue.cancel(self)
        self._let_go()
        if self.account is not None:
            self.account[self._entity].leave()
            self.account = None

    # called by the queue

    def waited_for(self, start: ColdStart, *, first: bool) -> None:
        """Count the wait for a replica's start. `first` of the requests that waited for it."""
        self.cold = start
        if self.account is not None:
            self.account[self._entity].wait_cold(first=first)

    def find_queue(self) -> RevisionQueue:
        """The queue to go on in, as the one before was removed."""
        assert self.target is not None
        return self.scoring.queue(self.target)

    def answered(self, answer: wire.Answer) -> None:
        """Write the answer of a replica, a prediction or an error."""
        try:
            seconds = time.monotonic() - self.started
            account, route = self.account, self.route
            assert account is not None
            assert route is not None
            steps, waited = responses.steps_of(answer.meta), self.sent_at - self.queued_at
            if answer.outcome == wire.OK:
                account[route.label].answer_ok(seconds, waited, steps, self.size, len(answer.body))
                self.account = None
                if seconds > account.slowest.above:
                    account.slowest.note(accounting.noted(self, self.request_id, seconds, steps))
                if self.target is not None and self.target.recorder is not None:
                    self.target.recorder.record(route, self.meta, self.body, answer, seconds)
                timing = responses.server_timing(steps, waited, seconds)
                self._write_answer(route.served_entity, answer, seconds, timing)
            else:
                failure = _OUTCOMES.get(answer.outcome, errors.Internal)(answer.body.decode())
                accounting.close_answered(account[route.label], failure, seconds, self.size)
                self.account = None
                account.slowest.note_error(accounting.noted(self, self.request_id, seconds, steps, failure))
                self._write_error(failure, steps, seconds)
        except Exception:
            self._defect()

    def failed(self, error: TidegateError) -> None:
        """Write an error: the request is refused, or no replica will answer."""
        self.done = True
        self._let_go()
        seconds = time.monotonic() - self.started
        account, self.account = self.account, None
        if account is not None:
            accounting.close_unanswered(account[self._entity], error, seconds)
            account.slowest.note_error(accounting.noted(self, self.request_id, seconds, None, error))
        elif self.target is None:
            self.scoring.meter.refuse(http.status_of(error)[0])
        self._write_error(error, None, seconds)

    # inside

    @property
    def _entity(self) -> str:
        """The account of the version that it went to; WHOLE where it went to none."""
        return self.route.label if self.route is not None else WHOLE

    def _expect_coding(self, coding: bytes) -> None:
        try:
            self.coding = decoder(coding, self.scoring.settings.max_body_bytes)
        except TidegateError as error:
            self.refusal = error

    def _answer_preflight(self) -> None:
        self.done = True
        self.connection.reply(self, self.scoring.cors.preflight(self.headers[b"origin"]), b"")

    def _check_size(self, size: int) -> None:
        settings = self.scoring.settings
        if size > settings.max_body_bytes:
            raise too_large(settings.max_body_bytes)
        if self.scoring.bytes_coming_in > settings.max_queued_bytes:
            raise errors.TooManyRequests("Too many request bodies come in at once. Try again later.", retry_after=1)

    def _let_go(self) -> None:
        """Forget the body."""
        if self.chunks:
            self.scoring.bytes_coming_in -= self.size
            self.chunks.clear()

    def _write_answer(self, served: str, answer: wire.Answer, seconds: float, timing: bytes) -> None:
        if self.cold is not None:
            timing += self._cold_timing(self.cold, seconds)
        head = responses.ok(served, self.request_id, timing, len(answer.body))
        if self.scoring.cors:
            head += cors.lines(self.scoring.cors.headers(self.headers.get(b"origin")))
        self.connection.reply(self, head, answer.body)

    def _write_error(self, error: TidegateError, steps: Steps | None, seconds: float) -> None:
        headers = [*http.error_headers(error), (b"x-request-id", self.request_id)]
        headers += self.scoring.cors.headers(self.headers.get(b"origin"))
        if self.route is not None:
            waited = (self.sent_at or self.started + seconds) - self.queued_at
            headers.append((b"served-model-name", self.route.served_entity.encode()))
            timing = responses.server_timing(steps or responses.steps_of(b""), waited, seconds)
            if self.cold is not None and steps is not None and steps[0]:
                timing += self._cold_timing(self.cold, seconds)
            headers.append((b"server-timing", timing))
        self.connection.reply_error(self, error, headers)

    def _cold_timing(self, start: ColdStart, seconds: float) -> bytes:
        """The phases of the wait for a replica's start. The first answer after a start goes into the histograms."""
        phases = start.phases(self.started, self.started + seconds)
        if not start.measured:
            start.measured = True
            self.scoring.meter.cold.observe(start.mode, phases)
            if self.target is not None:
                self.target.account[self._entity].start_cold(start.mode, phases)
        return responses.cold_timing(start.mode, phases)

    def _defect(self) -> None:
        logger.exception("a request failed by a defect", extra=fields(request=self.request_id.decode()))
        if self.queue is not None:
            self.queue.cancel(self)
        if not self.response_complete:
            sentence = "A defect of Tidegate; the gateway's log has it under this request's x-request-id."
            self.failed(errors.Internal(sentence))
