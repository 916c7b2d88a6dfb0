"""The logs of an endpoint."""

from dataclasses import replace

import pytest

from tests.core.examples import a_config, an_endpoint, an_entity, rid
from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_views import EndpointView, LogKind
from tidegate.control.endpoints.log_follower import LogEnd
from tidegate.core.endpoint.endpoint import Endpoint, FailedConfig, ParkedConfig, PendingConfig
from tidegate.core.endpoint.status import ConfigUpdate, Deployment, EndpointStatus, EntityStatus, Ready
from tidegate.core.errors import NotFound
from tidegate.dashboard.pages.endpoint.log_lines import MOST_LINES
from tidegate.dashboard.pages.endpoint.logs_page import LogChoice, choice_of, log_view, sources_of

ONE = a_config()
TWO = a_config(an_entity("wine-2", version="2"), version=2)
THREE = a_config(an_entity("wine-3", version="3"), version=3)
SERVING = an_endpoint(active=ONE, failed=FailedConfig(TWO, "No build."), previous=ParkedConfig(THREE, 1.0))


def a_view(endpoint: Endpoint = SERVING) -> EndpointView:
    entities = {rid(endpoint, TWO.served_entities[0]): EntityStatus(Deployment.FAILED, "No build: x.")}
    return EndpointView(endpoint, EndpointStatus(Ready.READY, ConfigUpdate.UPDATE_FAILED, "", entities, 1))


def test_all_that_has_logs_can_be_chosen_the_newest_attempt_first() -> None:
    assert [(one.entity, one.role, one.config) for one in sources_of(a_view())] == [
        ("wine-2", "failed", 2),
        ("wine-1", "serves", 1),
        ("wine-3", "is parked", 3),
    ]
    updating = replace(SERVING, pending=PendingConfig(TWO, 1.0), failed=None)
    assert sources_of(a_view(updating))[0].role == "is on its way"
    held_back = replace(SERVING, failed=FailedConfig(TWO, "The gate holds it back.", "{}"))
    assert sources_of(a_view(held_back))[0].role == "was held back"
    with pytest.raises(NotFound):
        choice_of((), {})


def chosen(**parameters: str) -> tuple[str, str]:
    choice = choice_of(sources_of(a_view()), parameters)
    return choice.kind.value, choice.source.entity


def test_without_a_choice_the_server_of_what_serves_is_shown_and_else_the_newest_build() -> None:
    assert chosen() == chosen(kind="x", entity="<b>") == ("server", "wine-1")
    assert chosen(kind="build") == ("build", "wine-2")
    assert chosen(entity="wine-2") == ("build", "wine-2")
    assert chosen(entity="wine-3", kind="server", config="3") == ("server", "wine-3")
    never = sources_of(a_view(an_endpoint(failed=FailedConfig(TWO, "No build."))))
    assert choice_of(never, {}).kind is LogKind.BUILD


def test_a_failed_build_shows_its_sentence_and_its_first_error() -> None:
    choice = choice_of(sources_of(a_view()), {"kind": "build"})
    shown = log_view(a_view(), choice, LogEnd("ok\nerror: <b>x</b>\nerror: y\nbeg", 20))
    assert (shown.failure, shown.error, shown.begun, shown.left_out) == (
        "No build: x.",
        "error: <b>x</b>",
        "beg",
        False,
    )
    serving = choice_of(sources_of(a_view()), {})
    assert log_view(a_view(), serving, LogEnd("error: y\n", 9)).failure == ""


def test_the_newest_lines_are_shown_of_those_that_were_looked_for() -> None:
    choice = LogChoice(LogKind.SERVER, sources_of(a_view())[1])
    text = "".join(f"{number}\n" for number in range(MOST_LINES + 5))
    shown = log_view(a_view(), choice, LogEnd(text, len(text)))
    assert (len(shown.lines), shown.lines[0].parts[0][0], shown.left_out) == (MOST_LINES, "5", True)
    found = log_view(a_view(), replace(choice, find="777"), LogEnd(text, len(text), is_all=False))
    assert ([line.parts[0][0] for line in found.lines], found.left_out) == (["777"], True)


async def test_a_failing_build_is_read_on_the_page_and_downloaded(web: WebHouse) -> None:
    await stories.failed(web.house, "wine")
    page = await web.text("/endpoints/wine/logs")
    assert 'role="alert"' in page
    assert "Preparing served entity" in page
    download = await web.http.get("/endpoints/wine/logs/download?kind=build&entity=wine-3")
    assert download.headers["content-type"] == "text/plain; charset=utf-8"
    assert download.headers["content-disposition"] == 'attachment; filename="wine-wine-3-1-build.log"'
    assert "Preparing served entity" in download.text


async def test_a_servers_lines_stay_text_and_follow_on_the_stream(web: WebHouse) -> None:
    await web.ready("wine")
    endpoint = (await web.house.endpoints.get("wine")).endpoint
    assert endpoint.active is not None
    path = web.house.data.replica_log(rid(endpoint, endpoint.active.served_entities[0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"hello\n{stories.HOSTILE}\nbegun")
    page = await web.text("/endpoints/wine/logs")
    assert "hello\n</span>" in page
    assert "<script>alert" not in page
    address = page.split('data-stream="')[1].split('"')[0].replace("&amp;", "&")
    async with web.http.stream("GET", address) as answer:
        with path.open("a") as file:
            file.write(" <i>ended</i>\n")
        async for line in answer.aiter_lines():
            if "ended" in line:
                assert line == 'data: {"lines":[["begun <i>ended</i>",false]],"anew":false,"skipped":false}'
                break
    found = await web.text("/endpoints/wine/logs?find=HELL")
    assert "<mark>hell</mark>o" in found
    assert "begun" not in found
