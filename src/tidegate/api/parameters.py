"""The parameters of the older products' calls.

A client may send them in the query string or in a JSON body, whatever the method, and may write numbers and booleans
as strings.
"""

import json
from typing import Annotated, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from starlette.requests import Request

from tidegate.api.body_model import BodyModel
from tidegate.api.middleware import TOO_DEEP
from tidegate.core.errors import BadRequest

_LAST_MILLIS = 253_402_300_799_999  # of the year 9999

Millis = Annotated[int, Field(ge=-_LAST_MILLIS, le=_LAST_MILLIS)]
"""A time in unix milliseconds."""


class Parameters(BodyModel):
    """The parameters of a call."""


class OfModel(Parameters):
    """The parameters of a call about a registered model."""

    registered_model_name: str


class OfVersion(OfModel):
    """The parameters of a call about a version: `endpoint_version_name` is its number, or the stage that it is in."""

    endpoint_version_name: str


class OfReplica(OfVersion):
    """The parameters of a call about a replica of a version; without `replica_id`, about all its replicas."""

    replica_id: str | None = None


P = TypeVar("P", bound=Parameters)


async def read(request: Request, kind: type[P]) -> P:
    """Read the parameters of a call. A parameter in the body wins over one in the query string. Raises BadRequest."""
    body = await request.body()
    try:
        given = json.loads(body) if body.strip() else {}
    except ValueError:
        raise BadRequest("The body is not valid JSON.") from None
    except RecursionError:
        raise BadRequest(TOO_DEEP) from None
    if given is not None and not isinstance(given, dict):
        raise BadRequest("The body must be a JSON object.")
    try:
        return kind.model_validate({**request.query_params, **(given or {})})
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from None
