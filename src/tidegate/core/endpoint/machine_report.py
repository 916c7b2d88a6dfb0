"""A machine as its engine reports it: who has its memory, and what would make room."""

from dataclasses import dataclass

from tidegate.core.endpoint.revision import EnvironmentDigest, RevisionId


@dataclass(frozen=True, slots=True)
class MemoryHolder:
    """A revision with replicas, and their memory as the account counts it: measured, or else expected.

    `idle_seconds` is how long it has had no request; 0 while it has one, or may not be evicted for another reason.
    """

    revision: RevisionId
    endpoint: str
    served_entity: str
    replicas: int
    memory_bytes: int
    idle_seconds: float = 0.0
    stays: bool = False  # it does not scale to zero, so it is never evicted
    parked: bool = False  # it is held for a rollback only


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """A warm template. `pids` are its process, and the child that it has forked for the next request."""

    environment: EnvironmentDigest
    pids: tuple[int, ...]
    memory_bytes: int
    age_seconds: float
    forks: int


@dataclass(frozen=True, slots=True)
class MachineReport:
    """A machine.

    - `memory_bytes`: what replicas and templates may use together; 0 where nothing limits it.
    - `first_to_go`: the revisions that would be evicted for a request that waits, the first one first.
    """

    cores: int
    memory_bytes: int
    gpus: int = 0
    holders: tuple[MemoryHolder, ...] = ()
    templates: tuple[TemplateReport, ...] = ()
    first_to_go: tuple[RevisionId, ...] = ()
    pid: int = 0  # of the agent

    @property
    def templates_bytes(self) -> int:
        """The memory of all templates."""
        return sum(template.memory_bytes for template in self.templates)

    @property
    def free_bytes(self) -> int:
        """What nobody has; 0 where more is used than there is, or nothing limits it."""
        used = self.templates_bytes + sum(holder.memory_bytes for holder in self.holders)
        return max(0, self.memory_bytes - used)
