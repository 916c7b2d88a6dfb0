"""`tidegate enabled`: the registered models whose serving is on."""

from typing import TYPE_CHECKING

import typer

from tidegate.cli.connected import connected
from tidegate.cli.output import Format, OutputOption, print_json, print_table
from tidegate.core.endpoint.legacy_face import Product

if TYPE_CHECKING:
    from tidegate.cli.client import Client


@connected
def enabled(client: "Client", output: OutputOption = Format.TABLE) -> None:
    """Show the models that are served by their stages and versions."""
    models = [(product, model) for product in Product for model in client.enabled(product)]
    if output is Format.JSON:
        print_json([{"product": product.value, **model} for product, model in models])
    elif not models:
        typer.echo("No model is enabled. `tidegate enable MODEL` serves one by its stages.", err=True)
    else:
        rows = [
            (
                model["registered_model_name"],
                product.value,
                model["state"].removeprefix("ENDPOINT_STATE_").lower(),
                model["state_message"],
            )
            for product, model in models
        ]
        print_table(("MODEL", "PRODUCT", "STATE", "MESSAGE"), rows)
