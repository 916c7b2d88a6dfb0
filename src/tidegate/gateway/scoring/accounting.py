"""Which of an account's counters an error goes to, and what is noted of a slow request or an error."""

from tidegate import http
from tidegate.core import errors
from tidegate.core.errors import TidegateError
from tidegate.core.planes.noted_requests import LONGEST_SENTENCE, NotedRequest
from tidegate.core.series.series_point import WHOLE
from tidegate.gateway.metering.record import Record, Steps
from tidegate.gateway.metering.slowest import time_of_day
from tidegate.gateway.queue.pending import Pending


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


def noted(
    request: Pending, request_id: bytes, seconds: float, steps: Steps | None = None, error: TidegateError | None = None
) -> NotedRequest:
    """What is noted of a request that took so many seconds. `steps` are those of a replica's answer."""
    _, wait, decode, predict, encode, share = steps or (b"", 0.0, 0.0, 0.0, 0.0, 0.0)
    waited = request.sent_at - request.queued_at
    rest = max(0.0, seconds - waited - wait - decode - predict - encode)
    return NotedRequest(
        time_of_day(),
        seconds,
        200 if error is None else http.status_of(error)[0],
        WHOLE if request.route is None else request.route.label,
        request_id.decode("latin-1"),
        (waited, wait, decode, predict, encode, rest) if share else (),
        round(1 / share) if share else 0,
        "" if request.cold is None else request.cold.mode,
        "" if error is None else error.message[:LONGEST_SENTENCE],
    )
