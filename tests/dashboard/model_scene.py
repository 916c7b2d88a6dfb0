"""Models and launches in all states, to look at in the preview and to check in tests."""

import json

from tests.dashboard.web_house import WebHouse
from tests.fakes.model_registry import FakeModel

HOSTILE = "<b>bold<b> & \"quoted\" 'ünï' 100%?#"
_COLUMNS = [
    {"type": "double", "name": "fixed acidity", "required": True},
    {"type": "string", "name": "<i>grape</i>", "required": False},
    {"type": "array", "name": "tags", "items": {"type": "string"}, "required": True},
]
_TENSOR = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 28, 28]}}]


def mlmodel() -> bytes:
    """An MLmodel file with a signature."""
    signature = {"inputs": json.dumps(_COLUMNS), "outputs": json.dumps(_TENSOR)}
    return f"flavors: {{}}\nsignature: {json.dumps(signature)}\n".encode()


def register(web: WebHouse, models: int = 60) -> None:
    """Register models: many plain ones, one with all that a model can have, one without versions."""
    registry = web.house.registry
    for number in range(models):
        registry.add(f"model-{number:03d}", "1")
    wine = registry.models["wine"]
    wine.description = (
        "What a bottle of wine is worth.\nTrained each Monday on <script>alert(1)</script> the last year."
    )
    wine.aliases |= {"champion": "2", "challenger": "3", "last-good": "1", "night": "1"}
    wine.versions["1"].stage, wine.versions["2"].stage = "Archived", "Production"
    for version in ("1", "2", "3"):
        wine.versions[version].files = {"MLmodel": mlmodel()}
        wine.versions[version].registered_at = 1_700_000_000_000 + int(version) * 86_400_000
    wine.versions["3"].description = "More trees, with the bottles of 2026."
    registry.add("wine", "4").status = "PENDING_REGISTRATION"
    registry.add("wine", "5").status = "FAILED_REGISTRATION"
    wine.versions["5"].message = "The files could not be copied."
    registry.add(HOSTILE, "1")
    registry.add("x" * 200, "1")
    registry.models["empty"] = FakeModel()
