"""One replay: recorded requests asked of the candidate, as many as the time allows.

First they are asked all at once, as fast as it takes them: that finds what it cannot answer. Then they are asked in
turns, as many at a time as predictions had when they were real: that finds what they cost, and what becomes of the
memory. Where that seems far more than it was, both versions are asked in turns, at the same time on the same machine.
When the candidate dies or hangs with several at once, they are asked singly, until the guilty one is known.
When the time is over before all of that is done, it is judged by what is known: to be slow is not to hang.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.errors import DeadlineExceeded, ModelCrashed, TidegateError
from tidegate.core.rollout.gate import FEWEST_TIMED, seems_slow
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.gateway.queue.router import Router
from tidegate.gateway.replay.answer_book import AnswerBook
from tidegate.gateway.replay.prediction_cost import PredictionCost, times_with, times_with_at_most, usual_batch
from tidegate.gateway.replay.questions import ENOUGH, Ask, questions
from tidegate.gateway.replay.recordings import Recording
from tidegate.gateway.replay.replayed_request import ReplayedRequest
from tidegate_worker.ipc import wire

# A request hangs when it takes so many times as long as it did, and so many seconds. Alone it gets that time whole;
# together with others, they may have to be run again first.
HANG_TIMES, HANG_SECONDS, TOGETHER_TIMES = 20.0, 1.0, 3.0
# How long a candidate may take to have a replica (again).
START_SECONDS = 15.0
# All in all. It is come near to where replicas die again and again, or predictions take seconds.
LONGEST_SECONDS = 30.0
# Who is under way then hangs where it has been at its replica for so many times as long as all that are there took.
_HANGING_TIMES = 10.0
# The share of the time for asking all at once; the rest is for turns.
_AT_ONCE = 0.4
# Until enough were asked at once, it may last so many times as long.
_MUCH_LONGER = 6.0
# There are so many turns in each half of the rest, even if that takes so many times as long; the first warms up.
_FEWEST_TURNS, _LONGER, _WARM_UP = 8, 3.0, 1
_MEASURE_SECONDS = 1.0
# Both versions are timed so often, where one seems slow, or as often as tells when that has taken so long; with so many
# times the usual requests in a prediction at most.
_PAIRS, _ENOUGH_SECONDS, _JOINED = 9, 5.0, 4
# So many times as many may be under way as have ended.
_BOLDNESS = 8
# Requests under way, where replicas take one at a time: one works, one is on its way.
_AHEAD = 2


class ReplayRun:
    """Tries the candidate of one replay on these recordings, newest first."""

    def __init__(self, replay: Replay, router: Router, recordings: Sequence[Recording]) -> None:
        self._replay, self._router, self._recordings = replay, router, recordings
        self._out: dict[ReplayedRequest, None] = {}  # under way, in order
        self._moved = asyncio.Event()  # set when one of them has ended
        self._book = AnswerBook(replay)
        self._took: list[PredictionCost] = []
        self._real: list[PredictionCost] = []  # of the baseline
        self._fair = False  # whether what seemed slow was looked into
        self._marks: list[int] = []  # of its memory
        self._first_at = 0.0  # when the first has ended
        self._next = 0  # of the recordings
        self._reruns = 0  # of the candidate's requests, when it was looked at last
        self._deaths = 0  # of its replicas, as far as was noticed
        self._forgiven = 0  # of them; once it may have been somebody else

    async def run(self) -> Findings:
        """What is found. Returns without a request where none was recorded, or none may be asked twice."""
        ordered_at, seconds = time.monotonic(), self._replay.seconds
        if not self._recordings:
            return Findings(self._replay.id)
        queue = self._router.queue_of(self._replay.candidate)
        if queue is None:
            return Findings(self._replay.id, unavailable="the gateway does not know it")
        if not queue.route.may_be_tried:
            return Findings(self._replay.id)
        self._recordings = await questions(self._replay, self._recordings, self._asking_baseline())
        if not self._recordings:
            return Findings(self._replay.id)
        self._real = [
            PredictionCost.read(one.answer_meta) for one in self._recordings if one.revision == self._replay.baseline
        ]
        began = time.monotonic()
        self._reruns = _reruns(queue)
        try:
            async with asyncio.timeout(LONGEST_SECONDS - (began - ordered_at)):
                await self._try(queue, began)
        except TimeoutError:
            self._give_up(queue)
        await self._book.prove(self._asking_baseline(), time.monotonic() + seconds)
        await self._book.settle(time.monotonic() + seconds)
        before, after = self._times()
        if seems_slow(before, after) and not self._fair:
            before = Times()  # it may be the machine
        memory = Memory(await self._memory(self._replay.baseline), tuple(self._marks))
        return self._book.findings(before, after, memory, time.monotonic() - began)

    async def _try(self, queue: RevisionQueue, began: float) -> None:
        await self._ask_at_once(queue, began + _AT_ONCE * self._replay.seconds)
        if not self._book.is_grave:
            rest = time.monotonic() + (1 - _AT_ONCE) * self._replay.seconds
            await self._ask_in_turns(queue, max(began + self._replay.seconds, rest))
            self._took = self._took[_WARM_UP:] or self._took
        if not self._book.is_grave and seems_slow(*self._times()):
            await self._time_both(queue)

    def _give_up(self, queue: RevisionQueue) -> None:
        """The time is over. That is its fault where replicas died, or where a request has taken far too long."""
        doubtful = self._in_doubt(queue)
        died = self._deaths > self._forgiven
        if died or doubtful or self._hangs(time.monotonic()):
            self._book.gave_up(died)

    def _hangs(self, now: float) -> bool:
        longest = max(HANG_SECONDS, _HANGING_TIMES * sum(asked.recording.seconds for asked in self._out))
        return any(asked.lane is not None and now - asked.sent_at > longest for asked in self._out)

    def drop(self) -> None:
        """Forget what is under way."""
        for asked in self._out:
            if asked.queue is not None:
                asked.queue.cancel(asked)
        self._out.clear()

    # --- asking

    async def _ask_at_once(self, queue: RevisionQueue, until: float) -> None:
        """Ask all of them, as long as there is time; there is more of it until enough were asked."""
        for recording in self._recordings:
            self._next += 1
            end = until if self._next > ENOUGH else until + _MUCH_LONGER * self._replay.seconds
            await self._ask_together(queue, recording, end)
            if time.monotonic() >= end or self._book.is_grave:
                break
        await self._until_ended()
        if self._in_doubt(queue):
            await self._ask_singly(queue)

    async def _ask_in_turns(self, queue: RevisionQueue, until: float) -> None:
        """Ask as many at a time as real predictions had; mark the memory before, half-way and after."""
        began, last = time.monotonic(), until + _LONGER * self._replay.seconds
        count = usual_batch(self._real) * max(1, len(queue.lanes))
        self._took.clear()
        await self._mark()
        for half in ((began + until) / 2, until):
            for turn in itertools.count(1):
                await self._take_turn(queue, count)
                now = time.monotonic()
                if self._book.is_grave:
                    return
                if now >= last:
                    await self._mark()
                    return
                if turn >= _FEWEST_TURNS and now >= half:
                    break
            await self._mark()

    async def _take_turn(self, queue: RevisionQueue, count: int) -> None:
        for _ in range(count):
            self._ask(queue, self._recording(self._next), TOGETHER_TIMES)
            self._next += 1
        await self._until_ended()
        if self._in_doubt(queue):
            await self._ask_singly(queue)

    def _recording(self, number: int) -> Recording:
        """When all were asked, they are asked again."""
        return self._recordings[number % len(self._recordings)]

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
        self._deaths += self._reruns > before
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
        self._forgiven = min(1, self._deaths)

    def _ask(self, queue: RevisionQueue, recording: Recording, times: float, *, alone: bool = False) -> None:
        now, seconds = time.monotonic(), times * max(HANG_SECONDS, HANG_TIMES * recording.seconds)
        asked = ReplayedRequest(recording, seconds, self._ended)
        asked.alone = alone
        asked.deadline = now + seconds
        asked.latest = max(asked.deadline, now + START_SECONDS)
        self._out[asked] = None
        try:
            self._router.queue_of(self._replay.candidate)  # so that its deadlines are looked after
            queue.submit(asked, now)
        except TidegateError as error:
            asked.failed(error)

    def _ended(self, asked: ReplayedRequest) -> None:
        self._moved.set()
        if asked not in self._out:
            return  # it was dropped
        del self._out[asked]
        self._first_at = self._first_at or time.monotonic()
        if asked.answer is not None:
            self._book.answered(asked.recording, asked.answer)
            if asked.answer.outcome == wire.OK:
                self._took.append(PredictionCost.read(asked.answer.meta))
        elif isinstance(asked.error, ModelCrashed):
            self._book.crashed(asked.error.message)
        elif isinstance(asked.error, DeadlineExceeded):
            self._book.late(asked.recording)
        elif asked.error is not None:
            doubtful = asked.crashes > 0 or self._deaths > 0 or bool(self._out)
            self._book.refused(asked.recording, asked.error.message, doubtful=doubtful)

    async def _one_ended(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _until_ended(self) -> None:
        while self._out:
            await self._one_ended()

    # --- timing

    def _times(self) -> tuple[Times, Times]:
        """What predictions of as many requests took before, and take now."""
        batch = usual_batch(self._real)
        return times_with(self._real, batch), times_with_at_most(self._took, batch)

    async def _time_both(self, queue: RevisionQueue) -> None:
        """Time both versions anew, in turns: the machine may be busier than it was. Not the old one where it sleeps."""
        began, before, usual, serving = (
            time.monotonic(),
            list[PredictionCost](),
            usual_batch(self._real),
            self._serving(),
        )
        self._took.clear()
        for turn in range(1, _PAIRS + 1):
            first = self._next
            await self._take_turn(queue, usual * max(1, len(queue.lanes)))
            if self._book.is_grave:
                return
            if serving is not None:
                same = range(first, first + usual * max(1, len(serving.lanes)))
                before += await self._time_old(serving, [self._recording(number) for number in same])
            if turn >= FEWEST_TIMED and time.monotonic() - began > _ENOUGH_SECONDS:
                break
        if serving is not None:
            # Real requests may join them; a few more in a prediction are next to nothing.
            joined = range(usual, _JOINED * usual + 1)
            self._real = [cost._replace(batch=usual) for cost in before if cost.batch in joined]
        self._fair = True

    def _serving(self) -> RevisionQueue | None:
        """The queue of the version that serves. Not where it sleeps, or must not be asked twice."""
        baseline = self._replay.baseline
        serving = self._router.queue_of(baseline) if baseline is not None else None
        return serving if serving is not None and serving.lanes and serving.route.may_be_tried else None

    async def _time_old(self, serving: RevisionQueue, recordings: Sequence[Recording]) -> list[PredictionCost]:
        """What predictions of the version that serves take now; nothing of those that it does not answer."""
        answers = await self._ask_old(serving, recordings)
        return [PredictionCost.read(answer.meta) for answer in answers if answer.outcome == wire.OK]

    async def _ask_old(self, serving: RevisionQueue, recordings: Sequence[Recording]) -> list[wire.Answer]:
        """What the version that serves answers now, asked for all of them at once."""
        ended, now = asyncio.Event(), time.monotonic()
        out = [ReplayedRequest(recording, START_SECONDS, lambda _: ended.set()) for recording in recordings]
        try:
            for asked in out:
                asked.deadline = asked.latest = now + START_SECONDS
                serving.submit(asked, now)
            while not all(asked.done for asked in out):
                ended.clear()
                await ended.wait()
        except TidegateError:
            return []  # its queue is full
        finally:
            for asked in out:
                if asked.queue is not None:  # else it was refused: there is nothing to forget
                    serving.cancel(asked)
        return [asked.answer for asked in out if asked.answer is not None]

    def _asking_baseline(self) -> Ask | None:
        """How to ask the version that serves for one of them, where it can be asked."""
        serving = self._serving()
        if serving is None:
            return None

        async def ask(recording: Recording) -> wire.Answer | None:
            return next(iter(await self._ask_old(serving, [recording])), None)

        return ask

    # --- memory

    async def _mark(self) -> None:
        self._marks.append(await self._memory(self._replay.candidate))

    async def _memory(self, revision: RevisionId | None) -> int:
        """Resident bytes of the revision's largest replica; 0 where it has none."""
        queue = self._router.queue_of(revision) if revision is not None else None
        if queue is None or not queue.lanes:
            return 0
        return max(await asyncio.gather(*(lane.measure(_MEASURE_SECONDS) for lane in queue.lanes)))


def _reruns(queue: RevisionQueue) -> int:
    return queue.load(time.monotonic()).reruns
