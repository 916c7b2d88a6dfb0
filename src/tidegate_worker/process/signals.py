"""How a replica takes signals, and that the processes which its model starts take them as if there was no replica.

A child that goes on without another program (`os.fork`, multiprocessing) inherits handlers, and a handler that lets
the replica drain would keep `Pool.terminate` waiting for ever; one that runs another program inherits what is ignored.
So nothing is ignored here, and handlers are taken away in each child before anything else runs in it.
"""

import faulthandler
import os
import signal
import threading
from contextlib import suppress
from typing import Any, Callable, Dict

_ours: Dict[int, Any] = {}  # signal → the handler that was set here
_held = threading.local()
_hooked = False


def prepare() -> None:
    """Let SIGINT, which a terminal sends to the supervisor, pass by; and see to the processes of the model."""
    global _hooked
    handle(signal.SIGINT, _pass)
    if not _hooked:
        _hooked = True
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_begin_child)


def handle(number: int, handler: Callable[..., Any]) -> None:
    """Handle a signal in this process, and not in those that the model starts."""
    signal.signal(number, handler)
    _ours[number] = handler


def _pass(*_signal: object) -> None:
    pass


def _hold() -> None:
    """No signal may reach the child while it has the replica's handlers: it would be lost."""
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _begin_child() -> None:
    with suppress(ValueError, OSError):
        signal.set_wakeup_fd(-1)
    for number, handler in _ours.items():
        if signal.getsignal(number) == handler:  # else it is the model's own
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        faulthandler.unregister(signal.SIGALRM)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _ours.clear()
    _release()
