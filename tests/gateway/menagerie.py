"""A gateway as it runs, with an endpoint for every animal of the zoo, each served by a worker in its own process."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.gateway_process import GatewayProcess, listener
from tests.gateway.house import FakeAgent, until
from tests.worker import nursery, zoo
from tests.worker.batching.test_neighbours import zoo_model
from tests.worker.replica import OVERLAY, SECRET
from tests.worker.replica import Gateway as Probe
from tidegate.adapters.clock import SystemClock
from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.reporting.prometheus_metrics import Metrics
from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionAddresses, RevisionId
from tidegate.core.planes.route_table import EndpointRoute, RevisionRoute, RouteTable
from tidegate.data_directory import DataDirectory
from tidegate_worker.proof.verdict import Verdict

ANIMALS = [*zoo.ROW_WISE, *zoo.NOT_ROW_WISE]
TIMEOUT_SECONDS = 50.0
_PARAMS = json.dumps([{"name": "scale", "type": "double", "default": 1.0, "shape": None}])


def endpoint(animal: str) -> str:
    """The endpoint that serves it."""
    return animal.replace("_", "-")


def _revision(animal: str) -> RevisionId:
    return RevisionId(f"{ANIMALS.index(animal) + 1:016x}")


class Menagerie:
    """`verdicts` has what each worker found out about its animal: whether requests may be predicted together."""

    def __init__(self, root: Path) -> None:
        self.data = DataDirectory(root / "d")
        self.data.create()
        self.verdicts: dict[str, Verdict] = {}
        self._root = root
        self._agent = FakeAgent(self.data.agent_socket)
        self._gateways = Gateways(self.data.planes_socket, 1, lambda: None, self._hear)
        self._listening = listener()
        self._gateway = GatewayProcess(self.data, _revision(ANIMALS[0]), self._listening)
        self._nursery: subprocess.Popen[str] | None = None
        revisions = {_revision(animal): SimpleNamespace(endpoint_name=endpoint(animal)) for animal in ANIMALS}
        world = SimpleNamespace(revisions=revisions, endpoints=())
        seen, builds = SimpleNamespace(snapshot=world, observations={}), SimpleNamespace(results={})
        self._metrics = Metrics(
            self._gateways, cast("Any", seen), cast("Any", builds), cast("Any", None), SystemClock()
        )
        self._heard = 0

    @property
    def port(self) -> int:
        """Where the gateway listens, on loopback."""
        return int(self._listening.getsockname()[1])

    async def start(self) -> None:
        """Everything, until every animal answers."""
        self._bear()
        await self._agent.start()
        await self._gateways.start()
        Path(self.data.route_table(0)).write_bytes(msgspec.json.encode(self._table()))
        for animal in ANIMALS:
            await until(lambda animal=animal: _listens(self._socket(animal)), 100)
            replica = (ReplicaId(f"{ANIMALS.index(animal):08x}"), Address(str(self._socket(animal)), SECRET))
            self._agent.addresses[_revision(animal)] = RevisionAddresses(_revision(animal), True, (replica,))
        self._gateway.start()
        await until(lambda: len(self._gateways.reports) == 1, 30)
        self.look()

    def look(self) -> None:
        """See how each animal is served now."""
        self.verdicts = {animal: _verdict(self._socket(animal), _revision(animal)) for animal in ANIMALS}

    async def stop(self) -> None:
        self._gateway.stop()
        self._listening.close()
        await self._gateways.stop()
        await self._agent.stop()
        if self._nursery is not None:
            self._nursery.communicate(timeout=30)

    async def scrape(self) -> dict[str, dict[str, dict[str, float]]]:
        """`/metrics`: endpoint → metric → the value by its second label, or by none."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for family in text_string_to_metric_families((await self._metrics.platform())[0].decode()):
            for sample in family.samples:
                name = sample.labels.pop("endpoint", "")
                label = next((value for key, value in sample.labels.items() if key != "revision"), "")
                found.setdefault(name, {}).setdefault(sample.name, {})[label] = sample.value
        return found

    async def settled(self) -> dict[str, dict[str, dict[str, float]]]:
        """What `/metrics` says once nothing is under way."""
        heard = self._heard
        await until(lambda: self._heard > heard + 1 and not self._under_way(), 70)
        return await self.scrape()

    def _hear(self) -> None:
        self._heard += 1

    def _under_way(self) -> bool:
        return any(ledger.in_flight for ledger in self._gateways.totals().endpoints.values())

    def _bear(self) -> None:
        lines = [json.dumps(self._launch(animal)) + "\n" for animal in ANIMALS]
        self._nursery = subprocess.Popen(
            [sys.executable, "-I", nursery.__file__, str(OVERLAY)], stdin=subprocess.PIPE, text=True
        )
        assert self._nursery.stdin is not None
        self._nursery.stdin.write("".join(lines) + "\n")
        self._nursery.stdin.flush()

    def _launch(self, animal: str) -> dict[str, Any]:
        model = zoo_model(self._root / "m" / animal, animal)
        document = json.loads((model / "MLmodel").read_text())
        document["signature"]["params"] = _PARAMS
        (model / "MLmodel").write_text(json.dumps(document))
        return {
            "revision": _revision(animal), "endpoint": endpoint(animal), "served_entity": animal,
            "model_dir": str(model), "socket": str(self._socket(animal)), "secret": SECRET,
            "timeout_seconds": TIMEOUT_SECONDS, "load_timeout_seconds": 90.0, "proved": False,
            "log": str(self._root / f"{animal}.log"),
        }  # fmt: skip

    def _socket(self, animal: str) -> Path:
        return self.data.run / f"{ANIMALS.index(animal):08x}.sock"

    def _table(self) -> RouteTable:
        agent = str(self.data.agent_socket)
        routes, endpoints = {}, {}
        for animal in ANIMALS:
            name, revision = endpoint(animal), _revision(animal)
            routes[revision] = RevisionRoute(revision, name, animal, agent, TIMEOUT_SECONDS, retry_on_crash=True)
            endpoints[name] = EndpointRoute(name, ((revision, 100),), {animal: revision})
        return RouteTable("zoo", endpoints, routes)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _verdict(path: Path, revision: RevisionId) -> Verdict:
    """What a replica says of itself when it is greeted."""
    probe = Probe(path)
    try:
        return Verdict(**probe.hello(revision=revision)["batching"])
    finally:
        probe.close()


@contextlib.asynccontextmanager
async def menagerie(root: Path) -> AsyncIterator[Menagerie]:
    """It is open for the length of a `with`."""
    built = Menagerie(root)
    try:
        await built.start()
        yield built
    finally:
        await built.stop()
