"""How a loaded model will serve: its path, whether its requests go together, and the batcher that does both."""

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
from tidegate_worker.proof.coverage import settled
from tidegate_worker.proof.row_wise import Finding, Verdict

_CANDIDATES = 64
_REAL = "the model is code of its owner's, so it is tried with real requests first"


class Found(NamedTuple):
    """How a model is to be served. `costs` are seconds of predictions by rows, as far as they are known."""

    path: Path
    verdict: Verdict
    costs: Dict[int, float] = {}  # noqa: RUF012 - never changed

    def to_json(self) -> Dict[str, Any]:
        """As a child tells it."""
        costs = [[rows, seconds] for rows, seconds in self.costs.items()]
        return {"path": self.path._asdict(), "batching": self.verdict._asdict(), "costs": costs}

    @classmethod
    def from_json(cls, found: Dict[str, Any]) -> "Found":
        """Raises TypeError or KeyError for what is from another version."""
        verdict = settled(Verdict(**found["batching"]))
        return cls(Path(**found["path"]), verdict, {int(rows): seconds for rows, seconds in found.get("costs", ())})


def find_out(model: Model, launch: Launch) -> Found:
    """Try the model with rows that are made up: which path serves it, and may its requests go together?"""
    given, _ = input_example(model, launch.model_dir)
    example = given[0] if given is not None else None
    scorer, path = choose_path.choose(model, example)
    costs: Dict[int, float] = {}
    verdict = _forced(launch, scorer, path)
    if verdict is None and (name := estimators.exception(model.pyfunc)):
        verdict = Verdict(row_wise.OFF, f"what {name} makes of a row depends on the other rows of its batch")
    if verdict is None:
        assert scorer is not None
        verdict = prove(scorer, example, costs)
    return Found(path, verdict, costs)


def untried(model: Model, launch: Launch, reason: str, *, thin: bool = False) -> Found:
    """The same without a prediction. `thin`: real requests may still prove it."""
    scorer, path = choose_path.choose_unasked(model, reason)
    verdict = _forced(launch, scorer, path)
    if verdict is None and thin:
        verdict = coverage.covering(
            model.signature,
            Verdict(row_wise.OFF, f"{row_wise.THIN}: {reason}"),
            coverage.of_made_up(model.signature, (), by_type=False, unseen=False),
        )
    return Found(path, verdict or Verdict(row_wise.OFF, reason))


def recorded(launch: Launch) -> Optional[Found]:
    """What an earlier start of the revision has found out, if it is on record."""
    proof = launch.proof
    if not proof or not proof.get("path") or not proof.get("batching"):
        return None
    try:
        found = Found.from_json(proof)
    except (TypeError, KeyError, ValueError):  # from another version
        return None
    # A version that did not say what its proof rests on has proved less.
    return found if "by" in proof["batching"] else None


def batcher_of(model: Model, launch: Launch, found: Found) -> Batcher:
    """The batcher for a loaded model."""
    scorer, path = choose_path.recall(model, found.path)
    verdict = _forced(launch, scorer, path) or found.verdict
    serving = Serving(scorer, path, verdict, once=launch.batching == row_wise.OFF)
    batcher = Batcher(model, serving, launch.timeout_seconds)
    for rows, seconds in found.costs.items():
        batcher.learn(rows, seconds)
    return batcher


def _forced(launch: Launch, scorer: Optional[Scorer], path: Path) -> Optional[Verdict]:
    """The verdict that needs no trial."""
    asked = launch.batching
    if asked == row_wise.OFF:
        return Verdict(row_wise.OFF, "the served entity says so")
    if scorer is None:
        return Verdict(row_wise.OFF, f"the stock path serves: {path.reason}")
    if not scorer.joins:
        return Verdict(row_wise.OFF, "the first dimension of its tensor is fixed")
    return Verdict(row_wise.ON, "the served entity says so") if asked == row_wise.ON else None


def prove(scorer: Scorer, example: Any, costs: Dict[int, float]) -> Verdict:
    """The verdict after a trial with made-up rows. `costs` gets the seconds of predictions, by rows.

    Made-up rows may refuse any model, and prove one that is of a known type; of other code, real rows prove the rest.
    """

    def score(requests: Sequence[Parsed]) -> Scored:
        began = time.perf_counter()
        scored = scorer.score(requests)
        costs[len(requests)] = time.perf_counter() - began
        return scored

    signature = scorer.model.signature
    candidates = _parsed(scorer, islice(sample_requests.requests(signature, example), _CANDIDATES))
    kinds: Dict[str, List[List[Parsed]]] = {
        kind: [] for kind in (sample_requests.NUMBERS, sample_requests.TEXTS, sample_requests.NULLS)
    }
    for kind, documents in sample_requests.others(signature, example):
        kinds[kind].append(list(_parsed(scorer, documents)))
    found = row_wise.prove(score, candidates, row_wise.Others(**kinds))
    return _judged(signature, found, by_type=estimators.is_row_wise(scorer.model.pyfunc))


def _judged(signature: Signature, found: Finding, *, by_type: bool) -> Verdict:
    verdict, proved = found.verdict, found.verdict.mode == row_wise.PROVED
    if not proved and not verdict.thin:
        return verdict
    if found.refuted_texts and not by_type:
        return Verdict(row_wise.OFF, "a row's answer depends on the other rows of its batch, by their texts")
    covered = coverage.of_made_up(signature, found.rows, by_type=by_type, unseen=found.unseen)
    refuted = [(row_wise.NULL, at) for at in dict.fromkeys(found.refuted_nulls)]
    if found.refuted_texts:
        refuted += [(row_wise.TEXT, at) for at in covered.texts]
    verdict = verdict._replace(refuted=tuple(refuted), tried=proved)
    if by_type and proved:
        verdict = verdict._replace(by=row_wise.BY_TYPE, rows=0)
    elif proved:
        verdict = verdict._replace(mode=row_wise.OFF, exact=False, reason=f"{row_wise.THIN}: {_REAL}")
    return coverage.covering(signature, verdict, covered)


def _parsed(scorer: Scorer, documents: Iterable[Dict[str, Any]]) -> Iterator[Parsed]:
    for document in documents:
        parsed = scorer.parse(b"", scorer.model.json.encode(document))
        if parsed is not None:
            yield parsed
