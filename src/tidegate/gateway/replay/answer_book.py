"""A candidate's answers to recorded requests, and their comparison with the recorded answers.

Answers are compared one at a time, between turns of the event loop, as real requests go first.
"""

import asyncio
import json
import time
from typing import Any

import msgspec

from tidegate.core.rollout import comparison
from tidegate.core.rollout.answer_schema import Sketch, loosened
from tidegate.core.rollout.comparison import Difference, Likeness
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times
from tidegate.gateway.replay.questions import Ask
from tidegate.gateway.replay.recordings import Recording
from tidegate_worker.ipc import wire

# At least this many answers are compared, even if that takes this many seconds more.
_FEWEST_COMPARED, _LONGER = 20, 1.0
# With fewer different answers, lists may have the same length by chance.
_FEWEST_DIFFERENT = 5
_UNREADABLE = object()
# A sentence travels to control with every report; a model may write one of any length.
_LONGEST_SENTENCE = 2000
# After a comparison of this many bytes, the event loop has time for other work.
_LARGE = 4096


class AnswerBook:
    """The counts of one replay. `requests` have ended."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self.requests = 0
        self._to_compare: list[tuple[Recording, wire.Answer]] = []
        self._late: list[Recording] = []
        self._ended: set[int] = set()  # recordings, by their identity
        self._failed: set[int] = set()
        self._unproved: list[tuple[Recording, str]] = []  # and what was said to them
        self._counts: dict[str, Any] = dict.fromkeys(("compared", "exact", "close", "changed", "new_nulls"), 0)
        self._troubles: dict[str, Any] = dict.fromkeys(("errors", "crashes", "hangs"), 0)
        self._sentences: dict[str, Any] = dict.fromkeys(("error", "crash", "hang", "unavailable"), "")
        self._before, self._after = Sketch(), Sketch()
        self._different: set[int] = set()  # hashes of the baseline's answers
        self._rows: tuple[int, int] | None = None
        self._largest = 0.0

    @property
    def is_grave(self) -> bool:
        """Whether the candidate is judged already, so that no more requests are sent."""
        return bool(self._troubles["crashes"] or self._troubles["hangs"] or self._sentences["unavailable"])

    @property
    def is_late(self) -> bool:
        """Whether a request has run out of time beside others."""
        return bool(self._late)

    # --- what became of a request

    def answered(self, recording: Recording, answer: wire.Answer) -> None:
        """The candidate has answered."""
        if answer.outcome == wire.TIMED_OUT:
            self.late(recording)
            return
        again = id(recording) in self._ended
        self._ended.add(id(recording))
        self.requests += not again
        if answer.outcome != wire.OK:
            if id(recording) not in self._failed:  # it may have been answered the first time
                self._failed.add(id(recording))
                self._fails(recording, answer.body[:_LONGEST_SENTENCE].decode("utf-8", "replace"))
        elif not again and recording.revision == self._replay.baseline:
            self._to_compare.append((recording, answer))

    def _fails(self, recording: Recording, sentence: str) -> None:
        """Note an error. A request that another version has answered may be one that the baseline fails at too."""
        if self._replay.baseline in (None, recording.revision):
            self._trouble("errors", "error", sentence)
        else:
            self._unproved.append((recording, sentence))

    async def prove(self, ask: Ask | None, until: float) -> None:
        """Ask the baseline for requests that the candidate fails at and that other versions have answered.

        An error of the baseline excuses the candidate. A request that there is no time for is judged like the one
        before it. If the baseline cannot be asked, all are the candidate's fault.
        """
        unproved, self._unproved, fault = self._unproved, [], True
        for recording, sentence in unproved:
            if ask is not None and time.monotonic() < until:
                answer = await ask(recording)
                fault = answer is None or answer.outcome == wire.OK
            if fault:
                self._trouble("errors", "error", sentence)

    def crashed(self, sentence: str) -> None:
        """Note a request that has ended two processes by itself."""
        self.requests += 1
        self._trouble("crashes", "crash", sentence)

    def late(self, recording: Recording) -> None:
        """Note a request that has run out of time."""
        self._late.append(recording)

    def refused(self, recording: Recording, sentence: str, *, doubtful: bool) -> None:
        """Note a request that no replica has begun. The cause is `doubtful` where a replica has died or is busy."""
        if doubtful:
            self._late.append(recording)
        else:
            self._sentences["unavailable"] = self._sentences["unavailable"] or sentence

    def take_late(self) -> list[Recording]:
        """Remove and return the requests that ran out of time beside others, which may be to blame."""
        late, self._late = self._late, []
        return late

    def judge_late(self) -> None:
        """Blame the requests that ran out of time: each was alone."""
        for recording in self.take_late():
            self.requests += 1
            sentence = f"no answer came in time; it took {recording.seconds * 1000:.0f} ms before"
            self._trouble("hangs", "hang", sentence)

    def replay_overran(self, replicas_died: bool) -> None:
        """Note that the replay has taken too long."""
        if not self.is_grave:
            what = ("crashes", "crash") if replicas_died else ("hangs", "hang")
            self._trouble(*what, "the replay did not come to its end" + (", as replicas died" if replicas_died else ""))

    def _trouble(self, count: str, kind: str, sentence: str) -> None:
        self._troubles[count] += 1
        self._sentences[kind] = self._sentences[kind] or sentence

    # --- comparing

    async def settle(self, until: float) -> None:
        """Compare answers until that time. The event loop has as much time in between as a comparison takes."""
        for recording, answer in self._to_compare:
            began, few = time.monotonic(), self._counts["compared"] < _FEWEST_COMPARED
            if began >= until + (_LONGER if few else 0.0):
                break
            self._compare(recording.answer, answer.body)
            await asyncio.sleep(time.monotonic() - began if len(answer.body) > _LARGE else 0)
        self._to_compare.clear()

    def _compare(self, before: bytes, after: bytes) -> None:
        """Compare two answers. One of the baseline that cannot be read is left out: the candidate is not to blame."""
        counts, one = self._counts, _read(before)
        if one is _UNREADABLE:
            return
        counts["compared"] += 1
        if before == after:
            counts["exact"] += 1
            if hash(before) not in self._different:
                self._before.add(one)
                self._after.add(one)
        else:
            self._lay_beside(one, _read(after))
        self._different.add(hash(before))

    def _lay_beside(self, one: Any, other: Any) -> None:
        self._before.add(one)
        if other is not _UNREADABLE:
            self._after.add(other)
        try:
            found = comparison.difference(one, other)
        except RecursionError:  # nested deeper than can be looked at
            found = Difference(Likeness.CHANGED)
        self._counts[_COUNT[found.likeness]] += 1
        self._counts["new_nulls"] += found.new_null
        self._rows = self._rows or found.rows
        self._largest = max(self._largest, found.largest)

    def findings(self, before: Times, after: Times, memory: Memory, seconds: float) -> Findings:
        """The findings of the replay."""
        schema, few = self._before.schema(), len(self._different) < _FEWEST_DIFFERENT
        return Findings(
            self._replay.id,
            requests=self.requests,
            **self._counts,
            **self._troubles,
            **self._sentences,
            largest_difference=self._largest,
            rows=self._rows,
            before=loosened(schema) if few else schema,
            after=self._after.beside(self._before),
            baseline=before,
            candidate=after,
            memory=memory,
            seconds=seconds,
        )


_COUNT = {Likeness.EXACT: "exact", Likeness.CLOSE: "close", Likeness.CHANGED: "changed"}


def _read(answer: bytes) -> Any:
    """The value of an answer. The standard library reads what msgspec does not, such as a lone surrogate."""
    for read in (msgspec.json.decode, json.loads):
        try:
            return read(answer)
        except (ValueError, RecursionError):
            continue
    return _UNREADABLE
