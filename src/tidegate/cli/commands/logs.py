"""`tidegate logs`: what an endpoint's models print, or how their environments were made."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.failure import Failure
from tidegate.core.endpoint.status import Deployment

if TYPE_CHECKING:
    from tidegate.cli.client import Client
    from tidegate.cli.endpoint_view import ConfigView, EndpointView

_EVERY_SECONDS = 1.0
# How much of the end of a log is looked for in its next reading, whose beginning may be gone.
_OVERLAP = 2000
_NOTHING = (
    "No replica of '{0}' has printed anything yet. `tidegate logs {0} --build` shows how the environment was built."
)


@connected
def logs(
    client: "Client",
    endpoint: EndpointName,
    build: Annotated[bool, typer.Option("--build", help="Print the log of download and build.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, or until the build has ended.")
    ] = False,
    served: Annotated[str, typer.Option(metavar="NAME", help="One served entity; by default all.")] = "",
) -> None:
    """Print an endpoint's logs."""
    kind = "build-logs" if build else "logs"
    names = [served] if served else served_names(client.endpoint(endpoint))
    seen = dict.fromkeys(names, "")
    first = True
    while True:
        # Asked before the log is read: what is written until then is still printed.
        ended = not follow or (build and not _preparing(client.endpoint(endpoint), names))
        for name in names:
            log = client.log(endpoint, name, kind)
            if fresh := unseen(seen[name], log):
                title = f"==> {name} <==\n" if len(names) > 1 else ""
                typer.echo(title + fresh, nl=not fresh.endswith("\n"))
            seen[name] = log
        if first and not build and not any(seen.values()):
            typer.echo(_NOTHING.format(endpoint), err=True)
        first = False
        if ended:
            return
        time.sleep(_EVERY_SECONDS)


def served_names(endpoint: "EndpointView") -> list[str]:
    """The served entities that have logs: of what is on its way, failed or serves. Raises Failure without any."""
    names = list(dict.fromkeys(served.name for config in _newest_first(endpoint) for served in config))
    if not names:
        raise Failure(f"Endpoint '{endpoint.name}' serves nothing. Name an earlier served entity with --served.")
    return names


def unseen(before: str, now: str) -> str:
    """What a log has gained between two readings. Of one that was rotated away altogether, all of it."""
    end = before[-_OVERLAP:]
    return now[now.rindex(end) + len(end) :] if end and end in now else now


def _preparing(endpoint: "EndpointView", names: list[str]) -> bool:
    return any(served.name in names and served.deployment == Deployment.CREATING for served in endpoint.coming)


def _newest_first(endpoint: "EndpointView") -> "tuple[ConfigView, ...]":
    return endpoint.coming, endpoint.failed, endpoint.serving
