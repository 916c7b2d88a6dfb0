"""The name by which a served entity has a series."""

import re

_LONGEST = 200  # bytes of UTF-8
_JOINT = " · version "


def served_label(name: str, version: str) -> str:
    """The served entity's name, with the model's version where the name has not got it.

    So an update that keeps the name of its served entity begins another series.
    """
    if re.search(rf"(?<![0-9]){re.escape(version)}(?![0-9])", name):
        return name
    return f"{name}{_JOINT}{version}".encode()[:_LONGEST].decode(errors="ignore")
