"""The slowest requests of an endpoint and its newest errors, in numbers: no body is ever kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest
from typing import NamedTuple

# How many of either there are at most, and for how many seconds a slow request is known.
MOST_NOTED, KEPT_SECONDS = 20, 15 * 60
# The longest sentence of an error, characters.
LONGEST_SENTENCE = 300


class NotedRequest(NamedTuple):
    """One request. `steps` are seconds in the order of STEPS; empty where no replica has answered."""

    at: float  # unix seconds of its answer
    seconds: float  # from its first byte to its answer
    status: int
    entity: str  # the account of its version; WHOLE where none was picked
    request_id: str
    steps: tuple[float, ...] = ()
    batch: int = 0  # requests that were predicted together; 0 where that is not known
    cold: str = ""  # how the replica was started that it waited for: "fork" or "spawn"; empty where it waited for none
    sentence: str = ""  # what an error said


@dataclass(frozen=True, slots=True)
class NotedRequests:
    """The slowest requests of the last KEPT_SECONDS, the slowest first, and the newest errors, the newest first."""

    slowest: tuple[NotedRequest, ...] = ()
    errors: tuple[NotedRequest, ...] = ()


def together(several: Iterable[NotedRequests]) -> NotedRequests:
    """What several gateways have noted of one endpoint, as if one had."""
    all_of_them = list(several)
    slowest = (request for noted in all_of_them for request in noted.slowest)
    errors = (request for noted in all_of_them for request in noted.errors)
    return NotedRequests(
        tuple(nlargest(MOST_NOTED, slowest, key=lambda request: request.seconds)),
        tuple(nlargest(MOST_NOTED, errors, key=lambda request: request.at)),
    )
