"""Names that are made of a model's: MLflow allows every character but `/` and `:`, and 250 of them."""

import hashlib
import re

NAME_CHARACTERS = 63  # of an endpoint's name and a served entity's
RESERVED_PREFIX = "databricks-"
_DIGEST_CHARACTERS = 8
_ENDING_CHARACTERS = 20  # of what tells names of one model apart; a longer one is in the digest


def fit_name(name: str, ending: str = "") -> str:
    """A valid name made of a model's, and of an ending such as its version.

    It has a digest where characters had to go so that nothing is left, or so many that two names might be one; and
    `model-` before the reserved prefix.
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
