"""Starting replicas as an agent does, and talking to them as a gateway does."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tidegate_worker.ipc import wire

BOOTSTRAP = "import sys; sys.path.append(sys.argv[1]); from tidegate_worker.__main__ import main; main()"
# Starts its arguments as a program whose file descriptor 3 is the one named first.
AS_FD_3 = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
OVERLAY = Path(__file__).parents[2] / "src"
REVISION, SECRET = "0123456789abcdef", "the secret of this start"
PATIENCE = 60.0
# As under the agent: one thread. With more, a trial needs a process that imports MLflow once more.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def probe_model(directory: Path, kind: str = "probe", example: str | None = None) -> Path:
    """A model directory, written by hand, whose loader is `probe.py`."""
    (directory / "code").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("probe.py"), directory / "code" / "probe.py")
    (directory / "kind").write_text(kind)
    lines = [
        "flavors:",
        "  python_function:",
        "    code: code",
        "    loader_module: probe",
        "    python_version: 3.11.7",
        "signature:",
        """  inputs: '[{"type": "string", "name": "command", "required": true}]'""",
    ]
    if example is not None:
        split = {"columns": ["command"], "data": [[example]]}
        (directory / "example.json").write_text(json.dumps(split))
        lines += ["saved_input_example_info:", "  artifact_path: example.json", "  type: dataframe"]
        lines += ["  pandas_orient: split"]
    (directory / "MLmodel").write_text("\n".join(lines) + "\n")
    return directory


def launch_line(model: Path, address: Path, **changes: Any) -> bytes:
    """The launch document, as the agent writes it into a replica's standard input."""
    launch = {
        "revision": REVISION,
        "endpoint": "probe",
        "served_entity": "probe-1",
        "model_dir": str(model),
        "socket": str(address),
        "secret": SECRET,
        "timeout_seconds": 30.0,
        "load_timeout_seconds": 60.0,
        "proved": True,
        **changes,
    }
    return json.dumps(launch).encode() + b"\n"


def environment_of(folder: Path) -> dict[str, str]:
    """The environment variables of a replica that works there."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), **ONE_THREAD}


@dataclass
class Replica:
    """A replica's process."""

    process: subprocess.Popen[bytes] | psutil.Process
    socket: Path
    log: Path
    status: int  # the read end of its status pipe

    loaded: bool = False  # whether it has told that its model is loaded and is to prove itself

    def told(self) -> dict[str, Any]:
        """Its status line, once it has written it."""
        with os.fdopen(self.status, "rb", closefd=False) as pipe:
            line = pipe.readline()
            if line.strip() == b'{"state": "loaded"}':
                self.loaded, line = True, pipe.readline()
        return dict(json.loads(line)) if line else {}

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return int(self.process.wait(PATIENCE))

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).status() != psutil.STATUS_ZOMBIE
        return False

    def end(self) -> None:
        """End it, whatever it does."""
        os.close(self.status)
        with suppress(psutil.NoSuchProcess):
            self.process.kill()
        self.process.wait(PATIENCE)


def start(
    model: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    overlay: Path = OVERLAY,
    **changes: Any,
) -> Replica:
    """Start a replica of the model, as leader of a session, with its files in `folder`."""
    log = folder / "replica.log"
    reader, writer = os.pipe()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                AS_FD_3,
                str(writer),
                sys.executable,
                "-I",
                "-c",
                BOOTSTRAP,
                str(overlay),
            ],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(writer,),
            env=environment or environment_of(folder),
            cwd=folder,
            start_new_session=True,
        )
    os.close(writer)
    assert process.stdin is not None
    process.stdin.write(launch_line(model, folder / "r.sock", **changes))
    process.stdin.close()
    return Replica(process, folder / "r.sock", log, reader)


class Gateway:
    """A gateway's end of the connection, one blocking call at a time."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self._frames = wire.Frames()
        self._got: list[tuple[int, bytes]] = []

    def hello(self, **changes: Any) -> dict[str, Any]:
        """Introduce itself; returns the WELCOME."""
        said = {"protocol": wire.PROTOCOL, "revision": REVISION, "secret": SECRET, **changes}
        self.socket.sendall(wire.frame(wire.HELLO, json.dumps(said).encode()))
        return dict(json.loads(self.expect(wire.WELCOME)))

    def send(self, *commands: str, first: int = 1, millis: int = 30_000) -> None:
        """Send a group of requests, one command each, with ids counted from `first`."""
        self.socket.sendall(
            wire.pack_requests(request(number, command, millis) for number, command in enumerate(commands, first))
        )

    def frame(self) -> tuple[int, bytes] | None:
        """The next frame, or None when the replica has closed."""
        while not self._got:
            data = self.socket.recv(65536)
            if not data:
                return None
            self._got += [(kind, bytes(payload)) for kind, payload in self._frames.feed(data)]
        return self._got.pop(0)

    def expect(self, kind: int) -> bytes:
        """The next frame's payload; it must be of that type."""
        frame = self.frame()
        assert frame is not None, "the replica has closed"
        assert frame[0] == kind
        return frame[1]

    def answer(self) -> wire.Answer:
        """The next answer."""
        [answer] = wire.unpack_answers(memoryview(self.expect(wire.ANSWERS)))
        return answer

    def ask(self, command: str, millis: int = 30_000) -> wire.Answer:
        """Send one request and wait for its answer."""
        self.send(command, millis=millis)
        return self.answer()

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def request(number: int, command: str, millis: int) -> wire.Request:
    body = json.dumps({"inputs": {"command": [command]}}).encode()
    meta = wire.pack_meta([("content-type", "application/json"), ("request-id", f"request-{number}")])
    return wire.Request(number, millis, 0, meta, body)


def predictions(answer: wire.Answer) -> Any:
    """What a good answer says."""
    assert answer.outcome == wire.OK, answer.body
    return json.loads(answer.body)["predictions"]


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)


def terminate(replica: Replica) -> None:
    """Ask it to drain."""
    replica.process.send_signal(signal.SIGTERM)
