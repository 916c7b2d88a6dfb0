"""The acceptance lists at full size: `make acceptance`, or `make acceptance ONLY=serving` for one.

Each list is a set of tests marked `acceptance`, and of benchmarks; every one prints its figure in a line `FIGURE …`.
"""

import subprocess
import sys

LISTS: dict[str, list[list[str]]] = {
    "serving": [
        ["-m", "pytest", "tests/e2e", "-m", "acceptance or e2e", "-s", "-q"],
        ["-m", "bench.against_mlflow"],
        ["-m", "bench.footprint"],
        ["-m", "bench.build_times"],
    ],
    "speed": [
        ["-m", "bench.peers", "--check"],
    ],
    "elasticity": [
        ["-m", "pytest", "tests/e2e/test_elastic.py", "-m", "acceptance or e2e", "-s", "-q"],
        ["-m", "bench.cold_starts"],
        ["-m", "bench.elastic"],
    ],
}


def main(names: list[str]) -> int:
    """Run the lists of these names, or all; returns how many commands failed."""
    unknown = [name for name in names if name not in LISTS]
    if unknown:
        print(f"There is no list {', '.join(unknown)}; there are {', '.join(LISTS)}.", file=sys.stderr)
        return 2
    failed = 0
    for name in names or LISTS:
        for command in LISTS[name]:
            print(f"== {name}: python {' '.join(command)}", flush=True)
            failed += subprocess.run([sys.executable, *command], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
