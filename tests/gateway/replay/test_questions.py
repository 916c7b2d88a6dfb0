"""What a candidate is asked: whose recordings, and what the baseline is asked first."""

import asyncio

import pytest

from tests.gateway.house import V1, V2
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.rollout.replay import Replay
from tidegate.gateway.replay import questions
from tidegate.gateway.replay.recordings import Recording
from tidegate_worker.ipc import wire

EARLIER, STRANGER, SIBLING = (RevisionId(letter * 16) for letter in "abc")
REPLAY = Replay("r", "wine", V2, V1, 0.1, (STRANGER,), (SIBLING,))


def recorded(revision: RevisionId, body: bytes) -> Recording:
    """A request that a revision has answered."""
    return Recording(revision, b"request-id=7", body, b"predict=1", b"{}", 0.5)


OWN, OLD, STRANGE, KIN = (
    recorded(revision, body)
    for revision, body in ((V1, b"own"), (EARLIER, b"old"), (STRANGER, b"strange"), (SIBLING, b"kin"))
)


class Baseline:
    """Answers, but for what it cannot."""

    def __init__(self, *cannot: bytes, seconds: float = 0.0) -> None:
        self.cannot, self.seconds = cannot, seconds
        self.asked: list[bytes] = []

    async def __call__(self, recording: Recording) -> wire.Answer | None:
        self.asked.append(recording.body)
        await asyncio.sleep(self.seconds)
        outcome = wire.BAD_REQUEST if recording.body in self.cannot else wire.OK
        return wire.Answer(1, outcome, 0, b"predict=9", recording.body.upper())


def anew(recording: Recording, seconds: float) -> Recording:
    """As the baseline has answered it."""
    return Recording(V1, b"request-id=7", recording.body, b"predict=9", recording.body.upper(), seconds)


async def test_where_it_has_answered_few_the_baseline_is_asked_for_the_rest() -> None:
    ask = Baseline()
    own, old, kin = await questions.questions(REPLAY, [OWN, OLD, STRANGE, KIN], ask)
    assert own is OWN
    assert (old, kin) == (anew(OLD, old.seconds), anew(KIN, kin.seconds))
    assert ask.asked == [b"old", b"kin"]


async def test_what_is_the_same_request_comes_last() -> None:
    bodies = [b"a", b"b", b"a", b"c", b"b"]
    asked = await questions.questions(REPLAY, [recorded(V1, body) for body in bodies], None)
    assert [one.body for one in asked] == [b"a", b"b", b"c", b"a", b"b"]


async def test_what_the_baseline_does_not_answer_is_nobodys_to_answer() -> None:
    assert await questions.questions(REPLAY, [OWN, OLD, STRANGE, KIN], Baseline(b"old", b"kin")) == [OWN]

    async def refuse(recording: Recording) -> None:
        """Its queue is full."""

    assert await questions.questions(REPLAY, [OWN, OLD], refuse) == [OWN]


async def test_where_it_cannot_be_asked_what_others_answer_beside_it_is_left_out() -> None:
    assert await questions.questions(REPLAY, [KIN, OLD, STRANGE, OWN], None) == [OLD, OWN]


async def test_where_it_has_answered_enough_it_is_not_asked() -> None:
    ask = Baseline()
    enough = [recorded(V1, b"%d" % number) for number in range(questions.ENOUGH)]
    assert await questions.questions(REPLAY, [OLD, *enough, KIN], ask) == [OLD, *enough]
    [old, *_] = await questions.questions(REPLAY, [OLD, OLD, *enough[1:]], ask)
    assert ask.asked == [b"old"]
    assert old.revision == V1


@pytest.mark.parametrize(("seconds", "fewest", "most"), [(0.03, 5, 9), (0.5, 0, 0)])
async def test_it_is_asked_as_often_as_the_time_allows(seconds: float, fewest: int, most: int) -> None:
    many = [recorded(EARLIER, b"%d" % number) for number in range(50)]
    found = await questions.questions(REPLAY, many, Baseline(seconds=seconds))
    assert len(found) == 50
    assert fewest <= sum(one.revision == V1 for one in found) <= most
