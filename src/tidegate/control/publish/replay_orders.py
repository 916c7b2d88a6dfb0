"""The replays that gateways are to run now, and what they found."""

from collections.abc import Iterable, Mapping

from tidegate.control.publish.gateway_links import Gateways
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.rollout.gate import GateDefaults, replays_of
from tidegate.core.rollout.replay import Findings, Replay
from tidegate.ports import Clock

# After this long, a replay's findings are taken as they are. A replay takes less, unless replicas die again and again
# in it.
PATIENCE_SECONDS = 45.0


class ReplayOrders:
    """The order book of replays. An endpoint's order stands until its pending configuration asks for another one."""

    def __init__(self, gateways: Gateways, gate: GateDefaults, clock: Clock) -> None:
        self._gateways, self._gate, self._clock = gateways, gate, clock
        self._ordered_at: dict[str, float] = {}  # endpoint id → monotonic seconds
        self.by_endpoint: dict[str, tuple[Replay, ...]] = {}  # endpoint id → what is ordered of it

    def order(self, endpoint: Endpoint, replays: tuple[Replay, ...]) -> bool:
        """Order these replays for an endpoint. Returns whether they were not ordered before."""
        if self.by_endpoint.get(endpoint.id) == replays:
            return False
        self.by_endpoint[endpoint.id] = replays
        self._ordered_at[endpoint.id] = self._clock.monotonic()
        return True

    def keep_wanted(self, endpoints: Iterable[Endpoint]) -> None:
        """Cancel every order that none of these endpoints waits for any more."""
        if self.by_endpoint:
            wanted = {endpoint.id: replays_of(endpoint.routed, self._gate) for endpoint in endpoints}
            self.by_endpoint = {key: ordered for key, ordered in self.by_endpoint.items() if wanted.get(key) == ordered}
            self._ordered_at = {key: at for key, at in self._ordered_at.items() if key in self.by_endpoint}

    @property
    def findings(self) -> Mapping[str, Findings]:
        """The findings of every replay that is done, by the replay's id.

        A replay is done when every gateway has reported on it, or after PATIENCE_SECONDS. A gateway that is gone has
        lost what it recorded, and a new revision must not wait for it for good.
        """
        found: dict[str, Findings] = {}
        for identity, replays in self.by_endpoint.items():
            waited = self._clock.monotonic() - self._ordered_at[identity] >= PATIENCE_SECONDS
            found |= self._gateways.findings(replays, waited_enough=waited)
        return found
