"""Who is predicted with whom, for how long, and what becomes of those whose batch fails.

A batch is what waits when the model is free: requests of all connections with equal params, columns and dtypes. When it
fails it is halved until only the guilty request fails, with the stock path's own sentence.
"""

import time
from typing import TYPE_CHECKING, Any, Hashable, List, NamedTuple, Optional, Sequence, Tuple

from tidegate_worker.batching.arrivals import UNREAD, QueuedRequest
from tidegate_worker.batching.batch_cost import BatchCost
from tidegate_worker.fast.choose_path import STOCK, Path
from tidegate_worker.fast.parser import Parsed
from tidegate_worker.fast.scorer import PYFUNC, OtherLength, Scorer
from tidegate_worker.ipc import wire
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.output import equality
from tidegate_worker.process.log import log
from tidegate_worker.process.time_limit import alarm
from tidegate_worker.proof import row_wise
from tidegate_worker.proof.coverage import Admission
from tidegate_worker.proof.row_wise import Verdict

if TYPE_CHECKING:
    from tidegate_worker.batching.arrivals import Queue

MOST_REQUESTS = 64
MOST_ROWS = 4096
# A batch that others wait behind takes no longer than this, as far as its cost is known.
_SECONDS_AT_ONCE = 0.05
# Of so many rows together, what they cost is kept for later starts.
_POINTS = (1, 64)
# One batch ahead is sent only to replicas that are quicker than this, with some slack before it is taken back.
_QUICK, _NO_LONGER_QUICK = 0.005, 0.0075


class Serving(NamedTuple):
    """How a model is served. `scorer` is None where the stock path serves all.

    `once`: the owner's word is that a request is not predicted twice, so an error of the model is final.
    """

    scorer: Optional[Scorer]
    path: Path
    verdict: Verdict
    once: bool = False


class Credits(NamedTuple):
    """How much a gateway may send ahead: frames, and requests in each."""

    credits: int
    group: int


