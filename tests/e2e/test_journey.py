"""A newcomer's first minutes: one command, the printed curl line, then a model of their own."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_the_sample_answers_the_printed_curl_line_and_a_model_of_ones_own_follows(tmp_path: Path) -> None:
    running = Platform(tmp_path / "data", "--sample").start()
    try:
        line = running.wait_for_line("curl ", 300)
        done = subprocess.run(["/bin/sh", "-c", line], cwd="/", capture_output=True, text=True, timeout=70)
        assert done.returncode == 0
        assert len(json.loads(done.stdout)["predictions"]) >= 1

        request = register(running, "tabular", "iris")
        launched = running.command("launch", "models:/iris/1", "--size", "Small")
        assert launched.returncode == 0, launched.stderr
        assert f"{running.url}/serving-endpoints/iris/invocations" in launched.stdout
        row = tmp_path / "row.json"
        row.write_text(json.dumps(request))
        queried = running.command("query", "iris", "--data", str(row))
        assert queried.returncode == 0, queried.stderr
        assert len(json.loads(queried.stdout)["predictions"]) == 3
        listed = json.loads(running.command("list", "-o", "json").stdout)
        assert {endpoint["name"] for endpoint in listed} == {"wine", "iris"}
        assert running.command("delete", "iris", "--yes").returncode == 0
    finally:
        assert running.stop() == 0
    # Everything comes back by itself.
    running = Platform(tmp_path / "data").start()
    try:
        body = shlex.split(line)[shlex.split(line).index("-d") + 1]
        assert running.score("wine", json.loads(body)).status_code == 200
    finally:
        assert running.stop() == 0
