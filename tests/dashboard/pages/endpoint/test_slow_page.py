"""The slowest requests and the newest errors."""

import pytest

from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse
from tidegate.core.planes.noted_requests import NotedRequest, NotedRequests
from tidegate.dashboard.pages.endpoint.slow_page import cause_of, slow_page

SLOW = NotedRequest(1.0, 0.1, 200, "wine-1", "id-1", (0.01, 0.0, 0.0, 0.08, 0.0, 0.01), 4)
COLD = SLOW._replace(steps=(0.09, 0.0, 0.0, 0.005, 0.0, 0.005), cold="spawn")


def test_bars_are_as_long_as_their_requests() -> None:
    half = SLOW._replace(seconds=0.05, steps=(0.0, 0.0, 0.0, 0.05, 0.0, 0.0))
    first, second = slow_page(NotedRequests((SLOW, half))).slowest
    assert sum(part.width for part in first.parts) == pytest.approx(1000)
    assert sum(part.width for part in second.parts) == pytest.approx(500)
    assert (first.longest, second.longest) == ("predict 80.0 ms", "predict 50.0 ms")
    assert first.said.startswith("queue 10.0 ms, wait 0.00 ms")


def test_a_request_without_steps_has_its_length() -> None:
    (row,) = slow_page(NotedRequests((SLOW._replace(steps=()),))).slowest
    assert ([part.width for part in row.parts], row.longest) == ([1000.0], "")


def test_what_most_have_in_common_is_told() -> None:
    mixed = SLOW._replace(steps=(0.02, 0.02, 0.02, 0.02, 0.01, 0.01))
    assert cause_of([SLOW, SLOW, COLD]) == "2 of the 3 spent most of their time in the model's prediction."
    assert cause_of([COLD, COLD, SLOW]) == "2 of the 3 waited for a replica to start."
    assert cause_of([mixed, mixed, SLOW]) == cause_of([]) == cause_of([SLOW._replace(steps=())]) == ""


async def test_the_page_shows_both_and_leaves_them_text(web: WebHouse) -> None:
    await web.ready("wine")
    assert "No request has come" in await web.text("/endpoints/wine/slow")
    stories.slow(web.noted, "wine")
    page = await web.text("/endpoints/wine/slow")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert page.count('role="img"') == 12
