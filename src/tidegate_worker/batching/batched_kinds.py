"""What goes out in batches, by kind of row, and how soon a fault among it would be found."""

import math
from typing import Dict, FrozenSet, List, Sequence

from tidegate_worker.batching.arrivals import QueuedRequest
from tidegate_worker.input.signature import Signature
from tidegate_worker.proof.coverage import Admission, of_verdict, usual
from tidegate_worker.proof.row_wise import USUAL, Kind, Verdict

# Of each kind, so many batches are looked at before they are only sampled.
FIRST_BATCHES = 50
_USUAL_KIND = Kind(USUAL)
_USUAL = frozenset({_USUAL_KIND})
# The fault whose discovery is foretold, and how surely it is found.
_FAULT, _SURELY = 0.001, 0.99


class BatchedKinds:
    """Counts the answers of batches. A row is of a kind that is new since `verdict`, has a null, or is a usual one."""

    def __init__(self, verdict: Verdict, signature: Signature) -> None:
        self._base = Admission(usual(signature, verdict))
        self.base = of_verdict(signature, verdict)
        self._left: Dict[Kind, int] = {}
        self.gone: Dict[Kind, int] = {}  # answers that went out in batches
        self.answered = self.looked = 0

    def kinds(self, waiting: QueuedRequest) -> FrozenSet[Kind]:
        """What a request's rows are."""
        if waiting.parsed is None or self._base.takes(waiting.parsed):
            return _USUAL
        return self._base.kinds(waiting.parsed)

    def count(self, batch: Sequence[QueuedRequest]) -> List[int]:
        """Take a batch in. Returns the places of those that are to be looked at, one for each kind that is new."""
        self.answered += len(batch)
        takes = self._base.takes
        unusual = [place for place, waiting in enumerate(batch) if not takes(waiting.parsed)]
        first: Dict[Kind, int] = {}
        for place in unusual:
            for kind in self.kinds(batch[place]):
                self.gone[kind] = self.gone.get(kind, 0) + 1
                first.setdefault(kind, place)
        if len(unusual) < len(batch) and self._left.get(_USUAL_KIND, FIRST_BATCHES) > 0:
            first[_USUAL_KIND] = min(set(range(len(batch))).difference(unusual))
        due = [kind for kind in first if self._left.get(kind, FIRST_BATCHES) > 0]
        for kind in due:
            self._left[kind] = self._left.get(kind, FIRST_BATCHES) - 1
        return sorted({first[kind] for kind in due})

    def renew(self, kinds: FrozenSet[Kind]) -> None:
        """More rows of these kinds are in batches from now on."""
        for kind in kinds:
            self._left[kind] = FIRST_BATCHES

    @property
    def found_within(self) -> int:
        """After how many requests a fault of 1 in 1,000 has been found with 99 %, as things go; 0 if never."""
        share = self.looked / self.answered if self.answered else 0.0
        return math.ceil(math.log(1 - _SURELY) / math.log(1 - _FAULT * share)) if share else 0


def unusual_kinds(batch: Sequence[FrozenSet[Kind]]) -> FrozenSet[Kind]:
    """The kinds in a batch but for the usual one."""
    return frozenset(kind for kinds in batch for kind in kinds if kind.what != USUAL)
