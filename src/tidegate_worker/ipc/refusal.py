"""The refusal of a request: it gets a sentence instead of a prediction."""

from tidegate_worker.ipc import wire

MAX_SENTENCE = 4000  # characters; the sentence on a signature of thousands of columns is longer


class Refusal(Exception):
    """The reason why a request has no prediction: an outcome of `wire`, and a sentence for the caller.

    The sentence names places and expected types, and never the caller's values. It is cut after `MAX_SENTENCE`
    characters.
    """

    def __init__(self, outcome: int, sentence: str) -> None:
        if len(sentence) > MAX_SENTENCE:
            sentence = f"{sentence[:MAX_SENTENCE]} …"
        super().__init__(sentence)
        self.outcome = outcome
        self.sentence = sentence


def bad_request(sentence: str) -> Refusal:
    """The refusal of a body that cannot be read or does not fit the signature."""
    return Refusal(wire.BAD_REQUEST, sentence)


def json_type(value: object) -> str:
    """The type of a decoded value in the words of JSON, with its article."""
    if value is None or value != value:  # NaN stands for a missing value
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"
