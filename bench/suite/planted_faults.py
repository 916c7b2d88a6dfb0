"""`python -m bench.suite.planted_faults [--tree CLONE] [NAME …]`: plants each fault of `faults` and runs the tests.

A fault is found when a test of its folder fails, or else one of all tests, which are run after the folders. It is
planted in a clone of the last commit, made and set up for it, or in one that is there; never in this tree.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.claims import Claims
from bench.suite.faults import FAULTS, Fault

_ROOT = Path(__file__).parents[2]
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_WHOLE_SECONDS = 1800.0


def main() -> int:
    """Returns how many faults were not found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of a fault's name; all by default")
    parser.add_argument("--tree", type=Path, help="a clone that is set up already (make setup-dev)")
    chosen = parser.parse_args()
    claims = Claims()
    faults = [fault for fault in FAULTS if not chosen.names or any(name in fault.name for name in chosen.names)]
    with contextlib.nullcontext(chosen.tree) if chosen.tree else _clone() as tree:
        for folder in sorted({f"tests/{fault.tests}" for fault in faults}):
            if red := _first_failure(tree, folder):
                sys.exit(f"{red} fails without any fault: nothing can be found out.")
        missed = [fault for fault in faults if not _is_found(tree, fault, f"tests/{fault.tests}", claims)]
        missed = [fault for fault in missed if not _is_found(tree, fault, "tests", claims)]
    claims.hold("every planted fault is found", f"{len(faults) - len(missed)} of {len(faults)}", met=not missed)
    return len(missed)


@contextlib.contextmanager
def _clone() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tidegate"
        subprocess.run(["git", "clone", "--quiet", _ROOT, tree], check=True)
        subprocess.run(["make", "--silent", "setup-dev"], cwd=tree, check=True, stdout=subprocess.DEVNULL)
        yield tree


def _is_found(tree: Path, fault: Fault, folder: str, claims: Claims) -> bool:
    """Whether a test of this folder fails with the fault, and again with it, and not without."""
    began, file = time.monotonic(), tree / "src" / fault.file
    with _planted(file, fault):
        test = _first_failure(tree, folder)
        found = bool(test and _first_failure(tree, test))
    found = found and not _first_failure(tree, test)
    said = test if found else f"no test of {folder}" + (f" ({test} fails now and then)" if test else "")
    claims.tell(f"{fault.name}: found by", f"{said}, after {time.monotonic() - began:.0f} s")
    return found


@contextlib.contextmanager
def _planted(file: Path, fault: Fault) -> Iterator[None]:
    text = file.read_text()
    if text.count(fault.was) != 1:
        sys.exit(f"{fault.name}: the text to change is {text.count(fault.was)} times in {fault.file}")
    file.write_text(text.replace(fault.was, fault.planted))
    try:
        yield
    finally:
        file.write_text(text)


def _first_failure(tree: Path, what: str) -> str:
    """The first test of a folder, a file or by its name, that fails; empty when all pass."""
    itself = "--ignore=tests/bench/test_planted_faults.py"  # which looks for the text that is not there now
    argv = [str(tree / ".venv/bin/pytest"), itself, "--exitfirst", "--quiet", "--numprocesses", "4", what]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        argv, cwd=tree, env=environ, capture_output=True, text=True, timeout=_WHOLE_SECONDS, check=False
    )
    found = _FAILED.search(done.stdout)
    assert found or done.returncode == 0, done.stdout[-2000:]
    return found[1] if found else ""


if __name__ == "__main__":
    sys.exit(main())
