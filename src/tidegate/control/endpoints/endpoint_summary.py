"""An endpoint in a few words, for lists: its state, what serves, and what its owner has to look at."""

from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.core.endpoint.status import ConfigUpdate, Deployment, Ready

STATES = ("ready", "asleep", "updating", "creating", "recovering", "failed")
"""The states in a word. `asleep` is ready too: the next request wakes it."""


def state_of(view: EndpointView) -> str:
    """The state of an endpoint in a word: one of STATES."""
    status, endpoint = view.status, view.endpoint
    if status.ready is Ready.READY:
        if status.config_update is ConfigUpdate.IN_PROGRESS:
            return "updating"
        return "ready" if status.replicas else "asleep"
    if endpoint.active is not None:
        return "recovering"
    failed = any(entity.deployment is Deployment.FAILED for entity in status.entities.values())
    return "failed" if endpoint.failed is not None or failed else "creating"


def version_of(view: EndpointView) -> str:
    """What serves, in a few characters: `v7`, or `v7 90 %, v8 10 %`."""
    config = view.endpoint.active or view.endpoint.latest_config
    if config is None:
        return ""
    shares = {route.served_entity: route.traffic_percentage for route in config.routes}
    served = [(entity.resolved.version, shares.get(entity.name, 0)) for entity in config.served_entities]
    if len(served) == 1:
        return f"v{served[0][0]}"
    return ", ".join(f"v{version} {share} %" for version, share in served if share)


def need_of(view: EndpointView) -> str:
    """What an endpoint's owner has to look at; empty where nothing is."""
    failed = view.endpoint.failed
    if failed is not None and failed.report:
        return f"A new version is held back. {failed.message}"
    if failed is not None:
        return failed.message if state_of(view) == "failed" else f"The last update failed. {failed.message}"
    return view.status.message if state_of(view) in {"failed", "recovering"} else ""
