"""The switch of an endpoint to its pending configuration, in three steps (decision 9).

Control may be killed after any step. The store says first that the switch begins: whoever reads the store from then on
routes to the new configuration. Then the gateways follow. Then the store says that the switch has ended: whoever is
told so may send a request at once.
"""

from tidegate.control.publish.route_publisher import Publisher
from tidegate.control.reconcile.endpoint_history import EndpointHistory
from tidegate.control.reconcile.world import ReconcilerPorts, World
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.errors import Conflict
from tidegate.core.rollout.switch import switch_of

# How long each phase of a switch waits for the gateways, seconds. A gateway that is later follows when it can.
_FOLLOW_TIMEOUT = 1.0
# How often the end of a switch is written again when somebody else writes the same endpoint at the same time.
_ATTEMPTS = 10


class ConfigSwitch:
    """Carries out the three steps."""

    def __init__(self, ports: ReconcilerPorts, world: World, publisher: Publisher, history: EndpointHistory) -> None:
        self._store, self._clock = ports.store, ports.clock
        self._world, self._publisher, self._history = world, publisher, history

    async def switch(self, endpoint: Endpoint, report: str) -> None:
        """Switch the endpoint, or go on with its switch. `report` is the gate's, as JSON. Raises Conflict."""
        if endpoint.switching is None:
            endpoint = await self._store.save_endpoint(endpoint.let_through(self._clock.now(), report))
            self._world.show(endpoint)
        await self._publisher.switch(endpoint, _FOLLOW_TIMEOUT)
        switch = switch_of(endpoint)
        self._world.show(await self._ended(endpoint))
        await self._history.tell(endpoint.id, switch.kind, switch.sentence)

    async def _ended(self, endpoint: Endpoint) -> Endpoint:
        """Write the end of the switch, onto what others have written meanwhile; returns the endpoint on record."""
        current: Endpoint | None = endpoint
        for _ in range(_ATTEMPTS):
            if current is None or current.id != endpoint.id:
                break
            if current.switching != endpoint.switching:
                return current  # it is on record already: only the store's answer was lost
            try:
                return await self._store.save_endpoint(current.routed, switch_of(current))
            except Conflict:
                current = await self._store.endpoint(endpoint.name)
        raise Conflict(f"Endpoint '{endpoint.name}' is being changed by others.")
