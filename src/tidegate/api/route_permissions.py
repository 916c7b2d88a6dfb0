"""What one must be allowed to do for each route. A route that is not here is refused, and a test finds it."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from tidegate.api import classic, serverless
from tidegate.api.parameters import OfModel, read
from tidegate.control.access.principal_middleware import principal_of
from tidegate.core.access import permissions
from tidegate.core.access.permissions import Action, Kind, Resource
from tidegate.core.errors import BadRequest, Internal

_ENDPOINTS, _OWN = "/api/2.0/serving-endpoints", "/api/tidegate/v1/endpoints/{name}"
_PERMISSIONS = "/api/2.0/permissions/serving-endpoints/{identity}"

Rule = tuple[Action, Kind]

RULES: dict[str, Rule] = {
    f"POST {_ENDPOINTS}": (Action.CREATE, Kind.ENDPOINT),
    f"GET {_ENDPOINTS}": (Action.VIEW, Kind.ENDPOINT),
    f"GET {_ENDPOINTS}/{{name}}": (Action.VIEW, Kind.ENDPOINT),
    f"PUT {_ENDPOINTS}/{{name}}/config": (Action.MANAGE, Kind.ENDPOINT),
    f"DELETE {_ENDPOINTS}/{{name}}": (Action.MANAGE, Kind.ENDPOINT),
    f"PATCH {_ENDPOINTS}/{{name}}/tags": (Action.MANAGE, Kind.ENDPOINT),
    f"GET {_ENDPOINTS}/{{name}}/served-models/{{served}}/logs": (Action.VIEW, Kind.ENDPOINT),
    f"GET {_ENDPOINTS}/{{name}}/served-models/{{served}}/build-logs": (Action.VIEW, Kind.ENDPOINT),
    f"GET {_ENDPOINTS}/{{name}}/openapi": (Action.QUERY, Kind.ENDPOINT),
    f"GET {_ENDPOINTS}/{{name}}/metrics": (Action.VIEW, Kind.ENDPOINT),
    f"GET {_OWN}/events": (Action.VIEW, Kind.ENDPOINT),
    f"GET {_OWN}/replicas": (Action.VIEW, Kind.ENDPOINT),
    f"POST {_OWN}/rollback": (Action.MANAGE, Kind.ENDPOINT),
    f"GET {_OWN}/gate": (Action.VIEW, Kind.ENDPOINT),
    f"PATCH {_OWN}/gate": (Action.MANAGE, Kind.ENDPOINT),
    f"POST {_OWN}/force": (Action.MANAGE, Kind.ENDPOINT),
    f"GET {_OWN}/switches": (Action.VIEW, Kind.ENDPOINT),
    f"GET {_OWN}/series": (Action.VIEW, Kind.ENDPOINT),
    "GET /api/tidegate/v1/activity": (Action.VIEW, Kind.ENDPOINT),
    "GET /metrics": (Action.VIEW, Kind.PLATFORM),
    # Calls that are not supported yet.
    f"PUT {_ENDPOINTS}/{{name}}/rate-limits": (Action.MANAGE, Kind.ENDPOINT),
    f"PUT {_ENDPOINTS}/{{name}}/ai-gateway": (Action.MANAGE, Kind.ENDPOINT),
    f"PATCH {_ENDPOINTS}/{{name}}/notifications": (Action.MANAGE, Kind.ENDPOINT),
    f"PATCH {_ENDPOINTS}/{{name}}/telemetry-config": (Action.MANAGE, Kind.ENDPOINT),
    f"POST {_ENDPOINTS}/pt": (Action.CREATE, Kind.ENDPOINT),
    f"PUT {_ENDPOINTS}/pt/{{name}}/config": (Action.MANAGE, Kind.ENDPOINT),
    f"GET {_PERMISSIONS}": (Action.VIEW, Kind.ENDPOINT),
    f"PUT {_PERMISSIONS}": (Action.MANAGE, Kind.ENDPOINT),
    f"PATCH {_PERMISSIONS}": (Action.MANAGE, Kind.ENDPOINT),
    f"GET {_PERMISSIONS}/permissionLevels": (Action.VIEW, Kind.ENDPOINT),
    "POST /api/2.0/external-function": (Action.QUERY, Kind.PLATFORM),
    # The older products.
    **{
        f"{call.replace(' ', f' {prefix}')}": (action, Kind.MODEL)
        for prefix in (serverless.PREFIX, classic.PREFIX)
        for call, action in (
            ("POST /enable", Action.MANAGE),
            ("POST /disable", Action.MANAGE),
            ("GET /get-status", Action.VIEW),
            ("GET /list", Action.VIEW),
            ("GET /list-versions", Action.VIEW),
            ("GET /list-version-aliases", Action.VIEW),
            ("POST /get-version-logs", Action.VIEW),
            ("GET /get-event-history", Action.VIEW),
        )
    },
    f"GET {serverless.PREFIX}/get-version-status": (Action.VIEW, Kind.MODEL),
    f"PUT {serverless.PREFIX}/update-compute-config": (Action.MANAGE, Kind.MODEL),
    f"POST {serverless.PREFIX}/restart-compute-config-update": (Action.MANAGE, Kind.MODEL),
    f"GET {serverless.PREFIX}/get-supported-workload-sizes": (Action.VIEW, Kind.MODEL),
    f"GET {serverless.PREFIX}/get-version-replicas": (Action.VIEW, Kind.MODEL),
    f"POST {serverless.PREFIX}/get-version-build-logs": (Action.VIEW, Kind.MODEL),
    f"GET {serverless.PREFIX}/get-version-metrics": (Action.VIEW, Kind.MODEL),
    f"GET {classic.PREFIX}/get-metric-history": (Action.VIEW, Kind.MODEL),
    f"PUT {classic.PREFIX}/update-cluster-config": (Action.MANAGE, Kind.MODEL),
}


async def check_route(request: Request) -> None:
    """A dependency of all routes: refuse what the caller may not do. Raises PermissionDenied and NotFound."""
    rule = RULES.get(f"{request.method} {request.scope['route'].path}")
    if rule is None:
        raise Internal("This route says to nobody who may call it. That is a defect of Tidegate.")
    action, kind = rule
    permissions.check(principal_of(request), action, Resource(kind, await _name(request, kind)))


async def _name(request: Request, kind: Kind) -> str:
    """The name of the resource that a call is about; empty for all of its kind."""
    if kind is Kind.MODEL:
        try:
            return (await read(request, OfModel)).registered_model_name
        except (BadRequest, RequestValidationError):  # a call for all models, or one that its route refuses
            return ""
    return str(request.path_params.get("name") or request.path_params.get("identity") or "")
