"""The verbs over enabled models that write: switch a model's serving on and off, and change what it uses.

A verb writes what is asked for and returns; the alignment makes and ends endpoints. Only `enable` asks the registry.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.control.registry.enabled_model_queries import EnabledModelContext, EnabledModelQueries
from tidegate.control.registry.model_alignment import ModelAlignment
from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.endpoint.served_entity import WORKLOAD_SIZES
from tidegate.core.errors import Conflict, InvalidParameter, NotFound, TidegateError
from tidegate.core.legacy_products.enablement import SERVED_STAGES, Enablement, kept_out, stands_for, version_of
from tidegate.ports import ModelRegistry, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

_ATTEMPTS = 10  # how often a write is tried while others write the same


class EnabledModels(EnabledModelQueries):
    """Each verb raises as the queries do."""

    def __init__(
        self,
        store: Store,
        registry: ModelRegistry,
        endpoints: Endpoints,
        alignment: ModelAlignment,
        context: EnabledModelContext,
    ) -> None:
        super().__init__(store, endpoints, context)
        self._registry, self._endpoints, self._alignment = registry, endpoints, alignment
        self._gateways, self._wakeups, self._patience = context.gateways, context.wakeups, context.patience

    async def enable(self, face: Face, creator: str) -> None:
        """Switch a model's serving on, and make its endpoints. A model that is enabled already stays as it is.

        Raises NotFound where the registry has no such model, and Unavailable when it is away.
        """
        if await self._find(face) is not None:
            return
        pointers = await self._registry.pointers([face.model], [face.model])
        if face.model not in pointers:
            raise NotFound(f"The registry has no model '{face.model[:80]}'. Register it first.")
        enablement = Enablement(face.product, face.model, creator, self._clock.now())
        try:
            await self._store.save_enablement(enablement)
        except Conflict:  # enabled by somebody else meanwhile
            return
        try:
            names = await self._alignment.begin(face, pointers)
        except TidegateError as error:  # it is on record: the follower's next look goes on
            logger.warning("a model's endpoints are to come: %s", error.message, extra=fields(model=face.model))
        else:
            await self._gateways.followed(self._patience, names)
        self._wakeups.ask_registry()

    async def disable(self, face: Face) -> None:
        """Switch a model's serving off: all its endpoints end."""
        await self._known(face)
        await self._store.drop_enablement(face.product, face.model)
        await self._alignment.end(face)
        self._wakeups.ask_registry()  # an endpoint may have been made meanwhile

    async def update_compute(self, face: Face, stage: str, size: str | None, scale_to_zero: bool | None) -> None:
        """Change the compute of a stage: now, or when a version comes into the stage. A value that is None stays.

        The stage keeps its present compute until the new one is ready, and for good if that fails. Raises
        InvalidParameter.
        """
        stage = stage.capitalize()
        if stage not in SERVED_STAGES:
            raise InvalidParameter(f"stage must be {' or '.join(SERVED_STAGES)}.")
        if size is not None and size not in WORKLOAD_SIZES:
            raise InvalidParameter(f"workload_size_id must be one of {', '.join(WORKLOAD_SIZES)}.")

        def change(enablement: Enablement) -> Enablement:
            now = enablement.compute(stage)
            zero = now.scale_to_zero_enabled if scale_to_zero is None else scale_to_zero
            return enablement.with_compute(stage, size or now.workload_size_id, zero, self._clock.now())

        changed = await self._change(face, change)
        try:
            await self._alignment.give(changed, stage)
        except TidegateError as error:  # it is on record: the alignment tries again
            logger.warning("a stage waits for its compute: %s", error.message, extra=fields(model=face.model))
        self._wakeups.ask_registry()

    async def restart(self, face: Face, version: str, by: str) -> None:
        """Begin a version's failed update or failed start again, or bring in a version that is kept out of its stage.

        While an update runs, nothing changes. Raises Conflict where nothing has failed.
        """
        found = await self.version(face, version)
        endpoints = [one.endpoint for one in await self._seen(face)]
        failed = [(one.name, config) for one in endpoints if (config := _to_try(one, version.capitalize()))]
        if not failed and found.endpoint.pending is None:
            raise Conflict(f"Nothing has failed of version {found.version} of model '{face.model}'.")
        for name, config in failed:
            await self._endpoints.update_config(name, ConfigRequest(config.served_entities), by, face)

    async def update_cluster(self, face: Face, node_type_id: str, tags: Sequence[tuple[str, str]] | None) -> None:
        """Remember the machine that a client of the classic product asks for. Nothing uses it: there is one machine."""

        def change(enablement: Enablement) -> Enablement:
            kept = enablement.cluster_tags if tags is None else tuple(tags)
            return replace(enablement, node_type_id=node_type_id or enablement.node_type_id, cluster_tags=kept)

        await self._change(face, change)

    # ---

    async def _change(self, face: Face, change: Callable[[Enablement], Enablement]) -> Enablement:
        """Write what `change` makes of the enabled model; again when somebody else wrote it in between."""
        for _ in range(_ATTEMPTS):
            changed = change(await self._known(face))
            try:
                return await self._store.save_enablement(changed)
            except Conflict:
                continue
        raise Conflict(f"The serving of model '{face.model}' is being changed by others; try again.")


def _to_try(endpoint: Endpoint, asked: str) -> EndpointConfig | None:
    """The configuration to begin again. `asked` is the stage or version of the endpoint, or the version that failed."""
    attempts = (endpoint.failed.config if endpoint.failed else None, kept_out(endpoint))
    known = (config for config in attempts if config is not None)
    return next((config for config in known if asked in (stands_for(endpoint), version_of(config))), None)
