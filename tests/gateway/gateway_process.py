"""A gateway as the supervisor starts it: a process of its own, with a route table on disk and no control."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from tests.gateway.house import TOKEN
from tidegate import http, settings_loading
from tidegate.core.access.access_table import access_table
from tidegate.core.access.principal import ADMIN
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.route_table import EndpointRoute, RevisionRoute, RouteTable
from tidegate.data_directory import DataDirectory
from tidegate.settings import GatewaySettings, RegistrySettings, ServerSettings, Settings


def listener(port: int = 0) -> socket.socket:
    """One gateway's share of a port, as the supervisor makes it."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen(2048)
    return made


class GatewayProcess:
    """One gateway on `listening`; an endpoint `wine` is served by `revision`, which the agent at `data` knows."""

    def __init__(
        self, data: DataDirectory, revision: RevisionId, listening: socket.socket, index: int = 0, gateways: int = 1
    ) -> None:
        self._data, self._listening, self._index = data, listening, index
        self.settings = Settings(
            ServerSettings(data_dir=data.root, gateways=gateways),
            GatewaySettings(),
            RegistrySettings("sqlite:///elsewhere.db"),
        )
        name, agent = "wine-1", str(data.agent_socket)
        route = RevisionRoute(revision, "wine", name, agent, 60.0, retry_on_crash=True, label=name)
        endpoint = EndpointRoute("wine", ((revision, 100),), {"wine-1": revision})
        table = RouteTable("saved", {"wine": endpoint}, {revision: route})
        access = access_table({http.token_hash(TOKEN): ADMIN}, {})
        Path(data.access_table(index)).write_bytes(msgspec.json.encode(access))
        Path(data.route_table(index)).write_bytes(msgspec.json.encode(table))
        self._life_line, self._supervisors_end = os.pipe()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where `wine` is scored."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/serving-endpoints/wine/invocations"

    def start(self) -> None:
        """Start it, or its successor."""
        fd = self._listening.fileno()
        command = [sys.executable, "-m", "tidegate.app", "gateway", "--index", str(self._index)]
        self.process = subprocess.Popen(
            [*command, "--life-line", str(self._life_line), "--socket", str(fd)],
            env={**os.environ, settings_loading.SETTINGS_VARIABLE: json.dumps(settings_loading.to_json(self.settings))},
            pass_fds=(self._life_line, fd),
        )

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """As by kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """As the supervisor ends it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        os.close(self._life_line)
        os.close(self._supervisors_end)
