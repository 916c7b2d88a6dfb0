"""One replay: recorded requests asked of the candidate, as many as the time allows.

First they are asked all at once, as fast as it takes them: that finds what it cannot answer. Then they are asked in
turns, as many at a time as predictions had when they were real: that finds what they cost, and what becomes of the
memory. Where that seems far more than it was, both versions are asked in turns, at the same time on the same machine.
When the candidate dies or hangs with several at once, they are asked singly, until the guilty one is known.
"""

import asyncio
import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from tidegate.core.errors import DeadlineExceeded, ModelCrashed, TidegateError
from tidegate.core.gate import is_slow
from tidegate.core.replay import Findings, Memory, Replay, Times
from tidegate.core.revision import RevisionId
from tidegate.gateway.answer_book import AnswerBook
from tidegate.gateway.cold import ColdStart
from tidegate.gateway.pending import Pending
from tidegate.gateway.questions import Ask, questions
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
# Both versions are timed so often, where one seems slow; with so many times the usual requests in a prediction at most.
_PAIRS, _JOINED = 9, 4
# So many times as many may be under way as have ended.
_BOLDNESS = 8
# Requests under way, where replicas take one at a time: one works, one is on its way.
_AHEAD = 2


class Cost(NamedTuple):
    """How many requests a prediction had, and how long it took, seconds: decoded, predicted and encoded."""

    batch: int
    seconds: float


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
        self._took: list[Cost] = []
        self._real: list[Cost] = []  # of the baseline
        self._first_at = 0.0  # when the first has ended
        self._next = 0  # of the recordings; when all were asked, they are asked again
        self._reruns = 0  # of the candidate's requests, when it was looked at last
        self._died = False  # whether a replica of it has

    async def run(self) -> Findings:
        """What is found. Returns without a request where none was recorded, or none may be asked twice."""
        seconds, marks = self._replay.seconds, tuple[int, ...]()
        if not self._recordings:
            return Findings(self._replay.id)
        queue = self._router.queue_of(self._replay.candidate)
        if queue is None:
            return Findings(self._replay.id, unavailable="the gateway does not know it")
        if not queue.route.retry_on_crash:
            return Findings(self._replay.id)
        self._recordings = await questions(self._replay, self._recordings, self._asking_baseline())
        if not self._recordings:
            return Findings(self._replay.id)
        self._real = [_cost(one.answer_meta) for one in self._recordings if one.revision == self._replay.baseline]
        began = time.monotonic()
        self._reruns = _reruns(queue)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await self._ask_at_once(queue, began + _AT_ONCE * seconds)
                if not self._book.is_grave:
                    marks = await self._ask_in_turns(queue, began + seconds)
                if is_slow(*self._times()):
                    await self._time_both(queue)
        except TimeoutError:
            self._book.gave_up(self._died)
        await self._book.prove(self._asking_baseline(), time.monotonic() + seconds)
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
            await self._ask_together(queue, recording, until)
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
                if self._book.is_grave:
                    return tuple(marks)
                if now >= last:
                    return (*marks, await self._memory(self._replay.candidate))
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

    async def _ask_together(self, queue: RevisionQueue, recording: Recording, until: float) -> None:
        """Ask, as soon as no more are under way than can be answered until then."""
        while len(self._out) >= self._most(queue, until):
            await self._one_ended()
            if self._in_doubt(queue):
                await self._ask_singly(queue)
        if not self._book.is_grave:
            self._ask(queue, recording, TOGETHER_TIMES)

    def _most(self, queue: RevisionQueue, until: float) -> int:
        """How many may be under way: what replicas take at once, as far as there is time for as many.

        One before the first has ended, and then not many more than have: how long they take is yet to be found out.
        """
        ended, now = self._book.requests, time.monotonic()
        at_once = sum(lane.group if lane.group > 1 else _AHEAD for lane in queue.lanes)
        pace = (now - self._first_at) / max(1, ended - 1)  # the first may have waited for a replica
        in_time = int((until - now) / pace) if ended > 1 and pace else at_once
        return max(1, min(at_once, in_time, _BOLDNESS * ended))

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
        self._first_at = self._first_at or time.monotonic()
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
        batches = Counter(cost.batch for cost in self._real)
        return batches.most_common(1)[0][0] if batches else 1

    def _times(self) -> tuple[Times, Times]:
        """What predictions of as many requests took before, and take now."""
        batch = self._usual_batch()
        return _times_of(self._real, batch), _times_of(self._took[_WARM_UP:], batch)

    async def _time_both(self, queue: RevisionQueue) -> None:
        """Time both versions anew, in turns: the machine may be busier than it was. Not where the old one sleeps."""
        before, baseline = list[Cost](), self._replay.baseline
        serving = self._router.queue_of(baseline) if baseline is not None else None
        if serving is None or not serving.lanes:
            return
        self._took.clear()
        count = self._usual_batch() * max(1, len(queue.lanes))
        for turn in range(_PAIRS):
            await self._take_turn(queue, count)
            before += await self._time_old(serving, self._recordings[turn % len(self._recordings)])
            if self._book.is_grave:
                return
        usual = self._usual_batch()
        # Real requests may join it; a few more in a prediction are next to nothing.
        self._real = [cost._replace(batch=usual) for cost in before if cost.batch <= _JOINED * usual]

    async def _time_old(self, serving: RevisionQueue, recording: Recording) -> list[Cost]:
        """What a prediction of the version that serves takes now; nothing where it does not answer."""
        answer = await self._ask_old(serving, recording)
        return [_cost(answer.meta)] if answer is not None and answer.outcome == wire.OK else []

    async def _ask_old(self, serving: RevisionQueue, recording: Recording) -> wire.Answer | None:
        """What the version that serves answers now."""
        ended: asyncio.Future[Asked] = asyncio.get_running_loop().create_future()
        now, asked = time.monotonic(), Asked(recording, START_SECONDS, ended.set_result)
        asked.deadline = asked.latest = now + START_SECONDS
        try:
            serving.submit(asked, now)
        except TidegateError:  # refused: the queue has nothing of it to forget
            return None
        try:
            return (await ended).answer
        finally:
            serving.cancel(asked)

    def _asking_baseline(self) -> Ask | None:
        """How to ask the version that serves. Not where it sleeps, or must not be asked twice."""
        baseline = self._replay.baseline
        serving = self._router.queue_of(baseline) if baseline is not None else None
        if serving is None or not serving.lanes or not serving.route.retry_on_crash:
            return None
        return functools.partial(self._ask_old, serving)

    # --- memory

    async def _memory(self, revision: RevisionId | None) -> int:
        """Resident bytes of the revision's largest replica; 0 where it has none."""
        queue = self._router.queue_of(revision) if revision is not None else None
        if queue is None or not queue.lanes:
            return 0
        return max(await asyncio.gather(*(lane.measure(_MEASURE_SECONDS) for lane in queue.lanes)))


def _reruns(queue: RevisionQueue) -> int:
    return queue.load(time.monotonic()).reruns


def _cost(meta: bytes) -> Cost:
    """From an answer's metadata."""
    told = wire.unpack_meta(meta)
    steps = (int(told.get(step, 0)) for step in ("decode", "predict", "encode"))
    return Cost(int(told.get("batch", 1)), sum(steps) / 1e6)


def _times_of(costs: Sequence[Cost], batch: int) -> Times:
    seconds = [cost.seconds for cost in costs if cost.batch == batch]
    return Times(median(seconds), len(seconds), batch) if seconds else Times()
