"""Package indexes that ask for credentials, and requirements that name them in variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.environments.test_uv_environments import House, version
from tests.adapters.package_index import Lines, PackageIndex

SECRET = "hunter2/€"
QUOTED = "hunter2%2F%E2%82%AC"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A builder whose default index has what every model needs."""
    index = PackageIndex(tmp_path / "index")
    for name, number in (("mlflow", "3.1.0"), ("setuptools", "65.5.0"), ("alpha", "1.0"), ("public", "1.0")):
        index.add(name, number)
    with index.serving():
        yield House(tmp_path, index)


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PackageIndex]:
    """An index that asks for `me` and a password."""
    index = PackageIndex(tmp_path / "private", f"me:{SECRET}")
    index.add("alpha", "2.0")
    index.add("own", "1.0")
    with index.serving():
        yield index


def said_or_kept(house: House, lines: Lines) -> str:
    """Everything that a build leaves: its log, the memory of locks and the files of environments, the cache apart."""
    files = [path for path in house.data.envs.rglob("*") if path.is_file() and ".uv-cache" not in path.parts]
    kept = "".join(path.read_text(errors="replace") for path in files)
    return lines.text + kept + repr(vars(house.store)) + "".join(map(str, files))


@pytest.mark.parametrize(
    "requirements",
    [
        "--extra-index-url http://${{ME}}:${{PASSWORD}}@{host}/\nown",
        "--index-url http://${{ME}}:${{PASSWORD}}@{host}/\n--extra-index-url {public}\nown",
        "--extra-index-url ${{PRIVATE}}\nown",
        "--trusted-host ${{HOST}}\n--extra-index-url ${{PRIVATE}}\nown",
        "--find-links http://${{ME}}:${{PASSWORD}}@{host}/own/\nown",
        "own @ http://${{ME}}:${{PASSWORD}}@{host}/own/own-1.0-py3-none-any.whl",
        "${{PRIVATE}}own/own-1.0-py3-none-any.whl",
        "-r more.txt",
    ],
)
async def test_variables_of_the_server_are_put_into_urls_and_kept_nowhere(
    house: House, private: PackageIndex, requirements: str
) -> None:
    host = private.url.split("/")[2]
    house.environ |= {"ME": "me", "PASSWORD": QUOTED, "PRIVATE": f"http://me:{QUOTED}@{host}/", "HOST": host}
    text = requirements.format(host=host, public=house.index.url)
    files = {"more.txt": f"--extra-index-url http://${{ME}}:${{PASSWORD}}@{host}/\nown\n"}
    lines = Lines()
    environment = await house.builder().build(house.model(text, files=files), lines.log)
    assert version(environment, "own") == "1.0"
    assert "hunter2" not in said_or_kept(house, lines)


async def test_a_token_in_an_indexs_path_is_in_no_line(house: House) -> None:
    index = PackageIndex(house.root / "private", path="t0ken")
    index.add("own", "1.0")
    house.environ["TOKEN"] = "t0ken"
    with index.serving():
        lines = Lines()
        url = f"--extra-index-url {index.url}${{TOKEN}}"
        environment = await house.builder().build(house.model(f"{url}\nown", "1"), lines.log)
        assert version(environment, "own") == "1.0"
        model = house.model(f"own @ {index.url}${{TOKEN}}/own/own-1.0-py3-none-any.whl", "2")
        await house.builder().build(model, lines.log)
        message, more = await house.failure(house.model(f"{url}\nown @ {index.url}${{TOKEN}}/gone.whl", "3"))
        assert "t0ken" not in message + more.text + said_or_kept(house, lines)
        house.environ["TOKEN"] = "other"
        message, more = await house.failure(house.model(f"{url}/\nelsewhere", "4"))
    host = index.url.split("/")[2]
    assert message.startswith(
        f"The package index {host} refused the credentials (403 Forbidden): it got none, or wrong"
    )
    assert "other" not in message + more.text


@pytest.mark.parametrize("named", ["", "--index-url {url}\n", "--extra-index-url {url}\n", "--find-links {url}own/\n"])
@pytest.mark.parametrize("credentials", ["", "me:hunter3@"])
@pytest.mark.parametrize("requirement", ["own", "alpha==2.0"])
async def test_an_index_that_refuses_is_named(
    house: House, private: PackageIndex, named: str, credentials: str, requirement: str
) -> None:
    host = private.url.split("/")[2]
    url = f"http://{credentials}{host}/"
    lines = Lines()
    with pytest.raises(Exception, match="refused the credentials") as failure:
        await house.builder(house.index.url if named else url).build(
            house.model(named.format(url=url) + requirement), lines.log
        )
    assert str(failure.value).startswith(f"The package index {host} refused the credentials (401 Unauthorized): it got")
    assert "hunter3" not in str(failure.value) + lines.text


async def test_an_index_that_refuses_is_in_the_log_where_another_has_the_package(
    house: House, private: PackageIndex
) -> None:
    environment, lines = await house.build(f"--extra-index-url {private.url}\nalpha")
    assert version(environment, "alpha") == "1.0"
    host = private.url.split("/")[2]
    assert f"warning: The package index {host} refused the credentials (401 Unauthorized)" in lines.text


async def test_a_package_that_is_nowhere_is_still_that(house: House, private: PackageIndex) -> None:
    url = private.url.replace("//", f"//me:{QUOTED}@")
    message, lines = await house.failure(house.model(f"--extra-index-url {url}\nnowhere"))
    assert message == "No package index that was asked has a package 'nowhere'. Change the model's requirements."
    assert "hunter2" not in lines.text


@pytest.mark.parametrize("name", ["UNSET", "TIDEGATE_STORE__URL"])
async def test_a_variable_that_is_not_there_is_named(house: House, name: str) -> None:
    message, _ = await house.failure(house.model(f"--extra-index-url https://u:${{{name}}}@host/\nown"))
    assert f"The model's requirements name ${{{name}}}," in message


@pytest.mark.parametrize("line", ["${PLACE}/own", "own @ ${PLACE}", "--find-links ${PLACE}", "--index-url ${PLACE}/x"])
@pytest.mark.parametrize("value", ["/srv", "file:///srv", "git+file:///srv", "plain", ""])
async def test_a_variable_that_means_a_place_on_the_server_is_refused(house: House, line: str, value: str) -> None:
    house.environ["PLACE"] = value
    message, _ = await house.failure(house.model(f"{line}\nmlflow"))
    assert "name ${PLACE} where a URL must stand, and the server's variable is no URL of another machine" in message


async def test_the_servers_own_index_may_name_variables(house: House, private: PackageIndex) -> None:
    for name, number in (("mlflow", "3.1.0"), ("setuptools", "65.5.0")):
        private.add(name, number)
    house.environ["PASSWORD"] = QUOTED
    lines, url = Lines(), private.url.replace("//", "//me:${PASSWORD}@")
    environment = await house.builder(url).build(house.model("own"), lines.log)
    assert version(environment, "own") == "1.0"
    assert "hunter2" not in said_or_kept(house, lines)


async def test_literal_credentials_are_in_no_line(house: House, tmp_path: Path) -> None:
    for number, text in enumerate(
        (
            "git+http://u:hunter2@127.0.0.1:9/own.git",
            "own @ http://u:hunter2@127.0.0.1:9/own.whl --global-option=x",
            "--index-url 'http://u:hunter2@127.0.0.1:9/",
            "own @ http://hunter2@127.0.0.1:9/own-1.0.zip --require-hashes\n--require-hashes",
        )
    ):
        message, lines = await house.failure(house.model(text, str(number)))
        assert "hunter2" not in message + lines.text, text
