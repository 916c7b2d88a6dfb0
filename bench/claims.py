"""What is claimed, beside what was measured: one line `FIGURE …` each, and how many were missed."""

from dataclasses import dataclass, field


@dataclass
class Claims:
    """Prints as it is told; `missed` has what did not hold."""

    missed: list[str] = field(default_factory=list)

    def tell(self, what: str, measured: str) -> None:
        """A figure of which nothing is claimed."""
        print(f"FIGURE {what}: {measured}", flush=True)

    def hold(self, claim: str, measured: str, *, met: bool) -> None:
        """A figure that must hold."""
        print(f"FIGURE {claim}: {measured}: {'met' if met else 'MISSED'}", flush=True)
        if not met:
            self.missed.append(claim)
