"""The platform's page."""

import asyncio
import re
from dataclasses import replace

from tests.control.house import an_entity
from tests.dashboard.platform_scene import furnish
from tests.dashboard.web_house import WebHouse
from tidegate.control.publish.gateway_links import GatewayStanding
from tidegate.control.reporting.platform_view import PlatformView, ProcessView
from tidegate.core.endpoint.machine_report import MachineReport, MemoryHolder
from tidegate.core.endpoint.revision import RevisionId
from tidegate.dashboard.pages.platform_page import platform_page, platform_values, print_of
from tidegate.processes.process_table import ProcessSample

GB = 10**9


def a_view(machine: MachineReport | None, trouble: str = "") -> PlatformView:
    return PlatformView(
        0.0, machine, trouble, 0.25, (), (), 0, (), (GatewayStanding(0, 1),), 1, (), 10 * GB, 100 * GB, None, {}, {}
    )


def a_holder(number: int, idle: float = 0.0, *, stays: bool = False) -> MemoryHolder:
    return MemoryHolder(RevisionId(f"r{number}"), f"e{number}", "m", 1, number * GB, idle, stays=stays)


MACHINE = MachineReport(
    8,
    40 * GB,
    holders=tuple(a_holder(number, idle=60.0 * (number == 2), stays=number == 5) for number in range(1, 7)),
    first_to_go=(RevisionId("r2"),),
)


def test_the_account_names_the_largest_and_adds_up_to_all_there_is() -> None:
    page = platform_page(a_view(MACHINE))
    assert [(part.label, part.value / GB) for part in page.account] == [
        ("e6", 6),
        ("e5", 5),
        ("e4", 4),
        ("e3", 3),
        ("2 other endpoints", 3),
        ("Free", 19),
    ]
    assert [row.goes for row in page.holders] == [
        "not now: it is in use",
        "never: it does not scale to zero",
        "not now: it is in use",
        "not now: it is in use",
        "first, idle for 60 s",
        "not now: it is in use",
    ]
    assert page.first == "r2"


def test_what_is_not_well_says_what_to_do() -> None:
    assert [check.advice for check in platform_page(a_view(MACHINE)).checks] == ["", "", "", ""]
    bad = replace(a_view(None, "The agent does not answer."), gateways=(), disk_free=GB)
    checks = {check.subject: check for check in platform_page(bad, ["vendor/htmx.min.js"]).checks}
    assert all(check.advice for check in checks.values())
    assert checks["Gateways"].found == "0 of 1 connected"
    late = replace(a_view(MACHINE), gateways=(GatewayStanding(0, 1, 30.0),))
    assert platform_values(platform_page(late))["gateway/0"] == "behind for 30 s"


def test_a_page_is_read_anew_where_something_came_or_went_and_not_for_a_value() -> None:
    before = print_of(platform_page(a_view(MACHINE)))
    busier = replace(MACHINE, holders=tuple(replace(one, memory_bytes=GB * 2) for one in MACHINE.holders[::-1]))
    assert print_of(platform_page(replace(a_view(MACHINE), cpu=0.9))) == before
    assert print_of(platform_page(a_view(replace(MACHINE, holders=MACHINE.holders[:3])))) != before
    assert print_of(platform_page(a_view(busier))) == before


def test_a_process_that_is_younger_than_the_platform_was_started_again() -> None:
    titles = {"supervisor": 100.0, "gateway 0": 101.0, "control": 500.0, "registry": 102.0, "registry client": 900.0}
    samples = [ProcessSample(number, title, GB, 1.0, began) for number, (title, began) in enumerate(titles.items())]
    processes = tuple(map(ProcessView, samples))
    rows = platform_page(replace(a_view(MACHINE), processes=processes)).processes
    assert [row.sample.title for row in rows if row.again] == ["control"]


async def test_the_page_shows_it_all_and_its_stream_tells_what_has_come(web: WebHouse) -> None:
    await web.ready("wine", "iris")
    furnish(web)
    page = await web.text("/platform")
    for text in ("Who has the memory", "0123456789abcdef", "4000, 5000", "1 of 1 connected", "measuring"):
        assert text in page
    assert "would make room first" not in page
    found = re.search(r'data-stream="([^"]+)"', page)
    assert found
    web.house.builder.gate.clear()
    web.house.registry.models["wine"].versions["3"].files = {"MLmodel": b"flavors: {}\n"}
    await web.house.create("late", an_entity("3"))
    async with asyncio.timeout(20), web.http.stream("GET", found[1]) as answer:
        async for line in answer.aiter_lines():
            web.house.clock.advance(3.0)
            if line == 'data: ["platform"]':
                break
    part = await web.http.get("/platform", headers={"hx-request": "true"})
    assert not part.text.startswith("<!doctype")
    web.house.builder.gate.set()
