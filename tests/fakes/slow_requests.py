"""Slow requests and errors as a test says them."""

from tidegate.control.publish.slow_requests import SlowRequests
from tidegate.core.planes.noted_requests import NotedRequests


class FakeSlowRequests(SlowRequests):
    """Asks no gateway: `noted` has what each endpoint is to have."""

    def __init__(self) -> None:
        super().__init__(())
        self.noted: dict[str, NotedRequests] = {}

    async def of(self, endpoint: str) -> NotedRequests:
        """What the test says; nothing of other endpoints."""
        return self.noted.get(endpoint, NotedRequests())
