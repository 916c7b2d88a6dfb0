"""What every JSON body has in common: how it is read."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, field_validator


class Lenient(BaseModel):
    """Unknown names are ignored, and numbers taken for strings. Half a surrogate pair is refused: JSON can escape one,
    but no answer that has it could be written, nor a list of what has it.
    """

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*")
    @classmethod
    def _writable(cls, value: object) -> object:
        if any("\ud800" <= sign <= "\udfff" for text in _texts(value) for sign in text):
            raise ValueError("half of a surrogate pair is no text")
        return value


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.items() for text in item if isinstance(text, str))
    elif isinstance(value, list):
        yield from (text for text in value if isinstance(text, str))
