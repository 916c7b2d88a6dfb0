"""The frame of an endpoint's pages: its name and state, what serves, the actions, and the tabs.

A tab's template extends `endpoint_frame.html` and fills its block `tab`; its values are those of `frame`, and its own.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tidegate.control.endpoints.endpoint_summary import state_of, version_of
from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.core.endpoint.endpoint import ROLLBACK, Endpoint, EndpointConfig
from tidegate.core.endpoint.legacy_face import Face
from tidegate.dashboard.site import Site

TABS: Mapping[str, str] = {
    "Overview": "",
    "Slow": "/slow",
    "Roll-outs": "/rollouts",
    "Logs": "/logs",
    "Query": "/query",
    "Settings": "/settings",
}
"""The name of each tab, and its path below the endpoint's."""


@dataclass(frozen=True, slots=True)
class Share:
    """A served entity, its model's version, and its share of the traffic, per cent."""

    entity: str
    version: str
    per_cent: int


@dataclass(frozen=True, slots=True)
class WayBack:
    """What a rollback would do: `to` is what serves then.

    `takes_back`: it drops the update under way, and what serves goes on. `left`: for how many seconds the replicas of
    `to` still run, so that it is immediate; None where they would have to be started.
    """

    to: str
    takes_back: bool = False
    left: float | None = None

    @property
    def left_text(self) -> str:
        """The time left as minutes and seconds: `8:12`; empty where there is none."""
        return "" if self.left is None else f"{int(self.left) // 60}:{int(self.left) % 60:02d}"


@dataclass(frozen=True, slots=True)
class Frame:
    """The view model of the frame. `path` is that of the endpoint's overview, without the platform's prefix."""

    name: str
    path: str
    state: str  # one of STATES of the list
    version: str  # what serves: `v7`, or `v7 90 %, v8 10 %`
    shares: tuple[Share, ...]
    back: WayBack | None
    updating: bool
    description: str
    face: Face | None  # of an older product that the endpoint belongs to


def path_of(name: str) -> str:
    """The path of an endpoint's overview, without the platform's prefix."""
    return f"/endpoints/{quote(name, safe='')}"


def frame(view: EndpointView, active_tab: str, kept_until: float | None = None, now: float = 0.0) -> dict[str, Any]:
    """The values of the template: the frame, the tabs, and the name of the tab that is shown.

    `kept_until` is when the parked replicas end, unix seconds; None where there are none.
    """
    return {"frame": frame_of(view, kept_until, now), "tabs": TABS, "active_tab": active_tab}


def frame_of(view: EndpointView, kept_until: float | None, now: float) -> Frame:
    """The frame's view model."""
    endpoint = view.endpoint
    return Frame(
        endpoint.name,
        path_of(endpoint.name),
        state_of(view),
        version_of(view),
        _shares(endpoint.active),
        _way_back(endpoint, kept_until, now),
        endpoint.pending is not None,
        endpoint.description,
        endpoint.face,
    )


def frame_values(shown: Frame) -> dict[str, str]:
    """The values of the frame that an event stream sends, as every tab's stream does."""
    values = {"state": shown.state, "version": shown.version}
    return values | ({"left": shown.back.left_text} if shown.back else {})


def print_of(view: EndpointView) -> str:
    """A text that differs as soon as something of the endpoint is to be shown anew."""
    endpoint, status = view.endpoint, view.status
    entities = sorted((rid, one.deployment, one.message) for rid, one in status.entities.items())
    seen = (endpoint.id, endpoint.resource_version, status.message, status.replicas, entities)
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:12]


async def framed(site: Site, name: str, active_tab: str) -> tuple[EndpointView, dict[str, Any]]:
    """An endpoint, and the values of its frame. Raises NotFound and Unavailable.

    `stream` among them is the path of the event stream that keeps the frame up to date, and says when a part of the
    page is to be read anew.
    """
    endpoints, now = site.sources.endpoints, site.sources.clock.now()
    view = await endpoints.get(name)
    values = frame(view, active_tab, endpoints.kept_until(view.endpoint), now)
    return view, values | {"stream": f"/live{path_of(name)}/state?seen={print_of(view)}"}


def config_text(config: EndpointConfig) -> str:
    """The versions of a configuration in a few characters: `v7`, or `v7 90 %, v8 10 %`."""
    shares = _shares(config)
    if len(shares) == 1:
        return f"v{shares[0].version}"
    return ", ".join(f"v{share.version} {share.per_cent} %" for share in shares if share.per_cent)


def _shares(config: EndpointConfig | None) -> tuple[Share, ...]:
    if config is None:
        return ()
    shares = {route.served_entity: route.traffic_percentage for route in config.routes}
    return tuple(
        Share(entity.name, entity.resolved.version, shares.get(entity.name, 0)) for entity in config.served_entities
    )


def _way_back(endpoint: Endpoint, kept_until: float | None, now: float) -> WayBack | None:
    if endpoint.active is None or (endpoint.pending is not None and endpoint.pending.by == ROLLBACK):
        return None
    if endpoint.pending is not None:
        return WayBack(config_text(endpoint.active), takes_back=True)
    if endpoint.previous is None:
        return None
    left = None if kept_until is None else max(0.0, kept_until - now)
    return WayBack(config_text(endpoint.previous.config), left=left)
