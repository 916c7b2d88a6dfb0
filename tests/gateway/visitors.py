"""Callers on raw sockets, who ask, wait and compare; some hang up in between, kindly or not."""

import asyncio
import collections
import random
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.gateway.visits import Question

PATIENCE_SECONDS = 60.0
# Of all visits: those that hang up after the whole request, after a part of it, and by a reset of the connection.
_LEAVES, _BREAKS_OFF, _DIES = 0.01, 0.005, 0.005
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets


@dataclass
class Tally:
    """What became of the visits, by animal."""

    right: collections.Counter[str] = field(default_factory=collections.Counter)
    poisoned: collections.Counter[str] = field(default_factory=collections.Counter)
    gone: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)
    hanging: list[str] = field(default_factory=list)
    calls: set[int] = field(default_factory=set)
    done: int = 0

    def take(self, question: Question, status: int, body: bytes) -> None:
        """Note an answer."""
        fault = question.fault(status, body, self.calls)
        if fault:
            self.wrong.append(f"{question.animal}: {question.columns} {question.params}: {fault}")
        else:
            (self.poisoned if question.poisoned else self.right)[question.animal] += 1

    def answered(self, animal: str) -> int:
        """Callers who got the right answer, or the right error."""
        return self.right[animal] + self.poisoned[animal]


class Visitor:
    """One caller: one connection after another, one request at a time."""

    def __init__(self, port: int, tally: Tally, source: random.Random) -> None:
        self._port, self._tally, self._source = port, tally, source
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def visit(self, question: Question) -> None:
        """Ask, or begin to."""
        chance = self._source.random()
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        if chance < _LEAVES + _BREAKS_OFF + _DIES:
            await self._go_away(question, chance)
            self._tally.gone[question.animal] += 1
        else:
            await self._ask(question)
        self._tally.done += 1

    async def _ask(self, question: Question) -> None:
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(question.request)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = await self._reader.readuntil(b"\r\n\r\n")
                begin = head.index(b"content-length: ") + 16
                body = await self._reader.readexactly(int(head[begin : head.index(b"\r", begin)]))
        except TimeoutError:
            self._tally.hanging.append(f"{question.animal}: {question.columns}")
            self.close()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self._tally.wrong.append(f"{question.animal}: {error!r}")
            self.close()
        else:
            self._tally.take(question, int(head[9:12]), body)

    async def _go_away(self, question: Question, chance: float) -> None:
        assert self._writer is not None
        broken_off = chance >= _LEAVES + _DIES
        body = question.request.index(b"\r\n\r\n") + 4
        size = self._source.randint(body, len(question.request) - 1) if broken_off else len(question.request)
        self._writer.write(question.request[:size])
        await asyncio.sleep(self._source.choice([0.0, 0.0, 0.001, 0.005]))
        if _LEAVES <= chance < _LEAVES + _DIES:
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None


async def send_in(port: int, questions: Sequence[Question], count: int, visitors: int) -> Tally:
    """So many visits of so many visitors at once, each with questions at random."""
    tally, began = Tally(), time.monotonic()
    left = iter(range(count))

    async def one(number: int) -> None:
        source = random.Random(number)
        visitor = Visitor(port, tally, source)
        for turn in left:
            await visitor.visit(source.choice(questions))
            if turn % 100_000 == 99_999:
                rate = (turn + 1) / (time.monotonic() - began)
                print(f"{turn + 1:,} of {count:,} visits, {rate:,.0f} a second", flush=True)
        visitor.close()

    async with asyncio.TaskGroup() as tasks:
        for number in range(visitors):
            tasks.create_task(one(number))
    return tally
