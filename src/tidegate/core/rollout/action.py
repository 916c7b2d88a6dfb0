"""The actions that `core.rollout.plan` returns and the reconciler carries out."""

from dataclasses import dataclass

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Environment, Proof, Revision, RevisionId, RevisionTarget
from tidegate.core.rollout.replay import Replay


@dataclass(frozen=True, slots=True)
class Record:
    """Add a revision to the store."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class Move:
    """Change the state of a revision in the store. A field that is None stays as it is."""

    revision: RevisionId
    state: RevisionState
    message: str = ""
    generation: int | None = None
    environment: Environment | None = None
    model_dir: str | None = None
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Learn:
    """Store a revision's new proof, to which the engine has added since the revision became ready."""

    revision: RevisionId
    proof: Proof


@dataclass(frozen=True, slots=True)
class Prepare:
    """Download the model and build its environment, in the background."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop preparing a revision, and drop its progress."""

    revision: RevisionId


@dataclass(frozen=True, slots=True)
class Apply:
    """Send the engine this target."""

    target: RevisionTarget


@dataclass(frozen=True, slots=True)
class Remove:
    """Have the engine drain a revision and drop its target."""

    revision: RevisionId


@dataclass(frozen=True, slots=True)
class Try:
    """Have the gateways replay recorded requests on a pending configuration."""

    endpoint: Endpoint
    replays: tuple[Replay, ...]


@dataclass(frozen=True, slots=True)
class Promote:
    """Switch an endpoint to its pending configuration, or continue the switch. `report` is the gate's, as JSON."""

    endpoint: Endpoint
    report: str = ""


@dataclass(frozen=True, slots=True)
class FailUpdate:
    """Give up an endpoint's pending configuration. The active one goes on.

    `report` is the gate's, where the gate judged.
    """

    endpoint: Endpoint
    message: str
    report: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop ended revisions from the store."""

    revisions: tuple[RevisionId, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop a deleted endpoint, of which no replica runs any more, from the store."""

    endpoint: Endpoint


Action = Record | Move | Learn | Prepare | Abandon | Apply | Remove | Try | Promote | FailUpdate | Drop | Forget


def subject_of(action: Action) -> str:
    """The id of the action's revision or endpoint. After a failed action, the next ones on the same subject wait."""
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
