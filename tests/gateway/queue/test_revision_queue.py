"""Who goes where, who waits, and who is turned away."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests.gateway.house import V1, House, house, until
from tidegate.gateway.links import control_link
from tidegate.gateway.queue import lane, overrun, revision_queue
from tidegate.gateway.queue.backlog import Backlog
from tidegate.gateway.queue.pending import Pending
from tidegate_worker.ipc import wire


def ok(request: wire.Request) -> wire.Answer:
    return wire.Answer(request.id, wire.OK, 0, b"", request.body)


class Model:
    """Predicts one request at a time, as a worker does. `[666]` hangs until its deadline, `[13]` ends the process."""

    def __init__(self) -> None:
        self.alone_with_others = 0
        self.hung = 0
        self._lock = asyncio.Lock()
        self._here = 0

    async def predict(self, request: wire.Request) -> wire.Answer | None:
        alone = bool(request.flags & wire.ALONE)
        self._here += 1
        self.alone_with_others += alone and self._here > 1
        try:
            async with self._lock:
                if request.body == b"[13]":
                    return None
                if request.body == b"[666]":
                    self.hung += 1
                    await asyncio.sleep(request.millis_left / 1000)
                    return None
                return ok(request)
        finally:
            self._here -= 1


def statuses(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


async def all_at_once(h: House, bodies: list[bytes], then: Callable[[], Awaitable[None]]) -> list[httpx.Response]:
    """Requests that wait together until a replica is there."""
    waiting = [asyncio.create_task(h.score(body)) for body in bodies]
    await until(lambda: ("wake", V1) in h.agent.asked)
    await asyncio.sleep(0.3)
    await then()
    return await asyncio.gather(*waiting)


async def with_timeout(h: House, seconds: float) -> None:
    h.control.publish(h.table(version="t2", timeout=seconds))
    await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t2")


async def test_one_that_hangs_gets_its_504_and_its_neighbours_their_answers_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overrun, "OVERRUN_SECONDS", 0.3)
    models = [Model() for _ in range(3)]
    async with house(tmp_path) as h:
        await with_timeout(h, 4.0)
        replicas = [
            await h.replica(f"aaaa000{n}", predict=model.predict, credit=2, group=16) for n, model in enumerate(models)
        ]
        h.agent.place(V1, *replicas)
        assert statuses(await asyncio.gather(*[h.score() for _ in range(20)])) == [200] * 20  # what is usual
        bodies = [b"[%d]" % n for n in range(100, 160)]
        bodies[5] = b"[666]"
        answers = await asyncio.gather(*[h.score(body) for body in bodies])
        assert answers[5].status_code == 504
        del answers[5], bodies[5]
        assert [answer.content for answer in answers] == bodies
        assert sum(model.alone_with_others for model in models) == 0
        # In its batch, and alone where others were in it still: and no replica was ended before its deadline.
        assert sum(model.hung for model in models) in (1, 2)
        assert (await h.report()).revisions[V1].reruns == 0


async def test_what_has_not_begun_behind_one_that_hangs_is_answered_elsewhere_and_never_begins(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as h:
        model = Model()
        first = await h.replica("aaaa0001", predict=model.predict, credit=2)
        h.agent.place(V1, first)
        assert (await h.score()).status_code == 200
        hangs = asyncio.create_task(h.score(b"[666]"))
        await until(lambda: model.hung == 1)
        behind = asyncio.create_task(h.score(b"[7]"))
        await until(lambda: first.cancelled != [])
        [taken] = first.cancelled
        assert [request.body for request in first.seen if request.id == taken] == [b"[7]"]
        h.agent.place(V1, first, second := await h.replica("aaaa0002"))
        assert (await behind).json() == {"predictions": [7]}
        assert [request.body for request in second.seen] == [b"[7]"]
        assert not second.seen[0].flags & wire.ALONE
        assert not hangs.done()
        hangs.cancel()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches overrun after 0.2 s."""
    monkeypatch.setattr(overrun, "OVERRUN_SECONDS", 0.2)
    monkeypatch.setattr(overrun, "UNKNOWN_SECONDS", 0.005)


