"""The documentation says what is there, all of it, and every link leads somewhere."""

import dataclasses
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main
from fastapi.routing import iter_route_contexts

from tidegate import http
from tidegate.api.rest_api import create_app
from tidegate.cli.app import app as command_line
from tidegate.control.access.sessions import Sessions
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.control.reporting.prometheus_metrics import Metrics
from tidegate.control.series.series import Series
from tidegate.gateway.http import asgi
from tidegate.gateway.queue import legacy_urls
from tidegate.settings import Settings
from tidegate.telemetry import METRICS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CLIENT_OPTIONS = ("--url", "--token", "--token-file", "--data-dir", "--output", "-o")


def read(page: str) -> str:
    return (ROOT / page).read_text()


def rows(page: str, columns: int) -> list[list[str]]:
    """The cells of all table rows of a page that have so many columns, code marks removed."""
    lines = [line for line in read(page).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [[cell.replace("`", "") for cell in row] for row in cells if len(row) == columns]


# --- links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_and_image_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if not link.startswith(("http://", "https://")):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert target.is_relative_to(ROOT), link
            assert not anchor or anchor in anchors(target), link


# Words from one mark to the next (. ! ? : ;), more than which need a second reading. Code counts as one.
LONGEST_CLAUSE = 40


def clauses(page: Path) -> Iterator[str]:
    """What a page says from mark to mark, in its paragraphs, entries and cells; no examples."""
    text = re.sub(r"```.*?```|<!--.*?-->", "\n\n", page.read_text(), flags=re.DOTALL)
    text = LINK.sub(lambda link: link[0].partition("](")[0].lstrip("!["), re.sub(r"`[^`]*`", "code", text))
    for block in re.split(r"\n\s*\n|\n(?=[-*#>|] ?|\d+\. )| \| ", text):
        yield from re.split(r"(?<=[.!?:;])\s+", " ".join(block.split()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_nothing_needs_a_second_reading_for_its_length(page: Path) -> None:
    assert [clause for clause in clauses(page) if len(clause.split()) > LONGEST_CLAUSE] == []


def test_every_page_is_linked_from_the_readme_or_its_folder() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(read("README.md"))}
    assert [page.name for page in PAGES if page.name != "README.md" and not {page, page.parent} & linked] == []


def test_files_that_are_named_are_there() -> None:
    """`core/rollout/plan.py` in a page is a file of ours."""
    folders = (ROOT, ROOT / "src", ROOT / "src" / "tidegate")
    for page in PAGES:
        for name in re.findall(r"`((?:\w+/)+\w+\.\w+)`", page.read_text()):
            assert any((folder / name).exists() for folder in folders), f"{page.name}: {name}"


def test_every_room_is_on_the_map_of_the_code_in_the_order_of_the_floors() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    floors = {str(one["containers"][0]): one["layers"] for one in contracts if one.get("exhaustive")}
    packages, package = dict[str, list[str]](), ""
    for name, rooms, _ in rows("docs/code-map.md", 3):
        package = name or package
        packages.setdefault(package, []).append(rooms)
    for container, layers in floors.items():
        folder = ROOT / "src" / container.replace(".", "/")
        parts = [[part.strip() for part in layer.split("|")] for layer in layers]
        there = [[part for part in layer if (folder / part).is_dir()] for layer in parts]
        drawn = packages[f"{container.removeprefix('tidegate.')}/"]
        assert [row.split(", ") for row in drawn] == [layer for layer in there if layer], container


def test_every_package_and_module_is_on_the_map_on_its_floor() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["containers"] == ["tidegate"])
    floors = [re.findall(r"\w+", layer) for layer in layers]
    section = read("docs/code-map.md").partition("## Floors")[2].partition("\n## ")[0]
    drawn = re.findall(r"^\| (\d) \| (.+?) \| \D+ \|$", section, re.MULTILINE)
    assert [(int(number), re.findall(r"\w+", packages)) for number, packages in drawn] == [
        (len(floors) - 1 - place, floor) for place, floor in enumerate(floors)
    ]
    folder = ROOT / "src" / "tidegate"
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for floor in floors for name in floor} == there - {"__init__"}


def test_what_a_newcomer_is_sent_to_is_where_the_map_says() -> None:
    section = read("docs/code-map.md").partition("## Questions")[2].partition("\n## ")[0]
    places = re.findall(r"^\| .+\? \| `([\w/.]+)` \| `(\w+)` \|$", section, re.MULTILINE)
    assert len(places) == section.count("?") > 9
    for file, name in places:
        path = ROOT / "src" / ("" if file.startswith("tidegate_worker/") else "tidegate") / file
        assert re.search(rf"^ *(?:def {name}\(|{name}[:\b])", path.read_text(), re.MULTILINE), f"{file}: {name}"


def test_files_that_are_named_in_a_command_are_there() -> None:
    for page in PAGES:
        for name in re.findall(r"(?<![\w/.])(?:tests|bench|docs|src)/[\w/.]+\.py\b", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
        for module in re.findall(r"python -m (bench[\w.]*)", page.read_text()):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"{page.name}: {module}"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))
    for page in PAGES:
        text = page.read_text()
        named = {*re.findall(r"`make ([a-z-]+)", text), *re.findall(r"^\$ make ([a-z-]+)", text, re.MULTILINE)}
        assert named <= targets, page.name


