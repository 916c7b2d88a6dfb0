"""What all tests share: fixtures, the order of a run, hypothesis' profiles, and the budget of each folder."""

import gc
import signal

import pytest
from xdist.remote import Producer

from tests import draws, order
from tests.budget import Budget
from tests.registries import embedded, mlflow_database, mlflow_server, owner

__all__ = ["embedded", "mlflow_database", "mlflow_server", "owner"]

draws.register_profiles()
# Until all tests are collected. What is imported stays, so looking for garbage among it costs time and finds none.
gc.disable()
# A shell that runs the suite in the background has it ignore Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the process that hears of all tests
        config.pluginmanager.register(Budget(config), "budget")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: order.rank(item.nodeid))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)  # without workers nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> order.Groups | None:
    return order.Groups(config, log) if config.getoption("dist") == "load" else None  # what `-n` means by itself