@pytest.mark.usefixtures("impatient")
async def test_the_first_answer_wins_and_the_other_is_nobodys(tmp_path: Path) -> None:
    slow, go_on = asyncio.Event(), asyncio.Event()

    async def first_model(request: wire.Request) -> wire.Answer:
        await slow.wait()
        return wire.Answer(request.id, wire.OK, 0, b"", b"first")

    async def second_model(request: wire.Request) -> wire.Answer:
        if len(second.seen) > 1:
            await go_on.wait()
        return wire.Answer(request.id, wire.OK, 0, b"", b"second")

    async with house(tmp_path) as h:
        first = await h.replica("aaaa0001", predict=first_model, group=16)
        second = await h.replica("aaaa0002", predict=second_model, group=16)

        async def place() -> None:
            h.agent.place(V1, first)
            await until(lambda: len(first.cancelled) == 3)
            h.agent.place(V1, first, second)
            await until(lambda: len(second.seen) == 2)  # one is answered, another is there, and the third waits
            slow.set()

        answers = await all_at_once(h, [b"[1]", b"[2]", b"[3]"], place)
        assert sorted(answer.content for answer in answers) == [b"first", b"first", b"second"]
        assert all(request.flags & wire.ALONE for request in second.seen)
        await until(lambda: second.cancelled == [second.seen[1].id])
        go_on.set()
        await until(lambda: not h.control.reports[-1].revisions[V1].in_flight)
        report = (await h.report()).endpoints["wine"]
        assert (report.accepted, report.answered) == (3, 3)
        assert (await h.score()).status_code == 200


@pytest.mark.usefixtures("impatient")
async def test_groups_that_a_replica_has_put_into_one_batch_are_all_asked_anew(tmp_path: Path) -> None:
    hung = asyncio.Event()

    async def model(request: wire.Request) -> wire.Answer:
        await hung.wait()
        return ok(request)

    async with house(tmp_path) as h:
        first = await h.replica("aaaa0001", predict=model, credit=2, group=16)
        second = await h.replica("aaaa0002", group=16)
        h.agent.place(V1, first)
        neighbour = asyncio.create_task(h.score(b"[1]"))
        await until(lambda: len(first.seen) == 1)
        guilty = asyncio.create_task(h.score(b"[2]"))
        await until(lambda: len(first.cancelled) == 2)
        h.agent.place(V1, first, second)
        assert statuses(list(await asyncio.gather(neighbour, guilty))) == [200] * 2
        hung.set()


@pytest.mark.usefixtures("impatient")
async def test_one_that_is_held_up_with_what_others_have_answered_gets_nothing_until_it_comes_back(
    tmp_path: Path,
) -> None:
    slow = asyncio.Event()

    async def model(request: wire.Request) -> wire.Answer:
        await slow.wait()
        return ok(request)

    async with house(tmp_path) as h:
        first = await h.replica("aaaa0001", predict=model, credit=2, group=16)
        second = await h.replica("aaaa0002", group=16)

        async def place() -> None:
            h.agent.place(V1, first)
            await until(lambda: len(first.cancelled) == 2)
            h.agent.place(V1, first, second)

        assert statuses(await all_at_once(h, [b"[1]", b"[2]"], place)) == [200] * 2
        assert (await h.score(b"[3]")).status_code == 200
        assert (len(first.seen), len(second.seen)) == (2, 3)
        assert (await h.report()).revisions[V1].stuck == 1
        slow.set()
        await until(lambda: h.control.reports[-1].revisions[V1].stuck == 0)


