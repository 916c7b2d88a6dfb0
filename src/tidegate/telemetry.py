"""Structured logs, and the names of all metrics.

A log record has a sentence and fields: `logger.info("replica is ready", extra=fields(replica=id))`. Every process
writes to a file of its own below `logs/`, which is rotated, and also writes warnings to standard error.
"""

import json
import logging
import logging.handlers
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.settings import HousekeepingSettings, LogSettings

# --- logs ---


def fields(**values: object) -> dict[str, Any]:
    """The `extra` of a log call: the fields of its record."""
    return {"fields": values}


_CONTROL = {code: repr(chr(code))[1:-1] for code in (*range(9), *range(10, 32), *range(127, 160), 0x2028, 0x2029)}


def printable(text: str) -> str:
    """The text with its control characters escaped, tabs apart: a name that a user chose may not begin another line."""
    return text.translate(_CONTROL)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO control: replica is ready replica=1a2b3c4d`, with the traceback below."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        values = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        sentence = printable(f"{record.getMessage()} {values}".rstrip())
        line = f"{_timestamp(record)} {record.levelname} {self._process}: {sentence}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _timestamp(record),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure_logs(process: str, directory: Path, log: LogSettings, keep: HousekeepingSettings) -> None:
    """Set up the logs of this process. All handlers of the root logger are replaced."""
    formatter = JsonFormatter(process) if log.format == "json" else TextFormatter(process)
    directory.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(
        directory / f"{process.replace(' ', '-')}.log",
        maxBytes=int(keep.log_file_mb * 1024 * 1024),
        backupCount=keep.log_files,
        delay=True,
    )
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.handlers = [file, console]
    root.setLevel(log.level.upper())
    for handler in root.handlers:
        handler.setFormatter(formatter)
    for noisy in ("httpx", "httpcore", "alembic", "mlflow", "urllib3", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    values: Mapping[str, object] = getattr(record, "fields", {})
    return values


def _timestamp(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


# --- metrics ---


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of /metrics. `kind` is its type in Prometheus."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


REQUESTS = Metric("tidegate_requests", "counter", "Requests that an endpoint accepted.", ("endpoint",))
RESPONSES = Metric("tidegate_responses", "counter", "Answers by HTTP status.", ("endpoint", "status"))
OUTCOMES = Metric(
    "tidegate_request_outcomes",
    "counter",
    "Where accepted requests went: answered, rejected, timed_out, client_gone or lost.",
    ("endpoint", "outcome"),
)
REFUSED = Metric("tidegate_refused", "counter", "Requests refused before an endpoint was known.", ("status",))
LATENCY = Metric("tidegate_request_seconds", "histogram", "From a request's first byte to its answer.", ("endpoint",))
REQUEST_BYTES = Metric("tidegate_request_bytes", "counter", "Bytes of request bodies.", ("endpoint",))
RESPONSE_BYTES = Metric("tidegate_response_bytes", "counter", "Bytes of answers.", ("endpoint",))
COLD_STARTS = Metric(
    "tidegate_cold_starts",
    "counter",
    "Starts of a replica that requests waited for because there was none.",
    ("endpoint",),
)
COLD_REQUESTS = Metric("tidegate_cold_requests", "counter", "Requests that waited for such a start.", ("endpoint",))
COLD_SECONDS = Metric(
    "tidegate_cold_start_seconds",
    "histogram",
    "From a request's first byte to the first answer after a cold start, by phase.",
    ("mode", "phase"),
)
IN_FLIGHT = Metric("tidegate_in_flight", "gauge", "Requests at a replica now.", ("endpoint", "revision"))
QUEUED = Metric("tidegate_queued", "gauge", "Requests that wait for a replica now.", ("endpoint", "revision"))
RERUNS = Metric("tidegate_reruns", "counter", "Requests run again because a replica died.", ("endpoint", "revision"))
BUSY = Metric("tidegate_busy_seconds", "counter", "Time that replicas spent on requests.", ("endpoint", "revision"))
REPLICAS = Metric("tidegate_replicas", "gauge", "Replicas by state.", ("endpoint", "revision", "state"))
MEMORY = Metric("tidegate_replica_memory_bytes", "gauge", "Memory (PSS) of its replicas.", ("endpoint", "revision"))
ENDPOINT_READY = Metric("tidegate_endpoint_ready", "gauge", "1 when the endpoint is READY, else 0.", ("endpoint",))
GATEWAYS = Metric("tidegate_gateways", "gauge", "Gateways that report to control.")
BUILDS = Metric("tidegate_builds", "counter", "Environment preparations by result.", ("result",))

METRICS = (
    REQUESTS, RESPONSES, OUTCOMES, REFUSED, LATENCY, REQUEST_BYTES, RESPONSE_BYTES, COLD_STARTS, COLD_REQUESTS,
    COLD_SECONDS, IN_FLIGHT, QUEUED, RERUNS, BUSY, REPLICAS, MEMORY, ENDPOINT_READY, GATEWAYS, BUILDS,
)  # fmt: skip
