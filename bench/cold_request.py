"""One request to an endpoint at zero, from its sending to its whole answer, and what `server-timing` says of it."""

import http.client
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.running_platform import Platform

_STEP = re.compile(r"([\w-]+);dur=([\d.]+)")


@dataclass(frozen=True)
class Cold:
    """What came back. `steps` are those of `server-timing` that have a duration, in milliseconds."""

    seconds: float
    status: int
    steps: dict[str, float] = field(default_factory=dict)
    text: str = ""

    @property
    def cold(self) -> bool:
        """Whether the gateway says that there was no replica."""
        return "cold" in self.steps


class Caller:
    """Keeps one connection, so that a request costs no handshake."""

    def __init__(self, platform: Platform) -> None:
        parts = urlsplit(platform.url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=90)
        self._headers = {"authorization": f"Bearer {platform.token}", "content-type": "application/json"}

    def call(self, endpoint: str, request: Any) -> Cold:
        """Send one request and wait for its answer."""
        return self.send(endpoint, json.dumps(request))

    def send(self, endpoint: str, body: str) -> Cold:
        """The same with a body that is written already."""
        began = time.monotonic()
        self._connection.request("POST", f"/serving-endpoints/{endpoint}/invocations", body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        steps = _STEP.findall(answer.getheader("server-timing") or "")
        return Cold(time.monotonic() - began, answer.status, {name: float(ms) for name, ms in steps}, text)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
