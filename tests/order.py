"""Which tests share a worker, and what begins first.

`make test` has several workers (`pytest --numprocesses`). A group goes to one of them whole, so that what is dear to
start is started once. The longest groups begin first, so that no worker is left with one when the others are done.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

PLATFORM, REGISTRIES = "platform", "registries"
# These use a real registry of `tests/registries.py`.
_REGISTRIES = (
    "tests/adapters/mlflow/test_embedded_registry.py",
    "tests/adapters/mlflow/test_registry.py",
    "tests/adapters/mlflow/test_search.py",
    "tests/cli/commands/test_doctor.py",
    "tests/cli/commands/test_launch.py",
    "tests/cli/test_sample.py",
    "tests/contracts/test_model_registry.py",
)
# Tests that are long and share nothing: each is a group. Any other file is one group.
_SPREAD = (
    "tests/adapters/environments/test_uv_environments.py",
    "tests/engines/templates/test_memory.py",
    "tests/engines/templates/test_templates.py",
    "tests/gateway/replay/test_replays.py",
)
# These break the platform that all of `e2e` shares: they come after the others, in this order.
_BREAKING = ("tests/e2e/test_rollout_faults.py", "tests/e2e/test_elastic.py", "tests/e2e/test_faults.py")


class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Gives workers whole groups, in the order of the tests. See `pytest_xdist_make_scheduler`."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """The group of a test."""
    file = _file(nodeid)
    if file.startswith("tests/e2e/"):
        return PLATFORM
    if file in _REGISTRIES:
        return REGISTRIES
    return nodeid if file in _SPREAD else file


def rank(nodeid: str) -> tuple[int, int]:
    """What is lower begins earlier."""
    file, group = _file(nodeid), group_of(nodeid)
    if group == PLATFORM:
        return 0, _BREAKING.index(file) + 1 if file in _BREAKING else 0
    return 1 if group == REGISTRIES else 2 if file in _SPREAD else 3, 0


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
