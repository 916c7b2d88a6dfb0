"""What a replica is told at its start."""

import json
from typing import Any, Dict, NamedTuple, Optional


class Launch(NamedTuple):
    """The line of JSON on a replica's stdin. Times are seconds."""

    revision: str
    endpoint: str
    served_entity: str
    model_dir: str
    socket: str  # path of the Unix socket to listen on, once ready
    secret: str  # what a gateway must show
    timeout_seconds: float  # the most that one request may take
    load_timeout_seconds: float  # for loading and the proof together
    proved: bool  # the revision's proof is on record: do not make it again
    batching: str = "auto"  # "auto": when proved; "on" and "off" are the owner's word
    asked_at: float = 0.0  # when the engine was asked for the replica, CLOCK_MONOTONIC
    proof: Optional[Dict[str, Any]] = None  # on record here; without its `path` and `batching`, these are made again

    imports_file: str = ""  # the environment's import record; empty: none is kept
    refutations_file: str = ""  # what the revision's replicas have found to be wrong; empty: none is kept
    scratch: str = ""  # the directory to work in; empty: where it is started
    temporary: str = ""  # where temporary files go
    trials: bool = True  # whether the model may be asked more than its input example to find out how it is served
    trial: bool = False  # only load, answer the example and compare: whether the model bears a fork
    answer: Optional[str] = None  # what the example was answered before, for a trial; None: not known

    @classmethod
    def from_json(cls, line: str) -> "Launch":
        """Read the line. Keys that are not known are ignored; a missing one raises KeyError."""
        document = json.loads(line)
        known = {name: document[name] for name in cls._fields if name in document}
        missing = [name for name in cls._fields if name not in known and name not in cls._field_defaults]
        if missing:
            raise KeyError(missing[0])
        return cls(**known)
