"""The suite's own rules: who shares a worker, what a folder may take, and how many examples are drawn."""

from pathlib import Path

import pytest
from bench.acceptance import LISTS

from tests import budget, order
from tests.draws import examples

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("tests/e2e/test_gate.py::test_a", order.PLATFORM),
        ("tests/cli/test_sample.py::test_a", order.REGISTRIES),
        ("tests/core/rollout/test_gate.py::test_a[1]", "tests/core/rollout/test_gate.py"),
        (
            "tests/engines/templates/test_templates.py::test_a[1]",
            "tests/engines/templates/test_templates.py::test_a[1]",
        ),
    ],
)
def test_what_is_dear_to_start_is_shared(test: str, group: str) -> None:
    assert order.group_of(test) == group


def test_groups_come_whole_the_longest_first_and_what_breaks_the_platform_after_the_rest_of_it() -> None:
    registries = ["cli/commands/test_doctor", "engines/templates/test_memory"]
    right = ["e2e/test_a", "e2e/test_elastic", "e2e/test_faults", *registries, "core/a"]
    found = sorted((f"tests/{test}.py::test" for test in sorted(right)), key=order.rank)
    assert [test.removeprefix("tests/").removesuffix(".py::test") for test in found] == right


def test_every_file_that_has_a_place_of_its_own_is_there() -> None:
    assert [file for file in (*order._REGISTRIES, *order._SPREAD, *order._BREAKING) if not (ROOT / file).exists()] == []


def test_who_uses_a_real_registry_shares_it() -> None:
    fixtures = ("mlflow_server", "mlflow_database", "embedded:", "platform_with_registry", "empty_platform")
    users = [
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "tests").rglob("test_*.py")
        if any(fixture in file.read_text() for fixture in fixtures) and file != Path(__file__)
    ]
    assert sorted(users) == sorted(order._REGISTRIES)


def test_a_folder_over_its_budget_or_without_one_is_named() -> None:
    shares = budget.shares_of({"a": 30.0, "b": 60.0, "c": 10.0})
    assert list(shares.items()) == [("b", 60.0), ("a", 30.0), ("c", 10.0)]
    [sentence] = budget.complaints(shares, {"a": 16.0, "b": 31.0, "c": 4.0})
    assert sentence.startswith("c: its tests take 10 % of the suite's time, and 4 % are its budget. Make them quicker")
    assert budget.complaints(shares, {"a": 30.0, "b": 60.0}) == [
        "c: it has no budget. Give it one in tests/budget.toml."
    ]


def test_every_folder_has_a_budget_and_together_they_are_the_whole() -> None:
    files = [file.relative_to(ROOT).as_posix() for file in (ROOT / "tests").rglob("test_*.py")]
    folders = {budget.folder_of(file) for file in files}
    assert set(budget.budget()) == folders
    assert 95 <= sum(budget.budget().values()) <= 105


@pytest.mark.parametrize(
    ("nodeid", "folder"),
    [
        ("tests/e2e/test_a.py::test_b[x/y]", "e2e"),
        ("tests/core/scaling/test_a.py::test_a", "core"),
        ("tests/test_http.py::test_a", "tests"),
    ],
)
def test_a_test_counts_for_its_folder(nodeid: str, folder: str) -> None:
    assert budget.folder_of(nodeid) == folder


def test_a_part_of_the_examples_is_drawn() -> None:
    assert 1 <= examples(3) <= examples(100) <= 100
    assert examples(400) == 4 * examples(100)


def test_what_only_acceptance_runs_is_in_one_of_its_lists() -> None:
    marked = [
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "tests").rglob("test_*.py")
        if "mark.acceptance" in file.read_text() and file != Path(__file__)
    ]
    commands = [command for commands in LISTS.values() for command in commands if "-m" in command[1:]]
    runs = [
        place
        for command in commands
        for place in command
        if place.startswith("tests/") and "acceptance" in " ".join(command).replace("not acceptance", "")
    ]
    assert len(marked) > 10
    assert [file for file in marked if not any(file.startswith(place) for place in runs)] == []
