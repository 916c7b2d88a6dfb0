"""A warm template: a process that has imported what an environment's models import, and forks replicas from itself.

Started as `python -I -c BOOTSTRAP OVERLAY` in the environment. Standard input is its control channel, a Unix socket
that keeps messages apart: the first says what to import; each later one asks for a fork and brings the replica's
standard input, log and status pipe. It has no thread, no event loop and, but for one to its own child, no open socket
besides, and never predicts: a fork keeps only the thread that made it, and whatever lock another held stays locked.
"""

import array
import fcntl
import gc
import importlib
import json
import os
import select
import socket
import sys
import time
from contextlib import suppress
from typing import Any, Dict, FrozenSet, List, NoReturn, Optional, Sequence, Set, Tuple

from tidegate_worker import __main__ as replica
from tidegate_worker.fork import library_caches, random_generators
from tidegate_worker.fork.trial_child import threads
from tidegate_worker.process import outlets, signals
from tidegate_worker.process.log import log
from tidegate_worker.process.start_time import FORK, StartTime

STATUS_FD = replica.STATUS_FD
_MAX_MESSAGE = 1 << 20
_LOWEST_FREE_FD = 10
_GIVEN = 3  # descriptors that come with a request: standard input, log, status pipe
# A thread that an import has started may be on its way out.
_THREAD_SECONDS = 0.1
_LOADER = "mlflow.pyfunc"
_STATELESS = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# After so long without a request the machine is free to fork ahead.
_LULL_SECONDS = 0.2


def main() -> NoReturn:
    """Be a template until the channel ends; in each fork, be a replica to its end."""
    gc.disable()  # what imports leave behind is collected once, before the first fork
    signals.prepare()
    outlets.keep(status=False)
    replica.prepare_imports()
    channel = _own_channel()
    order = _receive(channel)[0]
    if order is None:
        sys.exit(0)
    os.chdir(order.get("scratch") or ".")
    _entitle(f"tidegate: template {order['environment']}")
    began = time.monotonic()
    with random_generators.noted():
        left_out, thread_of, first = _import(order["imports"], order["left_out"])
    if thread_of:
        _tell(channel, {"state": "thread", "module": thread_of})
        os._exit(1)
    library_caches.fill()
    random_generators.find()
    gc.collect()
    gc.freeze()
    log(f"{len(sys.modules)} modules in {time.monotonic() - began:.2f} s; left out: {left_out or 'none'}")
    _tell(channel, {"state": "ready", "modules": len(sys.modules), "left_out": left_out})
    start = _serve(channel, order["environment"])
    channel.close()
    gc.enable()
    random_generators.reseed()
    vars(sys.modules["__main__"])["main"] = replica.main  # as it is in a replica's own program
    replica.main(start._replace(first=first))


# --- imports


def _import(names: Sequence[str], without: Sequence[str]) -> Tuple[Dict[str, str], str, FrozenSet[str]]:
    """Import them in order. Returns those left out, with the reason; the first that started a thread or keeps a file
    open, which forks cannot have of their own; and all that was imported with MLflow: a spawned replica has it before
    it knows where its model's own code is."""
    first, held = frozenset(sys.modules), _descriptors()
    left_out = dict.fromkeys(without, "it starts a thread or keeps a file open")
    inside = tuple(name + "." for name in without)  # whose import would import the whole
    for name in names:
        if name in left_out or name in sys.modules or name.startswith(inside):
            continue
        try:
            importlib.import_module(name)
        except BaseException as error:  # what exits, too: a replica may never import it in this order
            left_out[name] = type(error).__name__
        if (threads() > 1 and not _alone()) or _descriptors() - held:
            return left_out, name, first
        if name == _LOADER:
            first = frozenset(sys.modules)
    return left_out, "", first


def _descriptors() -> Set[Tuple[str, str]]:
    """The open descriptors, and of what, but those of devices that keep no state."""
    found = set()
    for place in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        with suppress(OSError):  # the listing's own
            what = os.readlink(f"/proc/self/fd/{place}")
            if what not in _STATELESS and not what.startswith("/proc/"):
                found.add((place, what))
    return found


