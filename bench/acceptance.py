"""The acceptance lists at full size: `make acceptance`, or `make acceptance ONLY=serving` for one.

Each list is a set of tests marked `acceptance`, and of benchmarks; every one prints its figure in a line `FIGURE …`.
"""

import subprocess
import sys

PYTEST = ["-m", "pytest", "-s", "-q"]
ROLLOUTS = [f"tests/e2e/test_{name}.py" for name in ("rollouts", "rollback", "rollout_faults")]
LISTS: dict[str, list[list[str]]] = {
    "suite": [
        ["-m", "bench.suite.times"],
        [*PYTEST, "tests", "-m", "not e2e and not acceptance", "--hypothesis-profile", "whole"],
        [*PYTEST, "tests/adapters", "-m", "acceptance"],
        ["-m", "bench.suite.planted_faults"],
    ],
    "serving": [
        [*PYTEST, "tests/e2e", "-m", "acceptance or e2e"],
        [*PYTEST, "tests/gateway/queue/test_frame_fuzzer.py", "-m", "acceptance"],
        ["-m", "bench.against_mlflow"],
        ["-m", "bench.footprint"],
        ["-m", "bench.build_times"],
    ],
    "speed": [
        ["-m", "bench.peers", "--check"],
        [*PYTEST, "tests/e2e/test_bad_input.py", "-k", "large_body or over_the_limit"],
        [*PYTEST, "tests/worker/batching/test_batching.py", "tests/gateway/test_menagerie.py", "-m", "acceptance"],
        [*PYTEST, "tests/e2e/test_neighbours.py", "-m", "acceptance"],
        ["-m", "bench.overhead"],
        ["-m", "bench.overhead", "--gateways", "2"],
        ["-m", "bench.proxied"],
        ["-m", "bench.micro"],
        ["-m", "bench.full_path"],
        ["-m", "bench.soak"],
    ],
    "answers": [
        [*PYTEST, "tests/worker/proof/test_row_wise.py"],
        ["-m", "bench.cold_starts", "--only", "tabular", "--times", "150", "--endpoints", "30", "--others", "1"],
        [*PYTEST, "tests/worker/batching/test_company.py", "-m", "acceptance"],
        [*PYTEST, "tests/worker/input/test_agreement.py", "tests/worker/test_pandas.py", "-m", "acceptance"],
        ["-m", "bench.deadlines"],
    ],
    "elasticity": [
        [*PYTEST, "tests/e2e/test_elastic.py", "-m", "acceptance or e2e"],
        ["-m", "bench.cold_starts"],
        ["-m", "bench.elastic"],
        ["-m", "bench.simulator"],
    ],
    "dashboard": [
        [*PYTEST, "tests/dashboard", "tests/e2e/test_dashboard.py", "-m", "acceptance or e2e"],
        ["-m", "bench.dashboard.streams"],
        ["-m", "bench.dashboard.paint"],
        ["-m", "bench.dashboard.cost"],
        ["-m", "bench.dashboard.truth"],
        ["-m", "bench.dashboard.series"],
        ["-m", "bench.dashboard.series", "--kind", "mixed"],
        ["-m", "bench.metering"],
    ],
    "rollouts": [
        ["-m", "bench.rollouts", "promotions"],
        ["-m", "bench.rollouts", "promotions", "--gateways", "2", "--times", "100"],
        ["-m", "bench.rollouts", "stages"],
        ["-m", "bench.rollouts", "new-lock"],
        ["-m", "bench.rollouts", "sabotage"],
        ["-m", "bench.rollouts", "rollback"],
        ["-m", "bench.rollouts", "faults"],
        [*PYTEST, "tests/e2e/test_legacy.py", "-m", "acceptance"],
        [*PYTEST, *ROLLOUTS, "-m", "acceptance or e2e"],
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
