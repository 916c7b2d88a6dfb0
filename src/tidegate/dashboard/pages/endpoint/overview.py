"""The overview of an endpoint: what it does now, why, and where a request's time goes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.dashboard.pages.endpoint.endpoint_frame import framed
from tidegate.dashboard.site import Site


def routes(site: Site) -> list[Route]:
    """The routes of the page."""

    async def show(request: Request) -> Response:
        _, values = await framed(site, request.path_params["name"], "Overview")
        return site.page(request, "endpoint_overview.html", values, section="Endpoints")

    return [Route("/endpoints/{name}", show)]
