"""Packages that only make the worker faster. One that the model pins in a version that is not tested stays off."""

import json
from typing import NamedTuple, Tuple

from tidegate_worker.input.decoder import Decoder
from tidegate_worker.output import encoder
from tidegate_worker.output.encoder import Encoder

# The versions of msgspec that the worker's tests have passed with.
MSGSPEC = ((0, 18), (1, 0))


class Json(NamedTuple):
    """How JSON is read and written, and a word on it for the replica's status."""

    decode: Decoder
    encode: Encoder
    note: str


def fast_json() -> Json:
    """msgspec's, when a tested version is installed; else the standard library's."""
    try:
        import msgspec
    except ImportError:
        return Json(json.loads, encoder.dumps, "off: msgspec is not installed")
    except Exception as error:  # a broken build of the model's own
        return Json(json.loads, encoder.dumps, f"off: msgspec does not import ({type(error).__name__})")
    version = getattr(msgspec, "__version__", "")
    if not MSGSPEC[0] <= _numbers(version) < MSGSPEC[1]:
        return Json(json.loads, encoder.dumps, f"off: msgspec {version or 'of an unknown version'} is not tested")
    return Json(msgspec.json.decode, msgspec.json.encode, f"msgspec {version}")


def _numbers(version: str) -> Tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()