@pytest.mark.usefixtures("impatient")
async def test_what_may_not_run_twice_waits(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def model(request: wire.Request) -> wire.Answer:
        await go_on.wait()
        return ok(request)

    async with house(tmp_path) as h:
        h.control.publish(h.table(version="t2", retry=False))
        await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t2")
        first = await h.replica("aaaa0001", predict=model, credit=2, group=2)
        second = await h.replica("aaaa0002")

        async def place() -> None:
            h.agent.place(V1, first)
            await until(lambda: len(first.seen) == 4)
            h.agent.place(V1, first, second)
            await until(lambda: h.control.reports[-1].revisions[V1].stuck == 1)
            assert (await h.score(b"[5]")).status_code == 200  # whoever was not sent there is answered by another
            await asyncio.sleep(0.4)
            assert (first.cancelled, [request.body for request in second.seen]) == ([], [b"[5]"])
            go_on.set()

        assert statuses(await all_at_once(h, [b"[1]", b"[2]", b"[3]", b"[4]"], place)) == [200] * 4


async def test_one_by_itself_is_not_asked_twice_however_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overrun, "OVERRUN_SECONDS", 0.2)

    async def model(request: wire.Request) -> wire.Answer:
        if request.body != b"[0]":
            await asyncio.sleep(0.8)
        return ok(request)

    async with house(tmp_path) as h:
        replicas = [await h.replica(f"aaaa000{n}", predict=model, credit=2, group=16) for n in range(2)]
        h.agent.place(V1, *replicas)
        assert (await h.score(b"[0]")).status_code == 200
        assert (await h.score(b"[1]")).status_code == 200
        assert sum(len(replica.seen) for replica in replicas) == 2


async def test_at_their_deadline_those_that_found_no_other_replica_get_their_504(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overrun, "OVERRUN_SECONDS", 0.2)

    async def model(request: wire.Request) -> wire.Answer | None:
        if request.body == b"[0]":
            return ok(request)
        await asyncio.sleep(request.millis_left / 1000)
        return None

    async with house(tmp_path) as h:
        await with_timeout(h, 1.0)
        h.agent.place(V1, await h.replica("aaaa0001", predict=model, group=16))
        assert (await h.score(b"[0]")).status_code == 200
        assert statuses(await asyncio.gather(*[h.score() for _ in range(3)])) == [504] * 3
        await until(lambda: h.control.reports[-1].revisions[V1].queued == 0)
        assert (await h.score(b"[0]")).status_code == 200


async def test_a_replica_that_never_answers_is_connected_to_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "OVERDUE_SECONDS", 0.2)
    swallowed = asyncio.Event()

    async def predict(request: wire.Request) -> wire.Answer | None:
        if request.body == b"[666]":
            swallowed.set()
            await asyncio.sleep(600)
        return ok(request)

    async with house(tmp_path) as h:
        await with_timeout(h, 0.5)
        h.agent.place(V1, await h.replica("aaaa0001", predict=predict, credit=1, group=1))
        assert (await h.score(b"[666]")).status_code == 504
        assert swallowed.is_set()
        h.control.publish(h.table(version="t3", timeout=10.0))
        await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t3")
        assert (await h.score(b"[1]")).status_code == 200


async def test_one_that_crashes_gets_500_and_its_neighbours_their_answers(tmp_path: Path) -> None:
    model = Model()
    async with house(tmp_path) as h:

        async def place() -> None:
            h.agent.place(V1, await h.replica("aaaa0001", predict=model.predict, credit=2, group=16))

        bodies = [b"[%d]" % n for n in range(20, 80)]
        bodies[5] = bodies[40] = b"[13]"
        answers = await all_at_once(h, bodies, place)
        for n, answer in enumerate(answers):
            assert answer.status_code == (500 if n in (5, 40) else 200), n
            assert answer.status_code == 500 or answer.content == bodies[n]
        assert model.alone_with_others == 0


