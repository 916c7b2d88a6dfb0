"""One replay: recorded requests asked of the candidate, as many as the time allows.

First they are asked all at once, as fast as it takes them: that finds what it cannot answer. Then they are asked in
turns, as many at a time as predictions had when they were real: that finds what they cost, and what becomes of the
memory. When the candidate dies or hangs with several at once, they are asked singly, until the guilty one is known.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

from tidegate.core.errors import DeadlineExceeded, ModelCrashed, TidegateError
from tidegate.core.replay import Findings, Memory, Replay, Times
from tidegate.core.revision import RevisionId
from tidegate.gateway.answer_book import AnswerBook
from tidegate.gateway.cold import ColdStart
from tidegate.gateway.pending import Pending
from tidegate.gateway.queue import RevisionQueue
from tidegate.gateway.recordings import Recording
from tidegate.gateway.router import Router
from tidegate_worker import wire

# A request hangs when it takes so many times as long as it did, and so many seconds. Alone it gets that time whole;
# together with others, they may have to be run again first.
HANG_TIMES, HANG_SECONDS, TOGETHER_TIMES = 20.0, 1.0, 3.0
# How long a candidate may take to have a replica (again).
START_SECONDS = 15.0
# All in all; it is only come near to when replicas die again and again.
LONGEST_SECONDS = 30.0
# The share of the time for asking all at once; the rest is for turns.
_AT_ONCE = 0.4
# There are so many turns in each half of the rest, even if that takes so many times as long; the first warms up.
_FEWEST_TURNS, _LONGER, _WARM_UP = 8, 3.0, 1
_MEASURE_SECONDS = 1.0
# Requests under way, where replicas take one at a time: one works, one is on its way.
_AHEAD = 2


class Asked(Pending):
    """A recorded request on its way through the candidate's queue."""

    __slots__ = ("answer", "error", "recording", "seconds", "settled")

    def __init__(self, recording: Recording, seconds: float, settled: Callable[["Asked"], None]) -> None:
        super().__init__()
        self.seconds = seconds  # that it may take
        self.recording, self.settled = recording, settled
        self.meta, self.body = recording.meta, recording.body
        self.answer: wire.Answer | None = None
        self.error: TidegateError | None = None

    def waited_for(self, start: ColdStart, *, first: bool) -> None:
        """No account counts it."""

    def may_take(self, timeout: float) -> float:
        return min(timeout, self.seconds)

    def answered(self, answer: wire.Answer) -> None:
        self.answer = answer
        self.settled(self)

    def failed(self, error: TidegateError) -> None:
        self.error = error
        self.done = True
        self.settled(self)


