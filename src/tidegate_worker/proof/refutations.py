"""What replicas of a revision have found out to be wrong, in a file that all of them read: one finds it, none goes on.

A line of JSON each. What a replica does not understand, or cannot write, is left out: then each finds it by itself.
"""

import json
import os
from typing import FrozenSet, List, NamedTuple

from tidegate_worker.process.log import log
from tidegate_worker.proof.row_wise import Kind

# Between two looks at the file.
_SECONDS = 0.05

KINDS, BATCHING, PATH = "kinds", "batching", "path"


class Refutation(NamedTuple):
    """What does not hold: batching for some kinds of rows, batching, or the compiled path; and why."""

    what: str
    reason: str
    kinds: FrozenSet[Kind] = frozenset()


class Refutations:
    """The file; without a name, none."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._read = 0  # bytes
        self._next = 0.0

    def add(self, refutation: Refutation) -> None:
        """Tell the others."""
        if not self._file:
            return
        kinds = sorted([kind.what, kind.at] for kind in refutation.kinds)
        line = json.dumps({"what": refutation.what, "reason": refutation.reason, "kinds": kinds}) + "\n"
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            log(f"other replicas cannot be told: {error.strerror}")

    def news(self, now: float) -> List[Refutation]:
        """What was added since the last call, by anybody; looked for now and then. `now` is in monotonic seconds."""
        if not self._file or now < self._next:
            return []
        self._next = now + _SECONDS
        try:
            if os.stat(self._file).st_size <= self._read:  # noqa: PTH116 - ten times a second
                return []
            with open(self._file, "rb") as opened:  # noqa: PTH123
                opened.seek(self._read)
                whole = opened.read().rpartition(b"\n")
        except OSError:
            return []
        self._read += len(whole[0]) + len(whole[1])
        return [found for line in whole[0].splitlines() for found in _understood(line)]


def _understood(line: bytes) -> List[Refutation]:
    try:
        said = json.loads(line)
        kinds = frozenset(Kind(str(what), at) for what, at in said["kinds"])
        return [Refutation(str(said["what"]), str(said["reason"]), kinds)]
    except (ValueError, TypeError, KeyError):
        return []
