"""The face of an endpoint: the older product and the registered model that it serves for."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Product(StrEnum):
    """The older products. A user enables a registered model there, and makes no endpoint."""

    SERVERLESS = "serverless"  # Serverless Real-Time Inference: the versions in Staging and Production
    CLASSIC = "classic"  # classic MLflow model serving: all versions that are not archived


@dataclass(frozen=True, slots=True)
class Face:
    """The product and the registered model under which an endpoint is reached besides its own name.

    An endpoint with a face serves one entity: a stage (`Production`), which it follows, or an exact version.
    """

    product: Product
    model: str

    @property
    def id(self) -> str:
        """The product and the model as one text."""
        return f"{self.product}/{self.model}"


class FaceRank(IntEnum):
    """Which of several endpoints answers for a key: the one with the lowest rank."""

    STAGE = 0  # a stage's endpoint that serves the version
    OWN = 1  # the endpoint that was made for the stage or the version
    TO_BE = 2  # a stage's endpoint that will serve the version, or failed to


def key_of(asked: str) -> str:
    """The key of a version or a stage, as a URL has it. The case of a stage does not matter."""
    return asked.lower()


def is_stage(key: str) -> bool:
    """Whether a key stands for a stage. All others stand for a version."""
    return not key.isdigit()
