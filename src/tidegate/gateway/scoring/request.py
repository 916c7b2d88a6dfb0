"""The scoring path, top to bottom. No task and no framework between socket and model: a request is called back.

A request's walk: credentials → endpoint → body, sized while it is read → revision → queue → replica → answer. The body
is not parsed here; a replica does that. `http/client_connection.py` calls `begin`, `take`, `received` and `left`; the
queue calls `answered` or `failed`.
"""

import logging
import time
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote_to_bytes

from tidegate import http
from tidegate.core import errors
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.errors import TidegateError
from tidegate.core.planes.route_table import EndpointRoute, RouteTable
from tidegate.gateway.metering.meter import Account, Meter
from tidegate.gateway.queue import legacy_urls
from tidegate.gateway.queue.pending import Pending
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.gateway.queue.router import Router
from tidegate.gateway.queue.start_times import ColdStart
from tidegate.gateway.replay.recordings import Recorder, Recordings
from tidegate.gateway.scoring import cors, responses
from tidegate.gateway.scoring.admission import Admission, too_large
from tidegate.gateway.scoring.content_coding import Decoder, decoder
from tidegate.gateway.scoring.cors import Cors
from tidegate.gateway.scoring.switch_hold import SwitchHold
from tidegate.settings import GatewaySettings
from tidegate.telemetry import fields
from tidegate_worker.ipc import wire

logger = logging.getLogger(__name__)

PREFIXES, SUFFIX = (b"/serving-endpoints/", *legacy_urls.PREFIXES), b"/invocations"
MAX_REMEMBERED = 1024
# Of what travels beside a body; the frame's field has 16 bits.
_LONGEST_META, _LONGEST_TRACE = 16 * 1024, 256

