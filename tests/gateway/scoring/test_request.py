"""A request's walk through the gateway: from credentials to answer."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.replica import echo
from tests.gateway.house import TOKEN, V1, V2, house, until
from tidegate.core.access.access_table import access_table
from tidegate.core.planes.route_table import EndpointRoute, RouteTable
from tidegate_worker.ipc import wire


def assert_error(answer: httpx.Response, status: int, code: str, *words: str) -> None:
    """The house error shape, and nothing but it."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error_code", "message"}
    assert body["error_code"] == code
    for word in words:
        assert word in body["message"], body["message"]


async def test_an_answer_carries_the_model_the_id_and_the_timing(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        answer = await h.score(b"[1,2]", headers={"x-request-id": "mine-7"})
        assert answer.status_code == 200
        assert answer.json() == {"predictions": [1, 2]}
        assert answer.headers["served-model-name"] == "wine-1"
        assert answer.headers["x-request-id"] == "mine-7"
        assert answer.headers["content-type"] == "application/json"
        assert "predict;dur=1.500" in answer.headers["server-timing"]
        assert "total;dur=" in answer.headers["server-timing"]


async def test_metadata_travels_with_the_request(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        await h.score(headers={"content-type": "text/csv", "traceparent": "00-ab-cd-01", "x-request-id": "r"})
        meta = wire.unpack_meta(replica.seen[0].meta)
        assert meta == {"request-id": "r", "content-type": "text/csv", "traceparent": "00-ab-cd-01"}
        assert 0 < replica.seen[0].millis_left <= 59_000


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Digest x", 401),
        ("Basic not-base64!", 401),
        ("Basic " + base64.b64encode(f"token:{TOKEN}".encode()).decode(), 200),
        ("Basic " + base64.b64encode(f"admin:{TOKEN}".encode()).decode(), 401),
        (f"bearer {TOKEN}", 200),
    ],
)
async def test_credentials(tmp_path: Path, header: str | None, status: int) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        async with httpx.AsyncClient(base_url=h.url, headers={"authorization": header} if header else {}) as client:
            for path in ("/serving-endpoints/wine/invocations", "/anything"):
                answer = await client.post(path, content=b"[1]")
                assert answer.status_code == status
                if status == 401:
                    assert_error(answer, 401, "UNAUTHENTICATED")
                    assert answer.headers["www-authenticate"].startswith("Basic")
            for path in ("/healthz", "/readyz", "/.well-known/databricks-config"):
                assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer wrong"])
async def test_mlflows_clients_are_told_which_variable_has_their_token(tmp_path: Path, header: str | None) -> None:
    async with house(tmp_path) as h:
        headers = {} if header is None else {"authorization": header}
        async with httpx.AsyncClient(base_url=h.client.base_url) as client:
            answers = [await client.get(path, headers=headers) for path in ("/mlflow/", "/api/2.0/serving-endpoints")]
        assert [answer.status_code for answer in answers] == [401, 401]
        assert ["MLFLOW_TRACKING_TOKEN" in answer.json()["message"] for answer in answers] == [True, False]


async def test_a_revoked_token_is_refused_from_the_next_table_on(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await h.score()).status_code == 200
        table = access_table({"0" * 64: "admin"}, {})
        h.control.publish_access(table)
        await until(lambda: h.control.reports[-1].access_version == table.version)
        assert (await h.score()).status_code == 401


