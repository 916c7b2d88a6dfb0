"""The plan by which a model serves: its path and its verdict on batching.

It is tried, recalled, or made without a trial.
"""

import time
from itertools import islice
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from tidegate_worker.batching.batcher import Batcher, Serving
from tidegate_worker.fast import choose_path
from tidegate_worker.fast.choose_path import Path
from tidegate_worker.fast.parser import Parsed
from tidegate_worker.fast.scorer import Scored, Scorer
from tidegate_worker.input.signature import Signature
from tidegate_worker.model import sample_requests
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.model.readiness import input_example
from tidegate_worker.process.launch import Launch
from tidegate_worker.proof import coverage, estimators, row_wise
from tidegate_worker.proof.kinds import NULL, TEXT
from tidegate_worker.proof.row_wise import Finding
from tidegate_worker.proof.verdict import BY_TYPE, OFF, ON, PROVED, THIN, Verdict

_MAX_CANDIDATES = 64
_NEEDS_REAL_REQUESTS = "the model has code of its owner, so it is tried with real requests first"


class ServingPlan(NamedTuple):
    """How a model is to be served. `costs` are seconds of predictions by their number of rows, as far as known."""

    path: Path
    verdict: Verdict
    costs: Dict[int, float] = {}  # noqa: RUF012 - never changed

    def to_json(self) -> Dict[str, Any]:
        """The plan as a child process sends it, and as it stands on record."""
        costs = [[rows, seconds] for rows, seconds in self.costs.items()]
        return {"path": self.path._asdict(), "batching": self.verdict._asdict(), "costs": costs}

    @classmethod
    def from_json(cls, document: Dict[str, Any]) -> "ServingPlan":
        """The plan on record. Raises TypeError, KeyError or ValueError for one of another version."""
        costs = {int(rows): seconds for rows, seconds in document.get("costs", ())}
        return cls(Path(**document["path"]), Verdict.from_json(document["batching"]), costs)


def plan_by_trial(model: Model, launch: Launch) -> ServingPlan:
    """The plan after a trial with made-up rows: which path serves the model, and may its requests share a batch?"""
    saved, _ = input_example(model, launch.model_dir)
    example = saved[0] if saved is not None else None
    scorer, path = choose_path.choose(model, example)
    costs: Dict[int, float] = {}
    verdict = _verdict_without_trial(launch, scorer, path)
    if verdict is None and (name := estimators.batch_dependent(model.pyfunc)):
        verdict = Verdict(OFF, f"{name}'s result for a row depends on the other rows of its batch")
    if verdict is None:
        assert scorer is not None
        verdict = prove(scorer, example, costs)
    return ServingPlan(path, verdict, costs)


def plan_without_trial(model: Model, launch: Launch, reason: str, *, thin: bool = False) -> ServingPlan:
    """The plan without a prediction. `thin`: real requests may still prove batching."""
    scorer, path = choose_path.choose_without_predicting(model, reason)
    verdict = _verdict_without_trial(launch, scorer, path)
    if verdict is None and thin:
        nothing = coverage.of_made_up(model.signature, (), by_type=False, unseen=False)
        verdict = coverage.apply_to(Verdict(OFF, f"{THIN}: {reason}"), model.signature, nothing)
    return ServingPlan(path, verdict or Verdict(OFF, reason))


def plan_on_record(launch: Launch) -> Optional[ServingPlan]:
    """The plan that an earlier start of the revision has found, if it is on record and of this version."""
    proof = launch.proof
    if not proof or not proof.get("path") or not proof.get("batching"):
        return None
    try:
        plan = ServingPlan.from_json(proof)
    except (TypeError, KeyError, ValueError):  # from another version
        return None
    # A version that does not say what its proof rests on has proved less than this one does.
    return plan if "by" in proof["batching"] else None


def batcher_of(model: Model, launch: Launch, plan: ServingPlan) -> Batcher:
    """The batcher that serves a loaded model by this plan."""
    scorer, path = choose_path.recompile(model, plan.path)
    verdict = _verdict_without_trial(launch, scorer, path) or plan.verdict
    serving = Serving(scorer, path, verdict, once=launch.batching == OFF)
    batcher = Batcher(model, serving, launch.timeout_seconds)
    for rows, seconds in plan.costs.items():
        batcher.learn_cost(rows, seconds)
    return batcher


def _verdict_without_trial(launch: Launch, scorer: Optional[Scorer], path: Path) -> Optional[Verdict]:
    """The verdict where none has to be found in a trial; else None."""
    if launch.batching == OFF:
        return Verdict(OFF, "the served entity switches it off")
    if scorer is None:
        return Verdict(OFF, f"the stock path serves: {path.reason}")
    if not scorer.joins:
        return Verdict(OFF, "the first dimension of its tensor is fixed")
    return Verdict(ON, "the served entity switches it on") if launch.batching == ON else None


def prove(scorer: Scorer, example: Any, costs: Dict[int, float]) -> Verdict:
    """The verdict after a trial with made-up rows. `costs` gets the seconds of predictions, by their number of rows.

    Made-up rows can refuse batching to any model, and can prove it for estimators of known types. Other code needs real
    rows too.
    """

    def score(requests: Sequence[Parsed]) -> Scored:
        began = time.perf_counter()
        scored = scorer.score(requests)
        costs[len(requests)] = time.perf_counter() - began
        return scored

    signature = scorer.model.signature
    candidates = _parsed(scorer, islice(sample_requests.usual(signature, example), _MAX_CANDIDATES))
    unusual: Dict[str, List[List[Parsed]]] = {
        kind: [] for kind in (sample_requests.NUMBERS, sample_requests.TEXTS, sample_requests.NULLS)
    }
    for kind, documents in sample_requests.unusual(signature, example):
        unusual[kind].append(list(_parsed(scorer, documents)))
    finding = row_wise.prove(score, candidates, row_wise.UnusualRows(**unusual))
    return _verdict_of(signature, finding, by_type=estimators.is_row_wise(scorer.model.pyfunc))


def _verdict_of(signature: Signature, finding: Finding, *, by_type: bool) -> Verdict:
    """What follows from a trial with made-up rows. Without a known type (`by_type`) it proves nothing yet."""
    verdict, proved = finding.verdict, finding.verdict.mode == PROVED
    if not proved and not verdict.thin:
        return verdict
    if finding.refuted_texts and not by_type:
        return Verdict(OFF, "a row's answer depends on the other rows of its batch, by their texts")
    covered = coverage.of_made_up(signature, finding.rows, by_type=by_type, unseen=finding.unseen)
    refuted = [(NULL, at) for at in dict.fromkeys(finding.refuted_nulls)]
    if finding.refuted_texts:
        refuted += [(TEXT, at) for at in covered.texts]
    verdict = verdict._replace(refuted=tuple(refuted), tried=proved)
    if by_type and proved:
        verdict = verdict._replace(by=BY_TYPE, rows=0)
    elif proved:
        verdict = verdict._replace(mode=OFF, exact=False, reason=f"{THIN}: {_NEEDS_REAL_REQUESTS}")
    return coverage.apply_to(verdict, signature, covered)


def _parsed(scorer: Scorer, documents: Iterable[Dict[str, Any]]) -> Iterator[Parsed]:
    for document in documents:
        parsed = scorer.parse(b"", scorer.model.json.encode(document))
        if parsed is not None:
            yield parsed
