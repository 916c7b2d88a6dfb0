"""The agent's socket against clients that do not behave."""

import asyncio
import socket
from collections.abc import Mapping, Sequence

import pytest

from tests.engines.machine import Machine, Watch, eventually
from tidegate.core.endpoint.machine_report import MachineReport
from tidegate.core.endpoint.revision import RevisionAddresses, RevisionId, RevisionObservation, RevisionTarget
from tidegate.engines.agent import agent_server
from tidegate.engines.agent.agent_server import AgentServer


class FakeVerbs:
    """Holds nothing; `message` is what every watcher is told."""

    message = ""

    async def apply(self, target: RevisionTarget) -> None:
        raise RuntimeError("a defect")

    async def remove(self, revision: RevisionId) -> None: ...

    def observe(self) -> dict[RevisionId, RevisionObservation]:
        return {}

    def machine(self) -> MachineReport:
        return MachineReport(1, 0)

    def wake(self, revision: RevisionId) -> None: ...

    def used(self, revisions: Sequence[RevisionId]) -> None: ...

    def changed_addresses(self, sent: Mapping[RevisionId, RevisionAddresses | None]) -> list[RevisionAddresses]:
        return [RevisionAddresses(revision, known=True, message=self.message) for revision in sent]


@pytest.mark.parametrize(
    ("line", "number", "words"),
    [
        (b"nonsense", None, "malformed"),
        (b"", None, "truncated"),
        (b'{"id": 7, "verb": "explode"}', 7, "explode"),
        (b'{"id": 8, "verb": "apply"}', 8, "target"),
        (b'{"id": 9, "verb": "remove", "revision": 5}', 9, "revision"),
        (b'{"id": "x", "verb": "observe"}', None, "id"),
        (b"\xff\xff", None, "not understood"),
    ],
)
async def test_what_is_not_understood_is_answered_and_the_connection_stays(
    machine: Machine, line: bytes, number: int | None, words: str
) -> None:
    server = AgentServer(machine.data.agent_socket, FakeVerbs())
    await server.start()
    watch = await Watch.open(machine)
    watch.send(line)
    answer = await watch.line()
    assert (answer["id"], answer["ok"], answer["code"]) == (number, False, "BAD_REQUEST")
    assert words in answer["message"]
    watch.ask("observe")
    assert await watch.line() == {"id": 1, "ok": True, "result": {}}
    await watch.close()
    await server.stop()


async def test_a_defect_is_an_answer(machine: Machine) -> None:
    server = AgentServer(machine.data.agent_socket, FakeVerbs())
    await server.start()
    watch = await Watch.open(machine)
    watch.ask("apply", target=machine.target())
    answer = await watch.line()
    assert (answer["ok"], answer["code"]) == (False, "INTERNAL")
    await watch.close()
    await server.stop()


async def test_a_client_that_does_not_read_is_cut_off_and_others_are_not_held_up(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_server, "_MAX_UNREAD_BYTES", 10_000)
    verbs = FakeVerbs()
    server = AgentServer(machine.data.agent_socket, verbs)
    await server.start()
    slow = await Watch.open(machine)
    slow.ask("wake", revision="rev1")
    await slow.addresses()
    slow.pause()
    good = await Watch.open(machine)
    good.ask("wake", revision="rev1")
    await good.addresses()
    for number in range(100):
        verbs.message = f"{number} {'x' * 10_000}"
        server.publish()
        assert (await good.addresses()).message == verbs.message
    await eventually(lambda: len(server._connections) == 1)
    await good.close()
    await slow.close()
    await server.stop()


async def test_the_socket_file_of_a_dead_predecessor_is_replaced(machine: Machine) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(machine.data.agent_socket))
    dead.close()
    server = AgentServer(machine.data.agent_socket, FakeVerbs())
    await server.start()
    watch = await Watch.open(machine)
    watch.ask("observe")
    assert (await watch.line())["ok"]
    await watch.close()
    await server.stop()
    assert not machine.data.agent_socket.exists()


async def test_a_client_that_leaves_is_forgotten(machine: Machine) -> None:
    server = AgentServer(machine.data.agent_socket, FakeVerbs())
    await server.start()
    for _ in range(3):
        watch = await Watch.open(machine)
        watch.ask("wake", revision="rev1")
        await watch.addresses()
        await watch.close()
    await eventually(lambda: not server._connections)
    server.publish()
    await server.stop()
    await asyncio.sleep(0)
