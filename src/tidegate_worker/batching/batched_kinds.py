"""Counts of the answers that go out in batches, by kind of row: which ones to check, and how soon a fault is found."""

import math
from typing import Dict, FrozenSet, List, Sequence

from tidegate_worker.batching.arrivals import QueuedRequest
from tidegate_worker.input.signature import Signature
from tidegate_worker.proof.batch_admission import Admission
from tidegate_worker.proof.coverage import of_verdict, with_all_nulls_uncovered
from tidegate_worker.proof.kinds import USUAL, Kind
from tidegate_worker.proof.verdict import Verdict

# The first batches with a kind, this many, are all checked; later ones are sampled.
FIRST_BATCHES = 50
_USUAL_KIND = Kind(USUAL)
_USUAL = frozenset({_USUAL_KIND})
# `found_within` is for a fault in this share of requests, found with this probability.
_FAULT_SHARE, _PROBABILITY = 0.001, 0.99


class BatchedKinds:
    """Counts the answers of batches by kind. `verdict` is that of the first proof, and `base` is what it covers.

    A row is usual if `base` covers it and it has no null. Otherwise it has the kinds that `base` does not cover, and
    those of its nulls.
    """

    def __init__(self, verdict: Verdict, signature: Signature) -> None:
        self._usual = Admission(with_all_nulls_uncovered(signature, verdict))
        self.base = of_verdict(signature, verdict)
        self._checks_left: Dict[Kind, int] = {}
        self.answers: Dict[Kind, int] = {}  # that went out in batches
        self.answered = self.checked = 0

    def kinds(self, waiting: QueuedRequest) -> FrozenSet[Kind]:
        """The kinds of a request's rows."""
        if waiting.parsed is None or self._usual.takes(waiting.parsed):
            return _USUAL
        return self._usual.kinds(waiting.parsed)

    def count(self, batch: Sequence[QueuedRequest]) -> List[int]:
        """Count a batch.

        Returns the places of the requests to check: one for each kind of which too few were checked.
        """
        self.answered += len(batch)
        is_usual = self._usual.takes
        unusual = [place for place, waiting in enumerate(batch) if not is_usual(waiting.parsed)]
        first: Dict[Kind, int] = {}
        for place in unusual:
            for kind in self.kinds(batch[place]):
                self.answers[kind] = self.answers.get(kind, 0) + 1
                first.setdefault(kind, place)
        if len(unusual) < len(batch) and self._checks_left.get(_USUAL_KIND, FIRST_BATCHES) > 0:
            first[_USUAL_KIND] = min(set(range(len(batch))).difference(unusual))
        due = [kind for kind in first if self._checks_left.get(kind, FIRST_BATCHES) > 0]
        for kind in due:
            self._checks_left[kind] = self._checks_left.get(kind, FIRST_BATCHES) - 1
        return sorted({first[kind] for kind in due})

    def check_again(self, kinds: FrozenSet[Kind]) -> None:
        """Check the next batches with these kinds too: more rows of them are in batches from now on."""
        for kind in kinds:
            self._checks_left[kind] = FIRST_BATCHES

    @property
    def found_within(self) -> int:
        """After how many requests a fault in 1 of 1,000 is found with a probability of 99 %; 0 without any check.

        It assumes that as large a share of answers is checked as so far.
        """
        share = self.checked / self.answered if self.answered else 0.0
        return math.ceil(math.log(1 - _PROBABILITY) / math.log(1 - _FAULT_SHARE * share)) if share else 0


def unusual_kinds(batch: Sequence[FrozenSet[Kind]]) -> FrozenSet[Kind]:
    """The kinds in a batch, without the usual one."""
    return frozenset(kind for kinds in batch for kind in kinds if kind.what != USUAL)
