"""`tidegate launch`: an endpoint from a model, ready when the command ends."""

import contextlib
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.connected import connected
from tidegate.cli.failure import Failure, Refused
from tidegate.cli.model_uri import parse
from tidegate.cli.progress import Progress
from tidegate.core.endpoint.names import fit_name
from tidegate.core.endpoint.served_entity import IDLE_TIMEOUT_SECONDS, ModelRef

if TYPE_CHECKING:
    from tidegate.cli.client import Client
    from tidegate.cli.endpoint_view import EndpointView, Json

ModelUri = Annotated[
    str,
    typer.Argument(
        metavar="MODEL_URI",
        help="models:/NAME/3, models:/NAME@champion, models:/NAME/Production, or the path of a saved model.",
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once. `tidegate show` shows the progress.")]


class Size(StrEnum):
    """How many replicas there may be; see `tidegate.core.endpoint.served_entity.WORKLOAD_SIZES`."""

    SMALL = "Small"
    MEDIUM = "Medium"
    LARGE = "Large"


@connected
def launch(
    client: "Client",
    model_uri: ModelUri,
    endpoint: Annotated[str, typer.Option(help="The endpoint's name; by default the model's.")] = "",
    size: Annotated[
        Size, typer.Option(case_sensitive=False, help="At most 4, 16 or 64 replicas. Their number follows the load.")
    ] = Size.SMALL,
    scale_to_zero: Annotated[bool, typer.Option(help="Run no process while no request comes.")] = False,
    idle_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds without a request until scale to zero.", show_default=True)
    ] = IDLE_TIMEOUT_SECONDS,
    no_wait: NoWait = False,
) -> None:
    """Make an endpoint that serves a model."""
    model = parse(model_uri)
    name = endpoint or fit_name(model.name)
    if existing(client, name) is not None:  # asked before anything is uploaded
        raise Failure(
            f"There is an endpoint '{name}' already. Replace its model with "
            f"`tidegate update {name} {shlex.quote(model_uri)}`, or choose another name with --endpoint."
        )
    with Progress() as progress:
        ref = registered(client, model, name, progress)
        entity = {
            "workload_size": size.value,
            "scale_to_zero_enabled": scale_to_zero,
            "idle_timeout_seconds": idle_timeout,
            **model_fields(ref),
        }
        bring_up(client, name, entity, progress, wait=not no_wait)
    print_how_to_query(client, name, wait=not no_wait)


def existing(client: "Client", name: str) -> "EndpointView | None":
    """The endpoint of that name, if there is one."""
    try:
        return client.endpoint(name)
    except Refused as refused:
        if refused.code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def registered(client: "Client", model: ModelRef | Path, name: str, progress: Progress) -> ModelRef:
    """The model in the registry; a saved one becomes a new version of `name` first."""
    if isinstance(model, ModelRef):
        return model
    progress.show(f"Registering {model} as '{name}'.")
    _check_registry(client)
    from tidegate.cli.registration import register

    def show(done: int, total: int) -> None:
        progress.show(f"Uploading '{name}': {done / 1e6:.1f} of {total / 1e6:.1f} MB.")

    ref = register(client.server, model, name, show)
    progress.tell(f"Registered as {ref.uri}.")
    return ref


def _check_registry(client: "Client") -> None:
    """Raise Failure unless the server has a registry of its own: before MLflow is imported, which takes seconds."""
    try:
        client.registered_models()
    except Refused as refused:
        if refused.code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise Failure(
            "This server uses an external registry. Register the model there, and name it as models:/NAME/VERSION."
        ) from None


def model_fields(ref: ModelRef) -> "Json":
    """The model in a served entity."""
    return {"entity_name": ref.name, "entity_version": ref.version}


def bring_up(client: "Client", name: str, entity: "Json", progress: Progress, *, wait: bool) -> None:
    """Create the endpoint, and see it up unless told not to. Raises Failure when it does not come up."""
    from tidegate.cli.watch import Watch

    watch = Watch(client, name, progress)
    created = client.create(name, entity)
    if wait:
        watch.until_ended(created)


def print_how_to_query(client: "Client", name: str, *, wait: bool) -> None:
    """The endpoint's URL, and a line that queries it."""
    from tidegate.cli.client import scoring_path
    from tidegate.cli.curl import print_curl_line

    example = None
    if wait:
        with contextlib.suppress(Refused):  # the line is an extra: the endpoint is up
            example = client.example(name)
    state = "ready" if wait else "being prepared"
    typer.echo(f"Endpoint '{name}' is {state}: {client.server.public_url}{scoring_path(name)}")
    print_curl_line(client.server, name, example)
