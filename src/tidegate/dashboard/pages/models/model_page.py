"""The page of one registered model: its versions, their signatures, and who serves them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.registry.model_catalog import CatalogDetails, Serving
from tidegate.core.endpoint.launch_choice import free_name
from tidegate.core.endpoint.names import NAME_CHARACTERS
from tidegate.core.endpoint.registered_model import MAX_VERSIONS, RegisteredVersion
from tidegate.core.endpoint.served_entity import IDLE_TIMEOUT_SECONDS
from tidegate.core.errors import TidegateError
from tidegate.core.legacy_products.enablement import SERVED_STAGES
from tidegate.dashboard.pages.models.model_launch import SIZES, workload_types
from tidegate.dashboard.pages.models.model_list import Launch, launch_of, page_number, path_of
from tidegate.dashboard.pages.models.signature_rows import Signature, signature_of
from tidegate.dashboard.site import Site

PAGE = 50
_MOST_NAMED = 6  # endpoints that serve a version, in its row
_STATUS = {"PENDING_REGISTRATION": "being registered", "FAILED_REGISTRATION": "not registered"}


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in the table. It can be launched while its `trouble` is empty."""

    version: str
    stage: str  # empty for none
    aliases: tuple[str, ...]
    registered_at: float  # unix seconds; 0 where the registry does not say
    description: str
    served_by: tuple[Serving, ...]
    more_endpoints: int = 0  # that serve it and are not named
    trouble: str = ""
    message: str = ""  # the registry's, about the trouble
    state: str = "ready"  # for the badge of its trouble


@dataclass(frozen=True, slots=True)
class ModelPage:
    """The view model of the page.

    `references` are what an endpoint may serve: aliases and stages, which it follows, and versions.
    """

    name: str
    path: str
    description: str
    rows: Sequence[VersionRow]
    page: int
    found: int
    launch: Launch | None
    references: Sequence[tuple[str, str]]  # the reference, and what it means
    registry_path: str
    most: bool

    @property
    def pages(self) -> int:
        """The number of pages."""
        return max(1, -(-self.found // PAGE))


def model_page(catalogued: CatalogDetails, page: int) -> ModelPage:
    """The page's view model."""
    details = catalogued.details
    model, ready = details.model, [one for one in details.versions if one.status == "READY"]
    launch = launch_of(model)
    shown = details.versions[(page - 1) * PAGE : page * PAGE]
    pointers = [(f"@{alias}", f"follow @{alias}, now version {to}") for alias, to in sorted(model.aliases.items())]
    served = [(stage, model.stages[stage]) for stage in SERVED_STAGES if stage in model.stages]
    pointers += [(stage, f"follow {stage}, now version {to}") for stage, to in served]
    return ModelPage(
        model.name,
        path_of(model.name),
        details.description,
        [_row(one, catalogued.served_by) for one in shown],
        page,
        len(details.versions),
        launch,
        [*pointers, *((one.version, f"version {one.version}, always") for one in ready[:PAGE])],
        f"/mlflow/#/models/{quote(model.name, safe='')}",
        len(details.versions) >= MAX_VERSIONS,
    )


def _row(one: RegisteredVersion, served_by: Sequence[Serving]) -> VersionRow:
    trouble = "" if one.status == "READY" else _STATUS.get(one.status, one.status.lower())
    mine = tuple(serving for serving in served_by if serving.version == one.version)
    return VersionRow(
        one.version,
        "" if one.stage == "None" else one.stage,
        one.aliases,
        one.registered_at / 1000,
        one.description[:300],
        mine[:_MOST_NAMED],
        max(0, len(mine) - _MOST_NAMED),
        trouble,
        one.message[:300],
        "creating" if one.status.startswith("PENDING") else "failed",
    )


def routes(site: Site) -> list[Route]:
    """The routes of the page, and of a version's signature."""
    catalog = site.sources.catalog

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        view = model_page(await catalog.describe(name), page_number(request.query_params))
        taken = {one.endpoint.name for one in await site.sources.endpoints.seen()}
        values: dict[str, Any] = {
            "view": view,
            "embedded": not catalog.address,
            "usual_name": free_name(name, taken),
            "name_characters": NAME_CHARACTERS,
            "sizes": SIZES,
            "types": workload_types(site.sources.endpoints.memory_limits),
            "idle_seconds": IDLE_TIMEOUT_SECONDS,
            "active_tab": "Versions",
        }
        return site.page(request, "model_page.html", values, section="Models")

    async def signature(request: Request) -> Response:
        name, version = request.path_params["name"], request.path_params["version"]
        values: dict[str, Any] = {"name": name, "path": path_of(name), "number": version, "trouble": ""}
        try:
            values["signature"] = signature_of(await catalog.signature(name, version))
        except TidegateError as error:
            values |= {"signature": Signature(), "trouble": error.message}
        if request.headers.get("hx-request"):
            return site.fragment("model_signature.html", values)
        return site.page(request, "model_signature_page.html", values, section="Models")

    return [Route("/models/{name}", show), Route("/models/{name}/versions/{version}", signature)]
