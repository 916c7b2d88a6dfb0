"""An enablement: the serving of a registered model by an older product. Its endpoints have the model's face."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.names import NAME_CHARACTERS
from tidegate.core.endpoint.served_entity import (
    ModelRef,
    ModelVersion,
    ServedEntity,
    default_served_name,
)
from tidegate.core.errors import Conflict
from tidegate.core.rollout.pointers import ARCHIVED

# The stages that have an endpoint, which follows them.
SERVED_STAGES = ("Production", "Staging")

# How long the endpoint of a single version keeps its replicas without a request.
VERSION_IDLE_SECONDS = 300.0

PRODUCT_TITLES = {
    Product.SERVERLESS: "Serverless Real-Time Inference",
    Product.CLASSIC: "Classic model serving",
}

_COMPUTES_KEPT = 10  # of each stage


@dataclass(frozen=True, slots=True)
class Compute:
    """The compute configuration of a stage: what its endpoint may use. `given`: it was applied to the endpoint.

    It is applied once, so a later rollback undoes it for good. `failed_for` is the version for which it failed, if any;
    it is applied again to the next version.
    """

    stage: str
    workload_size_id: str = "Small"
    scale_to_zero_enabled: bool = False
    version: int = 0
    asked_at: float = 0.0  # unix seconds
    given: bool = True
    failed_for: str = ""

    def fits(self, entity: ServedEntity) -> bool:
        """Whether the entity has this configuration already."""
        return self.applied_to(entity) == entity

    def applied_to(self, entity: ServedEntity) -> ServedEntity:
        """The entity with this configuration."""
        return replace(entity, workload_size=self.workload_size_id, scale_to_zero_enabled=self.scale_to_zero_enabled)


@dataclass(frozen=True, slots=True)
class Enablement:
    """A product's serving of a registered model. `computes` are the compute configurations, the newest last.

    `node_type_id` and `cluster_tags` belong to the classic product, and have no effect on one machine.
    `resource_version` is the store's compare-and-set stamp.
    """

    product: Product
    model: str
    creator: str
    enabled_at: float  # unix seconds
    computes: tuple[Compute, ...] = ()
    node_type_id: str = "local"
    cluster_tags: tuple[tuple[str, str], ...] = ()
    resource_version: int = field(default=0, compare=False)

    @property
    def face(self) -> Face:
        """The face of its endpoints."""
        return Face(self.product, self.model)

    def serves(self, stage: str) -> bool:
        """Whether the versions in a stage are served."""
        return stage != ARCHIVED if self.product is Product.CLASSIC else stage in SERVED_STAGES

    def compute(self, stage: str) -> Compute:
        """The newest compute configuration of a stage."""
        asked = [compute for compute in self.computes if compute.stage == stage]
        return asked[-1] if asked else Compute(stage, asked_at=self.enabled_at)

    def compute_of(self, entity: ServedEntity) -> Compute:
        """An entity's compute configuration: the newest of its stage that it fits, or one of its own values."""
        stage = entity.model.version if entity.model.version in SERVED_STAGES else ""
        own = Compute(stage, entity.workload_size, entity.scale_to_zero_enabled, asked_at=self.enabled_at)
        asked = [compute for compute in self.computes if compute.stage == stage and compute.fits(entity)]
        return asked[-1] if asked else own

    def with_compute(self, stage: str, size: str, scale_to_zero: bool, now: float) -> "Enablement":
        """This enablement with another compute configuration for a stage."""
        version = self.compute(stage).version + 1
        mine = [compute for compute in self.computes if compute.stage == stage][1 - _COMPUTES_KEPT :]
        others = [compute for compute in self.computes if compute.stage != stage]
        asked = Compute(stage, size, scale_to_zero, version, now, given=False)
        return replace(self, computes=(*others, *mine, asked))

    def with_given(self, asked: Compute, failed_for: str = "") -> "Enablement":
        """This enablement after `asked` was applied to the stage's endpoint; `failed_for` is the version for which it
        failed.
        """
        known = replace(asked, given=True, failed_for=failed_for)
        return replace(self, computes=tuple(known if compute == asked else compute for compute in self.computes))


