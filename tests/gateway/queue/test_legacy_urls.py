"""The older products' scoring URLs, on the same path as all scoring."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.gateway.house import TOKEN, V1, V2, House, house, until
from tests.gateway.scoring.test_request import assert_error
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.planes.route_table import EndpointRoute, RouteTable
from tidegate_worker.ipc import wire

ODD = "a/b c%2F?ü+"


def faced(
    table: RouteTable, model: str = "wine", version: str = "first", more: Mapping[str, EndpointRoute] | None = None
) -> RouteTable:
    """The table in which the model's Production and version 1 lead to `wine`, under both products."""
    wine = table.endpoints["wine"]
    keys = {"production": wine, "1": wine, **(more or {})}
    return replace(table, version=version, faces={Face(product, model).id: keys for product in Product})


async def follow(h: House, table: RouteTable) -> None:
    h.control.publish(table)
    await until(lambda: h.control.reports and h.control.reports[-1].route_version == table.version)


@pytest.mark.parametrize(("where", "product"), [("model-endpoint", "serverless"), ("model", "classic")])
async def test_stages_and_versions_are_answered(tmp_path: Path, where: str, product: str) -> None:
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        await follow(h, faced(h.table()))
        for asked in ("Production", "production", "PRODUCTION", "1"):
            answer = await h.client.post(f"/{where}/wine/{asked}/invocations", content=b"[7]")
            assert (answer.status_code, answer.json()) == (200, {"predictions": [7]})
            assert answer.headers["served-model-name"] == "wine-1"
        assert wire.unpack_meta(replica.seen[-1].meta)["surface"] == product
        assert "surface" not in wire.unpack_meta((await asked_plainly(h, replica)).meta)
        account = (await h.report()).endpoints["wine"]
        assert (account.accepted, account.answered, account.statuses) == (5, 5, {200: 5})


async def asked_plainly(h: House, replica) -> wire.Request:  # type: ignore[no-untyped-def]
    assert (await h.score()).status_code == 200
    request: wire.Request = replica.seen[-1]
    return request


