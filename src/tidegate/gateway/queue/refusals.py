"""The errors of requests that no replica answers, each with its sentence and what to do next."""

from tidegate.core.errors import DeadlineExceeded, ModelCrashed, TooManyRequests, Unavailable
from tidegate.core.planes.route_table import RevisionRoute

_LONGEST_RETRY_AFTER = 60.0


def too_many(route: RevisionRoute, wait: float) -> TooManyRequests:
    """The queue is full. Its requests take `wait` seconds."""
    return TooManyRequests(
        f"Too many requests wait for '{route.served_entity}'. Try again later, "
        "or give the served entity a larger workload_size.",
        retry_after=_retry_after(wait),
    )


def in_vain(route: RevisionRoute, waiting: int, wait: float, late: float) -> Unavailable:
    """Before it, `waiting` requests take `wait` seconds, so it could begin only `late` seconds after its deadline."""
    return Unavailable(
        f"'{route.served_entity}' could not begin this request in time: {waiting} requests wait, which takes about "
        f"{wait:.0f} s. Try again later, or give the served entity a larger workload_size.",
        retry_after=_retry_after(late),
    )


def not_begun(route: RevisionRoute, why: str) -> Unavailable:
    """Its deadline passed before it began."""
    return Unavailable(f"'{route.served_entity}' could not begin this request: {why}.", retry_after=2)


def too_slow(route: RevisionRoute) -> DeadlineExceeded:
    """Its deadline passed while the model predicted."""
    return DeadlineExceeded(
        f"The model '{route.served_entity}' did not answer within {route.timeout_seconds:g} s. "
        "Send fewer rows at once, or see the endpoint's logs for where it was."
    )


def no_rerun() -> ModelCrashed:
    """Its replica died, and the owner forbids a second try."""
    return ModelCrashed(
        "The model's process ended while it predicted this request, and retry_on_crash is off. See the endpoint's logs."
    )


def crashed_twice() -> ModelCrashed:
    """Two replicas died while this was their only request."""
    return ModelCrashed("This request ended the model's process twice. See the endpoint's logs.")


def _retry_after(seconds: float) -> float:
    return min(max(1.0, seconds), _LONGEST_RETRY_AFTER)
