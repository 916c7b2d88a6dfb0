"""A child of the supervisor that stands in for a process of the platform.

`stub_child.py NAME JOURNAL LIFE_LINE SOCKET|- [BEHAVIOUR=VALUE …]`; it notes what happens to it in the journal, a line
of JSON each: `[name, pid, event]`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType

name, journal, life_line, listener, *words = sys.argv[1:]
behaviour = dict(word.split("=", 1) for word in words)


def note(event: str) -> None:
    with Path(journal).open("a") as file:
        file.write(json.dumps([name, os.getpid(), event]) + "\n")


def on_term(number: int, frame: FrameType | None) -> None:
    note("asked to end")
    if "hang" not in behaviour:
        time.sleep(float(behaviour.get("drain", 0)))
        note("ended")
        os._exit(0)


def follow_life_line() -> None:
    os.read(int(life_line), 1)
    os._exit(1)


class Answers(BaseHTTPRequestHandler):
    """Ready once the file named `ready_when` is there; any other path tells the pid."""

    def do_GET(self) -> None:
        body = str(os.getpid()).encode()
        waits = self.path == "/readyz" and not Path(behaviour.get("ready_when", "/")).exists()
        self.send_response(503 if waits else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *values: object) -> None:
        pass


signal.signal(signal.SIGTERM, on_term)
note("started")
if "says" in behaviour:
    print(behaviour["says"], flush=True)
if "hang" not in behaviour:
    threading.Thread(target=follow_life_line, daemon=True).start()
if "orphan" in behaviour and not Path(behaviour["orphan"]).exists():
    orphan = subprocess.Popen(["/bin/sh", "-c", "sleep 0.5; exit 7"])
    Path(behaviour["orphan"]).write_text(str(orphan.pid))
    os._exit(1)
if "exits" in behaviour:
    os._exit(int(behaviour["exits"]))
if listener == "-":
    while True:
        time.sleep(60)
server = HTTPServer(("", 0), Answers, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(listener))
server.serve_forever()
