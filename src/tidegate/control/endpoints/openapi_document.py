"""OpenAPI 3.1 of one endpoint's invocations, made from its models' signatures.

The signature is read from the MLmodel file (YAML; inputs, outputs and params are JSON in strings), in MLflow's form:
https://mlflow.org/docs/latest/ml/model/signatures/.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.bounded_text import text_of
from tidegate.core.endpoint.endpoint import EndpointConfig
from tidegate.core.errors import BuildFailed
from tidegate.model_files import NotJson, json_of, mapping_of

JsonSchema = dict[str, Any]

# MLflow's column types. A long is `integer` without bounds; a double may be null, which is how NaN travels.
_TYPES: dict[str, JsonSchema] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": ["number", "null"], "format": "float"},
    "double": {"type": ["number", "null"], "format": "double"},
    "string": {"type": "string"},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "datetime": {"type": "string", "format": "date-time"},
}

_ERROR: JsonSchema = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}


def describe(name: str, config: EndpointConfig, models: Mapping[str, Path]) -> dict[str, Any]:
    """The document of an endpoint that serves `config`; `models` are its entities' downloaded models.

    The endpoint's own path takes what its most visited entity takes; each entity has a path of its own besides.
    """
    operations = {served: _described(name, served, _signature(path)) for served, path in models.items()}
    visited = max(config.routes, key=lambda route: route.traffic_percentage).served_entity
    paths = {f"/serving-endpoints/{name}/invocations": _with_id(operations[visited], f"query-{name}")}
    for served, operation in operations.items():
        path = f"/serving-endpoints/{name}/served-models/{served}/invocations"
        paths[path] = _with_id(operation, f"query-{name}-{served}")
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": str(config.version)},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


# --- reading the model


def _signature(model: Path) -> dict[str, Any]:
    """A model's inputs, outputs and params in MLflow's form, and its input example. What makes no sense is None."""
    content = mapping_of(model / "MLmodel")
    signature = _mapping(content, "signature")
    return {
        **{part: _columns(signature.get(part)) for part in _PARTS},
        "example": _example(model, _mapping(content, "saved_input_example_info")),
    }


_PARTS = ("inputs", "outputs", "params")


def _columns(text: Any) -> list[JsonSchema] | None:
    try:
        told = json_of(text) if isinstance(text, str) else None
    except NotJson:
        return None
    return told if isinstance(told, list) and all(isinstance(one, dict) for one in told) else None


def _example(model: Path, info: Mapping[str, Any]) -> Any:
    """The request that MLflow saved beside the input example, if any. No other file of the server is read."""
    try:
        folder = model.resolve()
        path = (folder / str(info.get("serving_input_path") or "serving_input_example.json")).resolve()
        return json_of(text_of(path)) if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError, RuntimeError, BuildFailed, NotJson):  # among them links in a circle
        return None


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


# --- the operation


def _described(endpoint: str, served: str, signature: Mapping[str, Any]) -> dict[str, Any]:
    """The operation; without a signature where the model's is none of MLflow's."""
    try:
        return _operation(endpoint, served, signature)
    except (LookupError, TypeError, AttributeError):  # anybody may have written it
        return _operation(endpoint, served, {**dict.fromkeys(_PARTS), "example": signature["example"]})


def _operation(endpoint: str, served: str, signature: Mapping[str, Any]) -> dict[str, Any]:
    json_body: dict[str, Any] = {"schema": _request_schema(signature["inputs"], signature["params"])}
    if signature["example"] is not None:
        json_body["example"] = signature["example"]
    content = {"application/json": json_body}
    if not _is_tensor(signature["inputs"]):
        content["text/csv"] = {"schema": {"type": "string", "description": "A header and one line per row."}}
    return {
        "post": {
            "summary": f"Query served entity '{served}' of endpoint '{endpoint}'.",
            "requestBody": {"required": True, "content": content},
            "responses": {
                "200": {
                    "description": "The predictions.",
                    "headers": {"served-model-name": {"schema": {"type": "string"}}},
                    "content": {"application/json": {"schema": _answer_schema(signature["outputs"])}},
                },
                "default": {
                    "description": "An error.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                },
            },
        }
    }


def _with_id(operation: dict[str, Any], operation_id: str) -> dict[str, Any]:
    return {"post": {"operationId": operation_id, **operation["post"]}}


def _request_schema(inputs: list[JsonSchema] | None, params: list[JsonSchema] | None) -> JsonSchema:
    """Any of the four JSON forms. A tensor has two of them: it cannot be sent as a data frame."""
    forms = _tensor_forms(inputs) if _is_tensor(inputs) else _frame_forms(inputs)
    shared = {"params": _params_schema(params)} if params else {}
    return {
        "oneOf": [
            {"type": "object", "properties": {form: schema, **shared}, "required": [form]}
            for form, schema in forms.items()
        ]
    }


def _frame_forms(inputs: list[JsonSchema] | None) -> dict[str, JsonSchema]:
    columns = inputs or []
    row = _row_schema(inputs)
    by_column = {name: {"type": "array", "items": schema} for name, schema in row.get("properties", {}).items()}
    named: JsonSchema = {"type": "array", "items": {"type": "string"}}
    if names := [column["name"] for column in columns if "name" in column]:
        named["items"] = {"enum": names}
    split = {
        "type": "object",
        "properties": {
            "index": {"type": "array"},
            "columns": named,
            "data": {"type": "array", "items": {"type": "array"}},
        },
        "required": ["data"],
    }
    return {
        "dataframe_split": split,
        "dataframe_records": {"type": "array", "items": row},
        "instances": {"type": "array", "items": row},
        "inputs": {"type": "object", "properties": by_column} if by_column else {},
    }


def _tensor_forms(inputs: list[JsonSchema] | None) -> dict[str, JsonSchema]:
    tensors = inputs or []
    if not all("name" in tensor for tensor in tensors):
        schema = _tensor_schema(tensors[0]["tensor-spec"]) if tensors else {}
        return {"inputs": schema, "instances": schema}
    whole = {tensor["name"]: _tensor_schema(tensor["tensor-spec"]) for tensor in tensors}
    rows = {name: schema.get("items", {}) for name, schema in whole.items()}
    return {
        "inputs": {"type": "object", "properties": whole, "required": list(whole)},
        "instances": {"type": "array", "items": {"type": "object", "properties": rows, "required": list(rows)}},
    }


def _answer_schema(outputs: list[JsonSchema] | None) -> JsonSchema:
    if not outputs:
        predictions: JsonSchema = {}
    elif _is_tensor(outputs):
        predictions = _tensor_forms(outputs)["inputs"]
    else:
        unnamed = len(outputs) == 1 and "name" not in outputs[0]
        predictions = {"type": "array", "items": _type_schema(outputs[0]) if unnamed else _row_schema(outputs)}
    return {"type": "object", "properties": {"predictions": predictions}, "required": ["predictions"]}


# --- the types


def _is_tensor(columns: list[JsonSchema] | None) -> bool:
    return bool(columns) and all(column.get("type") == "tensor" for column in columns or [])


def _row_schema(columns: list[JsonSchema] | None) -> JsonSchema:
    if not columns:
        return {}
    if not all(isinstance(column.get("name"), str) for column in columns):  # an integer is no key of an object
        return {"type": "array", "prefixItems": [_type_schema(column) for column in columns]}
    return _object_schema({column["name"]: column for column in columns})


def _object_schema(properties: Mapping[str, JsonSchema]) -> JsonSchema:
    required = [name for name, schema in properties.items() if schema.get("required", True)]
    return {
        "type": "object",
        "properties": {name: _type_schema(schema) for name, schema in properties.items()},
        **({"required": required} if required else {}),
    }


def _type_schema(column: JsonSchema) -> JsonSchema:
    """A column's type, or a type within one: `{"type": "array", "items": …}`. An unknown type takes anything."""
    match column.get("type"):
        case "array":
            return {"type": "array", "items": _type_schema(column.get("items", {}))}
        case "object":
            return _object_schema(column.get("properties", {}))
        case "map":
            return {"type": "object", "additionalProperties": _type_schema(column.get("values", {}))}
        case "tensor":
            return _tensor_schema(column["tensor-spec"])
        case name:
            return dict(_TYPES.get(str(name), {}))


def _tensor_schema(spec: JsonSchema) -> JsonSchema:
    """Nested arrays; -1 is a dimension of any length."""
    schema: JsonSchema = _item_schema(str(spec["dtype"]))
    for length in reversed(spec["shape"]):
        bounds = {} if length < 0 else {"minItems": length, "maxItems": length}
        schema = {"type": "array", "items": schema, **bounds}
    return schema


def _item_schema(dtype: str) -> JsonSchema:
    for kinds, schema in (
        (("float",), {"type": ["number", "null"]}),
        (("int", "uint"), {"type": "integer"}),
        (("bool",), {"type": "boolean"}),
        (("str", "<U", "object"), {"type": "string"}),
    ):
        if dtype.startswith(kinds):
            return dict(schema)
    return {}


def _params_schema(params: list[JsonSchema]) -> JsonSchema:
    properties: dict[str, JsonSchema] = {}
    for param in params:
        schema = _type_schema(param)
        if param.get("shape") is not None:
            schema = {"type": "array", "items": schema}
        properties[param["name"]] = {**schema, "default": param.get("default")}
    return {"type": "object", "properties": properties}
