"""The steps by which a served entity comes to serve, as people follow them, and how far each is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision, RevisionObservation
from tidegate.core.endpoint.served_entity import ServedEntity


class Step(StrEnum):
    """A step, in the order of the work."""

    RESOLVE = "resolve"  # the exact version that a reference means
    DOWNLOAD = "download"  # the model's files
    ENVIRONMENT = "environment"  # its packages
    REPLICA = "replica"  # a process that loads the model
    EXAMPLE = "example"  # the model's answer to its input example
    SERVES = "serves"  # the gate, and the switch of all gateways


class StepState(StrEnum):
    """How far a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Span:
    """When a step began and ended, unix seconds. It runs while `ended` is None."""

    began: float
    ended: float | None = None


Spans = Mapping[Step, Span]
"""The spans of a revision's steps, as far as control has seen them. It has seen none of those before its start."""


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of an entity. `seconds` are those until its end, or until now; None where they are not known."""

    step: Step
    state: StepState
    seconds: float | None = None
    note: str = ""


class Outcome(StrEnum):
    """How an attempt to serve a configuration stands."""

    RUNNING = "running"
    SERVES = "serves"
    FAILED = "failed"
    HELD_BACK = "held back"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An endpoint's newest attempt to serve a configuration. `message` says why it has failed."""

    config: EndpointConfig
    outcome: Outcome
    message: str = ""
    began_at: float | None = None  # unix seconds; None where it is not known


def attempt_of(endpoint: Endpoint) -> Attempt:
    """The newest attempt: the pending update, or else the one that failed last, or else what serves."""
    if endpoint.switching is not None or endpoint.pending is not None:
        pending = endpoint.switching.to if endpoint.switching is not None else endpoint.pending
        assert pending is not None
        return Attempt(pending.config, Outcome.RUNNING, began_at=pending.started_at)
    failed = endpoint.failed
    if failed is not None:
        return Attempt(failed.config, Outcome.HELD_BACK if failed.report else Outcome.FAILED, failed.message)
    assert endpoint.active is not None
    first = endpoint.active.version == 1
    return Attempt(endpoint.active, Outcome.SERVES, began_at=endpoint.created_at if first else None)


# The steps before each state of a revision, which are done in it, and the steps that may run in it.
_DONE: Mapping[RevisionState, Sequence[Step]] = {
    RevisionState.STARTING: (Step.DOWNLOAD, Step.ENVIRONMENT),
    RevisionState.READY: (Step.DOWNLOAD, Step.ENVIRONMENT, Step.REPLICA, Step.EXAMPLE),
}
_MAY_RUN: Mapping[RevisionState, Sequence[Step]] = {
    RevisionState.PREPARING: (Step.DOWNLOAD, Step.ENVIRONMENT),
    RevisionState.STARTING: (Step.REPLICA, Step.EXAMPLE),
}


def steps_of(
    attempt: Attempt,
    entity: ServedEntity,
    revision: Revision | None,
    observation: RevisionObservation | None,
    spans: Spans,
    now: float,
) -> tuple[StepView, ...]:
    """The steps of one entity of an attempt. `revision` is None before it is on record, or when it is a past one."""
    states = _states(attempt, revision, spans)
    notes = {
        Step.RESOLVE: _resolved(entity),
        Step.REPLICA: _replica_note(observation) if states[Step.REPLICA] is StepState.RUNNING else "",
        Step.SERVES: _serves_note(attempt, states[Step.SERVES]),
    }
    for step, state in states.items():
        if state is StepState.FAILED and attempt.message:
            notes[step] = attempt.message
    return tuple(
        StepView(step, state, _seconds(spans.get(step), state, now), notes.get(step, ""))
        for step, state in states.items()
    )


def _states(attempt: Attempt, revision: Revision | None, spans: Spans) -> dict[Step, StepState]:
    states = dict.fromkeys(Step, StepState.WAITING) | {Step.RESOLVE: StepState.DONE}
    if attempt.outcome in (Outcome.SERVES, Outcome.HELD_BACK):
        last = StepState.DONE if attempt.outcome is Outcome.SERVES else StepState.FAILED
        return dict.fromkeys(Step, StepState.DONE) | {Step.SERVES: last}
    if revision is None:
        if attempt.outcome is Outcome.FAILED:
            states[Step.DOWNLOAD] = StepState.FAILED
        return states
    if revision.state is RevisionState.FAILED:
        return states | _failed(revision, spans)
    states |= dict.fromkeys(_DONE.get(revision.state, ()), StepState.DONE)
    if revision.state is RevisionState.READY and attempt.outcome is Outcome.RUNNING:
        states[Step.SERVES] = StepState.RUNNING
    if revision.state in (RevisionState.RETIRING, RevisionState.RETIRED):  # another entity has failed
        states |= {step: StepState.DONE for step, span in spans.items() if span.ended is not None}
    running = _MAY_RUN.get(revision.state, ())
    if running and attempt.outcome is Outcome.RUNNING:
        seen = [step for step in running if step in spans]
        current = seen[-1] if seen else running[0]
        states[current] = StepState.RUNNING
        states |= dict.fromkeys(running[: running.index(current)], StepState.DONE)
    return states


def _failed(revision: Revision, spans: Spans) -> dict[Step, StepState]:
    """The steps of a revision that has failed: the last one that began has. Without spans the record tells less."""
    prepared = revision.environment is not None
    possible = _MAY_RUN[RevisionState.STARTING if prepared else RevisionState.PREPARING]
    seen = [step for step in possible if step in spans]
    failed = seen[-1] if seen else (Step.REPLICA if prepared else Step.ENVIRONMENT)
    order = list(Step)
    return dict.fromkeys(order[: order.index(failed)], StepState.DONE) | {failed: StepState.FAILED}


def _seconds(span: Span | None, state: StepState, now: float) -> float | None:
    if span is None or state is StepState.WAITING:
        return None
    if span.ended is None:
        return max(0.0, now - span.began) if state is StepState.RUNNING else None
    return max(0.0, span.ended - span.began)


def _resolved(entity: ServedEntity) -> str:
    meant = entity.model.version
    exact = f"version {entity.resolved.version} of {entity.resolved.name}"
    return exact if meant == entity.resolved.version else f"{meant} is {exact}"


def _replica_note(observation: RevisionObservation | None) -> str:
    if observation is None:
        return ""
    if observation.failed_starts:
        return f"Start {observation.failed_starts + 1}, after: {observation.message}"
    return "" if observation.replicas else observation.message


def _serves_note(attempt: Attempt, state: StepState) -> str:
    if state is StepState.RUNNING:
        return "The gate compares its answers with those of what serves, and then all gateways switch."
    return f"Configuration {attempt.config.version}" if state is StepState.DONE else ""
