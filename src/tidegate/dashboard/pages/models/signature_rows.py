"""A model's signature as rows of a table, made of the JSON in its MLmodel file, which anybody may have written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.core.endpoint.registered_model import ModelSignature
from tidegate.model_files import NotJson, json_of

_MOST_ROWS, _MOST_CHARACTERS, _DEPTH = 200, 200, 6


@dataclass(frozen=True, slots=True)
class Field:
    """A column, a tensor or a parameter: its name, its type in words, and what else is to know."""

    name: str
    type: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """The fields of a signature. `more` is how many are not among them."""

    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    params: tuple[Field, ...] = ()
    more: int = 0

    @property
    def parts(self) -> tuple[tuple[str, tuple[Field, ...]], ...]:
        """The parts that have fields, each with its heading."""
        parts = (("Input", self.inputs), ("Output", self.outputs), ("Parameters", self.params))
        return tuple((title, fields) for title, fields in parts if fields)


def signature_of(told: ModelSignature) -> Signature:
    """The rows of a signature. A part that is no signature of MLflow's has none."""
    parts = [_specs(text) for text in (told.inputs, told.outputs, told.params)]
    inputs, outputs, params = (tuple(map(_field, specs[:_MOST_ROWS])) for specs in parts)
    return Signature(inputs, outputs, params, sum(max(0, len(specs) - _MOST_ROWS) for specs in parts))


def _specs(text: str) -> list[Mapping[str, Any]]:
    try:
        told = json_of(text) if text else []
    except NotJson:
        return []
    return [spec for spec in told if isinstance(spec, dict)] if isinstance(told, list) else []


def _field(spec: Mapping[str, Any]) -> Field:
    optional = "optional" if spec.get("required") is False else ""
    note = f"{json.dumps(spec['default'])} if it is not given" if "default" in spec else optional
    return Field(_short(spec.get("name") or ""), _short(type_text(spec)), _short(note))


def type_text(spec: Any, depth: int = 0) -> str:
    """The type of a column in words: `double`, `array of string`, `tensor of float32, shape any × 28 × 28`."""
    if not isinstance(spec, dict) or depth > _DEPTH:
        return "…"
    kind = str(spec.get("type", "any"))
    match kind:
        case "tensor":
            inner = spec.get("tensor-spec")
            inner = inner if isinstance(inner, dict) else {}
            shape = inner.get("shape")
            sizes = " × ".join("any" if size == -1 else str(size) for size in shape) if isinstance(shape, list) else "?"
            return f"tensor of {inner.get('dtype', '?')}, shape {sizes}"
        case "array":
            return f"array of {type_text(spec.get('items'), depth + 1)}"
        case "map":
            return f"map to {type_text(spec.get('values'), depth + 1)}"
        case "object":
            fields = spec.get("properties")
            named = fields.items() if isinstance(fields, dict) else ()
            return "{" + ", ".join(f"{name}: {type_text(one, depth + 1)}" for name, one in list(named)[:20]) + "}"
        case _:
            return kind


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
