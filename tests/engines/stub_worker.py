"""A worker without a model, put into an overlay as `tidegate_worker.__main__`: it speaks the status pipe and the wire.

The environment variable STUB says how it behaves, as words with an optional argument: `slow:0.5` is ready so late,
`gate:PATH` is ready once that file is there, `hang` never is ready, `mute` neither and closes the status pipe, `fail`
reports a sentence, `exit:3` and `abort` end before ready, `die:0.2` and `alarm:0.2` end by SIGSEGV and SIGALRM so
long after ready, `doubt` finds batching wrong once ready, `deaf` does not end when asked to, `child` leaves a process
behind, `daemon` one that has left its session, its parent, its folder and its environment, `litter` a file where it
works, `foreign` welcomes with another protocol, `eat:200` uses so many MB, `late:0.5` has a deadline that passed so
long ago, `falls:PATH` ends by SIGKILL once that file is there and somebody greets it.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tidegate_worker.ipc import wire
from tidegate_worker.process import time_limit

STATUS = 3
DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        os.closerange(3, 100)
        print("daemon", os.getpid(), flush=True)
        os.execve("/bin/sleep", ["sleep", "60"], {})
"""


def main() -> None:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)  # the agent ended before it had written the pid file
    launch = json.loads(line)
    print("launch", json.dumps(launch), flush=True)
    behave = dict(word.partition(":")[::2] for word in os.environ.get("STUB", "").split())
    eaten = b"x" * (int(behave.get("eat", 0)) * 10**6)
    time_limit.publish()
    if "late" in behave:
        time_limit._deadline[0] = time.monotonic() - float(behave["late"])
    before_ready(behave, line)
    for word, number in (("die", signal.SIGSEGV), ("alarm", signal.SIGALRM)):
        if word in behave:
            signal.signal(signal.SIGALRM, lambda *_, number=number: end_by(number))
            signal.setitimer(signal.ITIMER_REAL, float(behave[word]))
    falls = behave.get("falls", "")
    serve(launch, wire.PROTOCOL + ("foreign" in behave), falls, deaf="deaf" in behave, doubts="doubt" in behave)
    del eaten


def before_ready(behave: "dict[str, str]", launch: str) -> None:
    if "child" in behave:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print("child", child.pid, flush=True)
    if "mute" in behave:
        os.close(STATUS)
        time.sleep(60)
    if "daemon" in behave:
        subprocess.run([sys.executable, "-c", DAEMON], check=True)
    if "litter" in behave:
        Path(json.loads(launch)["scratch"], "litter").write_text("x")
    if "hang" in behave:
        time.sleep(60)
    time.sleep(float(behave.get("slow", 0)))
    while "gate" in behave and not Path(behave["gate"]).exists():
        time.sleep(0.01)
    if "loads" in behave:
        report({"state": "loaded"})
    if "exit" in behave:
        sys.exit(int(behave["exit"]))
    if "abort" in behave:
        os.abort()
    if "fail" in behave:
        report({"state": "failed", "message": "The model does not load: no module named 'crystal'."})
        sys.exit(1)


def end_by(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def report(status: "dict[str, object]") -> None:
    with contextlib.suppress(BrokenPipeError):  # the agent that started it is gone
        os.write(STATUS, json.dumps(status).encode() + b"\n")


def serve(launch: "dict[str, str]", protocol: int, falls: str, *, deaf: bool, doubts: bool) -> None:
    def on_term(*_: object) -> None:
        if not deaf:
            sys.exit(0)

    signal.signal(signal.SIGTERM, on_term)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(launch["socket"])
    listening.listen()
    proof = {"example": "signature", "warning": ""}
    report({"state": "ready", "proof": None if launch["proved"] else proof})
    if doubts:
        off = {"mode": "off", "exact": False, "reason": "a live request got another answer"}
        report({"state": "serving", "path": {"mode": "compiled", "input": "ndarray", "reason": ""}, "batching": off})
    while True:
        select.select([listening], [], [])
        connection, _ = listening.accept()
        frames = wire.Frames()
        hello = None
        while hello is None and (data := connection.recv(65536)):
            hello = next((json.loads(bytes(p)) for kind, p in frames.feed(data) if kind == wire.HELLO), None)
        if falls and Path(falls).exists():
            connection.close()
            time.sleep(0.03)  # as long as the kernel takes on a busy machine
            end_by(signal.SIGKILL)
        if hello and hello["secret"] == launch["secret"] and hello["revision"] == launch["revision"]:
            welcome = {"protocol": protocol, "pid": os.getpid(), "credits": 1, "proof": proof}
            connection.sendall(wire.frame(wire.WELCOME, json.dumps(welcome).encode()))
        connection.close()
