"""A newcomer's first minutes: one command, the printed curl line, then a model of their own."""

import json
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_the_sample_answers_the_printed_curl_line_and_a_model_of_ones_own_follows(
    house: Platform, tmp_path: Path
) -> None:
    answers_the_printed_curl_line(house.printed)
    request = register(house, "tabular", "own")
    launched = house.command("launch", "models:/own/1", "--size", "Small")
    assert launched.returncode == 0, launched.stderr
    assert f"{house.url}/serving-endpoints/own/invocations" in launched.stdout
    row = tmp_path / "row.json"
    row.write_text(json.dumps(request))
    queried = house.command("query", "own", "--data", str(row))
    assert queried.returncode == 0, queried.stderr
    assert len(json.loads(queried.stdout)["predictions"]) == 3
    listed = json.loads(house.command("list", "-o", "json").stdout)
    assert {endpoint["name"] for endpoint in listed} >= {"wine", "own"}
    assert house.command("delete", "own", "--yes").returncode == 0


def test_every_socket_is_this_users_alone(house: Platform) -> None:
    sockets = [path for path in (house.data_dir / "run").rglob("*") if path.is_socket()]
    assert {path.stem for path in sockets} >= {"api", "planes", "agent", "registry"}
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in sockets} == {path.name: 0o600 for path in sockets}


def answers_the_printed_curl_line(printed: list[str]) -> str:
    """Run it as a newcomer does, in another directory; returns the line."""
    line = next(line for line in printed if line.startswith("curl "))
    done = subprocess.run(["/bin/sh", "-c", line], cwd="/", capture_output=True, text=True, timeout=70)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["predictions"]) >= 1
    return line


@pytest.mark.acceptance
def test_what_was_stopped_comes_back_by_itself(tmp_path: Path) -> None:
    running = Platform(tmp_path / "data", "--sample").start()
    try:
        running.wait_for_line("curl ", 300)
        words = shlex.split(answers_the_printed_curl_line(running.printed))
    finally:
        assert running.stop() == 0
    running = Platform(tmp_path / "data").start()
    try:
        assert running.score("wine", json.loads(words[words.index("-d") + 1])).status_code == 200
    finally:
        assert running.stop() == 0
