"""Log records in both formats, and the names of metrics."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.settings import HousekeepingSettings, LogSettings
from tidegate.telemetry import METRICS, Metric, configure_logs, fields

logger = logging.getLogger("tidegate.test")

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """The root logger is as before after each test."""
    before = logging.getLogger()
    handlers, level = before.handlers, before.level
    yield
    for handler in set(before.handlers) - set(handlers):
        handler.close()
    before.handlers = handlers
    before.setLevel(level)


def configure(directory: Path, form: str = "text", level: str = "INFO", megabytes: float = 10.0) -> Path:
    """Set the logs of `gateway 0` up; returns its file."""
    configure_logs("gateway 0", directory, LogSettings(level, form), HousekeepingSettings(log_file_mb=megabytes))
    return directory / "gateway-0.log"


def test_a_line_is_a_sentence_and_its_fields(tmp_path: Path) -> None:
    file = configure(tmp_path / "logs")
    logger.info("replica is %s", "ready", extra=fields(replica="1a2b", pid=7))
    assert re.fullmatch(TIME + r" INFO gateway 0: replica is ready replica=1a2b pid=7\n", file.read_text())


def test_no_name_begins_another_line(tmp_path: Path) -> None:
    file = configure(tmp_path)
    forged = "wine\n2026-01-31T12:00:00.123Z INFO control: forged\r\x1b[2J\x00\x85\u2028\u2029é\t日"
    logger.info("made %s", forged, extra=fields(endpoint=forged))
    (line,) = file.read_text().splitlines()
    assert line.count("\\n2026-01-31") == 2
    assert line.count("\\r\\x1b[2J\\x00\\x85\\u2028\\u2029é\t日") == 2


def test_a_line_without_fields_has_no_trailing_space(tmp_path: Path) -> None:
    file = configure(tmp_path)
    logger.info("started")
    assert file.read_text().endswith("gateway 0: started\n")


def test_a_json_line_is_one_object(tmp_path: Path) -> None:
    file = configure(tmp_path, "json")
    logger.warning("two\nlines", extra=fields(path=Path("/a"), pid=7))
    [line] = file.read_text().splitlines()
    entry = json.loads(line)
    assert re.fullmatch(TIME, entry.pop("time"))
    assert entry == {
        "level": "WARNING",
        "process": "gateway 0",
        "logger": "tidegate.test",
        "message": "two\nlines",
        "path": "/a",
        "pid": 7,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_goes_with_its_record(tmp_path: Path, form: str) -> None:
    file = configure(tmp_path, form)
    try:
        raise ValueError("the cause")
    except ValueError:
        logger.exception("it broke")
    text = file.read_text()
    assert "it broke" in text
    assert "ValueError: the cause" in text
    if form == "json":
        assert "the cause" in json.loads(text)["traceback"]


def test_only_warnings_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path)
    logger.info("quiet")
    logger.warning("loud")
    assert "loud" in (terminal := capsys.readouterr().err)
    assert "quiet" not in terminal


def test_the_level_is_a_setting_in_any_case(tmp_path: Path) -> None:
    file = configure(tmp_path, level="error")
    logger.warning("unheard")
    assert not file.exists()


def test_chatty_libraries_are_heard_from_warnings_on(tmp_path: Path) -> None:
    file = configure(tmp_path)
    logging.getLogger("httpx").info("GET /")
    logging.getLogger("httpx").warning("trouble")
    assert "GET /" not in file.read_text()
    assert "trouble" in file.read_text()


def test_a_log_is_rotated_and_old_ones_go(tmp_path: Path) -> None:
    configure(tmp_path, megabytes=0.001)
    for number in range(200):
        logger.info("line %d %s", number, "x" * 100)
    kept = {file.name for file in tmp_path.iterdir()}
    assert kept == {"gateway-0.log", "gateway-0.log.1", "gateway-0.log.2", "gateway-0.log.3"}


# --- metrics


def test_no_two_metrics_share_a_name() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_asks(metric: Metric) -> None:
    assert re.fullmatch(r"tidegate_[a-z]+(_[a-z]+)*", metric.name)
    assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))  # suffixes that the text format adds
    assert metric.kind in ("counter", "gauge", "histogram")
    assert metric.help.endswith(".")
    assert all(re.fullmatch(r"[a-z_]+", label) for label in metric.labels)
