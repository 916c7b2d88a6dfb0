"""Which of an account's counters an error goes to."""

from tidegate import http
from tidegate.core import errors
from tidegate.core.errors import TidegateError
from tidegate.gateway.metering.meter import EndpointMeter


def close_unanswered(account: EndpointMeter, entity: str, error: TidegateError, seconds: float) -> None:
    """Close the account of a request that no replica answered. `entity` is the account of its version."""
    status = http.status_of(error)[0]
    if isinstance(error, errors.DeadlineExceeded):
        account.time_out(entity, status, seconds)
    elif isinstance(error, errors.ModelCrashed):
        account.answer(entity, status, seconds, 0)
    else:
        account.reject(entity, status, seconds)


def close_answered(account: EndpointMeter, entity: str, error: TidegateError, seconds: float, bytes_in: int) -> None:
    """Close the account of a request that a replica answered with an error."""
    status = http.status_of(error)[0]
    if isinstance(error, errors.DeadlineExceeded):
        account.time_out(entity, status, seconds)
    else:
        account.answer(entity, status, seconds, bytes_in)
