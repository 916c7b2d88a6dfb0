"""The face that an endpoint shows as part of an older product: the registered model whose serving was switched on."""

from dataclasses import dataclass
from enum import StrEnum


class Product(StrEnum):
    """The products of which a registered model, not an endpoint, is the unit."""

    SERVERLESS = "serverless"  # Serverless Real-Time Inference: the versions in Staging and Production
    CLASSIC = "classic"  # classic MLflow model serving: all versions that are not archived


@dataclass(frozen=True, slots=True)
class Face:
    """Under which product and registered model an endpoint is reached besides its own name.

    An endpoint with a face serves one entity: a stage (`Production`), which it follows, or an exact version.
    """

    product: Product
    model: str
