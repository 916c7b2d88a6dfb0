"""Trials in a process that serves nobody: what a model does with rows that are made up, and whether it bears a fork."""

import json
import time
from typing import Any, Dict, NamedTuple, Optional, Tuple

from tidegate_worker.fork import import_record
from tidegate_worker.fork.trial_child import NoFinding, TrialChild, threads
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.model.readiness import (
    Answered,
    NotProved,
    Proof,
    answer_example,
    answer_made_up,
    input_example,
    unanswered,
)
from tidegate_worker.output import equality
from tidegate_worker.process.launch import Launch
from tidegate_worker.process.log import log
from tidegate_worker.startup import serving
from tidegate_worker.startup.serving import Found

# What a trial may take, beyond loading the model where it must.
SECONDS = 20.0
_OFF = "the served entity has trials off"


class Prepared(NamedTuple):
    """A loaded model, how it is to be served, and what it has answered; None where that was on record."""

    model: Model
    found: Found
    answered: Optional[Answered]
    renewed: bool = False  # a proof that is on record was made anew, as this version does not take it


def prepare(launch: Launch) -> Prepared:
    """Load the model, and find out what is not on record. Raises NotProved, and whatever the model raises at its load.

    Only the model's own input example is answered here; a child answers what is made up, and may break.
    """
    found = serving.recorded(launch)
    child = _idle_child(launch) if found is None and launch.trials else None
    try:
        began = time.monotonic()
        model = Model.load(launch.model_dir)
        log("loaded" if launch.proof else "loaded; proving")
        made_up: Optional[Answered] = None
        if found is None:
            found, made_up = _find_out(model, launch, child, time.monotonic() - began)
    finally:
        if child is not None:
            child.end()
    if launch.proof:
        return Prepared(model, found, None, renewed=serving.recorded(launch) is None)
    try:
        answered = answer_example(model, launch.model_dir)
    except NotProved as error:
        if not launch.proved:
            raise
        log(f"it was proved before, and is not now: {error}")  # no reason not to start
        return Prepared(model, found, None)
    return Prepared(model, found, answered or made_up or unanswered(model, launch.model_dir))


def _idle_child(launch: Launch) -> Optional[TrialChild]:
    try:
        return TrialChild(lambda: _findings(Model.load(launch.model_dir), launch))
    except OSError as error:
        log(f"there is no process for a trial: {error.strerror}")
        return None


def _find_out(
    model: Model, launch: Launch, early: Optional[TrialChild], load_seconds: float
) -> Tuple[Found, Optional[Answered]]:
    """In a child of the loaded model; where its threads forbid that, in one that was forked before."""
    if not launch.trials:
        return serving.untried(model, launch, _OFF), unanswered(model, launch.model_dir, f"{_OFF}: nothing was asked.")
    try:
        if threads() == 1:
            said = _ask(TrialChild(lambda: _findings(model, launch)), SECONDS)
        elif early is not None:
            said = _ask(early, SECONDS + 3 * load_seconds)
        else:
            raise NoFinding("there was no process for it")
        made_up = said["made_up"] and Answered(Proof(*said["made_up"][0]), *said["made_up"][1:])
        return Found.from_json(said), made_up
    except (NoFinding, OSError) as error:
        reason = f"its trial with rows that are made up failed: {error}"
        log(reason)
        return serving.untried(model, launch, reason, thin=True), unanswered(model, launch.model_dir, f"{reason}.")


def _ask(child: TrialChild, seconds: float) -> Dict[str, Any]:
    """What it finds. The log says when it begins and ends: between, the model may print what rows nobody sent do to it.

    Raises NoFinding.
    """
    pid, began = child.pid, time.monotonic()
    log(f"rows that are made up are tried in process {pid}")
    found = child.ask(seconds)
    log(f"process {pid} has tried them, in {time.monotonic() - began:.1f} s")
    return found


def _findings(model: Model, launch: Launch) -> Dict[str, Any]:
    found = serving.find_out(model, launch)
    own, _ = input_example(model, launch.model_dir)
    made_up = answer_made_up(model, launch.model_dir) if own is None else None
    import_record.record(launch.imports_file, launch.model_dir)
    return {**found.to_json(), "made_up": made_up}


def difference(model: Model, model_dir: str, answer: Optional[str]) -> str:
    """A sentence on how a fork answers otherwise than a process of its own did; empty when it does not, or nothing can
    be compared.

    A model whose answers differ by themselves, from one prediction to the next, has none to be held to. Raises
    NotProved.
    """
    found = _answer(model, model_dir, answer)
    if found is None or not answer or _alike(answer, found):
        return ""
    again = _answer(model, model_dir, answer)
    if again is None or not _alike(again.answer, found):
        return ""
    return "The model answers its example otherwise in a fork than in a process of its own."


def _answer(model: Model, model_dir: str, known: Optional[str]) -> Optional[Answered]:
    """To its example; to a row that is made up only where such a one was answered before."""
    return answer_example(model, model_dir) or (answer_made_up(model, model_dir) if known else None)


def _alike(answer: str, found: Answered) -> bool:
    if answer == found.answer:
        return True
    try:
        one, other = json.loads(answer), json.loads(found.answer)
    except ValueError:  # a digest, or nothing
        return False
    return equality.compare(one, other, found.tolerance).same
