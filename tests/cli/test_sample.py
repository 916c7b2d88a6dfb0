"""The sample model, trained and registered for real; launched on a platform that builds nothing."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.conftest import TIDEGATE
from tests.cli.platform import FILES, TOKEN, Platform
from tidegate.cli.find_server import DEFAULT_URL


def provide(platform: Platform) -> "subprocess.CompletedProcess[str]":
    """As the supervisor starts it."""
    argv = [*TIDEGATE[:-1], "tidegate.cli.sample", "--url", platform.url, "--data-dir", str(platform.data_dir)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=110)


def curl_of(output: str) -> list[str]:
    (line,) = (line for line in output.splitlines() if line.startswith("curl "))
    return shlex.split(line)


def test_an_empty_platform_gets_the_sample_and_a_later_start_prints_the_line_again(
    empty_platform: Platform, registry_socket: Path
) -> None:
    platform = empty_platform
    first = provide(platform)
    assert first.returncode == 0, first.stderr
    assert platform.served("wine")[0].resolved.version == "1"

    command = curl_of(first.stdout)
    assert command[-1] == f"{platform.url}/serving-endpoints/wine/invocations"
    assert f"Authorization: Bearer $(cat {platform.data_dir / 'admin.token'})" in command
    assert TOKEN not in first.stdout
    assert "Content-Type: application/json" in command
    assert json.loads(command[command.index("-d") + 1]) == json.loads(FILES["serving_input_example.json"])

    told = [line.split(" s  ")[-1] for line in first.stderr.splitlines()]
    assert told[0] == "The sample model is trained and registered as models:/wine/1."
    assert told[-1] == "Configuration 1 (wine/1) serves."
    assert all(" s  " in line for line in first.stderr.splitlines()), "MLflow's own talk is on the screen"
    assert [line for line in first.stdout.splitlines() if line][:1] == ["Try the sample endpoint:"]

    (requirements,) = (registry_socket.parent.parent / "mlflow/artifacts").rglob("models/*/artifacts/requirements.txt")
    packages = [line.split("==")[0] for line in requirements.read_text().splitlines()]
    assert packages == ["mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops"]
    assert requirements.with_name("serving_input_example.json").exists()

    again = provide(platform)
    assert (again.returncode, again.stderr) == (0, "")
    assert curl_of(again.stdout) == command


def test_a_registry_that_has_models_gets_a_hint_only(empty_platform: Platform) -> None:
    empty_platform.register("tea")
    done = provide(empty_platform)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Launch a registered model with: tidegate launch models:/tea/VERSION\n"


def test_an_update_that_was_cut_off_is_waited_for(platform: Platform) -> None:
    platform.hold_builds()
    platform.run(platform.house.create("wine"))
    argv = [*TIDEGATE[:-1], "tidegate.cli.sample", "--url", platform.url, "--data-dir", str(platform.data_dir)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while "/api/2.0/serving-endpoints/wine/served-models/wine-1/build-logs" not in platform.paths:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        platform.release_builds()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert curl_of(output)


def test_a_failure_is_a_sentence(platform: Platform) -> None:
    done = provide(platform)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "The sample model could not be launched: "
        "This platform uses an external registry; nothing is embedded under /mlflow.\n"
    )


def test_wrong_usage() -> None:
    argv = [sys.executable, "-m", "tidegate.cli.sample", "--url", DEFAULT_URL]
    assert subprocess.run(argv, capture_output=True, timeout=60).returncode == 2
