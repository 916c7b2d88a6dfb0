"""Which of an account's counters an error goes to."""

from tidegate import http
from tidegate.core import errors
from tidegate.core.errors import TidegateError
from tidegate.gateway.metering.record import Record


def close_unanswered(account: Record, error: TidegateError, seconds: float) -> None:
    """Close the account of a request that no replica answered."""
    status = http.status_of(error)[0]
    if isinstance(error, errors.DeadlineExceeded):
        account.time_out(status, seconds)
    elif isinstance(error, errors.ModelCrashed):
        account.answer(status, seconds, 0)
    else:
        account.reject(status, seconds)


def close_answered(account: Record, error: TidegateError, seconds: float, bytes_in: int) -> None:
    """Close the account of a request that a replica answered with an error."""
    status = http.status_of(error)[0]
    if isinstance(error, errors.DeadlineExceeded):
        account.time_out(status, seconds)
    else:
        account.answer(status, seconds, bytes_in)
