"""The states of a revision and their transitions. All that affects this state machine is in this file.

A transition that is not listed raises. Idle is no state: a READY revision may have no replica. The public states
(READY, DEPLOYMENT_CREATING, …) are no part of it either: `core.endpoint.status` computes them.
"""

from enum import StrEnum


class RevisionState(StrEnum):
    """The life of a revision, as recorded in the store."""

    PENDING = "pending"  # a configuration has it; nothing is done yet
    PREPARING = "preparing"  # its model is being downloaded and its environment built
    STARTING = "starting"  # the engine has its target; no replica has been ready yet
    READY = "ready"  # a replica has predicted
    FAILED = "failed"  # given up; no replica runs, and `message` says why
    RETIRING = "retiring"  # no route leads to it; it drains
    RETIRED = "retired"  # no replica runs


S = RevisionState

REVISION_TRANSITIONS: dict[RevisionState, frozenset[RevisionState]] = {
    S.PENDING: frozenset({S.PREPARING, S.RETIRED}),
    # Back to PENDING when control is restarted meanwhile: the store does not have the preparation, a process does.
    S.PREPARING: frozenset({S.PENDING, S.STARTING, S.FAILED, S.RETIRED}),
    S.STARTING: frozenset({S.READY, S.FAILED, S.RETIRING}),
    S.READY: frozenset({S.RETIRING}),
    S.FAILED: frozenset({S.PENDING}),
    # To STARTING when a configuration has it again while it drains: its environment is still there.
    S.RETIRING: frozenset({S.STARTING, S.RETIRED}),
    S.RETIRED: frozenset({S.PENDING}),
}


class InvalidTransition(Exception):
    """A transition that the table does not have: a defect of Tidegate."""

    def __init__(self, subject: str, current: StrEnum, new: StrEnum) -> None:
        super().__init__(f"{subject}: {current.value} → {new.value} is not a transition")


def check_transition(subject: str, current: RevisionState, new: RevisionState) -> None:
    """Raise InvalidTransition unless the table lists `current` → `new`."""
    if new not in REVISION_TRANSITIONS[current]:
        raise InvalidTransition(subject, current, new)
