"""A model's Serving tab: the older products, in which one enables a model instead of making an endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.access.principal_middleware import principal_of
from tidegate.control.registry.enabled_model_queries import ServingView
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.errors import InvalidParameter, NotFound, TidegateError
from tidegate.core.legacy_products.enablement import PRODUCT_TITLES, SERVED_STAGES, Compute
from tidegate.core.legacy_products.enablement_status import ServingState, VersionStatus
from tidegate.dashboard.forms import act, read_form
from tidegate.dashboard.pages.models.model_launch import SIZES
from tidegate.dashboard.pages.models.model_list import path_of
from tidegate.dashboard.site import Site

_URLS = {Product.SERVERLESS: "model-endpoint", Product.CLASSIC: "model"}
_WHAT = {
    Product.SERVERLESS: "The versions in Production and in Staging answer, each stage at a URL of its own.",
    Product.CLASSIC: "All versions that are not archived answer, new ones included.",
}
# The badge of each state; see app.css.
_BADGES = {
    ServingState.PENDING: "creating",
    ServingState.LAUNCHING: "starting",
    ServingState.READY: "ready",
    ServingState.FAILED: "failed",
    ServingState.RETRY_REQUESTED: "creating",
}


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A served version: its state, its compute, and where it answers."""

    version: str
    stage: str
    state: str
    badge: str
    message: str
    size: str
    zero: bool
    update: str  # what becomes of a change of its compute; empty where there is none
    endpoint: str
    urls: Sequence[str]
    may_restart: bool


@dataclass(frozen=True, slots=True)
class ProductView:
    """One of the products for this model. It is not enabled where `enabled_at` is None."""

    key: str
    title: str
    what: str
    enabled_at: float | None = None  # unix seconds
    creator: str = ""
    state: str = ""
    badge: str = ""
    message: str = ""
    versions: Sequence[ServedVersion] = ()
    computes: Sequence[Compute] = ()


def product_view(product: Product, view: ServingView | None, base: str) -> ProductView:
    """The view model of a product. `view` is None where the model is not enabled; `base` is the platform's URL."""
    title, what = PRODUCT_TITLES[product], _WHAT[product]
    if view is None:
        return ProductView(product.value, title, what)
    enablement, (state, message) = view.enablement, view.state
    root = f"{base}/{_URLS[product]}/{quote(enablement.model, safe='')}"
    stages = {version: [stage for stage, of in view.aliases if of == version] for _, version in view.aliases}
    computes = [enablement.compute(stage) for stage in SERVED_STAGES] if product is Product.SERVERLESS else []
    return ProductView(
        product.value,
        title,
        what,
        enablement.enabled_at,
        enablement.creator,
        state.value.lower(),
        _BADGES[state],
        message,
        [_version(one, root, stages.get(one.version, [])) for one in view.versions],
        computes,
    )


def _version(one: VersionStatus, root: str, stages: Sequence[str]) -> ServedVersion:
    update = one.update
    return ServedVersion(
        one.version,
        ", ".join(stages),
        one.state.value.lower().replace("_", " "),
        _BADGES[one.state],
        one.message,
        one.compute.workload_size_id,
        one.compute.scale_to_zero_enabled,
        _update_text(one),
        one.endpoint.name,
        [f"{root}/{key}/invocations" for key in (*stages, one.version)],
        one.state is ServingState.FAILED or (update is not None and update.state is ServingState.FAILED),
    )


def _update_text(one: VersionStatus) -> str:
    if one.update is None:
        return ""
    return f"Change to {one.update.compute.workload_size_id}: {one.update.message or one.update.state.value.lower()}"


def _face(request: Request) -> Face:
    try:
        return Face(Product(request.path_params["product"]), request.path_params["name"])
    except ValueError:
        raise NotFound("There is no such product.") from None


def routes(site: Site) -> list[Route]:
    """The routes of the tab and of its actions."""
    models = site.sources.models

    async def seen(face: Face, base: str) -> ProductView:
        try:
            return product_view(face.product, await models.get(face), base)
        except (NotFound, InvalidParameter):
            return product_view(face.product, None, base)

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        base = site.base_url(request)
        products = [await seen(Face(product, name), base) for product in Product]
        values: dict[str, Any] = {
            "view": {"name": name, "path": path_of(name)},
            "products": products,
            "sizes": SIZES,
            "active_tab": "Serving",
        }
        if not any(product.enabled_at for product in products):
            await _check_known(site, name)
        return site.page(request, "serving_tab.html", values, section="Models")

    async def enable(request: Request) -> Response:
        face = _face(request)

        async def do() -> str:
            await models.enable(face, principal_of(request).name)
            return f"{PRODUCT_TITLES[face.product]} is enabled. Its versions are being prepared."

        return await act(site, do(), _back(face))

    async def disable(request: Request) -> Response:
        face = _face(request)

        async def do() -> str:
            await models.disable(face)
            return f"{PRODUCT_TITLES[face.product]} is disabled. Its endpoints end."

        return await act(site, do(), _back(face))

    async def compute(request: Request) -> Response:
        face, form = _face(request), await read_form(request)

        async def do() -> str:
            stage = form.text("stage")
            await models.update_compute(face, stage, form.text("size") or None, form.ticked("zero"))
            return f"{stage} gets the new compute configuration when its replicas are ready."

        return await act(site, do(), _back(face))

    async def restart(request: Request) -> Response:
        face, form = _face(request), await read_form(request)

        async def do() -> str:
            await models.restart(face, form.text("version"), principal_of(request).name)
            return f"Version {form.text('version')} is tried again."

        return await act(site, do(), _back(face))

    verbs = {"enable": enable, "disable": disable, "compute": compute, "restart": restart}
    actions = [Route(f"/models/{{name}}/serving/{{product}}/{key}", do, methods=["POST"]) for key, do in verbs.items()]
    return [Route("/models/{name}/serving", show), *actions]


async def _check_known(site: Site, name: str) -> None:
    """Raise NotFound for a model that the registry does not have. Without the registry, the page works."""
    try:
        await site.sources.catalog.describe(name)
    except NotFound:
        raise
    except TidegateError:
        return


def _back(face: Face) -> str:
    return f"{path_of(face.model)}/serving"
