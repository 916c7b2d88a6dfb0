"""Packages that only make the worker faster. A model may pin one in an untested version: then it is not used."""

import json
from typing import NamedTuple, Tuple

from tidegate_worker.input.decoder import Decoder
from tidegate_worker.output import encoder
from tidegate_worker.output.encoder import Encoder

# The worker's tests pass with msgspec from the first version up to, but without, the second.
MSGSPEC = ((0, 18), (1, 0))


class Json(NamedTuple):
    """The functions that read and write JSON. `note` describes them in the replica's status."""

    decode: Decoder
    encode: Encoder
    note: str


def fast_json() -> Json:
    """The functions of msgspec if a tested version is installed, else those of the standard library."""
    try:
        import msgspec
    except ImportError:
        return Json(json.loads, encoder.dumps, "off: msgspec is not installed")
    except Exception as error:  # the model's environment may have a broken build
        return Json(json.loads, encoder.dumps, f"off: msgspec does not import ({type(error).__name__})")
    version = getattr(msgspec, "__version__", "")
    if not MSGSPEC[0] <= _numbers(version) < MSGSPEC[1]:
        return Json(json.loads, encoder.dumps, f"off: msgspec {version or 'of an unknown version'} is not tested")
    return Json(msgspec.json.decode, msgspec.json.encode, f"msgspec {version}")


def _numbers(version: str) -> Tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()