async def test_unknown_names_and_methods(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert_error(await h.client.post("/serving-endpoints/beer/invocations"), 404, "RESOURCE_DOES_NOT_EXIST", "beer")
        assert_error(await h.client.get("/serving-endpoints/wine/invocations"), 405, "BAD_REQUEST", "POST")
        wrong = "/serving-endpoints/wine/served-models/nope/invocations"
        assert_error(await h.client.post(wrong, content=b"[1]"), 404, "RESOURCE_DOES_NOT_EXIST", "wine-1")
        assert_error(await h.client.post("/serving-endpoints/a/b/c/d/invocations"), 404, "RESOURCE_DOES_NOT_EXIST")
        named = await h.client.post("/serving-endpoints/wine/served-models/wine-1/invocations", content=b"[1]")
        assert named.status_code == 200


async def test_headers_that_are_too_long_for_the_wire_do_not_go_on_it(tmp_path: Path) -> None:
    async with house(tmp_path, max_header_bytes=300_000) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        answer = await h.score(headers={"content-type": f"text/csv; a={'b' * 100_000}"})
        assert_error(answer, 415, "INVALID_PARAMETER_VALUE", "Content-Type header is too long")
        assert (await h.score(headers={"traceparent": "0" * 100_000})).status_code == 200
        assert b"traceparent" not in replica.seen[-1].meta


async def test_bodies_over_the_limit_are_refused_while_they_are_read(tmp_path: Path) -> None:
    async with house(tmp_path, max_body_bytes=100_000) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        exact = b"[" + b"1" * 99_998 + b"]"
        assert (await h.score(exact)).status_code == 200
        assert_error(await h.score(exact + b" "), 413, "INVALID_PARAMETER_VALUE", "100000")

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(1000):
                yield b"1" * 10_000

        assert_error(await h.score(chunks()), 413, "INVALID_PARAMETER_VALUE")
        assert h.replicas[0].seen[-1].body == exact


async def test_the_models_errors_keep_their_kind(tmp_path: Path) -> None:
    cases = {
        wire.BAD_REQUEST: (400, "BAD_REQUEST"),
        wire.UNSUPPORTED_MEDIA_TYPE: (415, "INVALID_PARAMETER_VALUE"),
        wire.MODEL_ERROR: (400, "BAD_REQUEST"),
        wire.BAD_OUTPUT: (400, "BAD_REQUEST"),
        wire.TIMED_OUT: (504, "DEADLINE_EXCEEDED"),
        wire.INTERNAL: (500, "INTERNAL_ERROR"),
    }

    async def fail(request: wire.Request) -> wire.Answer:
        return wire.Answer(request.id, int(request.body), 0, b"", b"ValueError: no")

    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=fail))
        for outcome, (status, code) in cases.items():
            answer = await h.score(str(outcome).encode())
            assert_error(answer, status, code, "ValueError: no")
            assert answer.headers["served-model-name"] == "wine-1"


async def test_a_request_waits_for_the_first_replica_and_wakes_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        waiting = asyncio.create_task(h.score())
        await until(lambda: ("wake", V1) in h.agent.asked)
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await waiting).status_code == 200


async def test_not_ready_in_time_is_503_with_the_cause(tmp_path: Path) -> None:
    async with house(tmp_path, answer_within_seconds=0.3) as h:
        h.agent.place(V1, message="No module named 'sklearn'.")
        answer = await h.score()
        assert_error(answer, 503, "TEMPORARILY_UNAVAILABLE", "No module named 'sklearn'")
        assert int(answer.headers["retry-after"]) >= 1


async def test_too_slow_is_504_and_the_replica_is_told(tmp_path: Path) -> None:
    never = asyncio.Event()

    async def hang(request: wire.Request) -> wire.Answer | None:
        await never.wait()
        return None

    async with house(tmp_path) as h:
        h.control.publish(h.table(version="t2", timeout=0.3))
        replica = await h.replica("aaaa0001", predict=hang)
        h.agent.place(V1, replica)
        await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t2")
        assert_error(await h.score(), 504, "DEADLINE_EXCEEDED", "wine-1")
        await until(lambda: len(replica.cancelled) == 1)


async def test_a_replica_gets_no_more_than_its_credits(tmp_path: Path) -> None:
    running, most = 0, 0

    async def count(request: wire.Request) -> wire.Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return wire.Answer(request.id, wire.OK, 0, b"", b"{}")

    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=count), await h.replica("aaaa0002", predict=count))
        answers = await asyncio.gather(*[h.score() for _ in range(40)])
        assert {answer.status_code for answer in answers} == {200}
        assert most == 2
        assert len(h.replicas[0].seen) + len(h.replicas[1].seen) == 40
        assert min(len(replica.seen) for replica in h.replicas) > 5


async def test_requests_travel_in_groups_where_the_replica_takes_them(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        waiting = [asyncio.create_task(h.score(str(n).encode())) for n in range(20)]
        await until(lambda: ("wake", V1) in h.agent.asked)
        await asyncio.sleep(0.2)
        h.agent.place(V1, await h.replica("aaaa0001", group=8))
        answers = await asyncio.gather(*waiting)
        assert [answer.json()["predictions"] for answer in answers] == list(range(20))
        assert max(h.replicas[0].groups) == 8


def crashing(times: int) -> tuple[object, list[int]]:
    """A predict that ends the process on its first `times` requests."""
    deaths: list[int] = []

    async def predict(request: wire.Request) -> wire.Answer | None:
        if len(deaths) < times:
            deaths.append(request.flags)
            return None
        return wire.Answer(request.id, wire.OK, 0, b"", b"{}")

    return predict, deaths


async def test_what_was_in_flight_at_a_death_runs_again_alone(tmp_path: Path) -> None:
    predict, deaths = crashing(1)
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001", predict=predict)
        h.agent.place(V1, replica)
        assert (await h.score()).status_code == 200
        assert deaths == [0]
        assert replica.seen[-1].flags == wire.ALONE
        assert (await h.report()).revisions[V1].reruns == 1


async def test_a_request_that_kills_twice_by_itself_gets_500(tmp_path: Path) -> None:
    predict, deaths = crashing(2)
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=predict))
        assert_error(await h.score(), 500, "INTERNAL_ERROR", "twice")
        assert len(deaths) == 2
        assert (await h.score()).status_code == 200


