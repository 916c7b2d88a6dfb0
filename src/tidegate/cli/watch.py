"""Watching an endpoint until its update has ended."""

import time

import httpx

from tidegate.cli.client import Client
from tidegate.cli.endpoint_view import EndpointView, Json
from tidegate.cli.failure import Failure, Refused, Unreachable
from tidegate.cli.progress import Progress

_EVERY_SECONDS = 0.5
# A server that restarts meanwhile is waited for this many seconds.
_AWAY_SECONDS = 30.0
_TAIL_LINES = 20
# These events' sentence is the failure itself, which is said at the end.
_FAILURES = ("failed", "update_failed", "held_back")

_EventKey = tuple[object, object]


class Watch:
    """Follows one endpoint. Made before the change that is watched: what happened earlier is not told again."""

    def __init__(self, client: Client, name: str, progress: Progress) -> None:
        self._client, self._name, self._progress = client, name, progress
        self._told: set[_EventKey] = {_key(event) for event in self._events()}

    def until_ended(self, changed: EndpointView) -> EndpointView:
        """The endpoint once the update of `changed` has ended. Raises Failure with the logs' ends if it failed."""
        served = [entity.name for entity in changed.coming]
        while True:
            endpoint = self._endpoint()
            self._tell_events()
            if endpoint.update_failed:
                raise Failure(_sentence(endpoint), "" if endpoint.held_back else self._log_tails(served))
            if not endpoint.updating:
                return endpoint
            self._show(endpoint)
            time.sleep(_EVERY_SECONDS)

    def _endpoint(self) -> EndpointView:
        deadline = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                return self._client.endpoint(self._name)
            except (Unreachable, Refused) as failure:
                if not _passing(failure) or time.monotonic() > deadline:
                    raise
            self._progress.show("The server does not answer; waiting for it.")
            time.sleep(_EVERY_SECONDS)

    def _events(self) -> list[Json]:
        try:
            return self._client.events(self._name)
        except (Unreachable, Refused):  # no such endpoint yet, or the server is away: the next look finds them
            return []

    def _tell_events(self) -> None:
        for event in self._events():
            if _key(event) not in self._told:
                self._told.add(_key(event))
                if event["type"] not in _FAILURES:
                    self._progress.tell(str(event["message"]))

    def _show(self, endpoint: EndpointView) -> None:
        for entity in endpoint.coming:
            if not entity.ready:
                lines = self._log(entity.name, "build-logs")
                self._progress.show(entity.message, lines[-1] if lines else "")
                return

    def _log_tails(self, served: list[str]) -> str:
        tails = []
        for name in served:
            for kind, title in (("build-logs", "Build log"), ("logs", "Log")):
                if lines := self._log(name, kind):
                    tails.append("\n".join([f"{title} of '{name}', its end:", *lines[-_TAIL_LINES:]]))
        return "\n\n".join(tails)

    def _log(self, served: str, kind: str) -> list[str]:
        try:
            return self._client.log(self._name, served, kind).splitlines()
        except (Unreachable, Refused):
            return []


def _sentence(endpoint: EndpointView) -> str:
    """Why nothing came of it, and what is left."""
    name = endpoint.name
    why = endpoint.message or f"The update of endpoint '{name}' failed."
    if endpoint.held_back:
        return (
            f"{why}\nEndpoint '{name}' goes on with what it serves, so there is nothing to roll back. "
            f"`tidegate gate {name}` shows the figures. "
            f"If the change is intended, `tidegate force {name}` switches to it."
        )
    if not endpoint.never_served:
        return f"{why}\nEndpoint '{name}' goes on with what it served before."
    return (
        f"{why}\nEndpoint '{name}' exists, but serves no model. Try another model with "
        f"`tidegate update {name} MODEL_URI`, or delete the endpoint with `tidegate delete {name}`."
    )


def _key(event: Json) -> _EventKey:
    return event["timestamp"], event["message"]


def _passing(failure: Failure) -> bool:
    return isinstance(failure, Unreachable) or getattr(failure, "status", 0) == httpx.codes.SERVICE_UNAVAILABLE