async def test_a_replica_may_change_what_it_takes(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        await asyncio.gather(*[h.score() for _ in range(20)])
        assert max(replica.groups) == 1
        replica.send(wire.frame(wire.CREDITS, json.dumps({"credits": 2, "group": 8}).encode()))
        free = asyncio.Event()

        async def held(request: wire.Request) -> wire.Answer:
            await free.wait()
            return ok(request)

        replica.predict = held
        waiting = [asyncio.create_task(h.score()) for _ in range(20)]
        await until(lambda: h.control.reports[-1].revisions[V1].queued >= 18)
        free.set()
        await asyncio.gather(*waiting)
        assert 1 < max(replica.groups) <= 8
        replica.send(wire.frame(wire.CREDITS, b"[]"))  # nonsense ends the connection, not the gateway
        assert (await h.score()).status_code == 200


def test_groups_are_even_and_idle_replicas_come_first() -> None:
    """The decision by itself, without sockets."""

    class Lane:
        def __init__(self, credit: int, busy: int, *, stuck: bool = False) -> None:
            self.stuck = lambda _now: stuck
            self.group, self.credit, self.sent = 64, credit, []  # type: ignore[var-annotated]
            self.in_flight = dict.fromkeys(range(busy))

        @property
        def free(self) -> bool:
            return self.credit > 0

        @property
        def busy(self) -> bool:
            return bool(self.in_flight)

        def send(self, group: list[object], now: float) -> None:
            self.credit -= 1
            self.sent.append(len(group))
            self.in_flight |= dict.fromkeys(range(100, 100 + len(group)))

    async def sent(waiting: int, *lanes: Lane) -> list[list[int]]:
        held = revision_queue.RevisionQueue(None, None, None)  # type: ignore[arg-type]
        held._lanes = dict(enumerate(lanes))  # type: ignore[arg-type]
        for _ in range(waiting):
            held._put(Pending())
        held._pump()
        return [lane.sent for lane in lanes]

    def run(waiting: int, *lanes: Lane) -> list[list[int]]:
        return asyncio.run(sent(waiting, *lanes))

    assert run(10, Lane(2, 0), Lane(2, 0)) == [[5], [5]]
    assert run(3, Lane(2, 0), Lane(2, 0)) == [[2], [1]]
    assert run(10, Lane(1, 7), Lane(2, 0)) == [[], [10]]
    assert run(10, Lane(1, 1, stuck=True), Lane(1, 1)) == [[], [10]]
    assert run(200, Lane(2, 0), Lane(2, 0)) == [[64, 36], [64, 36]]
    assert run(1000, Lane(1, 7), Lane(2, 0)) == [[64], [64, 64]]


async def test_what_could_not_begin_in_time_is_refused_at_once(tmp_path: Path) -> None:
    async def slow(request: wire.Request) -> wire.Answer:
        await asyncio.sleep(0.02)
        return ok(request)

    async with house(tmp_path) as h:
        await with_timeout(h, 1.0)
        h.agent.place(V1, await h.replica("aaaa0001", predict=slow))
        assert statuses(await asyncio.gather(*[h.score() for _ in range(20)])) == [200] * 20
        answers = await asyncio.gather(*[h.score() for _ in range(150)])
        refused = [answer for answer in answers if answer.status_code == 503]
        assert statuses(answers).count(200) > 15
        assert len(refused) > 50
        assert {answer.headers["retry-after"] for answer in refused} <= {"1", "2", "3"}
        at_once = ["requests wait" in answer.json()["message"] for answer in refused]
        assert sum(at_once) > len(refused) / 2  # the others waited to their deadline
        assert refused[-1].json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        report = await h.report()
        assert report.endpoints["wine"].rejected == len(refused)


@pytest.mark.parametrize("limits", [{"max_queued_requests": 5}, {"max_queued_bytes": 500}])
async def test_a_full_queue_is_429_with_retry_after(tmp_path: Path, limits: dict[str, float]) -> None:
    free = asyncio.Event()

    async def held(request: wire.Request) -> wire.Answer:
        await free.wait()
        return ok(request)

    async with house(tmp_path, **limits) as h:
        replica = await h.replica("aaaa0001", predict=held)
        h.agent.place(V1, replica)
        body = b"[" + b"1" * 98 + b"]"
        waiting = [asyncio.create_task(h.score(body)) for _ in range(10)]
        await until(lambda: sum(task.done() for task in waiting) == 4)
        done, held_back = await asyncio.wait(waiting, timeout=0.2)
        assert len(done) == 4
        for task in done:
            answer = task.result()
            assert answer.status_code == 429
            assert answer.json()["error_code"] == "RESOURCE_EXHAUSTED"
            assert int(answer.headers["retry-after"]) >= 1
        free.set()
        assert statuses(await asyncio.gather(*held_back)) == [200] * 6


async def test_requests_that_nobody_waits_for_do_not_pile_up(tmp_path: Path) -> None:
    async with house(tmp_path, max_queued_requests=50) as h:
        for _ in range(5):
            async with httpx.AsyncClient(base_url=h.url, headers=h.client.headers, limits=httpx.Limits()) as client:
                path = "/serving-endpoints/wine/invocations"
                waiting = [asyncio.create_task(client.post(path, content=b"[1]")) for _ in range(45)]
                await asyncio.sleep(0.3)
                for task in waiting:
                    task.cancel()
                assert await asyncio.gather(*waiting, return_exceptions=True)
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await h.score(b"[4]")).json() == {"predictions": [4]}
        assert len(h.replicas[0].seen) < 20  # a few may have come in after their client had gone
        wine = (await h.report()).endpoints["wine"]
        assert wine.accepted == wine.answered + wine.client_gone


