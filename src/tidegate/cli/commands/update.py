"""`tidegate update`: another model behind an endpoint, which goes on serving meanwhile."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.commands.launch import ModelUri, NoWait, model_fields, registered
from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.failure import Failure
from tidegate.cli.model_uri import parse
from tidegate.cli.progress import Progress
from tidegate.core.endpoint.served_entity import ModelRef, default_served_name

if TYPE_CHECKING:
    from tidegate.cli.client import Client
    from tidegate.cli.endpoint_view import EndpointView, Json

# What the server adds to a served entity; the rest are settings.
_ANSWERED = ("state", "creator", "creation_timestamp", "foundation_model", "resolved_version", "pointer")


Force = Annotated[bool, typer.Option("--force", help="Skip the gate.")]


@connected
def update(
    client: "Client", endpoint: EndpointName, model_uri: ModelUri, no_wait: NoWait = False, force: Force = False
) -> None:
    """Change an endpoint's model. Its settings stay, and no request is lost."""
    from tidegate.cli.watch import Watch

    model = parse(model_uri)
    current = only_entity(client.endpoint(endpoint))
    with Progress() as progress:
        watch = Watch(client, endpoint, progress)
        ref = registered(client, model, str(current["entity_name"]), progress)
        updated = client.update(endpoint, with_model(current, ref), force=force)
        if not no_wait:
            watch.until_ended(updated)
    typer.echo(f"Endpoint '{endpoint}' {'is being updated to' if no_wait else 'serves'} {ref.uri}.")


def only_entity(endpoint: "EndpointView") -> "Json":
    """The one entity that the endpoint serves or tried to serve. Raises Failure when there are several."""
    entities = list(endpoint.serving) or list(endpoint.coming)
    if len(entities) == 1:
        return entities[0].json
    names = ", ".join(entity.name for entity in entities) or "none"
    raise Failure(
        f"Endpoint '{endpoint.name}' serves {len(entities)} entities ({names}), but `update` changes only one. Send "
        f"the whole configuration to PUT /api/2.0/serving-endpoints/{endpoint.name}/config instead."
    )


def with_model(entity: "Json", ref: ModelRef) -> "Json":
    """The entity's settings around another model. A name that came from the model changes with it."""
    kept = {key: value for key, value in entity.items() if key not in _ANSWERED and value is not None}
    old = ModelRef(str(entity["entity_name"]), str(entity["entity_version"]))
    if kept.get("name") == default_served_name(old):
        del kept["name"]
    return {**kept, **model_fields(ref)}
