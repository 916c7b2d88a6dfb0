"""A warm template: a process that has imported what an environment's models import, and from which replicas are forked.

It is started as `python -I -c BOOTSTRAP OVERLAY` in the environment. Standard input is its control channel, a Unix
socket with message boundaries. The first message says what to import. Each later one asks for a fork, and brings the
replica's standard input, log and status pipe.

A template has one thread and no event loop, and never predicts: a fork keeps only the thread that made it, and a lock
that another thread held would stay locked. Besides the channel it has one open socket, to the child that is forked
ahead.
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
from tidegate_worker.fork.trial_child import thread_count
from tidegate_worker.process import outlets, signals
from tidegate_worker.process.log import log
from tidegate_worker.process.start_time import FORK, StartTime

STATUS_FD = replica.STATUS_FD
_MAX_MESSAGE = 1 << 20
_LOWEST_FREE_FD = 10
_DESCRIPTORS = 3  # with each request: standard input, log, status pipe
# A thread that an import has started may end by itself within this time.
_THREAD_SECONDS = 0.1
_LOADER = "mlflow.pyfunc"
_STATELESS = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# A child is forked ahead after this many seconds without a request: other starts go first.
_LULL_SECONDS = 0.2


def main() -> NoReturn:
    """The whole life of a template, until the channel ends; and of each replica that is forked from it."""
    gc.disable()  # garbage of the imports is collected once, before the first fork
    signals.prepare()
    outlets.claim(status=False)
    replica.prepare_imports()
    channel = _own_channel()
    order = _receive(channel)[0]
    if order is None:
        sys.exit(0)
    os.chdir(order.get("scratch") or ".")
    _set_title(f"tidegate: template {order['environment']}")
    began = time.monotonic()
    with random_generators.noting_unseeded():
        left_out, unforkable, early = _import(order["imports"], order["left_out"])
    if unforkable:
        _send(channel, {"state": "thread", "module": unforkable})
        os._exit(1)
    library_caches.fill()
    random_generators.find_unseeded_numpy()
    gc.collect()
    gc.freeze()
    log(f"{len(sys.modules)} modules in {time.monotonic() - began:.2f} s; left out: {left_out or 'none'}")
    _send(channel, {"state": "ready", "modules": len(sys.modules), "left_out": left_out})
    start = _fork_on_request(channel, order["environment"])
    channel.close()
    gc.enable()
    random_generators.reseed()
    vars(sys.modules["__main__"])["main"] = replica.main  # as in a spawned replica
    replica.main(start._replace(early_modules=early))


# --- imports


def _import(names: Sequence[str], without: Sequence[str]) -> Tuple[Dict[str, str], str, FrozenSet[str]]:
    """Import modules in order, but those in `without`.

    Returns the modules that were left out, with the reasons; the first one that has started a thread or keeps a file
    open, as forks cannot have these of their own; and the modules that a spawned replica, too, has imported before it
    knows the folder of its model's code.
    """
    early, open_before = frozenset(sys.modules), _descriptors()
    left_out = dict.fromkeys(without, "it starts a thread or keeps a file open")
    inside = tuple(name + "." for name in without)  # to import a part is to import the whole
    for name in names:
        if name in left_out or name in sys.modules or name.startswith(inside):
            continue
        try:
            importlib.import_module(name)
        except BaseException as error:  # with SystemExit: no model may import it in this order
            left_out[name] = type(error).__name__
        if (thread_count() > 1 and not _has_one_thread()) or _descriptors() - open_before:
            return left_out, name, early
        if name == _LOADER:
            early = frozenset(sys.modules)
    return left_out, "", early


def _descriptors() -> Set[Tuple[str, str]]:
    """The open descriptors and their files, without devices that keep no state."""
    descriptors = set()
    for place in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        with suppress(OSError):  # the descriptor of the listing itself is closed by now
            file = os.readlink(f"/proc/self/fd/{place}")
            if file not in _STATELESS and not file.startswith("/proc/"):
                descriptors.add((place, file))
    return descriptors


def _has_one_thread() -> bool:
    """Whether this is the only thread, or becomes so within `_THREAD_SECONDS`."""
    until = time.monotonic() + _THREAD_SECONDS
    while thread_count() > 1:
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


# --- forks


def _fork_on_request(channel: socket.socket, environment: str) -> StartTime:
    """Fork a replica for each request. Returns only in the forked child, once it has a replica's descriptors.

    Without a request, one child is forked ahead: a fork takes longer than the load of a small model.
    """
    ahead: Optional[socket.socket] = None  # to the child that is forked ahead
    while True:
        if ahead is None and not _readable(channel) and _has_one_thread():
            ahead, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if _fork_twice():
                ahead.close()
                return _wait_for_request(channel, theirs, environment)
            theirs.close()
        request, descriptors = _receive(channel)
        if request is None:
            os._exit(0)  # the agent has ended
        if len(descriptors) != _DESCRIPTORS or not _has_one_thread():
            reason = f"{thread_count()} threads, {len(descriptors)} descriptors"
            _send(channel, {"id": request["id"], "refused": reason})
        elif ahead is not None and _hand_over(ahead, request, descriptors):
            ahead = None
        else:
            ahead = None
            if _fork_twice():
                return _become_replica(channel, request, descriptors)
        _close(descriptors)


def _fork_twice() -> bool:
    """Fork a child of a child, so that it becomes the agent's child.

    It leads a session of its own. True in that child.
    """
    _flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return False
    if os.fork():
        os._exit(0)
    os.setsid()
    return True


def _wait_for_request(channel: socket.socket, requests: socket.socket, environment: str) -> StartTime:
    """In the child that is forked ahead: wait for a request. The child ends with the template."""
    _set_title(f"tidegate: template {environment}, forked ahead")
    random_generators.reseed()
    _send(channel, {"ahead": os.getpid()})
    request, descriptors = _receive(requests)
    requests.close()
    if request is None:
        os._exit(0)
    return _become_replica(channel, request, descriptors)


def _hand_over(ahead: socket.socket, request: Dict[str, Any], descriptors: Sequence[int]) -> bool:
    """Send the request to the child that is forked ahead. False if it has ended."""
    with ahead:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        try:
            ahead.sendmsg([json.dumps(request).encode()], [rights])
        except OSError:
            return False
    return True


def _become_replica(channel: socket.socket, request: Dict[str, Any], descriptors: Sequence[int]) -> StartTime:
    """In a forked child: put the descriptors of the request where a replica has them."""
    start = StartTime(FORK, time.monotonic())
    _send(channel, {"id": request["id"], "pid": os.getpid()})
    line, output, status = descriptors
    for source, place in ((line, 0), (output, 1), (output, 2), (status, STATUS_FD)):
        os.dup2(source, place)
    _close(descriptors)
    return start


def _readable(channel: socket.socket) -> bool:
    """Whether a request comes within `_LULL_SECONDS`."""
    return bool(select.select([channel], [], [], _LULL_SECONDS)[0])


def _own_channel() -> socket.socket:
    """The control channel under a higher number. The numbers of a replica's descriptors are kept taken by /dev/null."""
    moved = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FREE_FD)
    null = os.open(os.devnull, os.O_RDWR)
    for place in {0, STATUS_FD} - {null}:
        os.dup2(null, place, inheritable=False)
    if null > STATUS_FD:
        os.close(null)
    return socket.socket(fileno=moved)


def _receive(channel: socket.socket) -> Tuple[Optional[Dict[str, Any]], List[int]]:
    """The next message with its descriptors; None at the channel's end."""
    descriptors = array.array("i")
    room = socket.CMSG_SPACE(_DESCRIPTORS * descriptors.itemsize)
    data, ancillary, _flags, _address = channel.recvmsg(_MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return (json.loads(data) if data else None), list(descriptors)


def _send(channel: socket.socket, message: Dict[str, Any]) -> None:
    with suppress(OSError):  # the agent has ended
        channel.send(json.dumps(message).encode())


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # an import may have closed or replaced the stream
            stream.flush()


def _set_title(title: str) -> None:
    with suppress(ImportError):
        from setproctitle import setproctitle

        setproctitle(title)
