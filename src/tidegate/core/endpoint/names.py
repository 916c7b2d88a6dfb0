"""Valid names for endpoints and served entities, made of model names.

MLflow allows 250 characters of all but `/`, `:`.
"""

import hashlib
import re

NAME_CHARACTERS = 63  # of an endpoint's name and a served entity's
RESERVED_PREFIX = "databricks-"
_DIGEST_CHARACTERS = 8
_ENDING_CHARACTERS = 20  # the longest ending that stays readable; the rest of a longer one is in the digest only


def fit_name(name: str, ending: str = "") -> str:
    """A valid name made of a model's name and an ending, such as a version.

    It contains a digest where no valid character is left, or where the name had to be cut and might not be unique. It
    begins with `model-` where it would begin with the reserved prefix.
    """
    plain = _fit(name) or f"model-{_digest(name)}"
    end = f"-{fit}" if (fit := _fit(ending)) else ""
    if f"{plain}{end}".startswith(RESERVED_PREFIX):
        plain = f"model-{plain}"
    if len(plain) + len(end) <= NAME_CHARACTERS:
        return plain + end
    end = f"-{_digest(name, ending)}{end[-_ENDING_CHARACTERS:]}"
    return plain[: NAME_CHARACTERS - len(end)] + end


def _fit(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
