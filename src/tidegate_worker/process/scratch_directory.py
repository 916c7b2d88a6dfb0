"""The scratch directory of a replica: its working directory, which the engine makes and removes."""

import os
import sys


def enter(scratch: str, temporary: str) -> None:
    """Make `scratch` the working directory, and `temporary` the directory of temporary files. Raises OSError.

    With an empty `scratch` nothing changes.
    """
    if not scratch:
        return
    os.chdir(scratch)
    os.environ["TMPDIR"] = temporary or scratch
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None  # type: ignore[attr-defined] # a fork must not use the template's directory
