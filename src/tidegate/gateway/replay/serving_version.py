"""The version that serves, asked again for requests that it has answered before, beside its real requests."""

import asyncio
import time
from collections.abc import Sequence

from tidegate.core.errors import TidegateError
from tidegate.core.rollout.replay import Replay
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.gateway.queue.router import Router
from tidegate.gateway.replay.prediction_cost import PredictionCost
from tidegate.gateway.replay.questions import Ask
from tidegate.gateway.replay.recordings import Recording
from tidegate.gateway.replay.replayed_request import ReplayedRequest
from tidegate_worker.ipc import wire

# The longest time that an answer of the baseline is waited for.
ANSWER_SECONDS = 15.0


def serving_queue(replay: Replay, router: Router) -> RevisionQueue | None:
    """The baseline's queue. None where no replica of it runs, or where its owner forbids to ask twice."""
    queue = router.queue_of(replay.baseline) if replay.baseline is not None else None
    return queue if queue is not None and queue.lanes and queue.route.may_be_tried else None


def asking(replay: Replay, router: Router) -> Ask | None:
    """How to ask the baseline for one recording. None where it cannot be asked."""
    queue = serving_queue(replay, router)
    if queue is None:
        return None

    async def ask(recording: Recording) -> wire.Answer | None:
        return next(iter(await answers(queue, [recording])), None)

    return ask


async def costs(queue: RevisionQueue, recordings: Sequence[Recording]) -> list[PredictionCost]:
    """What the baseline's predictions of these cost now. A request that it fails at has no cost."""
    return [
        PredictionCost.read(answer.meta) for answer in await answers(queue, recordings) if answer.outcome == wire.OK
    ]


async def answers(queue: RevisionQueue, recordings: Sequence[Recording]) -> list[wire.Answer]:
    """What the baseline answers now. All recordings are asked at once; a full queue gives no answers."""
    ended, now = asyncio.Event(), time.monotonic()
    requests = [ReplayedRequest(recording, ANSWER_SECONDS, lambda _: ended.set()) for recording in recordings]
    try:
        for request in requests:
            request.deadline = request.latest = now + ANSWER_SECONDS
            queue.submit(request, now)
        while not all(request.done for request in requests):
            ended.clear()
            await ended.wait()
    except TidegateError:
        return []
    finally:
        for request in requests:
            if request.queue is not None:  # else it was refused: there is nothing to forget
                queue.cancel(request)
    return [request.answer for request in requests if request.answer is not None]
