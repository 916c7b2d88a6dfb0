"""The launch document: what the agent tells a replica at its start."""

import json
from typing import Any, Dict, NamedTuple, Optional


class Launch(NamedTuple):
    """The launch document, one line of JSON on standard input. Times are in seconds."""

    revision: str
    endpoint: str
    served_entity: str
    model_dir: str
    socket: str  # path of the Unix socket to listen on, once ready
    secret: str  # what a gateway must show
    timeout_seconds: float  # the most that one request may take
    load_timeout_seconds: float  # for loading and the proof together
    proved: bool  # the revision's proof is on record, and is not made again
    batching: str = "auto"  # "auto": once it is proved; "on" and "off": as the owner says
    asked_at: float = 0.0  # when the engine was asked for the replica, in seconds of CLOCK_MONOTONIC
    proof: Optional[Dict[str, Any]] = None  # the proof on record; a missing `path` or `batching` is found again

    imports_file: str = ""  # the environment's import record; empty: there is none
    refutations_file: str = ""  # what the revision's replicas have refuted; empty: there is none
    scratch: str = ""  # the working directory; empty: the one in which it was started
    temporary: str = ""  # the directory of temporary files
    trials: bool = True  # whether the model may be tried with more than its input example
    trial: bool = False  # a trial of a fork: load the model, answer the example, compare, and end
    answer: Optional[str] = None  # for a trial: the spawned process's answer to the example; None if not known

    @classmethod
    def from_json(cls, line: str) -> "Launch":
        """Read the line. Unknown keys are ignored. Raises KeyError for a missing one."""
        document = json.loads(line)
        known = {name: document[name] for name in cls._fields if name in document}
        missing = [name for name in cls._fields if name not in known and name not in cls._field_defaults]
        if missing:
            raise KeyError(missing[0])
        return cls(**known)