def _alone() -> bool:
    """Whether this becomes the only thread, very soon."""
    until = time.monotonic() + _THREAD_SECONDS
    while threads() > 1:
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


# --- forks


def _serve(channel: socket.socket, environment: str) -> StartTime:
    """Answer requests; returns in the child, wired up as a replica is.

    One child is forked ahead when nothing is asked for: to fork takes longer than to load a small model.
    """
    ahead: Optional[socket.socket] = None  # to the child that waits for a request
    while True:
        if ahead is None and not _readable(channel) and _alone():
            ahead, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if _fork_twice():
                ahead.close()
                return _wait(channel, theirs, environment)
            theirs.close()
        request, given = _receive(channel)
        if request is None:
            os._exit(0)  # the agent has ended
        if len(given) != _GIVEN or not _alone():
            _tell(channel, {"id": request["id"], "refused": f"{threads()} threads, {len(given)} descriptors"})
        elif ahead is not None and _hand_over(ahead, request, given):
            ahead = None
        else:
            ahead = None
            if _fork_twice():
                return _become(channel, request, given)
        _close(given)


def _fork_twice() -> bool:
    """Whether this is the child. It has no parent here: it becomes the agent's child. It leads its own session."""
    _flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return False
    if os.fork():
        os._exit(0)
    os.setsid()
    return True


def _wait(channel: socket.socket, requests: socket.socket, environment: str) -> StartTime:
    """Be the child that is forked ahead, until it is needed; end with the template."""
    _entitle(f"tidegate: template {environment}, forked ahead")
    random_generators.reseed()
    _tell(channel, {"ahead": os.getpid()})
    request, given = _receive(requests)
    requests.close()
    if request is None:
        os._exit(0)
    return _become(channel, request, given)


def _hand_over(ahead: socket.socket, request: Dict[str, Any], given: Sequence[int]) -> bool:
    """Whether the child that was forked ahead takes the request: it may have been killed."""
    with ahead:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", given))
        try:
            ahead.sendmsg([json.dumps(request).encode()], [rights])
        except OSError:
            return False
    return True


def _become(channel: socket.socket, request: Dict[str, Any], given: Sequence[int]) -> StartTime:
    start = StartTime(FORK, time.monotonic())
    _tell(channel, {"id": request["id"], "pid": os.getpid()})
    line, output, status = given
    for source, place in ((line, 0), (output, 1), (output, 2), (status, STATUS_FD)):
        os.dup2(source, place)
    _close(given)
    return start


def _readable(channel: socket.socket) -> bool:
    """Whether something is asked for soon."""
    return bool(select.select([channel], [], [], _LULL_SECONDS)[0])


def _own_channel() -> socket.socket:
    """The control channel, moved out of the way of a replica's descriptors, whose numbers stay taken until then."""
    moved = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FREE_FD)
    null = os.open(os.devnull, os.O_RDWR)
    for place in {0, STATUS_FD} - {null}:
        os.dup2(null, place, inheritable=False)
    if null > STATUS_FD:
        os.close(null)
    return socket.socket(fileno=moved)


def _receive(channel: socket.socket) -> Tuple[Optional[Dict[str, Any]], List[int]]:
    """The next message with its descriptors; None at the channel's end."""
    given = array.array("i")
    room = socket.CMSG_SPACE(_GIVEN * given.itemsize)
    data, ancillary, _flags, _address = channel.recvmsg(_MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            given.frombytes(content[: len(content) - len(content) % given.itemsize])
    return (json.loads(data) if data else None), list(given)


def _tell(channel: socket.socket, message: Dict[str, Any]) -> None:
    with suppress(OSError):  # the agent has ended
        channel.send(json.dumps(message).encode())


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # an import may have closed or replaced it
            stream.flush()


def _entitle(title: str) -> None:
    with suppress(ImportError):
        from setproctitle import setproctitle

        setproctitle(title)
