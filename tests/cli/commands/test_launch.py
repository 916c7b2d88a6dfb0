"""`tidegate launch`."""

import shlex
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Cli, Terminal, run, started
from tests.cli.platform import EXAMPLE, Platform
from tidegate.cli.commands.launch import Size
from tidegate.core.endpoint.served_entity import WORKLOAD_SIZES
from tidegate.core.errors import NotFound, Unavailable


def test_the_sizes_are_those_of_the_core() -> None:
    assert [size.value for size in Size] == list(WORKLOAD_SIZES)


def test_it_ends_with_an_endpoint_that_is_ready_and_a_line_that_queries_it(platform: Platform, cli: Cli) -> None:
    done = cli("launch", "models:/wine/1")
    assert done.exit_code == 0
    ready, line = done.stdout.splitlines()
    url = f"{platform.url}/serving-endpoints/wine/invocations"
    assert ready == f"Endpoint 'wine' is ready: {url}"
    command = shlex.split(line)
    assert (command[0], command[-1]) == ("curl", url)
    assert httpx.Response(200, content=command[command.index("-d") + 1]).json() == EXAMPLE
    assert platform.state("wine") == "NOT_UPDATING"


def test_on_a_pipe_progress_is_plain_lines_on_standard_error(platform: Platform, cli: Cli) -> None:
    lines = cli("launch", "models:/wine/1").stderr.splitlines()
    assert [line.split(" s  ")[1] for line in lines] == [
        "Endpoint 'wine' was created.",
        "Served entity 'wine-1': its model and environment are being prepared.",
        "Served entity 'wine-1': a replica is being started.",
        "Served entity 'wine-1' is ready.",
        "Configuration 1 (wine/1) serves.",
    ]


def test_on_a_terminal_the_build_log_is_seen_growing(platform: Platform) -> None:
    platform.hold_builds()
    terminal = Terminal("launch", "models:/wine/1")
    terminal.wait_for("Building for ")  # the last line of the build log
    platform.release_builds()
    assert terminal.end() == 0
    assert "Endpoint 'wine' is ready: http://" in terminal.shown


def test_options_reach_the_endpoint(platform: Platform, cli: Cli) -> None:
    done = cli("launch", "models:/wine/2", "--endpoint", "red", "--size", "medium", "--scale-to-zero")
    assert done.exit_code == 0
    (entity,) = platform.served("red")
    assert (entity.workload_size, entity.scale_to_zero_enabled, entity.model.version) == ("Medium", True, "2")
    assert "-d @row.json" in done.stdout  # version 2 has no example
    assert done.stderr.endswith("row.json stands for a file with your request. docs/api.md has the forms.\n")


def test_aliases_and_stages_are_the_servers_to_resolve(platform: Platform, cli: Cli) -> None:
    platform.house.registry.models["wine"].aliases["champion"] = "3"
    assert cli("launch", "models:/wine@champion").exit_code == 0
    (entity,) = platform.served("wine")
    assert (entity.model.version, entity.resolved.version) == ("@champion", "3")


def test_no_wait_returns_while_it_is_being_made(platform: Platform, cli: Cli) -> None:
    platform.hold_builds()
    done = cli("launch", "models:/wine/1", "--no-wait")
    assert done.exit_code == 0
    assert done.stdout.startswith("Endpoint 'wine' is being prepared: ")
    assert platform.state("wine") == "IN_PROGRESS"
    platform.release_builds()