def test_every_make_target_is_in_contributing() -> None:
    listed = set(re.findall(r"`([a-z-]+)`", read("CONTRIBUTING.md")))
    assert set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE)) - {"help"} <= listed


# --- what a script draws


def script(name: str) -> Any:
    """A script of `docs`, as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_lifecycle_is_drawn_from_the_table() -> None:
    assert script("lifecycle").page(text := read("docs/lifecycle.md")) == text


def test_the_walks_are_what_their_script_draws() -> None:
    for file, draw in script("walks").FIGURES.items():
        assert read(f"docs/images/{file}") == draw(), f"run docs/walks.py: {file}"


def test_every_picture_is_shown_in_a_page() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    assert [file.name for file in (ROOT / "docs" / "images").iterdir() if file not in shown] == []


def test_every_drawing_can_be_read_in_the_dark_and_by_ear() -> None:
    for file in (ROOT / "docs" / "images").glob("*.svg"):
        text = file.read_text()
        assert all(part in text for part in ("prefers-color-scheme: dark", "<title id=", "<desc id=")), file.name


# --- settings


def settings() -> Iterator[list[str]]:
    """Name, variable and default of every setting, as they stand in the table."""
    for group, values in dataclasses.asdict(Settings()).items():
        for name, default in values.items():
            shown = str(default).lower() if isinstance(default, bool) else str(default)
            yield [f"{group}.{name}", f"TIDEGATE_{group.upper()}__{name.upper()}", shown if default != () else ""]


def test_every_setting_is_documented_with_its_default() -> None:
    documented = [[*row[:2], "" if row[2] == "empty" else row[2]] for row in rows("docs/settings.md", 4)]
    assert documented[0][0] == "setting"
    assert [row for row in documented if row[0] != "setting"] == list(settings())


def test_every_setting_has_a_meaning() -> None:
    assert all(row[3].endswith(".") for row in rows("docs/settings.md", 4)[1:] if row[0] != "setting")


# --- metrics


def test_every_metric_is_documented() -> None:
    documented = rows("docs/metrics.md", 4)[1:]
    assert documented == [
        [
            metric.name + ("_total" if metric.kind == "counter" else ""),
            metric.kind,
            ", ".join(metric.labels) or "none",
            metric.help,
        ]
        for metric in METRICS
    ]


# --- command line

COMMANDS = typer.main.get_command(command_line)


def section(command: str) -> str:
    """What the page says of a command."""
    found = re.search(rf"^### tidegate {command}\b.*?(?=^### |\Z)", read("docs/cli.md"), re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section on 'tidegate {command}'"
    return found[0]


@pytest.mark.parametrize("command", sorted(COMMANDS.commands))  # type: ignore[attr-defined]
def test_every_command_and_option_is_documented(command: str) -> None:
    general = read("docs/cli.md").partition("## Commands")[0]
    for parameter in COMMANDS.commands[command].params:  # type: ignore[attr-defined]
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("-"):
                where = general if option in CLIENT_OPTIONS and command != "up" else section(command)
                assert f"`{option}`" in where, f"{command} {option}"
            else:
                assert option.upper() in section(command).splitlines()[0]


def test_no_command_is_documented_that_is_not_there() -> None:
    documented = re.findall(r"^### tidegate (\w+)", read("docs/cli.md"), re.MULTILINE)
    assert sorted(documented) == sorted(COMMANDS.commands)  # type: ignore[attr-defined]


def test_commands_in_examples_exist() -> None:
    for page in PAGES:
        used = re.findall(r"^\$ tidegate (\w+)", page.read_text(), re.MULTILINE)
        assert set(used) <= set(COMMANDS.commands), page.name  # type: ignore[attr-defined]


# --- HTTP


def routes() -> Iterator[str]:
    """Every route of control and of the gateway."""
    verbs = cast("Endpoints", None), cast("EnabledModels", None)
    app = create_app(*verbs, cast("Metrics", None), cast("Sessions", None), cast("Series", None))
    for route in iter_route_contexts(app.routes):
        yield from (f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"})
    yield from (f"GET {path}" for path in asgi._OPEN)
    yield "POST /serving-endpoints/{name}/invocations"
    yield "POST /serving-endpoints/{name}/served-models/{served}/invocations"
    yield from (f"POST {prefix.decode()}{{model}}/{{version or stage}}/invocations" for prefix in legacy_urls.PREFIXES)


def test_every_route_is_documented_and_no_other() -> None:
    pages = read("docs/api.md") + read("docs/legacy.md")
    documented = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", pages)
    assert sorted(documented) == sorted(routes())


def test_every_error_is_documented_with_its_status_and_code() -> None:
    documented = {tuple(row[:3]) for row in rows("docs/api.md", 4) if row[0].isdigit()}
    assert documented == {(str(status), code, kind.__name__) for kind, (status, code) in http.STATUS.items()}
