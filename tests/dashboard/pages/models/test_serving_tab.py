"""A model's Serving tab: the older products."""

import asyncio

from tests.dashboard.web_house import WebHouse
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.errors import Unavailable

_SERVERLESS = Face(Product.SERVERLESS, "wine")


async def test_a_model_is_enabled_changed_and_disabled(web: WebHouse) -> None:
    web.house.registry.models["wine"].versions["2"].stage = "Production"
    page = await web.text("/models/wine/serving")
    assert page.count(">Enable<") == 2
    await _do(web, "enable")
    async with asyncio.timeout(20):
        while (await web.house.enablements.get(_SERVERLESS)).state[0] != "READY":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    page = await web.text("/models/wine/serving")
    assert f"{web.url}/model-endpoint/wine/Production/invocations" in page
    assert f"{web.url}/model-endpoint/wine/2/invocations" in page
    assert page.count(">Enable<") == 1
    assert "Nothing has failed" in await _do(web, "restart", version="2")
    assert "gets the new compute" in await _do(web, "compute", stage="Production", size="Large", zero="yes")
    computes = (await web.house.enablements.get(_SERVERLESS)).enablement.computes
    assert [(one.workload_size_id, one.scale_to_zero_enabled) for one in computes] == [("Large", True)]
    assert "is disabled" in await _do(web, "disable")


async def test_the_tab_of_an_unknown_model_or_product_is_not_there(web: WebHouse) -> None:
    assert (await web.http.get("/models/beer/serving")).status_code == 404
    assert (await web.http.post("/models/wine/serving/newest/enable")).status_code == 404
    assert "Register it first" in await _do(web, "enable", model="beer", expect=404)
    web.house.registry.failure = Unavailable("The registry is away.")
    assert "Enable" in await web.text("/models/wine/serving")


async def _do(web: WebHouse, verb: str, model: str = "wine", expect: int = 200, **form: str) -> str:
    answer = await web.http.post(f"/models/{model}/serving/serverless/{verb}", data=form)
    assert answer.status_code == 303
    page = await web.http.get(answer.headers["location"])
    assert page.status_code == expect
    return page.text
