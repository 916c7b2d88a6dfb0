"""Forms batches of the waiting requests, predicts them, and finds the request that makes a batch fail.

A batch is formed when the model is free, of requests of all connections with equal params, columns and dtypes. A batch
that fails is halved, and its halves again, until the request that fails is alone. The stock path then answers it.
"""

import time
from typing import TYPE_CHECKING, Any, Hashable, List, NamedTuple, Optional, Sequence, Tuple

from tidegate_worker.batching.arrivals import UNPARSED, QueuedRequest
from tidegate_worker.batching.batch_cost import BatchCost
from tidegate_worker.fast.choose_path import STOCK, Path
from tidegate_worker.fast.parser import Parsed
from tidegate_worker.fast.scorer import PYFUNC, Scorer, WrongLength
from tidegate_worker.ipc import wire
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.output import equality
from tidegate_worker.process.log import log
from tidegate_worker.process.time_limit import alarm
from tidegate_worker.proof.batch_admission import Admission
from tidegate_worker.proof.verdict import OFF, Verdict

if TYPE_CHECKING:
    from tidegate_worker.batching.arrivals import Queue

MAX_REQUESTS = 64
MAX_ROWS = 4096
# A batch takes no longer than this, as far as its cost is known: other requests wait behind it.
_MAX_BATCH_SECONDS = 0.05
# The cost of batches with these numbers of rows is kept for later starts.
_RECORDED_ROWS = (1, 64)
# A replica whose batches take less than this is sent one batch ahead; one that is sent them may take somewhat longer.
_QUICK_SECONDS, _NO_LONGER_QUICK_SECONDS = 0.005, 0.0075


class Serving(NamedTuple):
    """How a model is served. `scorer` is None where the stock path answers all requests.

    `once`: the owner does not let a request be predicted twice, so an error of the model is final.
    """

    scorer: Optional[Scorer]
    path: Path
    verdict: Verdict
    once: bool = False


class Credits(NamedTuple):
    """How much a gateway may send ahead: frames (`credits`), and requests in each (`group`)."""

    credits: int
    group: int


