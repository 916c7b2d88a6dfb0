"""What a database raises, as Tidegate's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy.exc import DBAPIError, IntegrityError

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.errors import AlreadyExists, Conflict, NotFound, Unavailable
from tidegate.core.legacy_products.enablement import Enablement


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise Unavailable for what a database raises, IntegrityError apart, and for a record that cannot be decoded."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        if "disk is full" in str(error.orig):
            raise Unavailable(
                "The disk that holds the database is full. This change was not made, and nothing was lost. "
                "Free some space, then try again.",
                retry_after=10,
            ) from error
        raise Unavailable(
            f"The database cannot be used now: {error.orig}. This change was not made; try again.", retry_after=5
        ) from error
    except msgspec.MsgspecError as error:
        raise Unavailable(f"A record in the database cannot be read by this version of Tidegate: {error}.") from error


@contextmanager
def name_taken(endpoint: Endpoint) -> Iterator[None]:
    """Raise AlreadyExists where the database has an endpoint of this name."""
    try:
        yield
    except IntegrityError as error:
        raise AlreadyExists(f"There is an endpoint '{endpoint.name}' already. Choose another name.") from error


@contextmanager
def enabled_already(enablement: Enablement) -> Iterator[None]:
    """Raise Conflict where the database has an enablement of this model."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict(f"The serving of model '{enablement.model}' was enabled by somebody else already.") from error


@contextmanager
def endpoint_gone(endpoint_id: str) -> Iterator[None]:
    """Raise NotFound where the database has no endpoint of this id."""
    try:
        yield
    except IntegrityError as error:
        raise NotFound(f"The endpoint with the id '{endpoint_id}' is not on record any more.") from error
