"""Which endpoints gateways hold requests of, so that no two gateways answer by different configurations.

The first phase tells every gateway that an endpoint is being switched, and gateways hold its requests. When all of them
know, the second phase releases the requests to the new configuration. A single gateway needs no first phase.
"""

from collections.abc import Iterable

from tidegate.core.endpoint.endpoint import Endpoint


class TwoPhaseSwitch:
    """Remembers which switches are known to every gateway, by endpoint id."""

    def __init__(self, expected_gateways: int) -> None:
        self._expected_gateways = expected_gateways
        self._known_to_all: set[str] = set()

    def held(self, endpoints: Iterable[Endpoint]) -> tuple[str, ...]:
        """The names of the endpoints in their first phase: being switched, and not known to every gateway to be so."""
        if self._expected_gateways == 1:
            return ()
        return tuple(one.name for one in endpoints if one.switching is not None and one.id not in self._known_to_all)

    def release(self, endpoint: Endpoint) -> None:
        """Begin the second phase of an endpoint: every gateway knows of its switch."""
        self._known_to_all.add(endpoint.id)

    def keep_switching(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget every switch that has ended."""
        self._known_to_all &= {endpoint.id for endpoint in endpoints if endpoint.switching is not None}
