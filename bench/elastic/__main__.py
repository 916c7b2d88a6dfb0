"""`python -m bench.elastic [--small] [part …]`: from zero, with the load, and back; all parts by default."""

import argparse
import sys
from collections.abc import Callable

from bench.claims import Claims
from bench.elastic import faults, hanging, idle_endpoints, leaking, races, scale_up, step
from bench.elastic.house import House, elastic_house

# The last one wants a platform without anything else.
PARTS: dict[str, Callable[..., None]] = {
    "scale-up": scale_up.run,
    "step": step.run,
    "races": races.run,
    "hanging": hanging.run,
    "faults": faults.run,
    "leaking": leaking.run,
    "idle-endpoints": idle_endpoints.run,
}
_NEEDS_MOODY = {"scale-up", "hanging", "leaking"}
_LIMITS = {"TIDEGATE_ENGINE__MEMORY_GB": str(leaking.LIMIT_GB)}


def main() -> int:
    """Returns how many claims were missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--small", action="store_true", help="smaller, to try it out")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    parts, claims = chosen.parts or list(PARTS), Claims()
    together = [part for part in parts if part != "idle-endpoints"]
    if together:
        with elastic_house(environment=_LIMITS) as house:
            _add_models(house, together)
            for part in together:
                _run(part, house, claims, small=chosen.small)
    if "idle-endpoints" in parts:
        with elastic_house() as house:
            _add_models(house, ["idle-endpoints"])
            _run("idle-endpoints", house, claims, small=chosen.small)
    return len(claims.missed)


def _add_models(house: House, parts: list[str]) -> None:
    house.add_model("tabular", "wine")
    if _NEEDS_MOODY & set(parts):
        house.add_model("moody", "moody")


def _run(part: str, house: House, claims: Claims, *, small: bool) -> None:
    print(f"== {part}", flush=True)
    try:
        PARTS[part](house, claims, small=small)
    except SystemExit as why:  # what was waited for did not happen; the others go on
        claims.hold(part, f"not measured: {why}", met=False)


if __name__ == "__main__":
    sys.exit(main())