def test_a_name_that_is_taken(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("launch", "models:/wine/2")
    assert done.exit_code == 1
    assert done.stderr == (
        "There is an endpoint 'wine' already. Replace its model with "
        "`tidegate update wine models:/wine/2`, or choose another name with --endpoint.\n"
    )


def test_a_model_that_is_not_there(platform: Platform, cli: Cli) -> None:
    done = cli("launch", "models:/tea/1")
    assert (done.exit_code, done.stderr) == (1, "The registry has no model 'tea'. It has wine.\n")


def test_a_build_that_fails_shows_its_sentence_and_the_end_of_its_log(platform: Platform, cli: Cli) -> None:
    platform.house.builder.fault = platform.no_build
    done = cli("launch", "models:/wine/1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert (
        f"\n{platform.no_build.message}\nEndpoint 'wine' exists, but serves no model. Try another model with "
        "`tidegate update wine MODEL_URI`, or delete the endpoint with `tidegate delete wine`.\n"
    ) in done.stderr
    log = done.stderr.split("Build log of 'wine-1', its end:\n")[1].splitlines()
    assert log[-1].endswith(platform.no_build.message)


def test_a_model_that_does_not_start_shows_what_it_printed(platform: Platform, cli: Cli) -> None:
    platform.house.engine.broken["wine-1"] = "The model could not be loaded: no weights."
    platform.hold_builds()
    with started("launch", "models:/wine/1") as launching:
        assert launching.stderr is not None
        while "are being prepared" not in launching.stderr.readline():
            pass
        platform.log_of_replicas("wine", "Traceback …\nno weights\n")
        platform.release_builds()
        _, errors = launching.communicate(timeout=30)
    assert launching.returncode == 1
    assert "\nThe model could not be loaded: no weights.\n" in f"\n{errors}"
    assert errors.endswith("Log of 'wine-1', its end:\nTraceback …\nno weights\n")


@pytest.mark.parametrize("failure", [Unavailable("Control is away.", retry_after=1)])
def test_a_server_that_is_away_meanwhile_is_waited_for(platform: Platform, failure: Unavailable) -> None:
    platform.hold_builds()
    terminal = Terminal("launch", "models:/wine/1")
    terminal.wait_for("are being prepared")
    platform.away = failure
    terminal.wait_for("The server does not answer; waiting for it.")
    platform.away = None
    platform.release_builds()
    assert terminal.end() == 0


def test_an_endpoint_that_is_deleted_meanwhile(platform: Platform) -> None:
    platform.hold_builds()
    with started("launch", "models:/wine/1") as launching:
        assert launching.stderr is not None
        while "are being prepared" not in launching.stderr.readline():
            pass
        platform.run(platform.house.endpoints.delete("wine"))
        _, errors = launching.communicate(timeout=30)
    assert (launching.returncode, errors) == (1, "There is no endpoint 'wine'.\n")


# --- saved models


def a_saved_model(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: x\n")
    (folder / "data/weights.bin").write_bytes(b"\1" * 100_000)
    return folder


def test_a_saved_model_is_registered_first(platform_with_registry: Platform) -> None:
    platform = platform_with_registry
    platform.house.registry.add("my-model", "1")
    done = run("launch", str(a_saved_model(Path("my model"))), timeout=100)
    assert done.returncode == 0, done.stderr
    assert "Registered as models:/my-model/1." in done.stderr
    assert done.stdout.startswith("Endpoint 'my-model' is ready: ")
    (entity,) = platform.served("my-model")
    assert (entity.model.name, entity.model.version) == ("my-model", "1")
    assert platform.artifacts("my-model", "1") == {"MLmodel": 49, "data/weights.bin": 100_000}


def test_a_second_version_by_update_keeps_the_models_name(platform_with_registry: Platform) -> None:
    platform = platform_with_registry
    model = str(a_saved_model(Path("second")))
    for version in "12":
        platform.house.registry.add("kept", version)
    assert run("launch", model, "--endpoint", "kept", timeout=100).returncode == 0
    done = run("update", "kept", model, timeout=100)
    assert done.stdout == "Endpoint 'kept' serves models:/kept/2.\n"


def test_without_an_embedded_registry_it_cannot_be_registered(platform: Platform, cli: Cli) -> None:
    done = cli("launch", str(a_saved_model(Path("model"))))
    assert done.exit_code == 1
    assert done.stderr == (
        "This server uses an external registry. Register the model there, and name it as models:/NAME/VERSION.\n"
    )


def test_nothing_is_uploaded_for_a_name_that_is_taken(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("launch", str(a_saved_model(Path("model"))), "--endpoint", "wine")
    assert done.stderr.startswith("There is an endpoint 'wine' already.")


def test_a_folder_without_a_model(cli: Cli, platform: Platform) -> None:
    Path("empty").mkdir()
    done = cli("launch", "empty")
    assert done.exit_code == 1
    assert done.stderr == "'empty' is not a saved model: it has no file MLmodel. Name the directory that has it.\n"


def test_a_registry_that_fails_is_a_sentence(platform_with_registry: Platform) -> None:
    platform_with_registry.refused["PUT"] = NotFound("The disk is gone.")
    done = run("launch", str(a_saved_model(Path("model"))), timeout=100)
    assert done.returncode == 1
    assert done.stderr.startswith("The model could not be registered as 'model': ")
    assert "Traceback" not in done.stderr