def entity_of(
    model: str, key: str, version: str, compute: Compute | None = None, registered_at: int = 0
) -> ServedEntity:
    """The served entity of an endpoint with a face. `key` is the stage that it follows, or its exact version.

    Without a `compute` it may scale to zero.
    """
    ref = ModelRef(model, key)
    entity = ServedEntity(default_served_name(ref), ref, ModelVersion(model, version, registered_at))
    if compute is not None:
        return compute.applied_to(entity)
    return replace(entity, scale_to_zero_enabled=True, idle_timeout_seconds=VERSION_IDLE_SECONDS)


def stands_for(endpoint: Endpoint) -> str:
    """The key of an endpoint with a face: a stage, or an exact version."""
    config = endpoint.active or endpoint.latest_config
    assert config is not None
    return config.served_entities[0].model.version


def version_of(config: EndpointConfig) -> str:
    """The exact version that a configuration of an endpoint with a face serves."""
    return config.served_entities[0].resolved.version


def kept_out(endpoint: Endpoint) -> EndpointConfig | None:
    """The configuration of a stage's endpoint with the version that it rejects; None where it rejects none.

    A version is rejected where it was held back or failed, and the compute configuration was changed since; or where a
    rollback took it away.
    """
    config = endpoint.pending.config if endpoint.pending else endpoint.active
    if endpoint.face is None or config is None:
        return None
    (entity,) = config.served_entities
    versions = [version for model, version in endpoint.rejected if model == entity.model]
    newest = max(versions, key=lambda version: int(version.version), default=None)
    return None if newest is None else replace(config, served_entities=(replace(entity, resolved=newest),))


def refusing_what_failed(endpoint: Endpoint, updated: Endpoint) -> Endpoint:
    """The updated endpoint, which tries no failed version again: only its compute configuration was updated."""
    asked = updated.pending.config.resolved_refs if updated.pending else frozenset()
    failed = endpoint.failed.config.resolved_refs if endpoint.failed else frozenset()
    return replace(updated, rejected=tuple(sorted({*updated.rejected, *(failed - asked)}, key=str)))


def check_owner(endpoint: Endpoint, face: Face | None) -> None:
    """Raise Conflict where an endpoint is a product's, and `face` is not that one's."""
    if endpoint.face is None or endpoint.face == face:
        return
    product, model = endpoint.face.product, endpoint.face.model
    remedy = f"to end it, disable the serving of that model (`tidegate disable {model} --product {product.value}`)"
    if product is Product.SERVERLESS:
        remedy += "; to change its size, use update-compute-config"
    raise Conflict(
        f"Endpoint '{endpoint.name}' belongs to {PRODUCT_TITLES[product]} of model '{model}' and changes with the "
        f"model's versions and stages: {remedy}."
    )


def endpoint_name(face: Face, key: str, taken: Collection[str]) -> str:
    """A name for an endpoint with a face: the same at every call, and none that is taken.

    `serverless-wine-production`; with a digest where the model's name has other characters or is too long.
    """
    attempt = 0
    while (name := _name(face, key, attempt)) in taken:
        attempt += 1
    return name


def _name(face: Face, key: str, attempt: int) -> str:
    start, end = f"{face.product.value}-", f"-{key.lower()}"
    room = NAME_CHARACTERS - len(start) - len(end)
    if attempt == 0 and len(face.model) <= room and re.fullmatch(r"[A-Za-z0-9_-]+", face.model):
        return f"{start}{face.model}{end}"
    digest = hashlib.sha256(f"{face.model}\0{attempt}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", face.model).strip("-")[: room - len(digest) - 1]
    return f"{start}{plain}-{digest}{end}" if plain else f"{start}{digest}{end}"
