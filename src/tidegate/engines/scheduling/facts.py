"""The facts that the schedule decides from: held revisions, their replicas, and the agent's limits."""

import math
from dataclasses import dataclass

from tidegate.core.endpoint.revision import ReplicaId, ReplicaState, RevisionId, RevisionTarget

# A gateway repeats its wake-up while a request waits. After this many seconds without one, no request waits any more.
AWAITED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """A held revision.

    - `launch`: a digest of all that its replicas are started with (see `launch_digest`).
    - `can_fork`: the next replica can be forked from a warm template.
    - `can_warm`: that template is not there, and can be made at once.
    - `template_until`: until when a start waits for the template that is being made.
    - `evicted`: it has no replica until it is woken, as others needed its memory.
    - `awaited`: it was woken, and has had no ready replica since.
    - `used_at`: when gateways last had a request for it.
    - `expected_bytes`: the memory of its latest replica when that was ready.
    """

    target: RevisionTarget
    launch: str
    removing: bool = False
    proved: bool = False
    failed_starts: int = 0
    start_after: float = -math.inf  # monotonic seconds
    can_fork: bool = False
    template_until: float = -math.inf  # monotonic seconds
    can_warm: bool = False
    evicted: bool = False
    awaited: bool = False
    used_at: float = -math.inf  # monotonic seconds
    expected_bytes: int = 0  # 0: not known yet
    replaced_at: tuple[float, ...] = ()  # when replicas were found over their memory limit, monotonic seconds

    def is_awaited(self, now: float) -> bool:
        """Whether a request waits for the first replica."""
        return self.awaited and now - self.used_at < AWAITED_SECONDS


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """A replica. `since` is when it entered its state, monotonic seconds."""

    id: ReplicaId
    revision: RevisionId
    launch: str
    state: ReplicaState
    since: float
    killed: bool = False
    forked: bool = False
    memory_bytes: int = 0  # the last measurement; 0 before the first
    ready_bytes: int = 0  # the first measurement since it was ready; 0 before that
    outgrown: bool = False  # over its memory limit: another takes its place


@dataclass(frozen=True, slots=True)
class Limits:
    """The agent's limits. Times are seconds."""

    cores: int
    concurrent_starts: int
    start_timeout: float
    drain_timeout: float
    memory_bytes: int = 0  # of replicas and templates together; 0: unlimited
    templates_bytes: int = 0  # the part of it that templates use
