"""What an agent knows when it decides: the revisions that it holds, their replicas, and its limits."""

import math
from dataclasses import dataclass

from tidegate.core.endpoint.revision import ReplicaId, ReplicaState, RevisionId, RevisionTarget

# After so long without a word of a gateway, nobody waits any more.
AWAITED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """A revision that the agent holds. `launch` names what its replicas must be started with (see `launch_digest`).

    `forks`: its next replica can be forked from a warm template. One that is being made is waited for until
    `template_until`; `may_warm`: it can be made at once. `evicted`: it made room for others and has no replica
    until it is woken. `awaited`: it was woken and has not been ready since. `used_at` is when gateways last had a
    request of it. `expected_bytes` is what a new replica of it used.
    """

    target: RevisionTarget
    launch: str
    removing: bool = False
    proved: bool = False
    failed_starts: int = 0
    start_after: float = -math.inf  # monotonic seconds
    forks: bool = False
    template_until: float = -math.inf  # monotonic seconds
    may_warm: bool = False
    evicted: bool = False
    awaited: bool = False
    used_at: float = -math.inf  # monotonic seconds
    expected_bytes: int = 0  # 0: not known yet
    replaced_at: tuple[float, ...] = ()  # when replicas were found over their memory limit, monotonic seconds

    def is_awaited(self, now: float) -> bool:
        """Whether a request waits for its first replica: its gateway says so again and again."""
        return self.awaited and now - self.used_at < AWAITED_SECONDS


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """What is known of a replica. `since` is when it entered its state, in monotonic seconds."""

    id: ReplicaId
    revision: RevisionId
    launch: str
    state: ReplicaState
    since: float
    killed: bool = False
    forked: bool = False
    memory_bytes: int = 0  # as measured last; 0: not yet
    ready_bytes: int = 0  # as measured first when it was ready; 0: not yet
    outgrown: bool = False  # over its memory limit: another takes its place


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the agent. Times are seconds."""

    cores: int
    concurrent_starts: int
    start_timeout: float
    drain_timeout: float
    memory_bytes: int = 0  # what replicas and templates may use together; 0: no account is kept
    templates_bytes: int = 0  # what templates use of it
