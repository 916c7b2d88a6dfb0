"""`tidegate up` over stub children: `stub_platform.py SETTINGS_JSON JOURNAL [NAME:BEHAVIOUR=VALUE …]`."""

import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from tidegate import settings_loading, supervisor
from tidegate.core.errors import ConfigurationError
from tidegate.processes.child_process import ChildSpec, Output
from tidegate.settings import Settings

STUB = Path(__file__).with_name("stub_child.py")
chosen, journal, *behaviours = sys.argv[1:]


def specs(given: Settings, sockets: Sequence[socket.socket], life_line: int) -> list[ChildSpec]:
    def stub(name: str, listener: str = "-", once: bool = False) -> ChildSpec:
        own = [text.partition(":")[2] for text in behaviours if text.startswith(f"{name}:")]
        return ChildSpec(
            name=name,
            argv=(sys.executable, str(STUB), name, journal, str(life_line), listener, *own),
            env=dict(os.environ),
            log=given.server.data_dir / "logs" / f"{name}.log",
            pass_fds=(life_line,) if listener == "-" else (life_line, int(listener)),
            output=Output.TERMINAL if once else Output.LOG if name == "registry" else Output.STANDARD_ERROR,
            restarted=not once,
            drain_seconds=1.0,
        )

    gateways = [stub(f"gateway {index}", str(listener.fileno())) for index, listener in enumerate(sockets)]
    once = [stub("once", once=True)] if any(text.startswith("once:") for text in behaviours) else []
    return [stub("registry"), stub("control"), stub("agent"), *gateways, *once]


try:
    sys.exit(supervisor.run(settings_loading.load({}, overrides=json.loads(chosen)), sample=False, specs=specs))
except ConfigurationError as error:
    sys.exit(error.message)
