"""A replica's start: read what to serve, load it, prove it, listen.

Started as `python -I -c BOOTSTRAP OVERLAY` in the model's environment. Standard input has one line (see `launch`); file
descriptor 3 takes the status, one JSON line: ready, or failed with a sentence. Everything else goes to the log.
"""

import errno
import faulthandler
import json
import os
import signal
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, NoReturn, Optional

from tidegate_worker import alarm
from tidegate_worker.batcher import Batcher
from tidegate_worker.launch import Launch
from tidegate_worker.log import log, log_exception
from tidegate_worker.model import Model, exception_text
from tidegate_worker.proof import NotProved, Proof, prove
from tidegate_worker.server import Identity, Server
from tidegate_worker.serving import batcher_of

STATUS_FD = 3
# How long what a model left behind (threads, exit handlers) may hold up the end.
EXIT_SECONDS = 5.0


def main() -> NoReturn:
    """Be a replica, to its end."""
    launch = Launch.from_json(sys.stdin.readline())
    _prepare_process(launch)
    try:
        server = _start(launch)
    except BaseException as error:
        log_exception("the replica does not start", error)
        _tell({"state": "failed", "message": _sentence(error)})
        _exit(1)
    server.run()
    _unlink(launch.socket)
    _exit(0)


def _prepare_process(launch: Launch) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the supervisor, which drains
    faulthandler.enable(file=2)
    alarm.prepare()
    del sys.argv[1:]
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"  # models' type hints then read dates and base64 from JSON
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would start a thread and call out
    if _has_status_pipe():
        os.set_inheritable(STATUS_FD, False)
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"tidegate: replica {launch.endpoint} {launch.revision}")


def _start(launch: Launch) -> Server:
    """Load and prove the model, listen, and say so. Raises whatever the model raises."""
    with alarm.alarm(launch.load_timeout_seconds):
        log(f"loading {launch.served_entity}, revision {launch.revision}")
        model = Model.load(launch.model_dir)
        log("loaded" if launch.proved else "loaded; proving")
        proof = None if launch.proved else prove(model, launch.model_dir)
        batcher = batcher_of(model, launch)

    def said() -> Dict[str, Any]:
        serving = {"path": batcher.serving.path._asdict(), "batching": batcher.serving.verdict._asdict()}
        return {"proof": _proof_json(proof, serving), "accelerators": {"json": model.json.note}, **serving}

    server = Server(_listen(launch.socket), Identity(launch.revision, launch.secret), batcher, said)
    signal.signal(signal.SIGTERM, server.stop)
    _tell({"state": "ready", **said()})
    log(f"ready; {_proof_text(proof)}; {_serving_text(batcher)}; fast JSON: {model.json.note}")
    return server


def _listen(path: str) -> socket.socket:
    """A Unix socket that only this user can reach."""
    _unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(previous)
    listener.listen(64)
    return listener


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        Path(path).unlink()


def _proof_json(proof: Optional[Proof], serving: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """As it travels; None when it was on record already."""
    return None if proof is None else {"example": proof.example, "warning": proof.warning, **serving}


def _serving_text(batcher: Batcher) -> str:
    path, verdict = batcher.serving.path, batcher.serving.verdict
    served = f"path: {path.mode}, {path.input}" + (f" ({path.reason})" if path.reason else "")
    return served + f"; batching: {verdict.mode}" + (f" ({verdict.reason})" if verdict.reason else "")


def _proof_text(proof: Optional[Proof]) -> str:
    if proof is None:
        return "proved before"
    return f"proved by: {proof.example}" + (f" ({proof.warning})" if proof.warning else "")


def _sentence(error: BaseException) -> str:
    """What the owner of the endpoint reads."""
    if isinstance(error, NotProved):
        return str(error)
    return f"The model could not be loaded: {exception_text(error)}"


def _has_status_pipe() -> bool:
    try:
        mode = os.fstat(STATUS_FD).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _tell(status: Dict[str, Any]) -> None:
    """Write the status, if anybody is there to read it; nothing more will follow."""
    if not _has_status_pipe():
        return
    try:
        os.write(STATUS_FD, json.dumps(status).encode() + b"\n")
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
    finally:
        os.close(STATUS_FD)


def _exit(code: int) -> NoReturn:
    signal.setitimer(signal.ITIMER_REAL, EXIT_SECONDS)
    sys.exit(code)


if __name__ == "__main__":
    main()
