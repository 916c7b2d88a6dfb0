"""Recorded requests, asked of the revision that is to serve next: what is found, who is blamed, and who notices."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.replica import FakeReplica, Predict, echo
from tests.gateway.house import V1, V2, House, house, until
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.errors import Unavailable
from tidegate.core.planes.route_table import RevisionRoute, RouteTable
from tidegate.core.rollout.gate import is_slow
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.gateway.queue.router import Router
from tidegate.gateway.replay import replay_run, serving_version
from tidegate.gateway.replay.recordings import Recording
from tidegate.gateway.replay.replayed_request import ReplayedRequest
from tidegate.settings import GatewaySettings
from tidegate_worker.ipc import wire

SECONDS = 0.2
GUILTY = b"[3]"
V3 = RevisionId("3" * 16)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """A gateway that has answered `[0]` to `[7]`."""
    async with house(tmp_path) as home:
        home.agent.place(V1, await home.replica("old"))
        for number in range(8):
            assert (await home.score(b"[%d]" % number)).status_code == 200
        yield home


def ordering(home: House, identity: str = "r1", *, retry: bool = True, **fields: object) -> RouteTable:
    """A table that orders a replay on V2."""
    replay = replace(Replay(identity, "wine", V2, V1, SECONDS), **fields)  # type: ignore[arg-type]
    table = home.table(version=f"orders {identity}")
    route = RevisionRoute(V2, "wine", "wine-2", str(home.data.agent_socket), 60.0, retry)
    return replace(table, revisions={**table.revisions, V2: route}, replays=(replay,))


async def found(home: House, identity: str = "r1") -> Findings:
    """What the gateway reports of a replay, once it does."""
    await until(lambda: home.control.reports and identity in home.control.reports[-1].findings, 30)
    return home.control.reports[-1].findings[identity]


async def tried(home: House, candidate: FakeReplica, **fields: object) -> Findings:
    """What is found when these recordings are replayed on a replica."""
    home.agent.place(V2, candidate)
    home.control.publish(ordering(home, **fields))  # type: ignore[arg-type]
    return await found(home)


def answers(request: wire.Request, predictions: object) -> wire.Answer:
    body = json.dumps({"predictions": predictions}).encode()
    return wire.Answer(request.id, wire.OK, 0, b"predict=3000", body)


def troubles(findings: Findings) -> tuple[int, int, int, str]:
    return findings.errors, findings.crashes, findings.hangs, findings.unavailable


NONE = (0, 0, 0, "")


async def is_at_rest(home: House) -> None:
    """Wait until nothing of the candidate waits or is under way."""

    def rests() -> bool:
        load = home.control.reports[-1].revisions.get(V2)
        return load is None or not (load.in_flight or load.queued)

    await until(rests)


# --- answers


async def test_a_version_that_answers_alike_is_found_to(home: House) -> None:
    candidate = await home.replica("new")
    findings = await tried(home, candidate)
    assert (findings.id, findings.requests, findings.compared, findings.exact) == ("r1", 8, 8, 8)
    assert troubles(findings) == NONE
    assert (
        findings.before
        == findings.after
        == {
            "the answer": {"object"},
            "predictions": {"array"},
            "predictions[]": {"integer"},
        }
    )
    assert findings.baseline == Times(0.0015, 8, 1)
    assert (findings.candidate.median, findings.candidate.batch) == (0.0015, 1)
    assert findings.candidate.count >= 5
    asked = [request.body for request in candidate.seen]
    assert asked[:8] == [b"[%d]" % number for number in range(7, -1, -1)]  # newest first
    assert {request.meta.split(b"=")[0] for request in candidate.seen} == {b"request-id"}
    await is_at_rest(home)


async def test_what_is_answered_otherwise_is_counted(home: House) -> None:
    told = {b"[0]": [0.5], b"[1]": [1], b"[2]": [None], b"[3]": [3, 3], b"[4]": "x"}

    async def predict(request: wire.Request) -> wire.Answer:
        return answers(request, told.get(request.body, json.loads(request.body)))

    findings = await tried(home, await home.replica("new", predict=predict))
    assert (findings.compared, findings.exact, findings.close, findings.changed) == (8, 4, 0, 4)
    assert (findings.new_nulls, findings.rows, findings.largest_difference) == (1, (1, 2), 1.0)
    assert findings.after["predictions"] == {"array", "string"}
    assert findings.candidate.median == 0.003
    assert troubles(findings) == NONE


async def test_each_request_that_fails_now_counts_once_with_the_first_sentence(home: House) -> None:
    async def predict(request: wire.Request) -> wire.Answer:
        if request.body in (b"[2]", b"[5]"):
            return wire.Answer(request.id, wire.MODEL_ERROR, 0, b"", b"ValueError: no " + request.body)
        return await echo(request)

    findings = await tried(home, await home.replica("new", predict=predict))
    assert (findings.requests, findings.compared, findings.errors) == (8, 6, 2)
    assert findings.error == "ValueError: no [5]"


async def test_what_another_revision_has_answered_is_asked_and_not_compared(home: House) -> None:
    findings = await tried(home, await home.replica("new"), baseline=None)
    assert (findings.requests, findings.compared, findings.before) == (8, 0, {})
    assert (findings.baseline, findings.memory.baseline) == (Times(), 0)


async def test_what_others_answer_beside_the_baseline_is_not_asked_and_not_blamed(home: House) -> None:
    async def predict(request: wire.Request) -> wire.Answer:
        return wire.Answer(request.id, wire.BAD_REQUEST, 0, b"", b"column x is missing")

    candidate = await home.replica("new", predict=predict)
    assert await tried(home, candidate, baseline=None, strangers=(V1,)) == Findings("r1")
    assert candidate.seen == []


async def serving_since_now(home: House, baseline: FakeReplica) -> RouteTable:
    """V3 serves in the place of V1, and has answered nothing yet; the table orders a replay beside it."""
    home.agent.place(V3, baseline)
    home.control.publish(home.table((V3, 100), version="t3"))
    await until(lambda: home.control.reports[-1].route_version == "t3")
    assert (await home.score(b"[9]")).status_code == 200
    table = ordering(home, baseline=V3)
    third = home.table((V3, 100))
    return replace(table, endpoints=third.endpoints, revisions={**table.revisions, **third.revisions})


async def test_a_baseline_that_serves_since_a_moment_ago_is_asked_the_same(home: House) -> None:
    async def renamed(request: wire.Request) -> wire.Answer:
        return answers(request, {"score": 1.5})

    baseline, candidate = await home.replica("third"), await home.replica("new", predict=renamed)
    home.agent.place(V2, candidate)
    home.control.publish(await serving_since_now(home, baseline))
    findings = await found(home)
    assert (findings.requests, findings.compared, findings.changed) == (9, 9, 9)
    assert findings.baseline.count == 9
    assert findings.after["predictions"] == {"object"}
    assert [request.body for request in baseline.seen] == [b"[9]", *(b"[%d]" % number for number in range(7, -1, -1))]
    ledger = (await home.report()).endpoints["wine"]
    assert (ledger.accepted, ledger.answered) == (9, 9)  # no account counts it


async def test_what_the_baseline_does_not_answer_either_is_not_blamed(home: House) -> None:
    async def picky(request: wire.Request) -> wire.Answer:
        if request.body in (b"[2]", b"[5]"):
            return wire.Answer(request.id, wire.BAD_REQUEST, 0, b"", b"column x is missing")
        return await echo(request)

    baseline, candidate = [await home.replica(name, predict=picky) for name in ("third", "new")]
    home.agent.place(V2, candidate)
    home.control.publish(await serving_since_now(home, baseline))
    findings = await found(home)
    assert troubles(findings) == NONE
    assert (findings.requests, findings.exact) == (7, 7)


async def test_memory_is_measured_after_all_at_once_and_after_each_half_of_the_turns(home: House) -> None:
    candidate = await home.replica("new")
    candidate.resident, home.replicas[0].resident = itertools.count(100, 10).__next__, lambda: 90
    findings = await tried(home, candidate)
    assert findings.memory == Memory(90, (100, 110, 120))


async def test_what_no_replica_tells_of_its_memory_is_not_known(home: House) -> None:
    findings = await tried(home, await home.replica("new"))
    assert findings.memory == Memory(0, (0, 0, 0))


# --- what cannot be tried


async def test_where_nothing_was_recorded_that_is_said_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        findings = await tried(home, candidate := await home.replica("new"))
        assert findings == Findings("r1")
        assert candidate.seen == []


async def test_a_model_that_must_not_be_asked_twice_is_not_tried(home: House) -> None:
    candidate = await home.replica("new")
    assert await tried(home, candidate, retry=False) == Findings("r1")
    assert candidate.seen == []


async def test_a_revision_that_no_table_has_cannot_be_tried(home: House) -> None:
    home.control.publish(replace(home.table(version="t2"), replays=ordering(home).replays))
    assert (await found(home)).unavailable == "the gateway does not know it"


async def test_a_version_without_a_replica_cannot_be_tried(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_run, "START_SECONDS", 0.3)
    monkeypatch.setattr(replay_run, "HANG_SECONDS", 0.1)
    home.agent.place(V2, message="there is no memory left")
    home.control.publish(ordering(home))
    findings = await found(home)
    assert findings.unavailable == "'wine-2' could not begin this request: there is no memory left."
    assert (findings.crashes, findings.hangs) == (0, 0)


# --- who is blamed


@pytest.mark.parametrize("terms", [{}, {"credit": 2, "group": 4}], ids=["singly", "in groups"])
async def test_the_one_at_which_a_replica_dies_is_found_and_no_other_is_blamed(
    home: House, terms: dict[str, int]
) -> None:
    async def predict(request: wire.Request) -> wire.Answer | None:
        await asyncio.sleep(0.01)  # a group is under way together
        return None if request.body == GUILTY else await echo(request)

    candidate = await home.replica("new", predict=predict, **terms)
    findings = await tried(home, candidate)
    assert troubles(findings) == (0, 1, 0, "")
    assert findings.crash == "This request ended the model's process twice. See the endpoint's logs."
    alone = [request.body for request in candidate.seen if request.flags & wire.ALONE]
    assert alone.count(GUILTY) in (1, 2)  # one that was by itself already has died once
    if not terms:
        assert not {b"[1]", b"[0]"} & {request.body for request in candidate.seen}  # nothing is asked on
    await is_at_rest(home)


@pytest.mark.parametrize("terms", [{}, {"credit": 2, "group": 4}], ids=["singly", "in groups"])
async def test_a_process_that_somebody_else_ends_is_not_held_against_it(home: House, terms: dict[str, int]) -> None:
    ended: list[bytes] = []

    async def predict(request: wire.Request) -> wire.Answer | None:
        await asyncio.sleep(0.01)
        if request.body == GUILTY and not ended:
            ended.append(request.body)
            return None
        return await echo(request)

    findings = await tried(home, await home.replica("new", predict=predict, **terms))
    assert ended
    assert troubles(findings) == NONE
    assert findings.requests == findings.exact == 8


@pytest.mark.parametrize("terms", [{}, {"credit": 2, "group": 4}], ids=["singly", "in groups"])
async def test_the_one_that_hangs_is_found_and_no_other_is_blamed(
    home: House, monkeypatch: pytest.MonkeyPatch, terms: dict[str, int]
) -> None:
    monkeypatch.setattr(replay_run, "HANG_SECONDS", 0.3)
    monkeypatch.setattr(replay_run, "LONGEST_SECONDS", 10.0)  # less than a replica may take to start

    async def predict(request: wire.Request) -> wire.Answer | None:
        if request.body == GUILTY:
            await asyncio.sleep(request.millis_left / 1000)  # then its process is ended
            return None
        return await echo(request)

    candidate = await home.replica("new", predict=predict, **terms)
    findings = await tried(home, candidate)
    assert troubles(findings) == (0, 0, 1, "")
    assert findings.hang.startswith("no answer came in time; it took ")
    assert candidate.seen[-1].body == GUILTY
    await is_at_rest(home)


async def test_a_version_that_fails_only_after_a_while_is_found_out(home: House) -> None:
    asked = itertools.count()

    async def predict(request: wire.Request) -> wire.Answer:
        if next(asked) < 12:  # each is answered once
            return await echo(request)
        return wire.Answer(request.id, wire.MODEL_ERROR, 0, b"", b"MemoryError")

    findings = await tried(home, await home.replica("new", predict=predict))
    assert (findings.requests, findings.exact, findings.error) == (8, 8, "MemoryError")
    assert 1 <= findings.errors <= 8


# --- time


def taking(seconds: dict[str, float], who: str, batch: int = 1, sleeps: float = 0.0) -> Predict:
    """A replica that says that it takes so long for so many requests, and may take its time."""

    async def predict(request: wire.Request) -> wire.Answer:
        await asyncio.sleep(sleeps)
        answer = await echo(request)
        return answer._replace(meta=b"batch=%d\npredict=%d" % (batch, round(seconds[who] * 1e6)))

    return predict


async def test_a_version_that_takes_far_longer_is_timed_beside_the_one_that_serves(home: House) -> None:
    serving = home.replicas[0]
    before = len(serving.seen)
    findings = await tried(home, await home.replica("new", predict=taking({"new": 0.02}, "new")))
    assert len(serving.seen) > before  # asked once more
    assert is_slow(findings.baseline, findings.candidate)
    assert (findings.baseline.median, findings.candidate.median) == (0.0015, 0.02)
    await is_at_rest(home)
    assert (await home.report()).endpoints["wine"].accepted == 8  # no account counts it


async def test_a_machine_that_has_become_slow_is_not_the_versions_fault(home: House) -> None:
    home.replicas[0].predict = taking({"old": 0.02}, "old")  # when it was recorded, it took 1.5 ms
    findings = await tried(home, await home.replica("new", predict=taking({"new": 0.02}, "new")))
    assert not is_slow(findings.baseline, findings.candidate)
    assert findings.baseline.median == findings.candidate.median == 0.02


async def test_a_version_that_is_as_quick_has_the_other_left_alone(home: House) -> None:
    before = len(home.replicas[0].seen)
    await tried(home, await home.replica("new"))
    assert len(home.replicas[0].seen) == before


async def test_a_version_that_is_too_slow_to_be_timed_often_is_timed_on_until_that_tells(home: House) -> None:
    slow = taking({"new": 0.25}, "new", sleeps=0.25)  # the turns have time for two or three
    findings = await tried(home, await home.replica("new", predict=slow))
    assert findings.candidate.count >= 5
    assert is_slow(findings.baseline, findings.candidate)


async def test_a_version_that_is_only_slow_to_begin_with_is_not_slow(home: House) -> None:
    asked = itertools.count()

    async def predict(request: wire.Request) -> wire.Answer | None:
        seconds = 0.3 if next(asked) < 4 else 0.0015
        return await taking({"new": seconds}, "new", sleeps=seconds)(request)

    findings = await tried(home, await home.replica("new", predict=predict))
    assert not is_slow(findings.baseline, findings.candidate)
    assert findings.candidate.median == 0.0015


def in_batches(home: House, seconds: float) -> None:
    """What serves predicts eight requests at once, and takes so long for them."""
    home.replicas[0].predict = taking({"old": seconds}, "old", batch=8)


@pytest.fixture
async def batching(tmp_path: Path) -> AsyncIterator[House]:
    """A gateway that has answered `[0]` to `[7]`, by a replica that takes 2 ms for eight at once."""
    async with house(tmp_path) as home:
        home.agent.place(V1, await home.replica("old", credit=2, group=16))
        in_batches(home, 0.002)
        for number in range(8):
            assert (await home.score(b"[%d]" % number)).status_code == 200
        yield home


@pytest.mark.parametrize(("seconds", "slow"), [(0.06, True), (0.0061, True), (0.0059, False), (0.001, False)])
async def test_a_version_that_predicts_one_by_one_is_slow_where_one_takes_longer_than_many_did(
    batching: House, seconds: float, slow: bool
) -> None:
    findings = await tried(batching, await batching.replica("new", predict=taking({"new": seconds}, "new")))
    assert findings.baseline == replace(findings.baseline, median=0.002, batch=8)
    assert findings.candidate == replace(findings.candidate, median=seconds, batch=1)
    assert is_slow(findings.baseline, findings.candidate) is slow


async def test_what_serves_is_timed_with_as_many_requests_as_the_new_version(batching: House) -> None:
    old, new = batching.replicas[0], await batching.replica("new", group=16)
    asked = len(old.seen)
    in_batches(batching, 0.02)  # the machine has become slow
    new.predict = taking({"new": 0.02}, "new", batch=8)
    findings = await tried(batching, new)
    assert old.groups[8:] == [8] * (len(old.seen[asked:]) // 8)
    assert {request.body for request in old.seen[asked:]} == {b"[%d]" % number for number in range(8)}
    assert not is_slow(findings.baseline, findings.candidate)
    assert findings.baseline.median == 0.02


async def test_a_prediction_of_fewer_requests_is_no_measure_for_one_of_many(batching: House) -> None:
    batching.replicas[0].predict = taking({"old": 0.002}, "old", batch=7)  # it does not come to eight any more
    new = await batching.replica("new", group=16, predict=taking({"new": 0.02}, "new", batch=8))
    findings = await tried(batching, new)
    assert findings.baseline == Times()
    assert not is_slow(findings.baseline, findings.candidate)


class Sleeper:
    """A waker to whom nobody comes."""

    def wake(self, revision: RevisionId) -> None:
        """Nothing."""


RECORDING = Recording(V1, b"", b"[1]", b"", b"{}", 0.001)


def waiting_in(queue: RevisionQueue) -> ReplayedRequest:
    """A recorded request that waits there."""
    asked = ReplayedRequest(RECORDING, 60.0, lambda asked: None)
    asked.deadline = asked.latest = time.monotonic() + 60
    queue.submit(asked, time.monotonic())
    return asked


@pytest.mark.parametrize("most", [1, 2])
async def test_where_the_version_that_serves_is_too_busy_its_queue_stays_as_it_is(home: House, most: int) -> None:
    queue = RevisionQueue(home.table().revisions[V1], Sleeper(), GatewaySettings(max_queued_requests=most))
    waiting_in(queue)
    assert await serving_version.costs(queue, [RECORDING, RECORDING]) == []
    assert queue.load(time.monotonic()).queued == 1
    queue.close()


async def test_an_answer_that_comes_just_when_the_replay_is_dropped_harms_nobody(home: House) -> None:
    queue = RevisionQueue(home.table().revisions[V1], Sleeper(), GatewaySettings())
    timing = asyncio.create_task(serving_version.costs(queue, [RECORDING]))
    await asyncio.sleep(0)
    asked, behind = queue._waiting.pop(alone=False), waiting_in(queue)
    queue._waiting.pop(alone=False)
    timing.cancel()
    answer = wire.Answer(1, wire.OK, 0, b"", b"{}")
    queue.answered(None, [(asked, answer), (behind, answer)])  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        await timing
    assert behind.answer is answer
    assert queue.load(time.monotonic()).queued == 0
    queue.close()


async def test_a_recorded_request_moves_on_to_no_other_queue(home: House, tmp_path: Path) -> None:
    queue = RevisionQueue(home.table().revisions[V1], Sleeper(), GatewaySettings())
    asked = waiting_in(queue)
    Router(tmp_path / "routes.json", GatewaySettings())._move_on(queue)  # its sweeper must go on
    assert isinstance(asked.error, Unavailable)
    queue.close()


async def test_while_no_replica_is_left_one_is_asked_so_that_it_goes_on(home: House) -> None:
    queue = RevisionQueue(home.table().revisions[V1], None, GatewaySettings())  # type: ignore[arg-type]
    one = replay_run.ReplayRun(ordering(home).replays[0], None, ())  # type: ignore[arg-type]
    one._book.requests = 5
    assert one._most(queue, time.monotonic() + 9) == 1


async def test_a_replay_that_comes_to_no_end_is_given_up(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_run, "LONGEST_SECONDS", 0.5)
    monkeypatch.setattr(replay_run, "HANG_SECONDS", 0.2)

    async def predict(request: wire.Request) -> None:
        await asyncio.sleep(request.millis_left / 1000)  # then its process is ended

    candidate = await home.replica("new", predict=predict)
    findings = await tried(home, candidate)
    assert troubles(findings) == (0, 0, 1, "")
    assert findings.hang == "the replay did not come to its end"
    await is_at_rest(home)
    assert candidate.cancelled


async def test_a_machine_too_busy_to_time_both_versions_is_not_the_versions_fault(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_run, "LONGEST_SECONDS", 1.5)
    home.replicas[0].predict = taking({"old": 0.02}, "old", sleeps=0.4)  # it waits behind real requests
    findings = await tried(home, await home.replica("new", predict=taking({"new": 0.02}, "new")))
    assert troubles(findings) == NONE
    assert findings.baseline == Times()
    assert not is_slow(findings.baseline, findings.candidate)
    await is_at_rest(home)


async def test_on_a_busy_machine_fewer_turns_must_do(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_run, "_ENOUGH_SECONDS", 0.1)
    asked = len(home.replicas[0].seen)
    home.replicas[0].predict = taking({"old": 0.02}, "old", sleeps=0.1)
    findings = await tried(home, await home.replica("new", predict=taking({"new": 0.02}, "new")))
    assert len(home.replicas[0].seen) == asked + 5
    assert (findings.baseline, findings.candidate) == (Times(0.02, 5), Times(0.02, 5))


async def test_where_predictions_take_long_it_lasts_longer_until_enough_were_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_run, "ENOUGH", 30)
    monkeypatch.setattr(replay_run, "_AT_ONCE_LONGER", 30.0)
    async with house(tmp_path) as home:
        home.agent.place(V1, await home.replica("old"))
        for number in range(40):
            assert (await home.score(b"[%d]" % number)).status_code == 200
        candidate = await home.replica("new", predict=taking({"new": 0.01}, "new", sleeps=0.01))
        await tried(home, candidate, seconds=0.1)
        assert len({request.body for request in candidate.seen}) >= 30


async def of_a_slow_model(tmp_path: Path, predict: Callable[[], Predict]) -> Findings:
    """What is found where each request took 0.2 s when it was real."""
    async with house(tmp_path) as home:
        home.agent.place(V1, await home.replica("old", predict=taking({"old": 0.2}, "old", sleeps=0.2)))
        for number in range(2):
            assert (await home.score(b"[%d]" % number)).status_code == 200
        return await tried(home, await home.replica("new", predict=predict()))


@pytest.mark.parametrize("deaths", [0, 1])
async def test_a_model_too_slow_for_the_replay_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    monkeypatch.setattr(replay_run, "LONGEST_SECONDS", 1.0)
    monkeypatch.setattr(replay_run, "HANG_SECONDS", 0.1)

    def dying() -> Predict:
        left = [None] * deaths  # somebody else ends its process

        async def predict(request: wire.Request) -> wire.Answer | None:
            return left.pop() if left else await taking({"new": 0.7}, "new", sleeps=0.7)(request)

        return predict

    findings = await of_a_slow_model(tmp_path, dying)
    assert troubles(findings) == NONE
    assert findings.requests == findings.exact == 1


async def test_a_slow_model_that_hangs_is_told_from_one_that_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        replay_run, "LONGEST_SECONDS", 3.0
    )  # 0.2 s is less than a tenth of that, and more than a twentieth
    monkeypatch.setattr(replay_run, "HANG_SECONDS", 0.1)

    def hanging() -> Predict:
        async def predict(request: wire.Request) -> None:
            await asyncio.sleep(request.millis_left / 1000)

        return predict

    findings = await of_a_slow_model(tmp_path, hanging)
    assert troubles(findings) == (0, 0, 1, "")


async def test_replicas_that_die_again_and_again_are_held_against_it(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_run, "LONGEST_SECONDS", 0.5)

    async def predict(request: wire.Request) -> wire.Answer | None:
        await asyncio.sleep(0.05)
        return await echo(request) if request.flags & wire.ALONE else None

    findings = await tried(home, await home.replica("new", predict=predict))
    assert troubles(findings) == (0, 1, 0, "")
    assert findings.crash == "the replay did not come to its end, as replicas died"


# --- orders


async def test_what_is_not_ordered_any_more_is_dropped_and_leaves_nothing(home: House) -> None:
    let_go = asyncio.Event()

    async def predict(request: wire.Request) -> wire.Answer:
        await let_go.wait()
        return await echo(request)

    candidate = await home.replica("new", predict=predict)
    home.agent.place(V2, candidate)
    home.control.publish(ordering(home))
    await until(lambda: candidate.seen)
    home.control.publish(home.table(version="t3"))
    await until(lambda: candidate.cancelled)
    let_go.set()
    await is_at_rest(home)
    report = await home.report()
    assert (report.route_version, report.findings) == ("t3", {})


async def test_an_order_that_is_repeated_is_not_carried_out_again(home: House) -> None:
    candidate = await home.replica("new")
    first = await tried(home, candidate)
    asked = len(candidate.seen)
    home.control.publish(replace(ordering(home), version="another"))
    await until(lambda: home.control.reports[-1].route_version == "another")
    report = await home.report()
    assert report.findings == {"r1": first}
    assert len(candidate.seen) == asked


async def test_an_order_that_was_withdrawn_in_between_is(home: House) -> None:
    candidate = await home.replica("new")
    await tried(home, candidate)
    home.control.publish(home.table(version="t3"))  # as by a control that has begun anew
    await until(lambda: not home.control.reports[-1].findings)
    asked = len(candidate.seen)
    assert (await tried(home, candidate)).requests == 8
    assert len(candidate.seen) > asked


async def test_two_replays_are_carried_out_at_once(home: House) -> None:
    candidate = await home.replica("new")
    home.agent.place(V2, candidate)
    table = ordering(home)
    second = replace(table.replays[0], id="r2")
    home.control.publish(replace(table, replays=(*table.replays, second)))
    assert (await found(home)).requests == (await found(home, "r2")).requests == 8


# --- who notices


async def test_real_requests_go_on_and_no_account_counts_a_replay(home: House) -> None:
    async def predict(request: wire.Request) -> wire.Answer:
        await asyncio.sleep(0.005)
        return await echo(request)

    candidate = await home.replica("new", predict=predict)
    home.agent.place(V2, candidate)
    home.control.publish(ordering(home))
    asked, began = 8, time.monotonic()
    while "r1" not in home.control.reports[-1].findings:
        answer = await home.score(b"[%d]" % asked)
        assert (answer.status_code, answer.headers["served-model-name"]) == (200, "wine-1")
        assert answer.json() == {"predictions": [asked]}
        asked += 1
        assert time.monotonic() < began + 30
    assert asked > 10
    assert len(candidate.seen) >= 8
    assert [request.body for request in home.replicas[0].seen] == [b"[%d]" % number for number in range(asked)]
    report = await home.report()
    ledger = report.endpoints["wine"]
    assert (ledger.accepted, ledger.answered, ledger.in_flight) == (asked, asked, 0)
    assert ledger.statuses == {200: asked}
    assert report.endpoints.keys() == {"wine"}
    assert report.refused == {}


async def test_the_baseline_is_not_asked_again(home: House) -> None:
    before = len(home.replicas[0].seen)
    await tried(home, await home.replica("new"))
    assert len(home.replicas[0].seen) == before == 8


async def test_a_request_that_got_an_error_is_not_replayed(home: House) -> None:
    async def predict(request: wire.Request) -> wire.Answer:
        return wire.Answer(request.id, wire.BAD_REQUEST, 0, b"", b"No.")

    home.replicas[0].predict = predict
    assert (await home.score(b"[8]")).status_code == 400
    candidate = await home.replica("new")
    assert (await tried(home, candidate)).requests == 8
    assert b"[8]" not in {request.body for request in candidate.seen}
