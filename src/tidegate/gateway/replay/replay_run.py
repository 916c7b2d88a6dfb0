"""One replay: the candidate is sent recorded requests, as many as the time allows.

1. All requests are sent at once, as fast as the candidate takes them. This finds what the candidate cannot answer.
2. The requests are sent in turns. Each turn has as many requests as a prediction had when they were recorded. This
   finds what predictions cost, and how the memory grows.
3. Where the cost seems far higher than before, candidate and baseline take turns on the same machine at the same time.

When the candidate dies or hangs with several requests, they are sent again one by one, until the one to blame is known.
When the time is over, the judgement is by what is known so far. A slow candidate is not a hanging one.
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
from tidegate.gateway.replay import serving_version
from tidegate.gateway.replay.answer_book import AnswerBook
from tidegate.gateway.replay.prediction_cost import PredictionCost, times_with, times_with_at_most, usual_batch
from tidegate.gateway.replay.questions import ENOUGH, Ask, questions
from tidegate.gateway.replay.recordings import Recording
from tidegate.gateway.replay.replayed_request import ReplayedRequest
from tidegate_worker.ipc import wire

# A request hangs that takes HANG_TIMES as long as when it was recorded, and HANG_SECONDS at least. A request that is
# sent with others gets TOGETHER_TIMES that time, as the others may have to run again first.
HANG_TIMES, HANG_SECONDS, TOGETHER_TIMES = 20.0, 1.0, 3.0
# The longest time until the candidate has a replica, or has one again.
START_SECONDS = 15.0
# The longest time of a replay. Replays come near to it when replicas die repeatedly or predictions take seconds.
LONGEST_SECONDS = 30.0
# When that time is over, a request hangs that has been at its replica for this many times the recorded time of all
# requests under way.
_HANGING_TIMES = 10.0
# Step 1 gets this share of the replay's time, step 2 the rest.
_AT_ONCE_SHARE = 0.4
# Step 1 may take this many times the replay's time until ENOUGH requests were sent.
_AT_ONCE_LONGER = 6.0
# Each half of step 2 has _FEWEST_TURNS at least, even if step 2 then takes _TURNS_LONGER times the replay's time. The
# first _WARM_UP predictions do not count.
_FEWEST_TURNS, _TURNS_LONGER, _WARM_UP = 8, 3.0, 1
_MEASURE_SECONDS = 1.0  # the longest wait for a replica's memory
# Step 3 has _PAIRS of turns. After _ENOUGH_SECONDS, FEWEST_TIMED pairs are enough. A prediction of the baseline counts
# if it had at most _JOINED times the usual number of requests: real requests may have joined it.
_PAIRS, _ENOUGH_SECONDS, _JOINED = 9, 5.0, 4
_MOST_PER_ENDED = 8  # requests under way for each one that has ended, at most
_PER_LONE_REPLICA = 2  # requests under way at a replica that takes one at a time: the second is on its way


class ReplayRun:
    """Replays these recordings, newest first, on the candidate of one replay."""

    def __init__(self, replay: Replay, router: Router, recordings: Sequence[Recording]) -> None:
        self._replay, self._router, self._recordings = replay, router, recordings
        self._under_way: dict[ReplayedRequest, None] = {}  # in the order in which they were sent
        self._any_ended = asyncio.Event()  # set when a request has ended
        self._book = AnswerBook(replay)
        self._candidate_costs: list[PredictionCost] = []
        self._baseline_costs: list[PredictionCost] = []
        self._timed_again = False  # whether step 3 has been done
        self._memory_marks: list[int] = []  # resident bytes of the candidate, before, during and after step 2
        self._first_at = 0.0  # when the first request ended
        self._next_number = 0  # of the next recording to send
        self._reruns = 0  # of the candidate's queue, at the last look
        self._deaths = 0  # of the candidate's replicas, as far as looks have shown
        self._excused_deaths = 0  # at most 1: something else may have ended that replica

    async def run(self) -> Findings:
        """Replay, and return the findings. No request is sent where none is recorded or none may be sent twice."""
        ordered_at, seconds = time.monotonic(), self._replay.seconds
        if not self._recordings:
            return Findings(self._replay.id)
        queue = self._router.queue_of(self._replay.candidate)
        if queue is None:
            return Findings(self._replay.id, unavailable="the gateway does not know it")
        if not queue.route.may_be_tried:
            return Findings(self._replay.id)
        self._recordings = await questions(self._replay, self._recordings, self._ask_baseline())
        if not self._recordings:
            return Findings(self._replay.id)
        self._baseline_costs = [
            PredictionCost.read(one.answer_meta) for one in self._recordings if one.revision == self._replay.baseline
        ]
        began = time.monotonic()
        self._reruns = _reruns(queue)
        try:
            async with asyncio.timeout(LONGEST_SECONDS - (began - ordered_at)):
                await self._try(queue, began)
        except TimeoutError:
            self._give_up(queue)
        await self._book.prove(self._ask_baseline(), time.monotonic() + seconds)
        await self._book.settle(time.monotonic() + seconds)
        before, after = self._times()
        if seems_slow(before, after) and not self._timed_again:
            before = Times()  # the machine may be slower than it was
        memory = Memory(await self._memory(self._replay.baseline), tuple(self._memory_marks))
        return self._book.findings(before, after, memory, time.monotonic() - began)

    def _ask_baseline(self) -> Ask | None:
        return serving_version.asking(self._replay, self._router)

    async def _try(self, queue: RevisionQueue, began: float) -> None:
        await self._send_at_once(queue, began + _AT_ONCE_SHARE * self._replay.seconds)
        if not self._book.is_grave:
            rest = time.monotonic() + (1 - _AT_ONCE_SHARE) * self._replay.seconds
            await self._send_in_turns(queue, max(began + self._replay.seconds, rest))
            self._candidate_costs = self._candidate_costs[_WARM_UP:] or self._candidate_costs
        if not self._book.is_grave and seems_slow(*self._times()):
            await self._time_both(queue)

    def _give_up(self, queue: RevisionQueue) -> None:
        """The time is over. The candidate is to blame where its replicas died or a request hangs."""
        doubtful = self._in_doubt(queue)
        died = self._deaths > self._excused_deaths
        if died or doubtful or self._hangs(time.monotonic()):
            self._book.replay_overran(replicas_died=died)

    def _hangs(self, now: float) -> bool:
        longest = max(HANG_SECONDS, _HANGING_TIMES * sum(request.recording.seconds for request in self._under_way))
        return any(request.lane is not None and now - request.sent_at > longest for request in self._under_way)

    def drop(self) -> None:
        """Cancel the requests that are under way."""
        for request in self._under_way:
            if request.queue is not None:
                request.queue.cancel(request)
        self._under_way.clear()

    # --- sending

    async def _send_at_once(self, queue: RevisionQueue, until: float) -> None:
        """Send all recordings, as long as there is time. The first ENOUGH of them have more time."""
        for recording in self._recordings:
            self._next_number += 1
            end = until if self._next_number > ENOUGH else until + _AT_ONCE_LONGER * self._replay.seconds
            await self._send_in_time(queue, recording, end)
            if time.monotonic() >= end or self._book.is_grave:
                break
        await self._until_ended()
        if self._in_doubt(queue):
            await self._send_singly(queue)

    async def _send_in_turns(self, queue: RevisionQueue, until: float) -> None:
        """Send as many requests at a time as predictions had. Note the memory before, half-way and after."""
        began, last = time.monotonic(), until + _TURNS_LONGER * self._replay.seconds
        count = usual_batch(self._baseline_costs) * max(1, len(queue.lanes))
        self._candidate_costs.clear()
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
            self._send(queue, self._recording(self._next_number), TOGETHER_TIMES)
            self._next_number += 1
        await self._until_ended()
        if self._in_doubt(queue):
            await self._send_singly(queue)

    def _recording(self, number: int) -> Recording:
        """The recording of this number. After the last one, the first one follows."""
        return self._recordings[number % len(self._recordings)]

    async def _send_in_time(self, queue: RevisionQueue, recording: Recording, until: float) -> None:
        """Send a request, as soon as all that are under way can be answered until then."""
        while len(self._under_way) >= self._most(queue, until):
            await self._one_ended()
            if self._in_doubt(queue):
                await self._send_singly(queue)
        if not self._book.is_grave:
            self._send(queue, recording, TOGETHER_TIMES)

    def _most(self, queue: RevisionQueue, until: float) -> int:
        """The most requests that may be under way: those that the replicas take at once and can answer in time.

        It begins with 1 and grows with the requests that have ended, as the time of a request is not known before.
        """
        ended, now = self._book.requests, time.monotonic()
        at_once = sum(lane.group if lane.group > 1 else _PER_LONE_REPLICA for lane in queue.lanes)
        pace = (now - self._first_at) / max(1, ended - 1)  # without the first, which may have waited for a replica
        in_time = int((until - now) / pace) if ended > 1 and pace else at_once
        return max(1, min(at_once, in_time, _MOST_PER_ENDED * ended))

    def _in_doubt(self, queue: RevisionQueue) -> bool:
        """Whether a replica has died since the last look, or a request has run out of time."""
        before, self._reruns = self._reruns, _reruns(queue)
        self._deaths += self._reruns > before
        return self._reruns > before or self._book.is_late

    async def _send_singly(self, queue: RevisionQueue) -> None:
        """Send what was under way or ran out of time again, one by one, until the request to blame is known."""
        doubtful = [*self._book.take_late(), *(request.recording for request in self._under_way)]
        self.drop()
        for recording in doubtful:
            self._send(queue, recording, 1.0, alone=True)
            await self._until_ended()
            self._book.judge_late()
            if self._book.is_grave:
                return
        self._reruns = _reruns(queue)
        self._excused_deaths = min(1, self._deaths)

    def _send(self, queue: RevisionQueue, recording: Recording, times: float, *, alone: bool = False) -> None:
        now, seconds = time.monotonic(), times * max(HANG_SECONDS, HANG_TIMES * recording.seconds)
        request = ReplayedRequest(recording, seconds, self._ended)
        request.alone = alone
        request.deadline = now + seconds
        request.latest = max(request.deadline, now + START_SECONDS)
        self._under_way[request] = None
        try:
            self._router.queue_of(self._replay.candidate)  # the router sweeps its queue from now on
            queue.submit(request, now)
        except TidegateError as error:
            request.failed(error)

    def _ended(self, request: ReplayedRequest) -> None:
        self._any_ended.set()
        if request not in self._under_way:
            return  # it was cancelled
        del self._under_way[request]
        self._first_at = self._first_at or time.monotonic()
        if request.answer is not None:
            self._book.answered(request.recording, request.answer)
            if request.answer.outcome == wire.OK:
                self._candidate_costs.append(PredictionCost.read(request.answer.meta))
        elif isinstance(request.error, ModelCrashed):
            self._book.crashed(request.error.message)
        elif isinstance(request.error, DeadlineExceeded):
            self._book.late(request.recording)
        elif request.error is not None:
            doubtful = request.crashes > 0 or self._deaths > 0 or bool(self._under_way)
            self._book.refused(request.recording, request.error.message, doubtful=doubtful)

    async def _one_ended(self) -> None:
        self._any_ended.clear()
        await self._any_ended.wait()

    async def _until_ended(self) -> None:
        while self._under_way:
            await self._one_ended()

    # --- timing

    def _times(self) -> tuple[Times, Times]:
        """What predictions of the usual number of requests took before, and take now."""
        batch = usual_batch(self._baseline_costs)
        return times_with(self._baseline_costs, batch), times_with_at_most(self._candidate_costs, batch)

    async def _time_both(self, queue: RevisionQueue) -> None:
        """Time both versions in turns, as the machine may be busier than before. A baseline that sleeps is left out."""
        began, before, usual = time.monotonic(), list[PredictionCost](), usual_batch(self._baseline_costs)
        serving = serving_version.serving_queue(self._replay, self._router)
        self._candidate_costs.clear()
        for turn in range(1, _PAIRS + 1):
            first = self._next_number
            await self._take_turn(queue, usual * max(1, len(queue.lanes)))
            if self._book.is_grave:
                return
            if serving is not None:
                same = range(first, first + usual * max(1, len(serving.lanes)))
                before += await serving_version.costs(serving, [self._recording(number) for number in same])
            if turn >= FEWEST_TIMED and time.monotonic() - began > _ENOUGH_SECONDS:
                break
        if serving is not None:
            # Real requests may have joined. A few more in a prediction hardly change its time.
            joined = range(usual, _JOINED * usual + 1)
            self._baseline_costs = [cost._replace(batch=usual) for cost in before if cost.batch in joined]
        self._timed_again = True

    # --- memory

    async def _mark(self) -> None:
        self._memory_marks.append(await self._memory(self._replay.candidate))

    async def _memory(self, revision: RevisionId | None) -> int:
        """Resident bytes of the revision's largest replica; 0 where it has none."""
        queue = self._router.queue_of(revision) if revision is not None else None
        if queue is None or not queue.lanes:
            return 0
        return max(await asyncio.gather(*(lane.measure(_MEASURE_SECONDS) for lane in queue.lanes)))


def _reruns(queue: RevisionQueue) -> int:
    return queue.load(time.monotonic()).reruns
