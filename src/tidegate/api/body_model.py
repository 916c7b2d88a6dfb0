"""What every JSON body has in common: how it is read, and how much of a thing it may have."""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator
from pydantic_core import PydanticCustomError

_HALF_PAIR = re.compile("[\ud800-\udfff]")

T = TypeVar("T")


class BodyModel(BaseModel):
    """Unknown names are ignored, and numbers are taken for strings.

    Half of a surrogate pair is refused. JSON can escape it, but no answer can be written that has it.
    """

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*")
    @classmethod
    def _writable(cls, value: object) -> object:
        if any(_HALF_PAIR.search(text) for text in _texts(value)):
            raise ValueError("half of a surrogate pair is no text")
        return value


def at_most(most: int) -> BeforeValidator:
    """A validator that refuses a longer list, mapping or string before it looks at what is in it."""

    def check(value: T) -> T:
        if isinstance(value, (list, dict, str)) and len(value) > most:
            what = "characters" if isinstance(value, str) else "entries"
            context = {"size": len(value), "most": most, "what": what}
            raise PydanticCustomError("too_many", "it has {size} {what}; at most {most} are allowed", context)
        return value

    checked: Callable[[T], T] = check
    return BeforeValidator(checked)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.items() for text in item if isinstance(text, str))
    elif isinstance(value, list):
        yield from (text for text in value if isinstance(text, str))
