"""A loader module whose model does what its input says, such as sleep or crash. It runs in a replica only."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import importlib
import locale
import logging
import multiprocessing
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from typing import Any


class Probe:
    """Each row of the column `command` is `verb:argument`; it returns what the verbs say, else the rows."""

    folder = pathlib.Path()  # of the model

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

    def file(self, argument: str) -> str:
        return str(importlib.import_module(argument).__file__)

    def artifact(self, argument: str) -> str:
        return (self.folder / argument).read_text()

    def temporary(self, _argument: str) -> str:
        with tempfile.NamedTemporaryFile() as file:
            return file.name

    def tracking(self, _argument: str) -> str:
        import mlflow

        return str(mlflow.get_tracking_uri())

    def pool(self, _argument: str) -> list[int]:
        with multiprocessing.Pool(2) as pool:
            return pool.map(_square, range(4))

    def forked(self, _argument: str) -> list[str]:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return [*pool.apply(_signals), *pool.apply(_handlers)]

    def run(self, _argument: str) -> list[str]:
        return _signals_in(
            subprocess.run(["cat", "/proc/self/status"], check=True, capture_output=True).stdout.decode()
        )

    def surroundings(self, _argument: str) -> dict[str, Any]:
        """All in which a fork might differ from a process of its own."""
        nosy: Any = importlib.import_module("nosy")

        nosy_numbers = [nosy.python.random(), float(nosy.numpy.random())]
        umask = os.umask(0)
        os.umask(umask)
        main = sys.modules["__main__"]
        status = pathlib.Path("/proc/self/status").read_text()
        return {
            "variables": dict(os.environ),
            "arguments": [sys.argv, sys.orig_argv[:1], sys.orig_argv[2:3]],
            "main": sorted(
                f"{name}: {value!r} of {getattr(value, '__module__', None)}"
                for name, value in vars(main).items()
                if name != "__builtins__"
            ),
            "flags": [str(sys.flags), sys.dont_write_bytecode, sys.flags.hash_randomization],
            "path": sys.path,
            "warnings": sorted(map(repr, warnings.filters)),
            "gc": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
            "umask": umask,
            "signals": re.findall(r"^Sig(?:Blk|Ign|Cgt):\s*(\w+)$", status, re.MULTILINE),
            "handlers": [repr(signal.getsignal(number)).partition(" at ")[0] for number in signal.valid_signals()],
            "timers": signal.getitimer(signal.ITIMER_VIRTUAL) + signal.getitimer(signal.ITIMER_PROF),
            "limits": pathlib.Path("/proc/self/limits").read_text(),
            "priority": [os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), os.sched_getscheduler(0)],
            "session": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
            "threads": [[thread.name for thread in threading.enumerate()], self.kernel_threads("")],
            "hooks": [sys.excepthook.__name__, sys.displayhook.__name__, repr(sys.gettrace()), repr(sys.meta_path)],
            "locale": [locale.setlocale(locale.LC_ALL), sys.getfilesystemencoding(), sys.stdout.encoding, time.tzname],
            "loggers": [logging.root.level, repr(logging.root.handlers), repr(logging.getLogger("mlflow").handlers)],
            "recursion": [sys.getrecursionlimit(), sys.getswitchinterval()],
            "multiprocessing": [
                multiprocessing.current_process().name,
                multiprocessing.parent_process() is None,
                len(multiprocessing.active_children()),
                multiprocessing.get_start_method(),
            ],
            "folder": str(pathlib.Path.cwd()),
            "temporary": tempfile.gettempdir(),
            "remembered": [nosy.variable, nosy.lock.locked()],
            "chance": [random.random(), *nosy_numbers, multiprocessing.current_process().authkey.hex()],
            "chosen": [nosy.chosen.random(), float(nosy.numpy_chosen.random())],
        }

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


def _square(number: int) -> int:
    return number * number


def _signals() -> list[str]:
    return _signals_in(pathlib.Path("/proc/self/status").read_text())


def _signals_in(status: str) -> list[str]:
    return re.findall(r"^(?:SigBlk|SigIgn):\s*(\w+)$", status, re.MULTILINE)


def _handlers() -> list[str]:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)]
    return [getattr(handler, "name", getattr(handler, "__name__", "")) for handler in handlers]


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
        from tidegate_worker.ipc import wire

        wire.MAX_FRAME_BYTES = 1_000_000 + wire.OVERHEAD_BYTES
        wire.MAX_GROUP_BYTES = 500_000
    Probe.folder = pathlib.Path(path)
    return {"large": Large, "narrow": Narrow}.get(kind, Probe)()
