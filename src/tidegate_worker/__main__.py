"""The start of a replica: read what to serve, load the model, prove that it answers, listen.

A replica is started as `python -I -c BOOTSTRAP OVERLAY` in the model's environment, or forked from a template. Standard
input has one line, the launch document (`process.launch`). File descriptor 3 takes the status as lines of JSON:
`ready`, or `failed` with a sentence, and later `serving` each time the path or the batching changes. All else goes to
the log.
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
from tidegate_worker.process.start_time import FORK, SPAWN, StartTime, of_spawned
from tidegate_worker.proof.refutations import Refutations
from tidegate_worker.replica_server import Identity, Server
from tidegate_worker.startup import trials
from tidegate_worker.startup.serving import batcher_of

STATUS_FD = outlets.STATUS_FD


def main(start: Optional[StartTime] = None) -> NoReturn:
    """The whole life of a replica. `start` is given for a fork."""
    start = start or of_spawned()
    with open(0, encoding="utf-8", closefd=False) as stdin:  # a template's imports may have replaced sys.stdin
        line = stdin.readline()
    if not line:
        end(0, forked=start.mode == FORK)  # the agent has ended, or needs no replica any more
    launch = Launch.from_json(line)
    prepare_imports()
    _prepare_process(launch)
    try:
        scratch_directory.enter(launch.scratch, launch.temporary)
    except OSError as error:
        message = f"The replica's scratch directory {launch.scratch} cannot be used: {error.strerror}."
        _report({"state": "failed", "message": message})
        end(1, forked=start.mode == FORK)
    if launch.trial:
        _report(_try_fork(launch, start))
        end(0, forked=start.mode == FORK)
    try:
        server = _start(launch, start)
    except BaseException as error:
        log_exception("the replica could not start", error)
        _report({"state": "failed", "message": _failure(error)})
        end(1, forked=start.mode == FORK)
    try:
        server.run()
    except Exception as error:  # the model may have closed the sockets, for example
        log_exception("the replica ends after an error of its server", error)
        end(1, forked=start.mode == FORK)
    _unlink(launch.socket)
    end(0, forked=start.mode == FORK)


def prepare_imports() -> None:
    """Set the variables that MLflow reads at its import."""
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"  # models' type hints then read dates and base64 from JSON
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # telemetry would start a thread and send data


def _prepare_process(launch: Launch) -> None:
    outlets.claim(status=True)
    outlets.prepare_streams()
    signals.prepare()
    faulthandler.enable(file=outlets.log_descriptor())
    time_limit.prepare()
    time_limit.publish()
    del sys.argv[1:]
    with suppress(OSError):  # there is no status pipe
        os.set_inheritable(STATUS_FD, False)
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"tidegate: replica {launch.endpoint} {launch.revision}")


def _start(launch: Launch, start: StartTime) -> Server:
    """Load the model, prove that it answers, listen, and report `ready`. Raises whatever the model raises."""
    with time_limit.alarm(launch.load_timeout_seconds):
        log(f"loading {launch.served_entity}, revision {launch.revision}")
        if start.mode == FORK:
            shadowed_modules.remove(launch.model_dir, start.early_modules)
        model, plan, first_answer, plan_is_new = trials.prepare(launch, lambda: _report({"state": "loaded"}))
        batcher = batcher_of(model, launch, plan)
    outlets.reopen_closed()
    proof = first_answer.proof if first_answer is not None else None
    if first_answer is not None:
        import_record.record(launch.imports_file, launch.model_dir)
    listener, ready_at = _listen(launch.socket), time.monotonic()

    def serving() -> Dict[str, Any]:
        return {"path": batcher.serving.path._asdict(), "batching": batcher.serving.verdict._asdict()}

    def self_description() -> Dict[str, Any]:
        return {
            "proof": _proof_json(proof, {**serving(), "costs": batcher.costs}),
            "accelerators": {"json": model.json.note},
            **serving(),
            "start": start.to_json(launch.asked_at, ready_at),
        }

    modules, reported = len(sys.modules), batcher.serving

    def on_change() -> None:
        outlets.reopen_closed()
        if batcher.serving is not reported:
            _report({"state": "serving", **serving(), "costs": batcher.costs})
        if len(sys.modules) != modules or start.mode == SPAWN:
            import_record.record(launch.imports_file, launch.model_dir)

    identity, refutations = Identity(launch.revision, launch.secret), Refutations(launch.refutations_file)
    server = Server(listener, identity, batcher, self_description, on_change, refutations)
    signals.handle(signal.SIGTERM, server.stop)
    answer = first_answer.answer if first_answer is not None else None
    _report({"state": "ready", **self_description(), "answer": answer})
    if plan_is_new:
        _report({"state": "serving", **serving(), "costs": batcher.costs})
    log(f"ready; {_proof_text(proof)}; {_serving_text(batcher)}; fast JSON: {model.json.note}")
    return server


def _try_fork(launch: Launch, start: StartTime) -> Dict[str, Any]:
    """The status after a trial of a fork. Its time limit is that of the load."""
    try:
        with time_limit.alarm(launch.load_timeout_seconds):
            shadowed_modules.remove(launch.model_dir, start.early_modules)
            model = Model.load(launch.model_dir)
            difference = trials.fork_difference(model, launch.model_dir, launch.answer)
    except BaseException as error:
        log_exception("the trial of a fork failed", error)
        return {"state": "failed", "message": _failure(error)}
    return {"state": "failed", "message": difference} if difference else {"state": "passed"}


def _listen(path: str) -> socket.socket:
    """A Unix socket that listens, and that only this user can connect to."""
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
    """The proof as it travels; None if it was on record already."""
    return None if proof is None else {"example": proof.example, "warning": proof.warning, **serving}


def _serving_text(batcher: Batcher) -> str:
    path, verdict = batcher.serving.path, batcher.serving.verdict
    path_text = f"path: {path.mode}, {path.input}" + (f" ({path.reason})" if path.reason else "")
    return path_text + f"; batching: {verdict.mode}" + (f" ({verdict.reason})" if verdict.reason else "")


def _proof_text(proof: Optional[Proof]) -> str:
    if proof is None:
        return "proved before"
    return f"proved by: {proof.example}" + (f" ({proof.warning})" if proof.warning else "")


def _failure(error: BaseException) -> str:
    """The sentence that the endpoint's owner reads."""
    if isinstance(error, (NotProved, shadowed_modules.Shadowed)):
        return str(error)
    return f"The model could not be loaded: {exception_text(error)}"


def _report(status: Dict[str, Any]) -> None:
    """Write a line into the status pipe, if somebody reads it. It is text, whatever a model's exception says."""
    outlets.write_status(json.dumps(status, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


if __name__ == "__main__":
    main()
