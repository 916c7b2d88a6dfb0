"""A platform with the sample model, as `make run` starts it, for benchmarks to measure."""

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running_platform import Platform


@dataclass(frozen=True)
class Sample:
    """The sample endpoint: its URL, its token, a body that fits, and the directory of the model it serves."""

    platform: Platform
    url: str
    token: str
    body: str
    model_dir: str


@contextlib.contextmanager
def sample_platform(*arguments: str) -> Iterator[Sample]:
    """`tidegate up --sample` in a temporary data directory, ended after the `with`."""
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "data", "--sample", *arguments).start()
        try:
            words = shlex.split(platform.wait_for_line("curl ", 300))
            body = words[words.index("-d") + 1]
            target = next((platform.data_dir / "targets").glob("*.json"))
            model_dir = json.loads(target.read_text())["target"]["model_dir"]
            yield Sample(
                platform, f"{platform.url}/serving-endpoints/wine/invocations", platform.token, body, model_dir
            )
        finally:
            platform.stop()
