"""The words of a diagnosis, and of the steps of a request."""

from collections.abc import Mapping

from tidegate.core.rollout.switch import Side, Switch
from tidegate.core.series.series_point import SeriesPoint
from tidegate.dashboard.formats import count, duration

STEP_TEXTS: Mapping[str, str] = {
    "queue": "waiting for a replica",
    "wait": "waiting in the replica for its batch",
    "decode": "reading the body",
    "predict": "the model",
    "encode": "writing the answer",
    "gateway": "receiving and sending",
}
"""What each step of a request is, in words."""
_CAUSES = {
    401: "callers without a valid token",
    403: "callers without permission",
    400: "bodies that the model's signature refuses",
    408: "callers that send too slowly",
    413: "bodies beyond the size limit",
    429: "more requests than may wait",
    500: "errors of the model or of its code",
    503: "no replica in time",
    504: "predictions beyond the time limit",
}


def took_over(switch: Switch, now: float) -> str:
    """Which version has begun to serve, and how long ago."""
    return f"{_versions(switch.after)} took over {duration(max(1.0, now - switch.at))} ago"


def _versions(side: Side) -> str:
    versions = sorted({model.version for model in side.versions.values()})
    return f"version {versions[0]}" if len(versions) == 1 else f"configuration {side.config}"


def causes(point: SeriesPoint, hundreds: int) -> str:
    """The causes of the errors of a class (4 or 5): the three most frequent, with their numbers."""
    found = sorted(
        ((number, status) for status, number in point.statuses.items() if status // 100 == hundreds and number),
        reverse=True,
    )
    return ", ".join(f"{count(number)} by {_CAUSES.get(status, 'others')} ({status})" for number, status in found[:3])


def length(point: SeriesPoint) -> str:
    """How long a point is."""
    return "5 minutes" if point.seconds >= 200 or point.seconds <= 1 else duration(point.seconds)


def all_of(ready: int) -> str:
    """All replicas, as the beginning of a sentence with its verb."""
    return "the one replica is" if ready == 1 else f"all {ready} replicas are"


def more_of(number: int) -> str:
    """Further replicas, with their verb."""
    return "one more is" if number == 1 else f"{number} more are"


def sentence(text: str) -> str:
    """The text with a full stop, where it has none."""
    text = text.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."
