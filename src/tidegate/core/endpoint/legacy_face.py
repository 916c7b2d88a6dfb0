"""The face that an endpoint shows as part of an older product: the registered model whose serving was switched on."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


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

    @property
    def id(self) -> str:
        """Product and model as one text."""
        return f"{self.product}/{self.model}"


class FaceRank(IntEnum):
    """Who comes first when several endpoints claim the same key."""

    STAGE = 0  # a stage's endpoint that serves the version
    OWN = 1  # the endpoint that was made for the stage or the version
    TO_BE = 2  # a stage's endpoint that is to serve the version, or failed to


def key_of(asked: str) -> str:
    """The key of a stage, whose case does not matter, or of a version."""
    return asked.lower()


def is_stage(key: str) -> bool:
    """Whether a key is a stage's; else it is a version's."""
    return not key.isdigit()
