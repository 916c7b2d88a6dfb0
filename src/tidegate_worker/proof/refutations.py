"""The refutations of a revision's replicas, in a file that all of them read: if one finds a fault, all of them stop.

Each refutation is a line of JSON. A replica skips a line that it does not understand. One that cannot write to the file
goes on without: the other replicas then find the fault by themselves.
"""

import json
import os
from typing import FrozenSet, List, NamedTuple

from tidegate_worker.process.log import log
from tidegate_worker.proof.kinds import Kind

# The shortest time between two reads of the file.
_READ_EVERY_SECONDS = 0.05

KINDS, BATCHING, PATH = "kinds", "batching", "path"


class Refutation(NamedTuple):
    """What does not hold, and why: batching of some kinds of rows, all batching, or the compiled path."""

    what: str
    reason: str
    kinds: FrozenSet[Kind] = frozenset()


class Refutations:
    """The file of a revision. With an empty name there is no file, and nothing is shared."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._bytes_read = 0
        self._next_read = 0.0  # monotonic seconds

    def publish(self, refutation: Refutation) -> None:
        """Tell the revision's other replicas."""
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
            log(f"a refutation could not be written for the other replicas: {error.strerror}")

    def read_new(self, now: float) -> List[Refutation]:
        """What any replica has published since the last call. `now` is in monotonic seconds."""
        if not self._file or now < self._next_read:
            return []
        self._next_read = now + _READ_EVERY_SECONDS
        try:
            if os.stat(self._file).st_size <= self._bytes_read:  # noqa: PTH116 - up to 20 times a second
                return []
            with open(self._file, "rb") as opened:  # noqa: PTH123
                opened.seek(self._bytes_read)
                lines, newline, _ = opened.read().rpartition(b"\n")
        except OSError:
            return []
        self._bytes_read += len(lines) + len(newline)
        return [refutation for line in lines.splitlines() for refutation in _parsed(line)]


def _parsed(line: bytes) -> List[Refutation]:
    try:
        document = json.loads(line)
        kinds = frozenset(Kind(str(what), at) for what, at in document["kinds"])
        return [Refutation(str(document["what"]), str(document["reason"]), kinds)]
    except (ValueError, TypeError, KeyError):
        return []