class Trial:
    """Tries the candidate of one replay on these recordings, newest first."""

    def __init__(self, replay: Replay, router: Router, recordings: Sequence[Recording]) -> None:
        self._replay, self._router, self._recordings = replay, router, recordings
        self._out: dict[Asked, None] = {}  # under way, in order
        self._moved = asyncio.Event()  # set when one of them has ended
        self._book = AnswerBook(replay)
        self._took: list[tuple[int, float]] = []  # batch and seconds of each prediction
        self._next = 0  # of the recordings; when all were asked, they are asked again
        self._reruns = 0  # of the candidate's requests, when it was looked at last
        self._died = False  # whether a replica of it has

    async def run(self) -> Findings:
        """What is found. Returns without a request where none was recorded, or none may be asked twice."""
        began, seconds = time.monotonic(), self._replay.seconds
        marks: tuple[int, ...] = ()
        if not self._recordings:
            return Findings(self._replay.id)
        queue = self._router.queue_of(self._replay.candidate)
        if queue is None:
            return Findings(self._replay.id, unavailable="the gateway does not know it")
        if not queue.route.retry_on_crash:
            return Findings(self._replay.id)
        self._reruns = _reruns(queue)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await self._ask_at_once(queue, began + _AT_ONCE * seconds)
                if not self._book.is_grave:
                    marks = await self._ask_in_turns(queue, began + seconds)
        except TimeoutError:
            self._book.gave_up(self._died)
        await self._book.settle(time.monotonic() + seconds)
        before, after = self._times()
        memory = Memory(await self._memory(self._replay.baseline), marks)
        return self._book.findings(before, after, memory, time.monotonic() - began)

    def drop(self) -> None:
        """Forget what is under way."""
        for asked in self._out:
            if asked.queue is not None:
                asked.queue.cancel(asked)
        self._out.clear()

    # --- asking

    async def _ask_at_once(self, queue: RevisionQueue, until: float) -> None:
        """Ask all of them, as long as there is time."""
        for recording in self._recordings:
            self._next += 1
            await self._ask_together(queue, recording)
            if time.monotonic() >= until or self._book.is_grave:
                break
        await self._until_ended()
        if self._in_doubt(queue):
            await self._ask_singly(queue)

    async def _ask_in_turns(self, queue: RevisionQueue, until: float) -> tuple[int, ...]:
        """Ask as many at a time as real predictions had; the memory before, half-way and after."""
        began, last = time.monotonic(), until + _LONGER * self._replay.seconds
        count = self._usual_batch() * max(1, len(queue.lanes))
        self._took.clear()
        marks = [await self._memory(self._replay.candidate)]
        for half in ((began + until) / 2, until):
            for turn in itertools.count(1):
                await self._take_turn(queue, count)
                now = time.monotonic()
                if self._book.is_grave or now >= last:
                    return tuple(marks)
                if turn >= _FEWEST_TURNS and now >= half:
                    break
            marks.append(await self._memory(self._replay.candidate))
        return tuple(marks)

    async def _take_turn(self, queue: RevisionQueue, count: int) -> None:
        for _ in range(count):
            self._ask(queue, self._recordings[self._next % len(self._recordings)], TOGETHER_TIMES)
            self._next += 1
        await self._until_ended()
        if self._in_doubt(queue):
            await self._ask_singly(queue)

    async def _ask_together(self, queue: RevisionQueue, recording: Recording) -> None:
        """Ask, as soon as no more than a few are under way."""
        while len(self._out) >= self._most(queue):
            await self._one_ended()
            if self._in_doubt(queue):
                await self._ask_singly(queue)
        if not self._book.is_grave:
            self._ask(queue, recording, TOGETHER_TIMES)

    def _most(self, queue: RevisionQueue) -> int:
        """How many may be under way: one while no replica is there, and what replicas take at once afterwards."""
        groups = [lane.group if lane.group > 1 else _AHEAD for lane in queue.lanes]
        return max(1, sum(groups)) if self._book.requests else 1

    def _in_doubt(self, queue: RevisionQueue) -> bool:
        """Whether a replica has died since, or one of them has run out of time."""
        before, self._reruns = self._reruns, _reruns(queue)
        self._died |= self._reruns > before
        return self._reruns > before or self._book.is_late

    async def _ask_singly(self, queue: RevisionQueue) -> None:
        """Ask again, one by one, what was under way or ran out of time, until one is found guilty."""
        doubtful = [*self._book.take_late(), *(asked.recording for asked in self._out)]
        self.drop()
        for recording in doubtful:
            self._ask(queue, recording, 1.0, alone=True)
            await self._until_ended()
            self._book.judge_late()
            if self._book.is_grave:
                return
        self._reruns = _reruns(queue)

    def _ask(self, queue: RevisionQueue, recording: Recording, times: float, *, alone: bool = False) -> None:
        now, seconds = time.monotonic(), times * max(HANG_SECONDS, HANG_TIMES * recording.seconds)
        asked = Asked(recording, seconds, self._ended)
        asked.alone = alone
        asked.deadline = now + seconds
        asked.latest = max(asked.deadline, now + START_SECONDS)
        self._out[asked] = None
        try:
            self._router.queue_of(self._replay.candidate)  # so that its deadlines are looked after
            queue.submit(asked, now)
        except TidegateError as error:
            asked.failed(error)

    def _ended(self, asked: Asked) -> None:
        self._moved.set()
        if asked not in self._out:
            return  # it was dropped
        del self._out[asked]
        if asked.answer is not None:
            self._book.answered(asked.recording, asked.answer)
            if asked.answer.outcome == wire.OK:
                self._took.append(_cost(asked.answer.meta))
        elif isinstance(asked.error, ModelCrashed):
            self._book.crashed(asked.error.message)
        elif isinstance(asked.error, DeadlineExceeded):
            self._book.late(asked.recording)
        elif asked.error is not None:
            doubtful = asked.crashes > 0 or self._died or bool(self._out)
            self._book.refused(asked.recording, asked.error.message, doubtful=doubtful)

    async def _one_ended(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _until_ended(self) -> None:
        while self._out:
            await self._one_ended()

    # --- timing

    def _usual_batch(self) -> int:
        """How many requests most predictions had when they were real."""
        batches = Counter(size for size, _ in self._real())
        return batches.most_common(1)[0][0] if batches else 1

    def _times(self) -> tuple[Times, Times]:
        """What predictions of as many requests took before, and take now."""
        batch = self._usual_batch()
        pairs = (self._real(), self._took[_WARM_UP:])
        before, after = ([seconds for size, seconds in costs if size == batch] for costs in pairs)
        return _median(before, batch), _median(after, batch)

    def _real(self) -> list[tuple[int, float]]:
        baseline = self._replay.baseline
        return [_cost(one.answer_meta) for one in self._recordings if one.revision == baseline]

    # --- memory

    async def _memory(self, revision: RevisionId | None) -> int:
        """Resident bytes of the revision's largest replica; 0 where it has none."""
        queue = self._router.queue_of(revision) if revision is not None else None
        if queue is None or not queue.lanes:
            return 0
        return max(await asyncio.gather(*(lane.measure(_MEASURE_SECONDS) for lane in queue.lanes)))


def _reruns(queue: RevisionQueue) -> int:
    return queue.load(time.monotonic()).reruns


def _cost(meta: bytes) -> tuple[int, float]:
    """How many requests a prediction had, and how long it took, seconds, from an answer's metadata."""
    told = wire.unpack_meta(meta)
    steps = (int(told.get(step, 0)) for step in ("decode", "predict", "encode"))
    return int(told.get("batch", 1)), sum(steps) / 1e6


def _median(seconds: list[float], batch: int) -> Times:
    return Times(median(seconds), len(seconds), batch) if seconds else Times()
