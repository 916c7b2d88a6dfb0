"""Signal handlers of a replica. Processes that its model starts must not inherit them.

A child by `os.fork` or multiprocessing inherits handlers. The handler that drains the replica would then keep
`Pool.terminate` waiting for ever. A child that runs another program inherits which signals are ignored. So the replica
ignores none, and its handlers are removed in each child before other code runs there.
"""

import faulthandler
import os
import signal
import threading
from contextlib import suppress
from typing import Any, Callable, Dict

_handlers: Dict[int, Any] = {}  # those that were set here, by signal
_blocked = threading.local()  # `mask`: the thread's signal mask from before a fork
_hooked = False


def prepare() -> None:
    """Let SIGINT do nothing, as a terminal means the supervisor by it. Remove handlers in each child from now on."""
    global _hooked
    handle(signal.SIGINT, _do_nothing)
    if not _hooked:
        _hooked = True
        os.register_at_fork(before=_block_signals, after_in_parent=_restore_mask, after_in_child=_reset_in_child)


def handle(number: int, handler: Callable[..., Any]) -> None:
    """Handle a signal in this process, and not in those that the model starts."""
    signal.signal(number, handler)
    _handlers[number] = handler


def _do_nothing(*_signal: object) -> None:
    pass


def _block_signals() -> None:
    """Block signals during a fork: one that reached the child while it has the replica's handlers would be lost."""
    _blocked.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))


def _restore_mask() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _blocked.mask)


def _reset_in_child() -> None:
    with suppress(ValueError, OSError):
        signal.set_wakeup_fd(-1)
    for number, handler in _handlers.items():
        if signal.getsignal(number) == handler:  # the model may have set another one
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        faulthandler.unregister(signal.SIGALRM)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _handlers.clear()
    _restore_mask()
