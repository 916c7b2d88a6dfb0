"""A server that is measured, and what it needs to be started."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bench.peers.workload import Workload

PROGRAMS = Path(__file__).with_name("programs")


class Kind(StrEnum):
    """What a row of the table is."""

    OURS = "ours"
    PEER = "peer"
    LIMIT = "limit"  # nobody can be faster: HTTP alone, or the model alone


@dataclass(frozen=True)
class Start:
    """What a server is started with: the interpreter of its environment, free loopback ports, a scratch directory."""

    python: Path
    workload: Workload
    ports: tuple[int, ...]
    folder: Path

    @property
    def port(self) -> int:
        """Where requests go."""
        return self.ports[0]

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.folder / "server.log"

    @property
    def url(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self.port}"

    def program(self, name: str, *arguments: str) -> list[str]:
        """The command line that runs one of `programs/`."""
        return [str(self.python), str(PROGRAMS / name), *arguments]

    def uvicorn(self, app: str, *arguments: str) -> list[str]:
        """The command line that serves one of `programs/`, without an access log."""
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-access-log", "--log-level", "warning"]
        return [str(self.python), "-m", "uvicorn", app, "--app-dir", str(PROGRAMS), *options, *arguments]


def mlflow_body(workload: Workload) -> str:
    """The request in MLflow's own form."""
    return json.dumps({"dataframe_split": {"columns": workload.case["columns"], "data": workload.case["data"]}})


def predictions(answer: Any) -> Any:
    """The answers in MLflow's own form."""
    return answer["predictions"]


def nothing(_: Start) -> None:
    """No more is to be done."""


@dataclass(frozen=True)
class Peer:
    """One server with one set of settings.

    `requirements` names a file in `requirements/` (empty: Tidegate's own environment), `settings` says in words how
    it is set up, `source` where its authors document that. `launch` is called once it runs, `token` is what it wants.
    """

    name: str
    title: str
    settings: str
    source: str
    requirements: str
    command: Callable[[Start], list[str]]
    path: str = "/invocations"
    body: Callable[[Workload], str] = mlflow_body
    read: Callable[[Any], Any] = predictions
    environment: Callable[[Start], Mapping[str, str]] = field(default=lambda _: {})
    launch: Callable[[Start], None] = nothing
    token: Callable[[Start], str] = lambda _: ""
    kind: Kind = Kind.PEER
    python_version: str = ""
    workloads: tuple[str, ...] = ("iris",)

    @property
    def family(self) -> str:
        """What its variants have in common: `mlflow` of `mlflow-2-workers`."""
        return self.name.partition("-")[0]

    @property
    def serves(self) -> bool:
        """Whether it is a server; else it measures itself and prints what it found."""
        return bool(self.path)