async def test_the_head_of_the_metadata_tells_the_product_and_the_rest_is_as_ever(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        await follow(h, faced(h.table()))
        headers = {"content-type": "application/json; format=pandas-split", "x-request-id": "r"}
        await h.client.post("/model/wine/1/invocations", content=b"[1]", headers=headers)
        assert replica.seen[0].meta.startswith(b"surface=classic\n")
        meta = wire.unpack_meta(replica.seen[0].meta)
        assert meta == {"surface": "classic", "request-id": "r", "content-type": headers["content-type"]}


async def test_a_name_may_have_any_characters(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        await follow(h, faced(h.table(), ODD))
        for name, status in ((quote(ODD, safe=""), 200), (quote(ODD), 404)):
            answer = await h.client.post(f"/model-endpoint/{name}/Production/invocations", content=b"[7]")
            assert answer.status_code == status, name
        wrong = await h.client.post("/model/%FF/1/invocations")
        assert_error(wrong, 404, "RESOURCE_DOES_NOT_EXIST", "/model/<model>/<version or stage>/invocations", "encoded")
        for path in ("/model/wine/invocations", "/model/wine/1/2/invocations", "/model-endpoint/invocations"):
            assert_error(await h.client.post(path), 404, "RESOURCE_DOES_NOT_EXIST", "<version or stage>")


async def test_old_clients_credentials_and_content_types(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        await follow(h, faced(h.table()))
        basic = "Basic " + base64.b64encode(f"token:{TOKEN}".encode()).decode()
        for header, status in ((basic, 200), (None, 401), ("Bearer wrong", 401)):
            async with httpx.AsyncClient(base_url=h.url, headers={"authorization": header} if header else {}) as client:
                answer = await client.post("/model-endpoint/wine/1/invocations", content=b"[1]")
                assert answer.status_code == status
        assert len(replica.seen) == 1


async def test_unknown_models_stages_and_versions_are_told_what_to_do(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        await follow(h, faced(h.table()))
        code = "RESOURCE_DOES_NOT_EXIST"
        answer = await h.client.post("/model-endpoint/beer/1/invocations")
        assert_error(answer, 404, code, "'beer'", "POST /api/2.0/preview/mlflow/endpoints-v2/enable")
        answer = await h.client.post("/model/beer/1/invocations")
        assert_error(answer, 404, code, "'beer'", "POST /api/2.0/preview/mlflow/endpoints/enable")
        answer = await h.client.post("/model-endpoint/wine/Staging/invocations")
        assert_error(answer, 404, code, "'Staging'", "1, production", "Staging and Production")
        answer = await h.client.post("/model/wine/9/invocations")
        assert_error(answer, 404, code, "'9'", "not archived")
        assert_error(await h.client.get("/model/wine/1/invocations"), 405, "BAD_REQUEST", "POST")
        report = await h.report()
        assert report.refused[404] == 4
        assert report.endpoints["wine"].accepted == 0


async def test_what_does_not_serve_yet_is_worth_another_try_and_what_failed_is_not(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        coming = EndpointRoute("wine", unavailable="Version 2 of model 'wine' is being started.")
        failed = EndpointRoute("wine", unavailable="Version 3 of model 'wine' does not serve: no.", failed=True)
        await follow(h, faced(h.table(), more={"2": coming, "3": failed}))
        answer = await h.client.post("/model/wine/2/invocations", content=b"[1]")
        assert_error(answer, 503, "TEMPORARILY_UNAVAILABLE", "is being started")
        assert int(answer.headers["retry-after"]) > 0
        answer = await h.client.post("/model/wine/3/invocations", content=b"[1]")
        assert_error(answer, 400, "BAD_REQUEST", "does not serve: no.")
        assert "retry-after" not in answer.headers
        assert (await h.report()).endpoints["wine"].rejected == 2


async def test_a_request_whose_body_came_during_a_switch_goes_to_the_new_one(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        h.agent.place(V2, await h.replica("aaaa0002"))
        await follow(h, faced(h.table()))
        begun, switched = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"[1"
            begun.set()
            await switched.wait()
            yield b"]"

        path = "/model-endpoint/wine/Production/invocations"
        request = asyncio.create_task(h.client.post(path, content=slowly()))
        await begun.wait()
        await follow(h, faced(h.table((V2, 100), version="t2"), version="f2"))
        assert (await h.client.post(path, content=b"[1]")).headers["served-model-name"] == "wine-2"
        switched.set()
        assert (await request).headers["served-model-name"] == "wine-2"


async def test_after_an_answer_of_the_new_version_there_is_none_of_the_old_one(tmp_path: Path) -> None:
    """Many callers by stage, while it is switched to and fro: each sees versions only in the order of the switches."""
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        h.agent.place(V2, await h.replica("aaaa0002"))
        await follow(h, faced(h.table()))
        newest, stop = 0, asyncio.Event()
        names = [f"wine-{1 + number % 2}" for number in range(21)]  # what serves after each switch

        async def call() -> None:
            nonlocal newest
            while not stop.is_set():
                since = newest
                answer = await h.client.post("/model-endpoint/wine/Production/invocations", content=b"[1]")
                assert answer.status_code == 200, answer.text
                at = next(n for n in range(since, len(names)) if names[n] == answer.headers["served-model-name"])
                assert at <= switches, "an answer of a version that was not switched to"
                newest = max(newest, at)

        switches = 0
        callers = [asyncio.create_task(call()) for _ in range(8)]
        for number in range(1, len(names)):
            switches = number
            revision = (V1, V2)[number % 2]
            await follow(h, faced(h.table((revision, 100), version=f"t{number}"), version=f"f{number}"))
            await until(lambda number=number: newest >= number)
        stop.set()
        await asyncio.gather(*callers)


async def test_faces_outlive_the_gateway(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        await follow(h, faced(h.table(), ODD))
        await h.stop_gateway()
        await h.control.stop()
        h.run_gateway()
        path = f"/model-endpoint/{quote(ODD, safe='')}/1/invocations"
        assert json.loads((await h.client.post(path, content=b"[4]")).content) == {"predictions": [4]}
