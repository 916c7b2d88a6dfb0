"""The parameters of the older products' calls: in the query string or in a JSON body, whatever the method.

Their clients send a GET's parameters either way, and numbers and booleans as strings.
"""

import json
from typing import Annotated, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from starlette.requests import Request

from tidegate.api.lenient import Lenient
from tidegate.api.middleware import TOO_DEEP
from tidegate.core.errors import BadRequest

_LAST_MILLIS = 253_402_300_799_999  # of the year 9999

Millis = Annotated[int, Field(ge=-_LAST_MILLIS, le=_LAST_MILLIS)]
"""A time in unix milliseconds."""


class Parameters(Lenient):
    """What a call may say."""


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
    except RecursionError:
        raise BadRequest(TOO_DEEP) from None
    if given is not None and not isinstance(given, dict):
        raise BadRequest("The body must be a JSON object.")
    try:
        return kind.model_validate({**request.query_params, **(given or {})})
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from None
