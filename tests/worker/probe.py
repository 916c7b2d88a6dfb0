"""A model's loader module whose model does what its input says. Runs in the replica, never in the tests' process."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import os
import pathlib
import random
import re
import signal
import sys
import threading
import time
from typing import Any


class Probe:
    """Each row of the column `command` is `verb:argument`; it returns what the verbs say, else the rows."""

    def predict(self, data: Any, params: Any = None) -> list[Any]:
        return [self.obey(command) for command in data["command"].tolist()]

    def obey(self, command: str) -> Any:
        verb, _, argument = command.partition(":")
        return getattr(self, verb)(argument) or command

    def threads(self, _argument: str) -> list[str]:
        return [thread.name for thread in threading.enumerate()]

    def kernel_threads(self, _argument: str) -> int:
        return len(list(pathlib.Path("/proc/self/task").iterdir()))

    def randoms(self, _argument: str) -> list[float]:
        import numpy as np

        return [random.random(), float(np.random.rand())]

    def descriptors(self, _argument: str) -> dict[str, str]:
        found = {}
        for place in list(pathlib.Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(OSError):  # the listing's own
                found[place.name] = str(place.readlink())
        return found

    def variable(self, argument: str) -> str | None:
        return os.environ.get(argument)

    def hash_of(self, argument: str) -> list[Any]:
        return [hash(argument), "" in sys.path or str(pathlib.Path.cwd()) in sys.path, sys.flags.no_user_site]

    def loaded(self, argument: str) -> bool:
        return argument in sys.modules

    def load(self, argument: str) -> str:
        return importlib.import_module(argument).__name__

    def say(self, _argument: str) -> None:
        pass

    def sleep(self, argument: str) -> None:
        time.sleep(float(argument))

    def touch(self, argument: str) -> None:
        pathlib.Path(argument).touch()

    def keep(self, argument: str) -> None:
        self.kept = [*getattr(self, "kept", []), b"x" * (int(argument) * 10**6)]

    def hang(self, _argument: str) -> None:
        re.match(r"(a+)+$", "a" * 64 + "b")  # holds the interpreter lock for years

    def disarm(self, _argument: str) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(60)

    def fail(self, argument: str) -> None:
        raise KeyError(argument)

    def leave(self, argument: str) -> None:
        sys.exit(argument)

    def die(self, _argument: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def show(self, argument: str) -> None:
        print(argument)

    def close(self, argument: str) -> None:
        os.closerange(int(argument), 512)

    def leave_behind(self, argument: str) -> None:
        """An exit handler, a file that is not closed, a thread that is not done, and what has a destructor."""
        atexit.register(pathlib.Path(f"{argument}.handler").touch)
        self.left = pathlib.Path(f"{argument}.file").open("w")  # noqa: SIM115
        self.left.write("whole")
        threading.Timer(0.2, pathlib.Path(f"{argument}.thread").touch).start()
        self.torn = Torn(pathlib.Path(f"{argument}.torn"))

    def loop(self, _argument: str) -> None:
        async def signals() -> None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: None)

        asyncio.run(signals())


class Torn:
    """Leaves a trace where the interpreter is taken down. Refers to itself: no one but the collector ends it."""

    def __init__(self, trace: pathlib.Path) -> None:
        self.trace, self.itself = trace, self

    def __del__(self) -> None:
        self.trace.touch()


class Large(Probe):
    """Returns as many bytes as the row says."""

    def predict(self, data: Any, params: Any = None) -> list[Any]:
        return ["x" * int(count) for count in data["command"].tolist()]


class Narrow(Large):
    """The same, over a wire whose frames hold a megabyte. Of none it raises as much."""

    def predict(self, data: Any, params: Any = None) -> list[Any]:
        if data["command"][0].startswith("-"):
            raise ValueError("y" * -int(data["command"][0]))
        return super().predict(data, params)


class Other(Probe):
    """Says where it was loaded."""

    def predict(self, data: Any, params: Any = None) -> list[Any]:
        return ["fork" if in_fork() else "spawn" for _ in data["command"]]


def in_fork() -> bool:
    """Whether this process was forked from a template."""
    return "tidegate_worker.template" in sys.modules


def _load_pyfunc(path: str) -> Probe:
    kind = pathlib.Path(path, "kind").read_text()
    if kind.startswith("run "):
        exec(kind[4:])
    if kind == "broken":
        raise ImportError("No module named 'absent'")
    if in_fork() and kind == "hanging in a fork":
        time.sleep(60)
    if in_fork() and kind == "dying in a fork":
        os.abort()
    if kind == "other in a fork":
        return Other()
    if kind == "hanging":
        Probe().hang("")
    if kind == "narrow":
        from tidegate_worker import wire

        wire.MAX_FRAME_BYTES = 1_000_000 + wire.OVERHEAD_BYTES
        wire.MAX_GROUP_BYTES = 500_000
    return {"large": Large, "narrow": Narrow}.get(kind, Probe)()
