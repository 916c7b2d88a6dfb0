"""Every page with every dialog of it, as tests visit them, over a scene in which each page has all its parts."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from playwright.sync_api import Page
from starlette.routing import Route

from tests.dashboard import stories
from tests.dashboard.model_scene import HOSTILE as HOSTILE_MODEL
from tests.dashboard.model_scene import register
from tests.dashboard.web_house import WebHouse
from tidegate.core.endpoint.legacy_face import Face, Product


@dataclass(frozen=True)
class Shown:
    """A page, and the buttons by which its dialogs or further parts are opened, in turn."""

    path: str
    opens: tuple[str, ...] = ()

    def open(self, page: Page) -> None:
        """Go there, and open what is to be opened."""
        page.goto(self.path)
        for part in self.opens:
            page.locator(part).first.click()
        for dialog in self.opens[-1:]:
            if dialog.startswith("button[commandfor"):
                page.locator("dialog[open]").wait_for()

    def __str__(self) -> str:
        return self.path + "".join(f" {part}" for part in self.opens)


def _dialog(name: str) -> str:
    return f"button[commandfor={name}][command=show-modal]"


PAGES = (
    Shown("/login"),
    Shown("/nowhere"),
    Shown("/"),
    Shown("/?find=nothing-like-it"),
    Shown("/endpoints/wine"),
    Shown("/endpoints/wine?range=24h", ("details summary",)),
    Shown("/endpoints/held-back?range=5m"),
    Shown("/endpoints/split?range=15m&entity=wine-1"),
    Shown("/endpoints/failed"),
    Shown("/endpoints/updating"),
    Shown("/endpoints/updating/build"),
    Shown("/endpoints/failed/build"),
    Shown("/endpoints/wine/build"),
    Shown("/endpoints/held-back/rollouts"),
    Shown("/endpoints/held-back/rollouts", (_dialog("roll-back"),)),
    Shown("/endpoints/held-back/rollouts", (_dialog("force"),)),
    Shown("/endpoints/held-back/rollouts/failed"),
    Shown("/endpoints/split/rollouts"),
    Shown("/endpoints/updating/rollouts"),
    Shown("/endpoints/held-back/update", ("details summary",)),
    Shown("/endpoints/held-back/events"),
    Shown("/endpoints/failed/logs?kind=build&find=error"),
    Shown("/endpoints/split/logs?kind=server"),
    Shown("/endpoints/wine/query"),
    Shown("/endpoints/split/query"),
    Shown("/endpoints/example/query", ("#columns summary",)),
    Shown("/endpoints/example/slow", ("details summary",)),
    Shown("/endpoints/wine/slow"),
    Shown("/endpoints/split/settings"),
    Shown("/endpoints/held-back/settings", (_dialog("delete"),)),
    Shown("/platform"),
    Shown("/models"),
    Shown("/models?find=nothing-like-it"),
    Shown("/models/wine", ("a[hx-target='#signature']",)),
    Shown("/models/wine", (_dialog("launch"),)),
    Shown("/models/wine/versions/1"),
    Shown(f"/models/{quote(HOSTILE_MODEL, safe='')}"),
    Shown("/models/empty"),
    Shown("/models/wine/serving"),
    Shown("/models/model-001/serving", (_dialog("disable-serverless"),)),
)
"""Every page, as far as it differs in its parts. A page that is not here fails `test_every_route_is_visited`."""

# What answers GET besides pages: streams, parts of pages that htmx puts in their place, and files.
_NO_PAGES = re.compile(r"/live/.*|/find|/favicon\.ico|.*/(?:head|download|series\.csv)")


def left_out(routes: list[Route]) -> list[str]:
    """The addresses of pages that no one of PAGES is at."""
    visited = [shown.path.partition("?")[0] for shown in PAGES]
    pages = [route for route in routes if "GET" in (route.methods or ()) and not _NO_PAGES.fullmatch(route.path)]
    return [route.path for route in pages if not any(route.path_regex.match(path) for path in visited)]


RATES = {"wine": 4200.0, "iris": 3.0, "held-back": 40.0, "split": 0.02}


async def scene(web: WebHouse) -> None:
    """Endpoints and models in all their states, with hostile texts in all that others write."""
    register(web)
    registry = web.house.registry
    registry.models["model-001"].versions["1"].stage = "Production"
    await web.ready("wine", "iris", "sleepy")
    for story in (stories.held_back, stories.split, stories.failed, stories.with_example, stories.updating):
        await story(web.house)
    stories.slow(web.noted, "example", web.house.clock.now())
    web.series.entities_of["split"] = ("wine-1", "wine-2")
    await web.house.enablements.enable(Face(Product.SERVERLESS, "model-001"), "admin")
