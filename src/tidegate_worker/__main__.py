"""A replica's start: read what to serve, load it, prove it, listen.

Started as `python -I -c BOOTSTRAP OVERLAY` in the model's environment, or forked from its template. Standard input has
one line (see `launch`); file descriptor 3 takes the status, in JSON lines: ready, or failed with a sentence; and later
on `serving`, when the model is served in another way than was proved. Everything else goes to the log.
"""

import faulthandler
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, NoReturn, Optional

from tidegate_worker.batching.batcher import Batcher
from tidegate_worker.fork import import_record, shadowed_modules
from tidegate_worker.model.loaded_model import Model, exception_text
from tidegate_worker.model.readiness import NotProved, Proof
from tidegate_worker.process import outlets, scratch_directory, signals, time_limit
from tidegate_worker.process.launch import Launch
from tidegate_worker.process.log import log, log_exception
from tidegate_worker.process.shutdown import end
from tidegate_worker.process.start_time import FORK, SPAWN, StartTime, spawned
from tidegate_worker.proof.refutations import Refutations
from tidegate_worker.replica_server import Identity, Server
from tidegate_worker.startup import trials
from tidegate_worker.startup.serving import batcher_of

STATUS_FD = outlets.STATUS_FD


def main(start: Optional[StartTime] = None) -> NoReturn:
    """Be a replica, to its end. `start` is that of a fork."""
    start = start or spawned()
    with open(0, encoding="utf-8", closefd=False) as stdin:  # a template's imports may have replaced sys.stdin
        line = stdin.readline()
    if not line:
        end(0, forked=start.mode == FORK)  # the agent has ended, or needs it no longer
    launch = Launch.from_json(line)
    prepare_imports()
    _prepare_process(launch)
    try:
        scratch_directory.enter(launch.scratch, launch.temporary)
    except OSError as error:
        message = f"The replica's scratch directory {launch.scratch} cannot be used: {error.strerror}."
        _tell({"state": "failed", "message": message})
        end(1, forked=start.mode == FORK)
    if launch.trial:
        _tell(_tried(launch, start))
        end(0, forked=start.mode == FORK)
    try:
        server = _start(launch, start)
    except BaseException as error:
        log_exception("the replica does not start", error)
        _tell({"state": "failed", "message": _sentence(error)})
        end(1, forked=start.mode == FORK)
    try:
        server.run()
    except Exception as error:  # such as sockets that the model has closed
        log_exception("the replica ends", error)
        end(1, forked=start.mode == FORK)
    _unlink(launch.socket)
    end(0, forked=start.mode == FORK)


def prepare_imports() -> None:
    """What must be so before MLflow is imported."""
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"  # models' type hints then read dates and base64 from JSON
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would start a thread and call out


def _prepare_process(launch: Launch) -> None:
    outlets.keep(status=True)
    outlets.prepare_streams()
    signals.prepare()
    faulthandler.enable(file=outlets.log_descriptor())
    time_limit.prepare()
    time_limit.publish()
    del sys.argv[1:]
    with suppress(OSError):  # there is none
        os.set_inheritable(STATUS_FD, False)
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"tidegate: replica {launch.endpoint} {launch.revision}")


def _start(launch: Launch, start: StartTime) -> Server:
    """Load and prove the model, listen, and say so. Raises whatever the model raises."""
    with time_limit.alarm(launch.load_timeout_seconds):
        log(f"loading {launch.served_entity}, revision {launch.revision}")
        if start.mode == FORK:
            shadowed_modules.clear(launch.model_dir, start.first)
        model, found, proved, renewed = trials.prepare(launch)
        batcher = batcher_of(model, launch, found)
    outlets.mend()
    proof = proved.proof if proved is not None else None
    if proved is not None:
        import_record.record(launch.imports_file, launch.model_dir)
    listener, ready_at = _listen(launch.socket), time.monotonic()

    def said() -> Dict[str, Any]:
        serving = {"path": batcher.serving.path._asdict(), "batching": batcher.serving.verdict._asdict()}
        told = {
            "proof": _proof_json(proof, {**serving, "costs": batcher.costs}),
            "accelerators": {"json": model.json.note},
            **serving,
        }
        return {**told, "start": start.told(launch.asked_at, ready_at)}

    modules, served = len(sys.modules), batcher.serving

    def answered() -> None:
        outlets.mend()
        if batcher.serving is not served:
            _tell({"state": "serving", "path": said()["path"], "batching": said()["batching"], "costs": batcher.costs})
        if len(sys.modules) != modules or start.mode == SPAWN:
            import_record.record(launch.imports_file, launch.model_dir)

    identity, refutations = Identity(launch.revision, launch.secret), Refutations(launch.refutations_file)
    server = Server(listener, identity, batcher, said, answered, refutations)
    signals.handle(signal.SIGTERM, server.stop)
    _tell({"state": "ready", **said(), "answer": proved.answer if proved is not None else None})
    if renewed:
        _tell({"state": "serving", "path": said()["path"], "batching": said()["batching"], "costs": batcher.costs})
    log(f"ready; {_proof_text(proof)}; {_serving_text(batcher)}; fast JSON: {model.json.note}")
    return server


def _tried(launch: Launch, start: StartTime) -> Dict[str, Any]:
    """What a trial of a fork says. Its time limit is the load's."""
    try:
        with time_limit.alarm(launch.load_timeout_seconds):
            shadowed_modules.clear(launch.model_dir, start.first)
            model = Model.load(launch.model_dir)
            difference = trials.difference(model, launch.model_dir, launch.answer)
    except BaseException as error:
        log_exception("the trial of a fork failed", error)
        return {"state": "failed", "message": _sentence(error)}
    return {"state": "failed", "message": difference} if difference else {"state": "passed"}


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
    if isinstance(error, (NotProved, shadowed_modules.Shadowed)):
        return str(error)
    return f"The model could not be loaded: {exception_text(error)}"


def _tell(status: Dict[str, Any]) -> None:
    """Write the status, if anybody is there to read it."""
    outlets.write_status(json.dumps(status).encode() + b"\n")


if __name__ == "__main__":
    main()
