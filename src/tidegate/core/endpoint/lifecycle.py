"""Every state and every transition of Tidegate. Rule: everything that affects a state machine lives in this file.

A transition that is not listed raises. Idle is not a state: a READY revision may have no replica at all. The public
states (READY, DEPLOYMENT_CREATING, …) are not here either: `core.endpoint.status` computes them.
"""

from enum import StrEnum


class RevisionState(StrEnum):
    """The life of a revision, as recorded in the store."""

    PENDING = "pending"  # asked for; nothing done yet
    PREPARING = "preparing"  # its model is downloaded and its environment built
    STARTING = "starting"  # the engine has its target; no replica has proved itself yet
    READY = "ready"  # proved by a prediction
    FAILED = "failed"  # given up, nothing of it runs; `message` says why
    RETIRING = "retiring"  # no route leads to it; it drains
    RETIRED = "retired"  # nothing of it runs


S = RevisionState

REVISION_TRANSITIONS: dict[RevisionState, frozenset[RevisionState]] = {
    S.PENDING: frozenset({S.PREPARING, S.RETIRED}),
    # Back to PENDING when control restarts in the middle: preparation lives in a process, not in the store.
    S.PREPARING: frozenset({S.PENDING, S.STARTING, S.FAILED, S.RETIRED}),
    S.STARTING: frozenset({S.READY, S.FAILED, S.RETIRING}),
    S.READY: frozenset({S.RETIRING}),
    S.FAILED: frozenset({S.PENDING}),
    # Asked for again while draining: its environment is still there.
    S.RETIRING: frozenset({S.STARTING, S.RETIRED}),
    S.RETIRED: frozenset({S.PENDING}),
}


class InvalidTransition(Exception):
    """A transition that is not in the table: a defect of Tidegate."""

    def __init__(self, subject: str, current: StrEnum, new: StrEnum) -> None:
        super().__init__(f"{subject}: {current.value} → {new.value} is not a transition")


def check_transition(subject: str, current: RevisionState, new: RevisionState) -> None:
    """Raise InvalidTransition unless the table lists `current` → `new`."""
    if new not in REVISION_TRANSITIONS[current]:
        raise InvalidTransition(subject, current, new)