class Batcher:
    """Forms batches and answers them. `timeout` is the most seconds that one request may take."""

    def __init__(self, model: Model, serving: Serving, timeout: float) -> None:
        self.model = model
        self.serve(serving)
        self.tolerance = equality.DOUBLE  # of the last batch's floats
        self.compiled_seconds = 0.0  # spent on batches so far
        self.patience = timeout  # the most seconds that anything may take
        self._rows = BatchCost(1e-4, 0.01)  # seconds by rows, of the compiled path
        self._quick = True
        self._predicting = False

    @property
    def credits(self) -> Credits:
        """What gateways may send ahead now."""
        if not self.serving.verdict.together:
            return Credits(1, 1)
        self._quick = self._rows.mean <= (_NO_LONGER_QUICK if self._quick else _QUICK)
        group = MOST_REQUESTS
        while group > 1 and self._rows.predicted(group) > _SECONDS_AT_ONCE:
            group //= 2
        return Credits(2 if self._quick and group > 1 else 1, group)

    def serve(self, serving: Serving) -> None:
        """Serve so from now on."""
        self.serving, self.admission = serving, Admission(serving.verdict)

    def learn(self, rows: int, seconds: float) -> None:
        """Note what a prediction by the compiled path has cost."""
        self._rows.learn(rows, seconds)

    def switch_off(self, reason: str) -> None:
        """Predict each request by itself from now on."""
        if self.serving.verdict.together or self.serving.verdict.thin:
            self.serve(self.serving._replace(verdict=Verdict(row_wise.OFF, reason)))
            log(f"batching is off from now on: {reason}")

    def fall_back(self, reason: str) -> None:
        """Serve all by the stock path from now on."""
        self.switch_off(reason)
        self.serve(self.serving._replace(scorer=None, path=Path(STOCK, PYFUNC, reason)))
        log(f"the compiled path is off from now on: {reason}")

    @property
    def costs(self) -> List[Tuple[int, float]]:
        """Seconds that so many rows take together, as far as it was measured: for those that start later."""
        return self._rows.points(_POINTS)

    # forming

    def take(self, queue: "Queue", now: float) -> List[QueuedRequest]:
        """Take the oldest request out, and those that go with it."""
        _, first = queue.popitem(last=False)
        parsed = self._parsed(first)
        if parsed is None or first.alone or not self.serving.verdict.together or not queue or first.deadline <= now:
            return [first]
        if not self.admission.takes(parsed):
            return [first]
        return [first, *self._companions(queue, first, parsed, now)]

    def _companions(self, queue: "Queue", first: QueuedRequest, parsed: Parsed, now: float) -> List[QueuedRequest]:
        assert self.serving.scorer is not None
        key, room = self.serving.scorer.key(parsed), self._most_rows(first.deadline - now) - parsed.rows
        taken: List[Tuple[int, int]] = []
        for place, other in queue.items():
            if len(taken) + 1 >= MOST_REQUESTS or room <= 0:
                break
            if other.deadline > now and not other.alone and self._joins(other, key, room):
                taken.append(place)
                room -= other.rows
        return [queue.pop(place) for place in taken]

    def _joins(self, other: QueuedRequest, key: Hashable, room: int) -> bool:
        parsed, scorer = self._parsed(other), self.serving.scorer
        if parsed is None or scorer is None or parsed.rows > room or scorer.key(parsed) != key:
            return False
        return self.admission.all or self.admission.takes(parsed)

    def _parsed(self, waiting: QueuedRequest) -> Optional[Parsed]:
        if waiting.parsed is UNREAD:
            request, scorer = waiting.request, self.serving.scorer
            waiting.parsed = None if scorer is None else scorer.parse(request.meta, request.body)
        return waiting.parsed

    def _most_rows(self, left: float) -> int:
        """How many rows go together: by their cost, with half of the oldest's time kept in hand."""
        seconds, rows = min(_SECONDS_AT_ONCE, left / 2), self.serving.verdict.rows or MOST_ROWS
        while rows > 1 and self._rows.predicted(rows) > seconds:
            rows //= 2
        return rows

    # answering

    def answer(self, batch: Sequence[QueuedRequest]) -> List[wire.Answer]:
        """The answers, in the batch's order. Only the alarm keeps it from answering."""
        scorer, limit = self.serving.scorer, self._limit(batch)
        if limit <= 0:  # what went before has taken all of their time
            return [too_late(waiting.request) for waiting in batch]
        if scorer is None or batch[0].parsed is None:
            return [self._stock(batch[0], limit)]
        self._predicting = False
        try:
            with alarm(limit):
                return self._compiled(batch, scorer)
        except OtherLength:
            self.switch_off("the model did not return one item for each row of a batch")
        except BaseException as error:
            if self.serving.once and self._predicting:
                return [self.model.refused(batch[0].request, error)]
        if len(batch) == 1:
            limit = self._limit(batch)
            return [self._stock(batch[0], limit) if limit > 0 else too_late(batch[0].request)]  # it has the last word
        middle = len(batch) // 2
        return self.answer(batch[:middle]) + self.answer(batch[middle:])

    def _compiled(self, batch: Sequence[QueuedRequest], scorer: Scorer) -> List[wire.Answer]:
        times, began = [time.perf_counter()], time.monotonic()
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
        self._rows.learn(sum(rows), times[-1] - times[0])
        self.compiled_seconds += times[-1] - times[0]
        return _answers(batch, bodies, began, times)

    def _stock(self, waiting: QueuedRequest, limit: float) -> wire.Answer:
        with alarm(limit):
            return self.model.answer(waiting.request, time.monotonic() - waiting.arrived)

    def reference(self, waiting: QueuedRequest) -> wire.Answer:
        """The stock path's answer to a request that has had its answer."""
        return self._stock(waiting, self.patience)

    def single(self, waiting: QueuedRequest) -> wire.Answer:
        """The answer by itself to a request that has had its answer; nothing is learnt from it."""
        scorer = self.serving.scorer
        if scorer is None or waiting.parsed is None:
            return self.reference(waiting)
        try:
            with alarm(self.patience):
                body = scorer.encode(scorer.score([waiting.parsed]).answers[0])
        except BaseException:
            return self.reference(waiting)
        return wire.Answer(waiting.request.id, wire.OK, 0, b"", body)

    def _limit(self, batch: Sequence[QueuedRequest]) -> float:
        """Seconds until the process is ended: at the deadline of its callers, the last of them. Slow is no reason."""
        return min(max(waiting.deadline for waiting in batch) - time.monotonic(), self.patience)


def too_late(request: wire.Request) -> wire.Answer:
    """The answer to a request whose deadline has passed."""
    sentence = b"The request's deadline passed before it could begin."
    return wire.Answer(request.id, wire.TIMED_OUT, 0, b"", sentence)


def _answers(
    batch: Sequence[QueuedRequest], bodies: Sequence[bytes], began: float, times: Sequence[float]
) -> List[wire.Answer]:
    """With their timings, in the form of `wire.pack_meta`; `times` are the ends of the steps."""
    head = b"batch=%d\nwait=" % len(batch)
    tail = b"\ndecode=%d\npredict=%d\nencode=%d" % tuple((end - start) * 1e6 for start, end in zip(times, times[1:]))
    waits = [(began - waiting.arrived) * 1e6 for waiting in batch]
    return [
        wire.Answer(waiting.request.id, wire.OK, 0, b"%b%d%b" % (head, wait, tail), body)
        for waiting, body, wait in zip(batch, bodies, waits)
    ]
