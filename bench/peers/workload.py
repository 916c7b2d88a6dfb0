"""What is asked of a server: a saved model, a request and the answer that it must get."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Workload:
    """One kind of request. `folder` is what `programs/train.py` has written for its model."""

    name: str
    title: str
    folder: Path
    case_file: str
    connections: tuple[int, ...]
    warm_up_connections: int = 1

    @property
    def model_dir(self) -> str:
        """The saved MLflow model."""
        return str(self.folder / "model")

    @property
    def case_path(self) -> str:
        """The file of the request."""
        return str(self.folder / self.case_file)

    @cached_property
    def case(self) -> dict[str, Any]:
        """`columns`, `data` (rows) and `answers`."""
        return dict(json.loads(Path(self.case_path).read_text()))

    def right(self, answers: Any) -> bool:
        """Whether these are the answers, but for the last digits of a float."""
        expected = self.case["answers"]
        return len(answers) == len(expected) and all(
            math.isclose(answer, want, rel_tol=1e-9, abs_tol=1e-9)
            for answer, want in zip(answers, expected, strict=True)
        )


def workloads(models: Path, connections: tuple[int, ...]) -> dict[str, Workload]:
    """All there are, by name."""
    few = tuple(number for number in connections if number <= 64)  # MLflow collapses below that already
    kinds = (
        Workload("iris", "iris, 1 row", models / "iris", "row.json", connections, 16),
        Workload("wide", "600 columns × 1 row", models / "wide", "row.json", few),
        Workload("bulk", "600 columns × 1,000 rows", models / "wide", "rows.json", (1,)),
    )
    return {kind.name: kind for kind in kinds}