class Batcher:
    """Forms batches and answers them. `max_seconds` is the longest that one prediction may take."""

    def __init__(self, model: Model, serving: Serving, max_seconds: float) -> None:
        self.model = model
        self.serve(serving)
        self.tolerance = equality.DOUBLE  # for the floats of the last batch
        self.compiled_seconds = 0.0  # spent on batches so far
        self.max_seconds = max_seconds
        self._cost = BatchCost(1e-4, 0.01)  # of the compiled path, by rows
        self._quick = True
        self._predicting = False

    @property
    def credits(self) -> Credits:
        """How much gateways may send ahead now."""
        if not self.serving.verdict.together:
            return Credits(1, 1)
        self._quick = self._cost.mean <= (_NO_LONGER_QUICK_SECONDS if self._quick else _QUICK_SECONDS)
        group = MAX_REQUESTS
        while group > 1 and self._cost.predicted(group) > _MAX_BATCH_SECONDS:
            group //= 2
        return Credits(2 if self._quick and group > 1 else 1, group)

    def serve(self, serving: Serving) -> None:
        """Serve in this way from now on."""
        self.serving, self.admission = serving, Admission(serving.verdict)

    def learn_cost(self, rows: int, seconds: float) -> None:
        """Note the cost of a prediction by the compiled path."""
        self._cost.learn(rows, seconds)

    def switch_batching_off(self, reason: str) -> None:
        """Predict each request by itself from now on."""
        if self.serving.verdict.together or self.serving.verdict.thin:
            self.serve(self.serving._replace(verdict=Verdict(OFF, reason)))
            log(f"batching is off from now on: {reason}")

    def fall_back_to_stock(self, reason: str) -> None:
        """Answer all requests by the stock path from now on."""
        self.switch_batching_off(reason)
        self.serve(self.serving._replace(scorer=None, path=Path(STOCK, PYFUNC, reason)))
        log(f"the compiled path is off from now on: {reason}")

    @property
    def costs(self) -> List[Tuple[int, float]]:
        """Pairs of rows and the seconds of such a batch, for replicas that start later; empty if not measured."""
        return self._cost.points(_RECORDED_ROWS)

    # forming

    def take(self, queue: "Queue", now: float) -> List[QueuedRequest]:
        """Take the next batch out of the queue: the oldest request, and those that may be predicted with it."""
        _, first = queue.popitem(last=False)
        parsed = self._parsed(first)
        if parsed is None or first.alone or not self.serving.verdict.together or not queue or first.deadline <= now:
            return [first]
        if not self.admission.takes(parsed):
            return [first]
        return [first, *self._companions(queue, first, parsed, now)]

    def _companions(self, queue: "Queue", first: QueuedRequest, parsed: Parsed, now: float) -> List[QueuedRequest]:
        assert self.serving.scorer is not None
        key, room = self.serving.scorer.key(parsed), self._max_rows(first.deadline - now) - parsed.rows
        joining: List[Tuple[int, int]] = []
        for place, other in queue.items():
            if len(joining) + 1 >= MAX_REQUESTS or room <= 0:
                break
            if other.deadline > now and not other.alone and self._joins(other, key, room):
                joining.append(place)
                room -= other.rows
        return [queue.pop(place) for place in joining]

    def _joins(self, other: QueuedRequest, key: Hashable, room: int) -> bool:
        parsed, scorer = self._parsed(other), self.serving.scorer
        if parsed is None or scorer is None or parsed.rows > room or scorer.key(parsed) != key:
            return False
        return self.admission.all or self.admission.takes(parsed)

    def _parsed(self, waiting: QueuedRequest) -> Optional[Parsed]:
        if waiting.parsed is UNPARSED:
            request, scorer = waiting.request, self.serving.scorer
            waiting.parsed = None if scorer is None else scorer.parse(request.meta, request.body)
        return waiting.parsed

    def _max_rows(self, left: float) -> int:
        """How many rows a batch may have, by their cost.

        It may take half of the oldest request's time, `left` seconds.
        """
        seconds, rows = min(_MAX_BATCH_SECONDS, left / 2), self.serving.verdict.rows or MAX_ROWS
        while rows > 1 and self._cost.predicted(rows) > seconds:
            rows //= 2
        return rows

    # answering

    def answer(self, batch: Sequence[QueuedRequest]) -> List[wire.Answer]:
        """The answers, in the batch's order. Never raises; only the alarm ends it without answers."""
        scorer, limit = self.serving.scorer, self._seconds_left(batch)
        if limit <= 0:  # the attempts before this one have taken all of their time
            return [too_late(waiting.request) for waiting in batch]
        if scorer is None or batch[0].parsed is None:
            return [self._stock(batch[0], limit)]
        self._predicting = False
        try:
            with alarm(limit):
                return self._compiled(batch, scorer)
        except WrongLength:
            self.switch_batching_off("the model did not return one item for each row of a batch")
        except BaseException as error:
            if self.serving.once and self._predicting:
                return [self.model.refused(batch[0].request, error)]
        if len(batch) == 1:
            limit = self._seconds_left(batch)
            return [self._stock(batch[0], limit) if limit > 0 else too_late(batch[0].request)]
        middle = len(batch) // 2
        return self.answer(batch[:middle]) + self.answer(batch[middle:])

    def _compiled(self, batch: Sequence[QueuedRequest], scorer: Scorer) -> List[wire.Answer]:
        times, began = [time.perf_counter()], time.monotonic()  # `times`: the ends of the steps
        requests: List[Any] = [waiting.parsed for waiting in batch]
        data = scorer.build(requests)
        times.append(time.perf_counter())
        self._predicting = True
        output = scorer.predict(data, requests[0].params)
        times.append(time.perf_counter())
        rows = [request.rows for request in requests]
        scored = scorer.split(output, rows)
        bodies = [scorer.encode(answer) for answer in scored.answers]
        times.append(time.perf_counter())
        self.tolerance = scored.tolerance
        self._cost.learn(sum(rows), times[-1] - times[0])
        self.compiled_seconds += times[-1] - times[0]
        return _answers(batch, bodies, began, times)

    def _stock(self, waiting: QueuedRequest, limit: float) -> wire.Answer:
        with alarm(limit):
            return self.model.answer(waiting.request, time.monotonic() - waiting.arrived)

    def answer_by_stock_path(self, waiting: QueuedRequest) -> wire.Answer:
        """The stock path's answer, for a comparison with the one that has gone out."""
        return self._stock(waiting, self.max_seconds)

    def answer_alone(self, waiting: QueuedRequest) -> wire.Answer:
        """The answer to this request by itself, for a comparison with the one that has gone out. No cost is noted."""
        scorer = self.serving.scorer
        if scorer is None or waiting.parsed is None:
            return self.answer_by_stock_path(waiting)
        try:
            with alarm(self.max_seconds):
                body = scorer.encode(scorer.score([waiting.parsed]).answers[0])
        except BaseException:
            return self.answer_by_stock_path(waiting)
        return wire.Answer(waiting.request.id, wire.OK, 0, b"", body)

    def _seconds_left(self, batch: Sequence[QueuedRequest]) -> float:
        """The seconds until the last deadline in the batch, at most `max_seconds`: then the process is ended."""
        return min(max(waiting.deadline for waiting in batch) - time.monotonic(), self.max_seconds)


def too_late(request: wire.Request) -> wire.Answer:
    """The answer to a request whose deadline has passed."""
    sentence = b"The request's deadline passed before it could begin."
    return wire.Answer(request.id, wire.TIMED_OUT, 0, b"", sentence)


def _answers(
    batch: Sequence[QueuedRequest], bodies: Sequence[bytes], began: float, times: Sequence[float]
) -> List[wire.Answer]:
    """The answers with timings in µs, in the form of `wire.pack_meta`; `times` are the ends of the steps in seconds."""
    head = b"batch=%d\nwait=" % len(batch)
    tail = b"\ndecode=%d\npredict=%d\nencode=%d" % tuple((end - start) * 1e6 for start, end in zip(times, times[1:]))
    waits = [(began - waiting.arrived) * 1e6 for waiting in batch]
    return [
        wire.Answer(waiting.request.id, wire.OK, 0, b"%b%d%b" % (head, wait, tail), body)
        for waiting, body, wait in zip(batch, bodies, waits)
    ]
