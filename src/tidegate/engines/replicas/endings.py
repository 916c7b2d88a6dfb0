"""Sentences for a model's owner on how a replica ended."""

import os
import signal

_SEE = "; see the log."


def signal_of(status: int | None) -> int | None:
    """The number of the signal that ended a process, or None. SIGALRM is no crash: the worker enforced a deadline."""
    return os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None


def sentence(status: int | None, *, starting: bool) -> str:
    """How a replica with this wait status ended. None stands for an unknown status."""
    when = " before it was ready" if starting else ""
    if status is None:
        return f"The replica ended{when}, status unknown{_SEE}"
    number = signal_of(status)
    if number is None:
        return f"The replica exited with code {os.waitstatus_to_exitcode(status)}{when}{_SEE}"
    if number == signal.SIGALRM:
        what = "loading took too long" if starting else "a prediction took longer than it may"
        return f"The replica was ended at its deadline{when}: {what}; the log shows where it was."
    hint = ": by somebody, or by the kernel when memory runs out" if number == signal.SIGKILL else ""
    return f"The replica was ended by {_name(number)}{when}{hint}{_SEE}"


def overdue(*, starting: bool) -> str:
    """A replica was ended by the agent because its own alarm (SIGALRM) had not ended it at its deadline."""
    what = "loading took too long" if starting else "a prediction took longer than it may"
    return (
        f"The replica was ended after its deadline: {what}, and its own alarm did not end it. "
        "The model must not handle, block or reset SIGALRM."
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