async def test_neighbours_of_a_crash_are_not_blamed(tmp_path: Path) -> None:
    predict, _ = crashing(3)
    async with house(tmp_path) as h:
        waiting = [asyncio.create_task(h.score()) for _ in range(8)]
        await until(lambda: ("wake", V1) in h.agent.asked)
        await asyncio.sleep(0.2)
        h.agent.place(V1, await h.replica("aaaa0001", predict=predict, group=4))
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} <= {200, 500}


async def test_no_rerun_where_it_is_forbidden(tmp_path: Path) -> None:
    predict, deaths = crashing(1)
    async with house(tmp_path) as h:
        h.control.publish(h.table(version="t2", retry=False))
        await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t2")
        h.agent.place(V1, await h.replica("aaaa0001", predict=predict))
        assert_error(await h.score(), 500, "INTERNAL_ERROR", "retry_on_crash")
        assert len(deaths) == 1


async def test_a_draining_replica_hands_back_and_gets_nothing_more(tmp_path: Path) -> None:
    never = asyncio.Event()

    async def hold(request: wire.Request) -> wire.Answer | None:
        await never.wait()
        return None

    async with house(tmp_path) as h:
        old = await h.replica("aaaa0001", predict=hold)
        h.agent.place(V1, old)
        waiting = asyncio.create_task(h.score(b"[7]"))
        await until(lambda: old.seen)
        h.agent.place(V1, old, await h.replica("aaaa0002"))
        old.send(wire.frame(wire.DRAINING) + wire.pack_ids(wire.RETURNED, [old.seen[0].id]))
        assert (await waiting).json() == {"predictions": [7]}
        await asyncio.gather(*[h.score() for _ in range(5)])
        assert len(old.seen) == 1


async def test_a_draining_replica_answers_what_it_has_begun_and_nothing_runs_twice(tmp_path: Path) -> None:
    finish = asyncio.Event()

    async def slowly(request: wire.Request) -> wire.Answer | None:
        await finish.wait()
        return await echo(request)

    async with house(tmp_path) as h:
        old, new = await h.replica("aaaa0001", predict=slowly), await h.replica("aaaa0002")
        h.agent.place(V1, old)
        waiting = asyncio.create_task(h.score(b"[7]"))
        await until(lambda: old.seen)
        old.send(wire.frame(wire.DRAINING))
        h.agent.place(V1, old, new)
        assert (await h.score(b"[8]")).json() == {"predictions": [8]}
        finish.set()
        assert (await waiting).json() == {"predictions": [7]}
        assert [request.body for request in new.seen] == [b"[8]"]
        assert (await h.report()).revisions[V1].reruns == 0


async def test_traffic_is_split_and_the_switch_loses_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        h.agent.place(V2, await h.replica("bbbb0001"))
        h.control.publish(h.table((V1, 50), (V2, 50), version="t2"))
        await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t2")
        names = [(await h.score()).headers["served-model-name"] for _ in range(80)]
        assert 15 < names.count("wine-1") < 65
        h.control.publish(h.table((V2, 100), version="t3"))
        await until(lambda: h.control.reports[-1].route_version == "t3")
        assert {(await h.score()).headers["served-model-name"] for _ in range(10)} == {"wine-2"}
        await until(lambda: ("unwatch", V1) in h.agent.asked)
        assert V1 not in (await h.report()).revisions


