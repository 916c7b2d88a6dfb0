"""The verdict on a model: whether its requests may share a batch, for which rows, and on what evidence."""

from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

# Batching was proved; it is off; or the owner has switched it on, and no proof was needed.
PROVED, OFF, ON = "proved", "off", "on"
# How the reason begins where more rows could still prove batching, and what it says where time was short.
THIN, TOO_SLOW = "not enough evidence", "the model is too slow to be tried"
# What a proof rests on: a known type of estimator and made-up rows, or what callers have sent.
BY_TYPE, BY_REQUESTS = "estimator type", "real requests"


class Verdict(NamedTuple):
    """Whether requests may be predicted together, and why. It stands on record and travels as JSON.

    `nulls`, `texts`, `ranges` and `params` describe the rows that are predicted by themselves (see `coverage`), and
    `alone` describes them for people. Rows of the kinds in `refuted` stay uncovered for good. `rows` is the most rows
    in a batch, 0 for any number. `by` is what the proof rests on. After `found_within` requests, a fault in 1 of 1,000
    has been found with a probability of 99 %; 0 means that this is not known.
    """

    mode: str
    reason: str = ""
    exact: bool = False  # single and batched predictions had the same digits
    nulls: Sequence[int] = ()
    texts: Sequence[Tuple[int, Sequence[str]]] = ()
    alone: Sequence[str] = ()
    ranges: Sequence[Tuple[int, float, float]] = ()
    params: Optional[Sequence[str]] = None
    refuted: Sequence[Tuple[str, Any]] = ()
    rows: int = 0
    by: str = ""
    tried: bool = False  # made-up rows gave no reason to refuse batching
    found_within: int = 0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Verdict":
        """The verdict on record, with tuples for JSON's lists. Raises TypeError or ValueError for another version's."""
        verdict = cls(**document)
        return verdict._replace(
            nulls=tuple(verdict.nulls),
            texts=tuple((at, tuple(digests)) for at, digests in verdict.texts),
            ranges=tuple((at, low, high) for at, low, high in verdict.ranges),
            params=None if verdict.params is None else tuple(verdict.params),
            refuted=tuple((str(what), at) for what, at in verdict.refuted),
            alone=tuple(verdict.alone),
        )

    @property
    def together(self) -> bool:
        """Whether requests may be predicted together."""
        return self.mode != OFF

    @property
    def thin(self) -> bool:
        """Whether more rows could still prove batching."""
        return self.mode == OFF and self.reason.startswith(THIN)

    @property
    def slow(self) -> bool:
        """Whether evidence is missing because the model was too slow to be tried."""
        return self.thin and TOO_SLOW in self.reason
