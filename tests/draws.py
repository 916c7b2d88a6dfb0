"""How many examples hypothesis draws: a quarter in `make test`, all of them in `make acceptance ONLY=suite`.

The quarter is the same at every run: a green commit stays green. `pytest --hypothesis-profile=whole` draws all, and
where a test does not fix its draws itself, others at every run.
"""

from hypothesis import settings

_WHOLE, _QUARTER = "whole", "quarter"


def register_profiles() -> None:
    """Make both known, and the quarter the default."""
    settings.register_profile(_WHOLE, max_examples=100, deadline=None)
    settings.register_profile(_QUARTER, max_examples=25, deadline=None, derandomize=True)
    settings.load_profile(_QUARTER)


def examples(whole: int) -> int:
    """So many examples, or the default profile's part of them."""
    assert settings.default is not None
    return max(1, whole * settings.default.max_examples // 100)