async def test_a_switch_while_a_body_comes_in(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        h.agent.place(V2, await h.replica("bbbb0001"))
        switched = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b"["
            await switched.wait()
            yield b"1]"

        waiting = asyncio.create_task(h.score(body()))
        await until(lambda: h.control.reports and "wine" in h.control.reports[-1].endpoints)
        h.control.publish(h.table((V2, 100), version="t2"))
        await until(lambda: V1 not in h.control.reports[-1].revisions)
        switched.set()
        assert (await waiting).headers["served-model-name"] == "wine-2"


async def test_requests_of_a_revision_that_is_gone_move_on(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        waiting = asyncio.create_task(h.score())
        await until(lambda: ("wake", V1) in h.agent.asked)
        h.agent.place(V2, await h.replica("bbbb0001"))
        h.control.publish(h.table((V2, 100), version="t2"))
        h.agent.place(V1, known=False)
        answer = await waiting
        assert answer.headers["served-model-name"] == "wine-2"


@pytest.mark.parametrize(
    ("failed", "status", "code"), [(False, 503, "TEMPORARILY_UNAVAILABLE"), (True, 400, "BAD_REQUEST")]
)
async def test_an_endpoint_that_serves_nothing_says_why(tmp_path: Path, failed: bool, status: int, code: str) -> None:
    async with house(tmp_path) as h:
        route = EndpointRoute("wine", unavailable="Endpoint 'wine' is being created.", failed=failed)
        h.control.publish(RouteTable("t2", {"wine": route}))
        await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t2")
        assert_error(await h.score(), status, code, "being created")


async def test_a_full_queue_is_429(tmp_path: Path) -> None:
    async with house(tmp_path, max_queued_requests=3) as h:
        waiting = [asyncio.create_task(h.score()) for _ in range(6)]
        done, _ = await asyncio.wait(waiting, timeout=1)
        assert len(done) == 3
        for task in done:
            assert_error(task.result(), 429, "RESOURCE_EXHAUSTED")
            assert task.result().headers["retry-after"] == "1"
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert {(await task).status_code for task in waiting if task not in done} == {200}


async def test_a_caller_that_leaves_frees_its_place(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        task = asyncio.create_task(h.score())
        await until(lambda: ("wake", V1) in h.agent.asked)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        async def left() -> bool:
            ledger = (await h.report()).endpoints["wine"]
            return ledger.client_gone == 1 and ledger.in_flight == 0

        await until(left)
        assert (await h.report()).revisions[V1].queued == 0


async def test_the_ledger_balances(tmp_path: Path) -> None:
    async with house(tmp_path, max_body_bytes=1000) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        await asyncio.gather(*[h.score() for _ in range(20)])
        await h.score(b"1" * 2000)
        await h.client.post("/serving-endpoints/beer/invocations", content=b"[1]")
        report = await h.report()
        ledger = report.endpoints["wine"]
        assert (ledger.accepted, ledger.answered, ledger.rejected, ledger.in_flight) == (21, 20, 1, 0)
        assert ledger.statuses == {200: 20, 413: 1}
        assert sum(ledger.latency_counts) == 21
        assert report.refused == {404: 1}


async def test_scoring_outlives_control_and_agent(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await h.score()).status_code == 200
        await h.control.stop()
        await h.agent.stop()
        assert (await h.score()).status_code == 200
        assert (await h.client.get("/readyz")).status_code == 200
        away = await h.client.get("/api/2.0/serving-endpoints")
        assert_error(away, 503, "TEMPORARILY_UNAVAILABLE", "control plane")
        assert away.headers["retry-after"] == "1"
        # A new agent tells of a new replica, and the gateway finds it by itself.
        await h.replicas[0].stop()
        fresh = await h.replica("aaaa0002")
        h.agent.addresses.clear()
        h.agent.place(V1, fresh)
        await h.agent.start()
        assert (await h.score()).status_code == 200
        assert fresh.seen


async def test_a_restarted_gateway_scores_without_control(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await h.score()).status_code == 200
        await h.stop_gateway()
        await h.control.stop()
        h.run_gateway()
        assert (await h.score()).status_code == 200


async def test_stopping_answers_what_is_held(tmp_path: Path) -> None:
    async def slow(request: wire.Request) -> wire.Answer:
        await asyncio.sleep(0.3)
        return wire.Answer(request.id, wire.OK, 0, b"", b'{"predictions":[1]}')

    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001", predict=slow)
        h.agent.place(V1, replica)
        waiting = asyncio.create_task(h.score())
        await until(lambda: replica.seen)
        await h.stop_gateway()
        assert (await waiting).json() == {"predictions": [1]}


async def test_other_paths_are_streamed_on_without_the_token(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        answer = await h.client.post("/api/2.0/x%2Fy?a=1&b=%20", content=b"0" * 3_000_000)
        said = answer.json()
        assert (said["method"], said["path"], said["query"]) == ("POST", "/api/2.0/x%2Fy", "a=1&b=%20")
        assert said["bytes"] == 3_000_000
        assert said["headers"]["host"] == "localhost"
        assert said["headers"]["x-forwarded-host"] == h.client.base_url.netloc.decode()
        assert "authorization" not in said["headers"]
        assert answer.headers["x-request-id"] == said["headers"]["x-request-id"]
        foreign = await h.client.get("/api/2.0/x", headers={"origin": "http://evil.example"})
        assert_error(foreign, 403, "PERMISSION_DENIED")
        own = await h.client.get("/api/2.0/x", headers={"origin": h.url})
        assert own.status_code == 200
        assert "origin" not in own.json()["headers"]
        assert_error(await h.client.get("/mlflow/"), 404, "RESOURCE_DOES_NOT_EXIST", "external registry")


async def test_a_broken_replica_is_left(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        assert (await h.score()).status_code == 200
        replica.send(b"\xff\xff\xff\xff\xff nonsense")
        assert (await h.score()).status_code == 200
        assert json.loads((await h.score(b"[3]")).content) == {"predictions": [3]}
