"""A steady stream of requests from a process of its own, which notes when each was sent, answered, and with what.

Open loop, over several connections. Where the body has the number 100000, each request has its own number instead, from
there on. As a program it is that process: the job on the first line of standard input, whose end ends the stream; on
standard output a line for each answer that differs from the one before, and at the end all of them.
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import uvloop

from bench.arrivals import Step, arrivals
from bench.rollouts.order import Answer
from bench.senders import PATIENCE_SECONDS, Job, OpenLoop, Target

LANES = 4  # loops that share the rate, each with at least one connection
FIRST_NUMBER = 100_000
_MARK = str(FIRST_NUMBER).encode()
_LONG = 1e9


class Stream:
    """Sends for the length of a `with`; `answers` has all of them afterwards."""

    def __init__(self, target: Target, rate: float) -> None:
        self._target, self._rate = target, rate
        self._changes: list[Answer] = []  # the answers that differed from the one before
        self._changed = threading.Condition()
        self.answers: list[Answer] = []

    def __enter__(self) -> Self:
        [body] = self._target.bodies
        job = {"url": self._target.url, "token": self._target.token, "body": body.decode(), "rate": self._rate}
        argv = [sys.executable, "-m", "bench.rollouts.stream"]
        self._child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(job) + "\n")
        self._child.stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.first(lambda _: True, time.monotonic())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._reader.join(PATIENCE_SECONDS + 30)
        self._child.stdout.close()
        self._child.wait(10)

    def first(self, wanted: Callable[[Answer], bool], since: float, seconds: float = 60) -> Answer:
        """The first answer received since then that is wanted, of those that differ from the one before; waits for it.

        Raises TimeoutError when none comes in time.
        """
        found: list[Answer] = []
        seen = 0

        def look() -> bool:
            nonlocal seen
            found.extend(a for a in self._changes[seen:] if a.received >= since and wanted(a))
            seen = len(self._changes)
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(look, seconds):
                raise TimeoutError(f"no such answer within {seconds:g} s")
        return found[0]

    def latest(self) -> Answer:
        """The answer that came after the last change."""
        with self._changed:
            return self._changes[-1]

    @property
    def lost(self) -> Counter[str]:
        """Everything that is not an answer 200."""
        return Counter(f"{a.status or 'no answer'}: {a.text[:200]}" for a in self.answers if a.status != 200)

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            told = json.loads(line)
            if isinstance(told, dict):
                self.answers = [Answer(*row) for row in zip(*told["columns"], strict=True)]
            else:
                with self._changed:
                    self._changes.append(Answer(*told))
                    self._changed.notify_all()


# --- the process


class _Lane(OpenLoop):
    """One of the loops: every `LANES`th request."""

    def __init__(self, target: Target, lane: int, note: Callable[[Answer], None]) -> None:
        super().__init__(target)
        self._lane, self._note = lane, note
        [self._request] = target.requests()
        self._numbered = _MARK in self._request

    def job(self, number: int, due: float) -> Job:
        number = FIRST_NUMBER + number * LANES + self._lane
        content = self._request.replace(_MARK, b"%d" % number) if self._numbered else self._request
        return Job(due, number, content)

    def ended(self, job: Job, status: int, body: bytes) -> None:
        received = time.monotonic()
        self._note(Answer(job.sent, received, status, body.decode("utf-8", "replace"), job.kind))
        super().ended(job, status, body)


class _Notes:
    """All answers, and the last one. Tells of changes, but where each answer differs from the one before anyway."""

    def __init__(self, *, tells: bool) -> None:
        self.answers: list[Answer] = []
        self._tells = tells
        self._last: tuple[int, str] | None = None

    def take(self, answer: Answer) -> None:
        self.answers.append(answer)
        if (answer.status, answer.text) != self._last and (self._tells or self._last is None or answer.status != 200):
            self._last = answer.status, answer.text
            print(json.dumps(_row(answer)), flush=True)

    def tell_all(self) -> None:
        columns: Sequence[Any] = [*zip(*map(_row, self.answers), strict=True)]
        print(json.dumps({"columns": columns}), flush=True)


def _row(answer: Answer) -> tuple[float, float, int, str, int]:
    return answer.sent, answer.received, answer.status, answer.text, answer.number


async def _send(target: Target, rate: float, notes: _Notes, stop: threading.Event) -> None:
    began = time.monotonic()
    lanes = [_Lane(target, lane, notes.take) for lane in range(LANES)]
    await asyncio.gather(
        *(lane.run(_due(rate, number), began, stop) for number, lane in enumerate(lanes)),
    )


def _due(rate: float, lane: int) -> Iterator[float]:
    return (lane / rate + at for at in arrivals([Step(rate / LANES, _LONG)]))


def _stop_at_the_end_of_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def main() -> int:
    """Be the process."""
    job = json.loads(sys.stdin.readline())
    body = job["body"].encode()
    notes, stop = _Notes(tells=_MARK not in body), threading.Event()
    threading.Thread(target=_stop_at_the_end_of_input, args=(stop,), daemon=True).start()
    target = Target(job["url"], (body,), job["token"])
    uvloop.run(_send(target, job["rate"], notes, stop))
    notes.tell_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
