"""`python -m bench.rollouts PART [options]`: one part of the roll-outs' acceptance; its figures in lines `FIGURE …`."""

import argparse
import sys
from types import ModuleType

from bench.claims import Claims
from bench.rollouts import faults, new_lock, promotions, rollback, sabotage, stages

PARTS: dict[str, ModuleType] = {
    "promotions": promotions,
    "stages": stages,
    "new-lock": new_lock,
    "sabotage": sabotage,
    "rollback": rollback,
    "faults": faults,
}


def main() -> int:
    """Returns how many claims were missed."""
    parser = argparse.ArgumentParser("bench.rollouts", description=(__doc__ or "").splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    for name, module in PARTS.items():
        module.options(parts.add_parser(name, help=(module.__doc__ or "").splitlines()[0]))
    chosen, claims = parser.parse_args(), Claims()
    try:
        PARTS[chosen.part].run(chosen, claims)
    except (SystemExit, TimeoutError, AssertionError) as why:  # what was waited for did not happen
        claims.hold(chosen.part, f"not measured to the end: {why}", met=False)
    return len(claims.missed)


if __name__ == "__main__":
    sys.exit(main())
