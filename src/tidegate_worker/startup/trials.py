"""Trials in a child process that serves nobody: the model answers made-up rows there, and may break without harm.

A trial of a fork is another one: it checks that a forked replica answers as a spawned one does (`fork_difference`).
"""

import json
import time
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from tidegate_worker.fork import import_record
from tidegate_worker.fork.trial_child import NoFinding, TrialChild, thread_count
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.model.readiness import (
    FirstAnswer,
    NotProved,
    Proof,
    answer_example,
    answer_made_up,
    input_example,
    no_answer,
)
from tidegate_worker.output import equality
from tidegate_worker.process.launch import Launch
from tidegate_worker.process.log import log
from tidegate_worker.startup import serving
from tidegate_worker.startup.serving import ServingPlan

# The time limit of a trial. A child that has to load the model itself gets three times the load's seconds besides.
SECONDS = 20.0
_TRIALS_OFF = "the served entity has trials off"


class Prepared(NamedTuple):
    """A loaded model, the plan by which it serves, and its first answer: None where the proof was on record."""

    model: Model
    plan: ServingPlan
    first_answer: Optional[FirstAnswer]
    plan_is_new: bool = False  # the proof on record is of another version, so the plan was made again


def prepare(launch: Launch, on_loaded: Callable[[], None]) -> Prepared:
    """Load the model, and make the plan if it is not on record. Raises NotProved, and whatever the load raises.

    This process predicts the model's own input example only. A child predicts made-up rows. `on_loaded` is called when
    the model is loaded and is to prove itself.
    """
    plan = serving.plan_on_record(launch)
    child = _idle_child(launch) if plan is None and launch.trials else None
    try:
        began = time.monotonic()
        model = Model.load(launch.model_dir)
        log("loaded" if launch.proof else "loaded; proving")
        if not launch.proof:
            on_loaded()
        made_up: Optional[FirstAnswer] = None
        if plan is None:
            plan, made_up = _plan_in_child(model, launch, child, time.monotonic() - began)
    finally:
        if child is not None:
            child.end()
    if launch.proof:
        return Prepared(model, plan, None, plan_is_new=serving.plan_on_record(launch) is None)
    try:
        answer = answer_example(model, launch.model_dir)
    except NotProved as error:
        if not launch.proved:
            raise
        log(f"an earlier start answered the input example, and this one does not: {error}")  # it starts all the same
        return Prepared(model, plan, None)
    return Prepared(model, plan, answer or made_up or no_answer(model, launch.model_dir))


def _idle_child(launch: Launch) -> Optional[TrialChild]:
    try:
        return TrialChild(lambda: _findings(Model.load(launch.model_dir), launch))
    except OSError as error:
        log(f"no process for a trial could be started: {error.strerror}")
        return None


def _plan_in_child(
    model: Model, launch: Launch, idle_child: Optional[TrialChild], load_seconds: float
) -> Tuple[ServingPlan, Optional[FirstAnswer]]:
    """The plan by a trial, and the answer to a made-up row.

    The trial runs in a fork of this process, which has loaded the model. A process with several threads cannot be
    forked safely; then it runs in the child that was forked before the load.
    """
    if not launch.trials:
        plan = serving.plan_without_trial(model, launch, _TRIALS_OFF)
        return plan, no_answer(model, launch.model_dir, f"{_TRIALS_OFF}: nothing was asked.")
    try:
        if thread_count() == 1:
            findings = _run(TrialChild(lambda: _findings(model, launch)), SECONDS)
        elif idle_child is not None:
            findings = _run(idle_child, SECONDS + 3 * load_seconds)
        else:
            raise NoFinding("there was no process for it")
        made_up = findings["made_up"] and FirstAnswer(Proof(*findings["made_up"][0]), *findings["made_up"][1:])
        return ServingPlan.from_json(findings), made_up
    except (NoFinding, OSError) as error:
        reason = f"its trial with made-up rows failed: {error}"
        log(reason)
        plan = serving.plan_without_trial(model, launch, reason, thin=True)
        return plan, no_answer(model, launch.model_dir, f"{reason}.")


def _run(child: TrialChild, seconds: float) -> Dict[str, Any]:
    """What the child finds. Raises NoFinding.

    The log has a line at the begin and at the end: what the model prints in between concerns rows that nobody sent.
    """
    pid, began = child.pid, time.monotonic()
    log(f"made-up rows are tried in process {pid}")
    findings = child.run(seconds)
    log(f"process {pid} has tried the made-up rows, in {time.monotonic() - began:.1f} s")
    return findings


def _findings(model: Model, launch: Launch) -> Dict[str, Any]:
    plan = serving.plan_by_trial(model, launch)
    example, _ = input_example(model, launch.model_dir)
    made_up = answer_made_up(model, launch.model_dir) if example is None else None
    import_record.record(launch.imports_file, launch.model_dir)
    return {**plan.to_json(), "made_up": made_up}


def fork_difference(model: Model, model_dir: str, spawned_answer: Optional[str]) -> str:
    """A sentence if the model answers otherwise in this fork than in a spawned process, whose answer is given.

    It is empty if the answers are the same, or if there is nothing to compare: a model that answers the same row twice
    in different ways cannot be held to an answer. Raises NotProved.
    """
    first = _answer(model, model_dir, spawned_answer)
    if first is None or not spawned_answer or _same_answer(spawned_answer, first):
        return ""
    second = _answer(model, model_dir, spawned_answer)
    if second is None or not _same_answer(second.answer, first):
        return ""
    return "The model gives another answer to its example in a fork than in a process of its own."


def _answer(model: Model, model_dir: str, spawned_answer: Optional[str]) -> Optional[FirstAnswer]:
    """The answer to the input example; to a made-up row only if the spawned process answered one."""
    return answer_example(model, model_dir) or (answer_made_up(model, model_dir) if spawned_answer else None)


def _same_answer(expected: str, first: FirstAnswer) -> bool:
    if expected == first.answer:
        return True
    try:
        expected_value, value = json.loads(expected), json.loads(first.answer)
    except ValueError:  # a digest, or no answer
        return False
    return equality.compare(expected_value, value, first.tolerance).same
