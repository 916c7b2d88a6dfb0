"""What a launch with one click serves, and what it is called."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.endpoint.launch_choice import free_name, usual_reference, version_meant
from tidegate.core.endpoint.registered_model import RegisteredModel
from tidegate.core.endpoint.served_entity import ModelRef
from tidegate.core.endpoint.validation import check_name


def test_what_the_owner_points_to_is_launched_and_else_the_newest() -> None:
    stages, aliases = {"Production": "2", "None": "3"}, {"champion": "1", "next": "3"}
    assert usual_reference(RegisteredModel("wine", "3", stages, aliases)) == ModelRef("wine", "@champion")
    assert usual_reference(RegisteredModel("wine", "3", stages, {"next": "3"})) == ModelRef("wine", "Production")
    assert usual_reference(RegisteredModel("wine", "3", {"None": "3"})) == ModelRef("wine", "3")
    assert usual_reference(RegisteredModel("wine")) is None


def test_a_reference_means_a_version() -> None:
    model = RegisteredModel("wine", "3", {"Production": "2"}, {"champion": "1"})
    asked = ("@champion", "Production", "7", "Staging", "@nobody")
    assert [version_meant(model, one) for one in asked] == ["1", "2", "7", "", ""]


@given(st.text(min_size=1, max_size=300), st.integers(0, 12))
def test_a_name_is_valid_and_not_taken(model: str, others: int) -> None:
    taken: list[str] = []
    for _ in range(others + 1):
        name = free_name(model, taken)
        check_name(name)
        assert name not in taken
        taken.append(name)
