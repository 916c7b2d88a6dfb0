"""The share of the suite's time that each folder may take (`budget.toml`); a whole run shows and checks it.

The shares are of all tests' seconds, whatever the number of workers.
"""

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("budget.toml")
# A folder may take so many times its budget: on a busy machine, what computes takes a larger share than what waits.
TOLERANCE = 2.0
# So many points more are never too much: a small folder is not to fail for one stall.
_POINTS = 5.0

# With one of these, not all tests run, or others take their time.
_CHOOSING = ("keyword", "lf", "failedfirst", "stepwise", "deselect", "ignore", "ignore_glob", "hypothesis_profile")


def folder_of(nodeid: str) -> str:
    """The folder below `tests` that a test lies in; `tests` for one that lies in none."""
    parts = nodeid.partition("::")[0].split("/")
    return parts[1] if len(parts) > 2 else parts[0]


def shares_of(seconds: Mapping[str, float]) -> dict[str, float]:
    """Per cent of all seconds by folder, the largest first."""
    total = sum(seconds.values()) or 1.0
    return {folder: 100 * part / total for folder, part in sorted(seconds.items(), key=lambda item: -item[1])}


def complaints(shares: Mapping[str, float], budget: Mapping[str, float]) -> list[str]:
    """A sentence on each folder that takes more than it may, or has no budget."""
    found = []
    for folder, share in shares.items():
        if folder not in budget:
            found.append(f"{folder}: it has no budget. Give it one in tests/budget.toml.")
        elif share > max(TOLERANCE * budget[folder], budget[folder] + _POINTS):
            found.append(
                f"{folder}: its tests take {share:.0f} % of the suite's time, and {budget[folder]:g} % are its budget. "
                "Make them quicker, move what is long to `make acceptance`, or change tests/budget.toml."
            )
    return found


class Budget:
    """Adds up the seconds of tests while they run."""

    def __init__(self, config: pytest.Config) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        chosen = any(config.getoption(name, None) for name in _CHOOSING) or config.option.markexpr != "not acceptance"
        self._whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen
        self._complaints: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[folder_of(report.nodeid)] += report.duration

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._whole and session.exitstatus == pytest.ExitCode.OK:
            self._complaints = complaints(shares_of(self._seconds), budget())
            if self._complaints:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._whole:
            terminalreporter.section("seconds of all tests, by folder")
            for folder, share in shares_of(self._seconds).items():
                allowed = f"{budget().get(folder, 0):4g} %"
                terminalreporter.line(f"{self._seconds[folder]:8.1f} s {share:5.1f} % of {allowed}  {folder}")
            for sentence in self._complaints:
                terminalreporter.line(sentence, red=True)


def budget() -> dict[str, float]:
    """Per cent by folder."""
    shares: dict[str, float] = tomllib.loads(FILE.read_text())["share"]
    return shares
