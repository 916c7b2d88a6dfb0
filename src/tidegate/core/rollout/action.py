"""What the reconciler can do: a closed union of values, which `core.rollout.plan` returns and it carries out."""

from dataclasses import dataclass

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Environment, Proof, Revision, RevisionId, RevisionTarget
from tidegate.core.rollout.replay import Replay


@dataclass(frozen=True, slots=True)
class Record:
    """Write a revision that was not there before."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class Move:
    """Change a recorded revision's state. What is None stays as it is."""

    revision: RevisionId
    state: RevisionState
    message: str = ""
    generation: int | None = None
    environment: Environment | None = None
    model_dir: str | None = None
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Learn:
    """Record what the engine has found out of a revision since it became ready."""

    revision: RevisionId
    proof: Proof


@dataclass(frozen=True, slots=True)
class Prepare:
    """Download the model and build its environment, beside the loop."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop preparing a revision, and forget how far it came."""

    revision: RevisionId


@dataclass(frozen=True, slots=True)
class Apply:
    """Have the engine hold this target."""

    target: RevisionTarget


@dataclass(frozen=True, slots=True)
class Remove:
    """Have the engine drain and end a revision."""

    revision: RevisionId


@dataclass(frozen=True, slots=True)
class Try:
    """Have gateways replay recorded requests on what is to serve next."""

    endpoint: Endpoint
    replays: tuple[Replay, ...]


@dataclass(frozen=True, slots=True)
class Promote:
    """Switch an endpoint to its pending configuration, or go on doing so. `report` is the gate's, as JSON."""

    endpoint: Endpoint
    report: str = ""


@dataclass(frozen=True, slots=True)
class FailUpdate:
    """Give up an endpoint's pending configuration; what served before goes on. `report` is the gate's, if it was it."""

    endpoint: Endpoint
    message: str
    report: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop the records of revisions that nobody comes back to."""

    revisions: tuple[RevisionId, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop a deleted endpoint of which nothing runs any more, with all its records."""

    endpoint: Endpoint


Action = Record | Move | Learn | Prepare | Abandon | Apply | Remove | Try | Promote | FailUpdate | Drop | Forget


def subject_of(action: Action) -> str:
    """The id of the revision or endpoint that it is about: where one action has failed, those after it wait."""
    match action:
        case Record(revision) | Prepare(revision):
            return revision.id
        case Move(revision=rid) | Learn(revision=rid) | Abandon(rid) | Remove(rid):
            return rid
        case Apply(target):
            return target.revision
        case Drop(revisions):
            return revisions[0]
        case Try(endpoint) | Promote(endpoint) | FailUpdate(endpoint) | Forget(endpoint):
            return endpoint.id