# --- what control is told


async def test_the_time_that_requests_spend_here_is_counted(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        assert (await h.report()).revisions[V1].requests == 0
        waiting = [asyncio.create_task(h.score()) for _ in range(3)]
        await until(lambda: ("wake", V1) in h.agent.asked)
        await asyncio.sleep(0.3)
        h.agent.place(V1, await h.replica("aaaa0001"))
        await asyncio.gather(*waiting)
        load = (await h.report()).revisions[V1]
        assert load.requests == 3
        assert load.request_seconds > 0.5  # three of them, 0.3 s each, sampled
        assert (await h.report()).revisions[V1].request_seconds == load.request_seconds


async def test_the_time_before_a_request_came_is_not_counted_as_its_own(tmp_path: Path) -> None:
    rested: list[float] = []
    with pytest.MonkeyPatch.context() as patch:

        def hear(held: revision_queue.RevisionQueue, now: float) -> None:
            held._counted_at = now - 1000  # as after a long rest
            rested.append(now)
            real(held, now)

        real = revision_queue.RevisionQueue.rested
        patch.setattr(revision_queue.RevisionQueue, "rested", hear)
        async with house(tmp_path) as h:
            h.agent.place(V1, await h.replica("aaaa0001"))
            assert (await h.score()).status_code == 200
            assert (await h.report()).revisions[V1].request_seconds < 500
    assert len(rested) == 1


async def test_control_hears_at_once_of_requests_that_begin_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as h:
        await h.report()
        monkeypatch.setattr(control_link, "REPORT_SECONDS", 1000.0)  # after one more, only what was asked for
        seen = len(h.control.reports)
        await until(lambda: len(h.control.reports) > seen)
        seen = len(h.control.reports)
        waiting = asyncio.create_task(h.score())
        await until(lambda: len(h.control.reports) > seen)
        assert h.control.reports[seen].revisions[V1].oldest_wait_seconds >= 0.1
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await waiting).status_code == 200


async def test_a_replica_that_is_held_up_is_reported_at_once_and_gets_nothing_more(tmp_path: Path) -> None:
    async def predict(request: wire.Request) -> wire.Answer:
        if request.body == b"[666]":
            await asyncio.sleep(2.0)
        return ok(request)

    async with house(tmp_path) as h:
        h.agent.place(V1, first := await h.replica("aaaa0001", predict=predict, credit=2))
        assert (await h.score()).status_code == 200
        held_up = asyncio.create_task(h.score(b"[666]"))
        await until(lambda: V1 in (last := h.control.reports[-1].revisions) and last[V1].stuck)
        waiting = asyncio.create_task(h.score(b"[2]"))
        await until(lambda: h.control.reports[-1].revisions[V1].queued == 1)
        assert h.control.reports[-1].revisions[V1].stuck == 1
        assert h.control.reports[-1].revisions[V1].oldest_wait_seconds < 0.1
        h.agent.place(V1, first, await h.replica("aaaa0002"))
        assert (await waiting).status_code == 200
        assert not held_up.done()
        assert (await held_up).status_code == 200


def test_an_alarm_is_due_when_a_request_begins_to_wait_and_ever_more_rarely() -> None:
    waiting = Backlog()
    assert not waiting.alarming(5.0)
    request = Pending()
    waiting.put(request)
    looks = [n / 20 for n in range(1, 201)]
    assert [now for now in looks if waiting.alarming(now)] == [0.1, 0.25, 0.65, 1.65, 4.15]
    waiting.pop(alone=False)
    assert not waiting.alarming(11.0)
    request.queued_at = 12.0
    waiting.put(request)
    assert waiting.alarming(12.15)
