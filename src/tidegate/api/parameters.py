"""The parameters of the older products' calls: in the query string or in a JSON body, whatever the method.

Their clients send a GET's parameters either way, and numbers and booleans as strings.
"""

import json
from typing import TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from tidegate.core.errors import BadRequest


class Parameters(BaseModel):
    """What a call may say. Unknown names are ignored."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, allow_inf_nan=False, protected_namespaces=())


class OfModel(Parameters):
    """A registered model's."""

    registered_model_name: str


class OfVersion(OfModel):
    """A version's: its number, or the stage that it is in."""

    endpoint_version_name: str


class OfReplica(OfVersion):
    """A replica's of a version; without `replica_id` all of them."""

    replica_id: str | None = None


P = TypeVar("P", bound=Parameters)


async def read(request: Request, kind: type[P]) -> P:
    """The parameters of a call; those in the body outweigh those in the query string. Raises BadRequest."""
    body = await request.body()
    try:
        given = json.loads(body) if body.strip() else {}
    except ValueError:
        raise BadRequest("The body is not valid JSON.") from None
    if given is not None and not isinstance(given, dict):
        raise BadRequest("The body must be a JSON object.")
    try:
        return kind.model_validate({**request.query_params, **(given or {})})
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from None