_OUTCOMES: dict[int, type[TidegateError]] = {
    wire.BAD_REQUEST: errors.BadRequest,
    wire.UNSUPPORTED_MEDIA_TYPE: errors.UnsupportedMediaType,
    wire.MODEL_ERROR: errors.ModelError,
    wire.BAD_OUTPUT: errors.ModelError,
    wire.TIMED_OUT: errors.DeadlineExceeded,
    wire.INTERNAL: errors.Internal,
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path leads to: an endpoint, or one served entity of it; of a `face`, a stage or version.

    `recorder` is None where requests are not kept.
    """

    endpoint: str
    served: str | None
    account: Account
    recorder: Recorder | None = None
    face: tuple[Face, str] | None = None
    mark: bytes = b""  # what a replica is told of the face, before the rest of the metadata


class Connection(Protocol):
    """The caller's connection, as a request sees it. `began_at` is when the first byte came, of time.monotonic."""

    began_at: float

    def reply(self, request: "ScoringRequest", head: bytes, body: bytes) -> None:
        """Write the answer of a request that has come in whole."""
        ...

    def reply_error(self, request: "ScoringRequest", error: TidegateError, headers: http.Headers) -> None:
        """Write an error as the answer, whether or not the request has come in whole."""
        ...


class Scoring:
    """What all scoring requests of a gateway share."""

    def __init__(self, router: Router, meter: Meter, settings: GatewaySettings, recordings: Recordings) -> None:
        self.router, self.meter, self.settings, self.recordings = router, meter, settings, recordings
        self.admission, self.held, self.cors = Admission(), SwitchHold(), Cors(settings.cors_origins)
        self.bytes_coming_in = 0  # of bodies that are not whole yet
        self._table: RouteTable | None = None
        self._targets: dict[bytes, Target] = {}

    def target(self, path: bytes) -> Target:
        """Where a scoring path leads now. Raises NotFound, and Unavailable before there is a route table."""
        if self._table is not self.router.table:
            self._table = self.router.table
            self._targets.clear()
        target = self._targets.get(path)
        if target is None:
            target = self._find(path)
            if len(self._targets) < MAX_REMEMBERED:
                self._targets[path] = target
        return target

    def _find(self, path: bytes) -> Target:
        face = legacy_urls.parse(path)
        if face is not None:
            route = self.router.face(*face)
            return Target(route.name, None, *self._kept(route), face, legacy_urls.mark(face[0]))
        name, served = _parse(path)
        route = self.router.endpoint(name)
        return Target(route.name, served, *self._kept(route))

    def _kept(self, route: EndpointRoute) -> tuple[Account, Recorder | None]:
        """Where an endpoint's requests are counted, and where they are recorded."""
        return self.meter.account(route.name), self.recordings.of(route.name, route.record)

    def queue(self, target: Target) -> RevisionQueue:
        """The queue for a request to this target now. Raises when nothing serves."""
        router, face = self.router, target.face
        route = router.endpoint(target.endpoint) if face is None else router.face(*face)
        return router.queue(route, target.served)


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
        self.account: Account | None = None
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
        """The head has come, and all requests before it on this connection are answered."""
        scoring, headers = self.scoring, self.headers
        self.request_id = http.request_id(headers.get(b"x-request-id"))
        if self.method != b"POST" and scoring.cors.is_preflight(self.method, headers):
            return  # it is answered when it is whole
        try:
            scoring.admission.check(headers.get(b"authorization"), scoring.router.table)
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
        """A part of the body has come."""
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
        """It will not be read to its end: say so now, or, behind others on its connection, when it is its turn."""
        if self.request_id:
            self.failed(error)
        else:
            self.refusal = error
            self._let_go()

    def received(self) -> None:
        """The body is whole."""
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
        """Go to a queue; not while the endpoint is held, by this table or by the next."""
        scoring, target = self.scoring, self.target
        if target is not None and not scoring.held.takes(target.endpoint, scoring.router.table, self._go_on):
            self._submit()

    def _submit(self) -> None:
        scoring, target = self.scoring, self.target
        if self.done or self.disconnected or target is None:
            return
        try:
            # Asked for now: while the body came in, the endpoint may have been switched to another revision.
            queue = scoring.queue(target)
            self.meta = self._meta(target.mark)
            self.latest = self.started + scoring.settings.answer_within_seconds
            self.deadline = min(self.latest, self.started + queue.route.timeout_seconds)
            queue.submit(self, time.monotonic())
        except TidegateError as error:
            self.failed(error)
        except Exception:
            self._defect()

    def left(self) -> None:
        """The caller has gone."""
        self.disconnected = True
        if self.queue is not None:
            self.queue.cancel(self)
        self._let_go()
        if self.account is not None:
            self.account.leave()
            self.account = None

    # called by the queue

    def waited_for(self, start: ColdStart, *, first: bool) -> None:
        """It came when there was no replica."""
        self.cold = start
        if self.account is not None:
            self.account.wait_cold(first=first)

    def find_queue(self) -> RevisionQueue:
        """Its queue, where the one that it waited in is no more."""
        assert self.target is not None
        return self.scoring.queue(self.target)

    def answered(self, answer: wire.Answer) -> None:
        """A replica has answered."""
        try:
            seconds = time.monotonic() - self.started
            account, route = self.account, self.route
            assert account is not None
            assert route is not None
            if answer.outcome == wire.OK:
                account.answer_ok(seconds, self.size, len(answer.body))
                self.account = None
                if self.target is not None and self.target.recorder is not None:
                    self.target.recorder.record(route, self.meta, self.body, answer, seconds)
                self._write_answer(route.served_entity, answer, seconds)
            else:
                failure = _OUTCOMES.get(answer.outcome, errors.Internal)(answer.body.decode())
                _close_answered(account, failure, seconds, self.size)
                self.account = None
                self._write_error(failure, answer.meta, seconds)
        except Exception:
            self._defect()

    def failed(self, error: TidegateError) -> None:
        """It is refused, or no replica will answer."""
        self.done = True
        self._let_go()
        seconds = time.monotonic() - self.started
        account, self.account = self.account, None
        if account is not None:
            _close_unanswered(account, error, seconds)
        elif self.target is None:
            self.scoring.meter.refuse(http.status_of(error)[0])
        self._write_error(error, b"", seconds)

    # inside

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

    def _meta(self, mark: bytes) -> bytes:
        """What travels with the request, in the form of `wire.pack_meta`."""
        headers = self.headers
        meta = mark + b"request-id=" + self.request_id
        if b"content-type" in headers:
            meta += b"\ncontent-type=" + headers[b"content-type"]
        if len(headers.get(b"traceparent", b"-" * _LONGEST_TRACE)) < _LONGEST_TRACE:
            meta += b"\ntraceparent=" + headers[b"traceparent"]
        if len(meta) > _LONGEST_META:
            raise errors.UnsupportedMediaType(
                "The Content-Type header is too long. Send `application/json` or `text/csv`."
            )
        return meta

    def _let_go(self) -> None:
        """Nothing of the body is needed any more."""
        if self.chunks:
            self.scoring.bytes_coming_in -= self.size
            self.chunks.clear()

    def _write_answer(self, served: str, answer: wire.Answer, seconds: float) -> None:
        timing = responses.server_timing(answer.meta, self.sent_at - self.queued_at, seconds)
        if self.cold is not None:
            timing += self._cold_timing(self.cold, seconds)
        head = responses.ok(served, self.request_id, timing, len(answer.body))
        if self.scoring.cors:
            head += cors.lines(self.scoring.cors.headers(self.headers.get(b"origin")))
        self.connection.reply(self, head, answer.body)

    def _write_error(self, error: TidegateError, meta: bytes, seconds: float) -> None:
        headers = [*http.error_headers(error), (b"x-request-id", self.request_id)]
        headers += self.scoring.cors.headers(self.headers.get(b"origin"))
        if self.route is not None:
            waited = (self.sent_at or self.started + seconds) - self.queued_at
            headers.append((b"served-model-name", self.route.served_entity.encode()))
            timing = responses.server_timing(meta, waited, seconds)
            if self.cold is not None and meta:
                timing += self._cold_timing(self.cold, seconds)
            headers.append((b"server-timing", timing))
        self.connection.reply_error(self, error, headers)

    def _cold_timing(self, start: ColdStart, seconds: float) -> bytes:
        """Where the time of a request went that waited for a replica; the first answer of a start is measured."""
        phases = start.phases(self.started, self.started + seconds)
        if not start.measured:
            start.measured = True
            self.scoring.meter.cold.observe(start.mode, phases)
        return responses.cold_timing(start.mode, phases)

    def _defect(self) -> None:
        logger.exception("a request failed by a defect", extra=fields(request=self.request_id.decode()))
        if self.queue is not None:
            self.queue.cancel(self)
        if not self.response_complete:
            sentence = "A defect of Tidegate; the gateway's log has it under this request's x-request-id."
            self.failed(errors.Internal(sentence))


def _parse(path: bytes) -> tuple[str, str | None]:
    """Endpoint and served entity of a scoring path. Raises NotFound."""
    parts = unquote_to_bytes(path).decode("latin-1").split("/")
    if len(parts) == 4:
        return parts[2], None
    if len(parts) == 6 and parts[3] == "served-models":
        return parts[2], parts[4]
    raise errors.NotFound("There is nothing at this path. Score at /serving-endpoints/<name>/invocations.")


def _close_unanswered(account: Account, error: TidegateError, seconds: float) -> None:
    """Close the account of a request that no replica answered."""
    status = http.status_of(error)[0]
    if isinstance(error, errors.DeadlineExceeded):
        account.time_out(status, seconds)
    elif isinstance(error, errors.ModelCrashed):
        account.answer(status, seconds, 0)
    else:
        account.reject(status, seconds)


def _close_answered(account: Account, error: TidegateError, seconds: float, bytes_in: int) -> None:
    """Close the account of a request that a replica answered with an error."""
    status = http.status_of(error)[0]
    if isinstance(error, errors.DeadlineExceeded):
        account.time_out(status, seconds)
    else:
        account.answer(status, seconds, bytes_in)
