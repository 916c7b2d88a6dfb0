"""The list of all registered models: what each has to serve, and who serves it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.registry.model_catalog import CatalogModel, Serving
from tidegate.core.endpoint.launch_choice import usual_reference, version_meant
from tidegate.core.endpoint.registered_model import MAX_MODELS, RegisteredModel
from tidegate.core.endpoint.served_entity import ModelRef
from tidegate.core.errors import TidegateError
from tidegate.dashboard.site import Site

PAGE = 50
_MOST_NAMED = 3  # endpoints and aliases of a model in its row


@dataclass(frozen=True, slots=True)
class Launch:
    """What a launch with one click would serve: the reference, and the version that it means now."""

    reference: str
    version: str

    @property
    def text(self) -> str:
        """The reference in words: `version 3`, `@champion`, `Production`."""
        return f"version {self.reference}" if self.reference.isdecimal() else self.reference


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model in the list. `more_aliases` and `more_endpoints` are how many are not named."""

    name: str
    path: str
    newest: str
    production: str
    staging: str
    aliases: Sequence[tuple[str, str]]
    more_aliases: int
    served_by: Sequence[Serving]
    more_endpoints: int
    launch: Launch | None  # None where the model has no version


@dataclass(frozen=True, slots=True)
class ModelList:
    """The view model of the page. `most` is whether the registry has as many as are listed, and perhaps more."""

    rows: Sequence[ModelRow]
    find: str
    page: int
    found: int
    everything: int
    most: bool

    @property
    def pages(self) -> int:
        """The number of pages."""
        return max(1, -(-self.found // PAGE))

    def query(self, page: int) -> str:
        """The query string of another page of the same list."""
        return urlencode({"find": self.find, "page": page} if self.find else {"page": page})


def path_of(model: str) -> str:
    """The path of a model's page, without the platform's prefix."""
    return f"/models/{quote(model, safe='')}"


def launch_of(model: RegisteredModel, reference: ModelRef | None = None) -> Launch | None:
    """What a launch serves: the reference, or else the usual one; None for a model without versions."""
    chosen = reference or usual_reference(model)
    return Launch(chosen.version, version_meant(model, chosen.version)) if chosen else None


def model_list(models: Sequence[CatalogModel], find: str, page: int) -> ModelList:
    """The page's view model. `find` is a part of names."""
    found = [one for one in models if find.lower() in one.model.name.lower()]
    shown = found[(page - 1) * PAGE : page * PAGE]
    return ModelList(list(map(_row, shown)), find, page, len(found), len(models), len(models) >= MAX_MODELS)


def _row(one: CatalogModel) -> ModelRow:
    model, aliases = one.model, sorted(one.model.aliases.items())
    return ModelRow(
        model.name,
        path_of(model.name),
        model.newest,
        model.stages.get("Production", ""),
        model.stages.get("Staging", ""),
        aliases[:_MOST_NAMED],
        max(0, len(aliases) - _MOST_NAMED),
        one.served_by[:_MOST_NAMED],
        max(0, len(one.served_by) - _MOST_NAMED),
        launch_of(model),
    )


def page_number(parameters: Mapping[str, str]) -> int:
    """The page that a query string names; 1 where it names none."""
    page = parameters.get("page", "1")
    return max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 6 else 1


def routes(site: Site) -> list[Route]:
    """The routes of the page."""

    async def show(request: Request) -> Response:
        find, page = request.query_params.get("find", "").strip()[:250], page_number(request.query_params)
        values: dict[str, Any] = {"trouble": "", "view": model_list((), find, page)}
        try:
            values["view"] = model_list(await site.sources.catalog.models(), find, page)
        except TidegateError as error:  # the registry's own trouble; the page says so
            values["trouble"] = error.message
        address = site.sources.catalog.address
        values |= {"embedded": not address, "tracking_uri": address or f"{site.base_url(request)}/mlflow"}
        if request.headers.get("hx-request"):
            return site.fragment("model_rows.html", values)
        return site.page(request, "model_list.html", values, section="Models")

    return [Route("/models", show)]
