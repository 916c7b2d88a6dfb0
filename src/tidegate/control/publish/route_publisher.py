"""Compiles the route table from the endpoints, and sends it to the gateways."""

from collections.abc import Mapping

from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.publish.replay_orders import ReplayOrders
from tidegate.control.publish.two_phase_switch import TwoPhaseSwitch
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.planes.route_table import Leads, compile_table
from tidegate.core.rollout.gate import GateDefaults
from tidegate.core.rollout.replay import Findings, Replay
from tidegate.ports import Clock


class Publisher:
    """Sends route tables. A table is compiled again only when one of its sources may have changed.

    `agent` is the socket of the agent that runs the replicas.
    """

    def __init__(self, gateways: Gateways, agent: str, gate: GateDefaults, clock: Clock) -> None:
        self._gateways, self._agent = gateways, agent
        self._replays = ReplayOrders(gateways, gate, clock)
        self._switch = TwoPhaseSwitch(gateways.expected)
        self._published: tuple[Endpoint, ...] | None = None  # the endpoints of the newest route table
        self._leads: dict[str, Leads] = {}  # endpoint id → its part of the newest route table

    @property
    def findings(self) -> Mapping[str, Findings]:
        """The findings of the ordered replays that are done, by the replay's id."""
        return self._replays.findings

    def publish(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Have every gateway route by these endpoints, and cancel the replays that none of them waits for."""
        if endpoints is not self._published:
            self._replays.keep_wanted(endpoints)
            self._switch.keep_switching(endpoints)
            self._compile(endpoints)

    def order(self, endpoint: Endpoint, replays: tuple[Replay, ...]) -> None:
        """Have every gateway replay its recorded requests on the configuration that the endpoint waits for."""
        if self._published is not None and self._replays.order(endpoint, replays):
            self._compile(self._published)

    async def switch(self, endpoint: Endpoint, seconds: float) -> None:
        """Have every gateway route to the new configuration of a published endpoint.

        Each of the two phases waits for the gateways for `seconds` at most.
        """
        if self._switch.held((endpoint,)):
            await self._gateways.followed(seconds)
            self._switch.release(endpoint)
            self._compile(self._published or (endpoint,))
        await self._gateways.followed(seconds)

    def _compile(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._published, held = endpoints, self._switch.held(endpoints)
        table = compile_table(endpoints, self._agent, self._leads, self._replays.by_endpoint, held)
        self._gateways.publish(table)
