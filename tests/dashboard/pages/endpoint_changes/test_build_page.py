"""The build page: steps, logs, the way on."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.control.house import an_entity
from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse


def states(page: str, entity: str = "wine-3") -> dict[str, str]:
    found = re.findall(rf'data-state="([a-z]+)" data-live="{entity}/([a-z]+)/state"', page)
    return {step: state for state, step in found}


def stream_of(page: str) -> str:
    found = re.search(r'data-stream="([^"]+)"', page)
    assert found
    return found[1].replace("&amp;", "&")


async def events(web: WebHouse, path: str) -> AsyncIterator[tuple[str, Any]]:
    """The events of a stream, while they come."""
    async with asyncio.timeout(20), web.http.stream("GET", path) as answer:
        assert answer.status_code == 200
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


async def test_a_failing_build_shows_where_it_failed_and_can_be_tried_again(web: WebHouse) -> None:
    await stories.failed(web.house)
    page = await web.text("/endpoints/failed/build")
    assert states(page) == {
        "resolve": "done",
        "download": "done",
        "environment": "failed",
        "replica": "waiting",
        "example": "waiting",
        "serves": "waiting",
    }
    assert page.count("no version of &#39;nonsense&#39; was found") == 2  # above the steps, and in the log
    assert re.search(r'<span class="bad" id="error">[^<]*could not be built', page)
    assert 'href="#error"' in page
    answer = await web.http.post("/endpoints/failed/build/again")
    assert answer.headers["location"].startswith("/endpoints/failed/build?flash=")
    await stories.settled(web.house, "failed")
    page = await web.text("/endpoints/failed/build")
    assert set(states(page).values()) == {"done"}
    assert f"curl {web.url}/serving-endpoints/failed/invocations" in page
    assert "Ready" in page
    again = await web.http.post("/endpoints/failed/build/again")
    assert "No update of endpoint" in await web.text(again.headers["location"])


async def test_a_model_that_does_not_load_fails_in_its_replica(web: WebHouse) -> None:
    web.house.engine.broken["wine-2"] = "The model does not load: no module named 'crystal'."
    await web.house.create("broken", an_entity("2"))
    await stories.settled(web.house, "broken")
    page = await web.text("/endpoints/broken/build")
    assert states(page, "wine-2")["environment"] == "done"
    assert states(page, "wine-2")["replica"] == "failed"
    assert "no module named &#39;crystal&#39;" in page


async def test_a_version_that_is_held_back_leads_to_its_report(web: WebHouse) -> None:
    await stories.held_back(web.house)
    page = await web.text("/endpoints/held-back/build")
    assert list(states(page, "wine-2").values()) == [*["done"] * 5, "failed"]
    assert "/endpoints/held-back/rollouts/failed" in page


async def test_the_stream_tells_each_step_and_line_and_the_end(web: WebHouse) -> None:
    await stories.updating(web.house)
    page = ""
    async with asyncio.timeout(20):
        while states(page).get("environment") != "running":
            page = await web.text("/endpoints/updating/build")
    assert 'data-outcome="2 running"' in page
    assert '<meta http-equiv="refresh"' in page
    seen: dict[str, str] = {}
    lines: list[str] = []
    outcomes: list[str] = []
    async for name, data in events(web, stream_of(page)):
        if name == "values":
            seen |= data
        elif name == "lines":
            assert data["log"] == "build/wine-3"
            lines += [line for line, _ in data["lines"]]
        elif name == "step":
            outcomes.append(data["outcome"])
            web.house.builder.gate.set()
        if len(outcomes) == 2:
            break
    assert outcomes == ["2 running", "2 serves"]
    assert [seen[f"wine-3/{step}/state"] for step in ("resolve", "download")] == ["done", "done"]
    ended = await web.text("/endpoints/updating/build")
    assert re.search(r'data-live="wine-3/serves/seconds">[^<]+ m?s<', ended)  # of which the stream knows nothing
    assert lines[-1].endswith("Z Prepared.")
    assert not any(line.partition("Z ")[2] in page for line in lines)  # each line once, on the page or by the stream


@pytest.mark.parametrize("mark", ["../../admin", "x.y.z", "", "a.-1.9999999999999999999999"])
async def test_a_stream_of_a_made_up_mark_reads_nothing(web: WebHouse, mark: str) -> None:
    await web.ready("wine")
    async for name, data in events(web, f"/live/endpoints/wine/build?log={mark}"):
        assert name != "lines"
        if name == "step":
            assert data == {"outcome": "1 serves"}
            break


async def test_an_endpoint_that_is_not_there_has_no_build(web: WebHouse) -> None:
    for path in ("/endpoints/nobody/build", "/live/endpoints/nobody/build"):
        assert (await web.http.get(path)).status_code == 404
