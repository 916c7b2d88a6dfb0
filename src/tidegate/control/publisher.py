"""The route table as it is published: made of the endpoints, with the replays that are ordered now."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.control.gateways import Gateways
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.planes.route_table import Leads, compile_table
from tidegate.core.rollout.gate import Gate, replays_of
from tidegate.core.rollout.replay import Findings, Replay
from tidegate.ports import Clock


@dataclass(frozen=True, slots=True)
class Access:
    """What a route table carries besides routes: the agent's socket, and the hashes of the tokens that may query."""

    agent: str
    token_hashes: tuple[str, ...]


# How long a gateway is waited for. A replay takes less, unless replicas die again and again in it.
PATIENCE_SECONDS = 45.0


class Publisher:
    """Tells the gateways what routes there are. A table is compiled anew only when something in it may have changed."""

    def __init__(self, gateways: Gateways, access: Access, gate: Gate, clock: Clock) -> None:
        self._gateways, self._access, self._gate, self._clock = gateways, access, gate, clock
        self._published: tuple[Endpoint, ...] | None = None  # what the newest route table was made of
        self._leads: dict[str, Leads] = {}  # what it had of each endpoint
        self._replays: dict[str, tuple[Replay, ...]] = {}  # ordered now, by endpoint id
        self._ordered_at: dict[str, float] = {}  # when, monotonic seconds
        self._known_to_all: set[str] = set()  # ids of endpoints whose switch all gateways know of

    @property
    def findings(self) -> Mapping[str, Findings]:
        """What was found in those of the replays that are done. A gateway that is not there is not waited for for
        good: what it recorded may be gone with it, and others must not be kept from what is new.
        """
        found: dict[str, Findings] = {}
        for identity, replays in self._replays.items():
            waited = self._clock.monotonic() - self._ordered_at[identity] >= PATIENCE_SECONDS
            found |= self._gateways.findings(replays, waited_enough=waited)
        return found

    def publish(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Have gateways route by these endpoints, and order no more of what none of them waits for."""
        if endpoints is not self._published:
            self._drop_replays(endpoints)
            self._known_to_all &= {endpoint.id for endpoint in endpoints if endpoint.switching is not None}
            self._compile(endpoints)

    def order(self, endpoint: Endpoint, replays: tuple[Replay, ...]) -> None:
        """Have gateways try what is to serve next, until the endpoint waits for it no longer."""
        if self._published is not None and self._replays.get(endpoint.id) != replays:
            self._replays[endpoint.id] = replays
            self._ordered_at[endpoint.id] = self._clock.monotonic()
            self._compile(self._published)

    async def switch(self, endpoint: Endpoint, seconds: float) -> None:
        """Have every gateway route to what a published endpoint is being switched to. Waits so long at most, twice.

        Several gateways hold its requests until all of them know: none is to answer by what served before while
        another one answers by what serves now.
        """
        if self._held((endpoint,)):
            await self._gateways.followed(seconds)
            self._known_to_all.add(endpoint.id)
            self._compile(self._published or (endpoint,))
        await self._gateways.followed(seconds)

    def _drop_replays(self, endpoints: tuple[Endpoint, ...]) -> None:
        if self._replays:
            wanted = {endpoint.id: replays_of(endpoint.routed, self._gate) for endpoint in endpoints}
            self._replays = {key: ordered for key, ordered in self._replays.items() if wanted.get(key) == ordered}
            self._ordered_at = {key: at for key, at in self._ordered_at.items() if key in self._replays}

    def _held(self, endpoints: tuple[Endpoint, ...]) -> tuple[str, ...]:
        """The names of those that are being switched, and not all gateways are known to know it."""
        if self._gateways.expected == 1:
            return ()
        return tuple(one.name for one in endpoints if one.switching is not None and one.id not in self._known_to_all)

    def _compile(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._published, access, held = endpoints, self._access, self._held(endpoints)
        table = compile_table(endpoints, access.agent, access.token_hashes, self._leads, self._replays, held)
        self._gateways.publish(table)
