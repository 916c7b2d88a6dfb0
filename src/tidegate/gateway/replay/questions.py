"""The recorded requests that a candidate is sent.

A candidate's answer is compared with one of the baseline only. A baseline that has served for a short time has answered
few of the recorded requests. It is then sent some of the others now, one at a time.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from tidegate.core.rollout.gate import FEWEST_TIMED
from tidegate.core.rollout.replay import Replay
from tidegate.gateway.replay.recordings import Recording
from tidegate_worker.ipc import wire

# A baseline with fewer answers is asked for more. The candidate is sent this many requests, even if that takes long.
ENOUGH = 100
# The baseline may take this many times the replay's time until FEWEST_TIMED answers are there.
_LONGER = 3.0

Ask = Callable[[Recording], Awaitable[wire.Answer | None]]


async def questions(replay: Replay, recordings: Sequence[Recording], ask: Ask | None) -> list[Recording]:
    """The recordings to send, in their order, with repetitions last. The baseline answers some of them anew.

    Requests that the baseline does not answer any more are left out. `ask` is None where it cannot be asked.
    """
    told = [one for one in recordings if one.revision not in replay.strangers]
    doubtful = [one for one in told if one.revision != replay.baseline]
    lacking = ENOUGH - (len(told) - len(doubtful))
    anew = await _anew(replay, doubtful, lacking, ask) if ask is not None and lacking > 0 else {}
    asked = [anew.get(id(one), None if one.revision in replay.siblings else one) for one in told]
    return _distinct_first([one for one in asked if one is not None])


def _distinct_first(recordings: Sequence[Recording]) -> list[Recording]:
    """Put each different request before all repetitions, as the time may not be enough for all of them."""
    first = {one.body: one for one in reversed(recordings)}
    distinct, repeated = list[Recording](), list[Recording]()
    for one in recordings:
        (distinct if first[one.body] is one else repeated).append(one)
    return distinct + repeated


async def _anew(replay: Replay, recordings: Sequence[Recording], most: int, ask: Ask) -> dict[int, Recording | None]:
    """The baseline's answers now, by the recordings' identity; None where it does not answer."""
    began, anew, answered = time.monotonic(), dict[int, Recording | None](), 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LONGER * replay.seconds):
            for one in recordings:
                late = time.monotonic() >= began + replay.seconds
                if answered >= most or (late and answered >= FEWEST_TIMED):
                    break
                anew[id(one)] = found = await _answered(replay, one, ask)
                answered += found is not None
    return anew


async def _answered(replay: Replay, recording: Recording, ask: Ask) -> Recording | None:
    began, answer = time.monotonic(), await ask(recording)
    if answer is None or answer.outcome != wire.OK or replay.baseline is None:
        return None
    seconds = time.monotonic() - began
    return recording._replace(revision=replay.baseline, answer_meta=answer.meta, answer=answer.body, seconds=seconds)
