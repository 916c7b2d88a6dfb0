"""The list of registered models."""

from pathlib import Path

from tests.dashboard.model_scene import HOSTILE, register
from tests.dashboard.web_house import WebHouse, a_web_house
from tidegate.control.registry.model_catalog import CatalogModel, Serving
from tidegate.core.endpoint.registered_model import RegisteredModel
from tidegate.core.errors import Unavailable
from tidegate.dashboard.pages.models.model_list import PAGE, Launch, model_list, path_of
from tidegate.public_url import PublicUrl


def some(*names: str) -> list[CatalogModel]:
    return [CatalogModel(RegisteredModel(name, "3", {"None": "3"})) for name in names]


def test_models_are_found_by_a_part_of_their_names_page_by_page() -> None:
    models = some(*(f"wine-{number:03d}" for number in range(PAGE + 1)), "Tea")
    assert [row.name for row in model_list(models, "tea", 1).rows] == ["Tea"]
    first, second = model_list(models, "WINE", 1), model_list(models, "WINE", 2)
    assert (len(first.rows), first.pages, first.found, first.everything) == (PAGE, 2, PAGE + 1, PAGE + 2)
    assert [row.name for row in second.rows] == [f"wine-{PAGE:03d}"]
    assert first.query(2) == "find=WINE&page=2"


def test_a_row_names_a_few_aliases_and_endpoints_and_counts_the_others() -> None:
    model = RegisteredModel("wine", "3", {"Production": "2"}, {f"a{n}": "1" for n in range(5)})
    (row,) = model_list([CatalogModel(model, tuple(Serving(f"e{n}", "1", "1", True) for n in range(4)))], "", 1).rows
    assert (len(row.aliases), row.more_aliases, len(row.served_by), row.more_endpoints) == (3, 2, 3, 1)
    assert (row.newest, row.production, row.staging) == ("3", "2", "")
    assert row.launch == Launch("Production", "2")


async def test_the_page_shows_names_as_text_and_can_launch_all_but_the_empty(web: WebHouse) -> None:
    register(web, 1)
    page = await web.text("/models")
    assert "<b>bold" not in page
    assert f'action="{path_of(HOSTILE)}/launch"' in page
    assert page.count('>Launch<span class="visually-hidden"> ') == 4
    assert "no version" in page
    assert "page 1 of" not in page


async def test_an_empty_registry_says_how_to_register_at_its_own_address(tmp_path: Path) -> None:
    public = PublicUrl("https://ml.example.org", "/tidegate")
    async with a_web_house(tmp_path / "data", public_url=public) as web:
        web.house.registry.models.clear()
        page = await web.text("/models")
    assert "MLFLOW_TRACKING_URI=https://ml.example.org/tidegate/mlflow\n" in page
    assert "tidegate up --sample" in page


async def test_without_the_registry_the_page_says_so(web: WebHouse) -> None:
    web.house.registry.failure = Unavailable("The model registry cannot be used now.", retry_after=5)
    page = await web.text("/models")
    assert "The model registry cannot be used now." in page
    assert "Endpoints go on answering" in page
