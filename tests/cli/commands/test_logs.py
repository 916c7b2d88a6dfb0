"""`tidegate logs`."""

from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import Cli, started
from tests.cli.platform import Platform
from tests.control.house import an_entity
from tidegate.cli.commands.logs import unseen


def test_what_the_replicas_print(platform: Platform, cli: Cli) -> None:
    platform.have()
    nothing = cli("logs", "wine")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert nothing.stderr == (
        "No replica of 'wine' has printed anything yet. "
        "`tidegate logs wine --build` shows how the environment was built.\n"
    )
    platform.print_from_a_replica("one\ntwo\n")
    printed = cli("logs", "wine")
    assert (printed.stdout, printed.stderr) == ("one\ntwo\n", "")


def test_how_the_environment_was_made(platform: Platform, cli: Cli) -> None:
    platform.have()
    lines = cli("logs", "wine", "--build").stdout.splitlines()
    assert "Preparing served entity 'wine-1': model wine, version 1." in lines[0]
    assert lines[-1].endswith("Prepared.")


def test_several_entities_have_their_names_above(platform: Platform, cli: Cli) -> None:
    platform.run(platform.house.create("two", an_entity("1", "a"), an_entity("2", "b")))
    shown = cli("logs", "two", "--build", "--follow").stdout
    assert shown.index("==> a <==") < shown.index("==> b <==")
    one = cli("logs", "two", "--build", "--served", "b").stdout
    assert "served entity 'b'" in one
    assert "==>" not in one


def test_a_served_entity_that_is_not_there(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("logs", "wine", "--served", "tea")
    assert done.exit_code == 1
    assert done.stderr == "Endpoint 'wine' has no served entity 'tea'; it has wine-1.\n"


def test_a_build_that_failed_still_has_its_log(platform: Platform, cli: Cli) -> None:
    platform.house.builder.fault = platform.no_build
    platform.run(platform.house.create("wine"))
    shown = cli("logs", "wine", "--build", "--follow")
    assert shown.exit_code == 0
    assert platform.no_build.message in shown.stdout


def test_following_a_build_prints_every_line_once_and_ends_with_it(platform: Platform) -> None:
    platform.hold_builds()
    platform.run(platform.house.create("wine"))
    with started("logs", "wine", "--build", "--follow") as following:
        assert following.stdout is not None
        assert "Preparing" in following.stdout.readline()
        platform.release_builds()
        rest, errors = following.communicate(timeout=30)
    assert (following.returncode, errors) == (0, "")
    assert rest.count("Prepared.") == 1
    assert "Preparing" not in rest


def test_following_a_replica_goes_on(platform: Platform) -> None:
    platform.have()
    platform.print_from_a_replica("one\n")
    with started("logs", "wine", "-f") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "one\n"
        platform.print_from_a_replica("two\n")
        assert following.stdout.readline() == "two\n"


lines = st.lists(st.uuids().map(str), max_size=60).map(lambda items: "".join(f"{item}\n" for item in items))


@given(lines, lines, st.integers(0, 500))
def test_what_was_not_seen_yet_is_what_was_added(before: str, added: str, cut: int) -> None:
    # The server sends a log's end: its beginning may be gone at the next reading, but not what is looked for.
    now = (before + added)[min(cut, max(0, len(before) - 2000)) :]
    assert unseen(before, now) == added


def test_of_a_log_that_was_rotated_away_all_is_new() -> None:
    assert unseen("old\n", "new\n") == "new\n"
