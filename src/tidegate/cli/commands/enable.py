"""`tidegate enable` and `tidegate disable`: the serving of a registered model, as the older products have it."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.connected import connected
from tidegate.core.endpoint.legacy_face import Product

if TYPE_CHECKING:
    from tidegate.cli.client import Client

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="The registered model's name.")]
ProductOption = Annotated[
    Product, typer.Option(help="serverless: Production and Staging. classic: all versions that are not archived.")
]


@connected
def enable(client: "Client", model: ModelName, product: ProductOption = Product.SERVERLESS) -> None:
    """Serve a model by its stages and versions."""
    client.enable(product, model)
    typer.echo(f"Model '{model}' is enabled. `tidegate list` shows its endpoints.")


@connected
def disable(client: "Client", model: ModelName, product: ProductOption = Product.SERVERLESS) -> None:
    """Delete the endpoints of an enabled model."""
    client.disable(product, model)
    typer.echo(f"Model '{model}' is disabled. Its endpoints are deleted.")
