"""Requests at a steady rate, open-loop: the next one is sent when it is due, whatever became of the last."""

import asyncio
import collections
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from tests.e2e.running_platform import Platform


@dataclass(frozen=True)
class Answer:
    """What was answered, and when it was asked for and came; monotonic seconds."""

    sent: float
    received: float
    text: str


@dataclass
class Outcome:
    """What became of the requests. `statuses` counts answers by status, and errors by their name and sentence."""

    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    served: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def lost(self) -> dict[str, int]:
        """Everything that is not an answer 200."""
        return {status: count for status, count in self.statuses.items() if status != "200"}

    def slowest(self) -> float:
        """The longest wait for an answer, seconds."""
        return max(self.seconds)


class Load:
    """Sends `rate` requests a second to an endpoint, or a path, for the length of a `with`, in a thread of its own."""

    def __init__(self, platform: Platform, endpoint: str, body: Any, rate: float = 100, path: str = "") -> None:
        self.outcome = Outcome()
        self._platform, self._body, self._rate = platform, body, rate
        self._path = path or f"/serving-endpoints/{endpoint}/invocations"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive(), "requests hang"

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
        headers = {"authorization": f"Bearer {self._platform.token}"}
        client = httpx.AsyncClient(base_url=self._platform.url, headers=headers, timeout=70, limits=limits)
        async with client, asyncio.TaskGroup() as tasks:
            due = time.monotonic()
            while not self._stop.is_set():
                tasks.create_task(self._one(client))
                due += 1 / self._rate
                await asyncio.sleep(max(0, due - time.monotonic()))

    async def _one(self, client: httpx.AsyncClient) -> None:
        started = time.monotonic()
        try:
            answer = await client.post(self._path, json=self._body)
        except httpx.HTTPError as error:
            self.outcome.statuses[repr(error)] += 1
            return
        ended = time.monotonic()
        self.outcome.seconds.append(ended - started)
        self.outcome.answers.append(Answer(started, ended, answer.text))
        status = str(answer.status_code)
        self.outcome.statuses[status if status == "200" else f"{status} {answer.text}"] += 1
        self.outcome.served[answer.headers.get("served-model-name", "")] += 1
